package origin

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"weir/media/object"
)

const (
	// entryFresh is how long an entry point that was there is not asked for
	// again, entryAgain one that was not, or of which the store did not tell.
	entryFresh = 30 * time.Second
	entryAgain = time.Second
	// entryPatience bounds how long the list of streams waits for the store,
	// entryAtOnce how many entry points it asks for at a time.
	entryPatience = 2 * time.Second
	entryAtOnce   = 16
)

// entries knows which streams have an entry point in the store: a playlist that
// would answer 404 is named to nobody. A new stream has none before its first
// segment, one whose recordings were removed has none any more. What the store
// said stands for a while, so that to list streams costs next to nothing.
type entries struct {
	objects Objects

	mu    sync.Mutex
	known map[string]entryPoint // of the streams that were listed last, by name
}

// entryPoint is what the store said last, and until when that stands.
type entryPoint struct {
	there bool
	until time.Time
}

// entryKey is the key of a stream's entry point.
func entryKey(name string) string { return name + "/index.m3u8" }

// of returns the entry points of the streams of a list, by name. While the
// store does not say, what it said last holds.
func (e *entries) of(ctx context.Context, list []Stream) map[string]entryPoint {
	ctx, cancel := context.WithTimeout(ctx, entryPatience)
	defer cancel()
	now := time.Now()
	e.mu.Lock()
	last := e.known // nobody writes it any more
	e.mu.Unlock()

	var group errgroup.Group
	group.SetLimit(entryAtOnce)
	var mu sync.Mutex
	known := make(map[string]entryPoint, len(list))
	note := func(name string, p entryPoint) {
		mu.Lock()
		known[name] = p
		mu.Unlock()
	}
	for _, s := range list {
		p := last[s.Name]
		if now.Before(p.until) || kindOf(entryKey(s.Name)) != playlist {
			note(s.Name, p)
			continue
		}
		group.Go(func() error {
			note(s.Name, e.look(ctx, s.Name, p, now))
			return nil
		})
	}
	_ = group.Wait() // no look fails

	e.mu.Lock()
	e.known = known
	e.mu.Unlock()
	return known
}

// look asks the store for an entry point of which it said last.
func (e *entries) look(ctx context.Context, name string, last entryPoint, now time.Time) entryPoint {
	body, _, err := e.objects.Open(ctx, entryKey(name))
	switch {
	case err == nil:
		_ = body.Close() // nothing was read
		return entryPoint{true, now.Add(entryFresh)}
	case errors.Is(err, object.ErrNotExist):
		return entryPoint{false, now.Add(entryAgain)}
	}
	return entryPoint{last.there, now.Add(entryAgain)}
}
