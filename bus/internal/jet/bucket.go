package jet

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// MarkerTTL is how long the marker of a deleted or expired key remains, for
// watchers to see.
const MarkerTTL = time.Minute

// Bucket is a NATS key-value bucket of which every read is the leader's and
// every write a compare-and-set.
type Bucket struct {
	*Stream
	prefix string // of its subjects
}

// NewBucket is the bucket of the given name that a stream keeps.
func NewBucket(s *Stream, name string) *Bucket { return &Bucket{s, "$KV." + name + "."} }

// Subject is a key's.
func (k *Bucket) Subject(key string) string { return k.prefix + key }

// Item is a key as it stands. Value is nil if there is none; the revision is
// then that of the deletion, or 0.
type Item struct {
	Value []byte
	Rev   uint64
}

// Item is what stands where a write to a bucket was to stand.
func (c *Conflict) Item() Item { return itemOf(c.Last) }

func itemOf(m *jetstream.RawStreamMsg) Item {
	switch {
	case m == nil:
		return Item{}
	case tombstone(m.Header):
		return Item{Rev: m.Sequence}
	}
	return Item{m.Data, m.Sequence}
}

// tombstone tells whether a bucket's message says that its key is gone: it was
// deleted, or the server says that its time was up.
func tombstone(h nats.Header) bool {
	return h.Get(kvOperation) != "" || h.Get(jetstream.MarkerReasonHeader) != ""
}

// Get returns the key as the leader knows it. It asks until ctx ends.
func (k *Bucket) Get(ctx context.Context, key string) (Item, error) {
	m, err := k.Last(ctx, k.Subject(key))
	return itemOf(m), err
}

// Put sets key if its revision is rev (0: if there is none). It returns the
// new revision, or *Conflict.
func (k *Bucket) Put(ctx context.Context, key string, value []byte, rev uint64, ttl time.Duration) (uint64, error) {
	return k.Write(ctx, Write{Subject: k.Subject(key), Data: value, After: rev, TTL: ttl})
}

// Remove deletes key if its revision is rev.
func (k *Bucket) Remove(ctx context.Context, key string, rev uint64) error {
	_, err := k.Write(ctx, Write{Subject: k.Subject(key), Remove: true, After: rev, TTL: MarkerTTL})
	return err
}

// Clear forgets all keys.
func (k *Bucket) Clear(ctx context.Context) error {
	if err := k.Purge(ctx); err != nil {
		return fmt.Errorf("clear bucket: %w", err)
	}
	return nil
}
