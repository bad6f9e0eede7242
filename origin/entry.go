package origin

import (
	"context"
	"errors"
	"maps"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"weir/media/object"
)

const (
	// entryFresh is how long an entry point that was there is not asked for
	// again, entryAgain one that was not, or of which the store did not tell:
	// the first time, and then twice as long each time, up to entryFresh.
	entryFresh = 30 * time.Second
	entryAgain = time.Second
	// entriesMost bounds how many are remembered.
	entriesMost = 4096
	// entryPatience bounds how long the list of streams waits for the store,
	// entryAtOnce how many entry points it asks for at a time.
	entryPatience = 2 * time.Second
	entryAtOnce   = 16
)

// Entries knows which entry points are in the store: a playlist
// that would answer 404 is named to nobody. A new stream has none before its
// first segment, one whose recordings were removed has none any more. What the
// store said stands for a while, so that to list streams costs next to nothing.
type Entries struct {
	objects Objects
	base    string

	mu    sync.Mutex
	known map[string]entryPoint // by key
}

// NewEntries looks into a store. baseURL is this server's root as viewers see
// it; nil makes links without a host.
func NewEntries(objects Objects, baseURL *url.URL) *Entries {
	e := &Entries{objects: objects, known: make(map[string]entryPoint)}
	if baseURL != nil {
		e.base = strings.TrimSuffix(baseURL.String(), "/")
	}
	return e
}

// entryPoint is what the store said last, and until when that stands.
type entryPoint struct {
	there bool
	again time.Duration // from when it was said
	until time.Time
}

// Locate returns the URL of each of these playlists that is there, as
// BaseURL + "/hls/…". While the store does not say, what it said last holds.
func (e *Entries) Locate(ctx context.Context, keys []string) map[string]string {
	ctx, cancel := context.WithTimeout(ctx, entryPatience)
	defer cancel()
	now := time.Now()
	points := make([]entryPoint, len(keys))
	e.mu.Lock()
	for i, key := range keys {
		points[i] = e.known[key]
	}
	e.mu.Unlock()

	var group errgroup.Group
	group.SetLimit(entryAtOnce)
	for i, key := range keys {
		if !now.Before(points[i].until) && kindOf(key) == object.Playlist {
			group.Go(func() error {
				points[i] = e.look(ctx, key, points[i], now)
				return nil
			})
		}
	}
	_ = group.Wait() // no look fails

	there := make(map[string]string)
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.known)+len(keys) > entriesMost {
		maps.DeleteFunc(e.known, func(_ string, p entryPoint) bool { return !now.Before(p.until) })
	}
	for i, key := range keys {
		if len(e.known) < entriesMost {
			e.known[key] = points[i]
		}
		if points[i].there {
			there[key] = e.base + "/hls/" + key
		}
	}
	return there
}

// look asks the store for an entry point of which it said last.
func (e *Entries) look(ctx context.Context, key string, last entryPoint, now time.Time) entryPoint {
	body, _, err := e.objects.Open(ctx, key)
	again := min(max(2*last.again, entryAgain), entryFresh)
	switch {
	case err == nil:
		_ = body.Close() // nothing was read
		return entryPoint{true, 0, now.Add(entryFresh)}
	case errors.Is(err, object.ErrNotExist):
		return entryPoint{false, again, now.Add(again)}
	}
	return entryPoint{last.there, again, now.Add(again)}
}
