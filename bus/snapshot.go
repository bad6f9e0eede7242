package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"weir/bus/internal/jet"
)

// snapshot is what lists are answered from: the registry, the States and the
// leases as watches keep them, from the first list on. A list costs NATS
// nothing, however often it is asked for.
type snapshot struct {
	bus   *Bus
	begin sync.Once

	streams *view[Registration]
	states  *view[Ownership]
	leases  *view[WorkerLoad]
}

// view is a bucket as it stands.
type view[T any] struct {
	bucket func() *jet.Bucket
	prefix string
	read   func(jet.Change) (T, error)

	mu     sync.Mutex
	all    map[string]T
	synced chan struct{} // closed when it was complete once
}

func newView[T any](bucket func() *jet.Bucket, prefix string, read func(jet.Change) (T, error)) *view[T] {
	return &view[T]{bucket: bucket, prefix: prefix, read: read, all: make(map[string]T), synced: make(chan struct{})}
}

func newSnapshot(b *Bus) *snapshot {
	return &snapshot{
		bus:     b,
		streams: newView(func() *jet.Bucket { return b.streams }, "", registrationOf),
		states:  newView(func() *jet.Bucket { return b.state }, "", ownershipOf),
		leases:  newView(func() *jet.Bucket { return b.nodes }, workerPrefix, workerLoadOf),
	}
}

// watch keeps the view until ctx ends.
func (v *view[T]) watch(ctx context.Context, b *Bus) {
	var once sync.Once
	_ = v.bucket().Watch(ctx, jet.Watcher{Prefix: v.prefix, Change: func(c jet.Change) error { // ends with the Bus
		v.mu.Lock()
		defer v.mu.Unlock()
		if delete(v.all, c.Key); c.Gone {
			return nil
		}
		x, err := v.read(c)
		if err != nil {
			b.log.Warn("entry skipped", "key", c.Key, "err", err)
			return nil
		}
		v.all[c.Key] = x
		return nil
	}, Synced: func() error {
		once.Do(func() { close(v.synced) })
		return nil
	}})
}

// errAway: what is known may be old.
var errAway = errors.New("nats is not connected")

// listed returns what a view holds, when it is complete.
func listed[T any](ctx context.Context, s *snapshot, v *view[T]) ([]T, error) {
	s.begin.Do(func() {
		s.bus.background(func(ctx context.Context) { s.streams.watch(ctx, s.bus) })
		s.bus.background(func(ctx context.Context) { s.states.watch(ctx, s.bus) })
		s.bus.background(func(ctx context.Context) { s.leases.watch(ctx, s.bus) })
	})
	select {
	case <-v.synced:
	case <-ctx.Done():
		return nil, fmt.Errorf("%w", context.Cause(ctx))
	}
	if !s.bus.Connected() {
		return nil, errAway
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	all := make([]T, 0, len(v.all))
	for _, x := range v.all {
		all = append(all, x)
	}
	return all, nil
}
