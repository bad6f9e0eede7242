package bus

import (
	"context"
	"fmt"

	"weir/bus/internal/jet"
)

// StreamKeys is the bucket weir-keys: what a stream key lets its holder do, by
// the key's hash. The key itself is never here.
type StreamKeys struct{ bucket *jet.Bucket }

// StreamKeys opens the bucket, and makes it if there is none.
func (b *Bus) StreamKeys(ctx context.Context) (*StreamKeys, error) {
	const name = "weir-keys"
	s, err := b.conn.Ensure(ctx, bucketConfig(name, Config{Replicas: b.replicas}), fresh(0))
	if err != nil {
		return nil, fmt.Errorf("open stream keys: %w", err)
	}
	return &StreamKeys{jet.NewBucket(s, name)}, nil
}

// Watch calls change with every key as it stands, then synced, and then change
// with each change, until ctx ends. The rule of a key that has gone is nil.
func (k *StreamKeys) Watch(ctx context.Context, change func(hash string, rule []byte), synced func()) error {
	return k.bucket.Watch(ctx, jet.Watcher{Change: func(c jet.Change) error {
		if c.Gone {
			c.Value = nil
		}
		change(c.Key, c.Value)
		return nil
	}, Synced: func() error { synced(); return nil }})
}

// All returns the rules of all keys.
func (k *StreamKeys) All(ctx context.Context) (map[string][]byte, error) {
	all := make(map[string][]byte)
	err := k.bucket.List(ctx, "", func(c jet.Change) error {
		all[c.Key] = c.Value
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list stream keys: %w", err)
	}
	return all, nil
}

// Put sets what a key lets its holder do.
func (k *StreamKeys) Put(ctx context.Context, hash string, rule []byte) error {
	return k.change(ctx, hash, func(rev uint64) error {
		_, err := k.bucket.Put(ctx, hash, rule, rev, 0)
		return err
	})
}

// Remove takes a key back.
func (k *StreamKeys) Remove(ctx context.Context, hash string) error {
	return k.change(ctx, hash, func(rev uint64) error { return k.bucket.Remove(ctx, hash, rev) })
}

// change writes over what stands there, again where others do at the same time.
func (k *StreamKeys) change(ctx context.Context, hash string, write func(rev uint64) error) error {
	for {
		it, err := k.bucket.Get(ctx, hash)
		if err == nil {
			err = write(it.Rev)
		}
		if err == nil {
			return nil
		}
		if jet.IgnoreConflict(err) != nil {
			return fmt.Errorf("change stream key: %w", err)
		}
	}
}
