package origin

import (
	"context"
	"errors"
	"net/url"
	"strings"
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

// Entries knows which directories have an entry point in the store: a playlist
// that would answer 404 is named to nobody. A new stream has none before its
// first segment, one whose recordings were removed has none any more. What the
// store said stands for a while, so that to list streams costs next to nothing.
type Entries struct {
	objects Objects
	base    string

	mu    sync.Mutex
	known map[string]entryPoint // of what was asked for last, by directory
}

// NewEntries looks into a store. baseURL is this server's root as viewers see
// it; nil makes links without a host.
func NewEntries(objects Objects, baseURL *url.URL) *Entries {
	e := &Entries{objects: objects}
	if baseURL != nil {
		e.base = strings.TrimSuffix(baseURL.String(), "/")
	}
	return e
}

// entryPoint is what the store said last, and until when that stands.
type entryPoint struct {
	there bool
	until time.Time
}

// Locate returns the URL of the entry point of each directory that has one, as
// BaseURL + "/hls/…". While the store does not say, what it said last holds.
func (e *Entries) Locate(ctx context.Context, directories []string) map[string]string {
	ctx, cancel := context.WithTimeout(ctx, entryPatience)
	defer cancel()
	now := time.Now()
	e.mu.Lock()
	last := e.known // nobody writes it any more
	e.mu.Unlock()

	var group errgroup.Group
	group.SetLimit(entryAtOnce)
	var mu sync.Mutex
	known := make(map[string]entryPoint, len(directories))
	note := func(directory string, p entryPoint) {
		mu.Lock()
		known[directory] = p
		mu.Unlock()
	}
	for _, d := range directories {
		p := last[d]
		if now.Before(p.until) || kindOf(object.EntryPoint(d)) != object.Playlist {
			note(d, p)
			continue
		}
		group.Go(func() error {
			note(d, e.look(ctx, d, p, now))
			return nil
		})
	}
	_ = group.Wait() // no look fails

	e.mu.Lock()
	e.known = known
	e.mu.Unlock()
	there := make(map[string]string, len(known))
	for d, p := range known {
		if p.there {
			there[d] = e.base + "/hls/" + object.EntryPoint(d)
		}
	}
	return there
}

// look asks the store for an entry point of which it said last.
func (e *Entries) look(ctx context.Context, directory string, last entryPoint, now time.Time) entryPoint {
	body, _, err := e.objects.Open(ctx, object.EntryPoint(directory))
	switch {
	case err == nil:
		_ = body.Close() // nothing was read
		return entryPoint{true, now.Add(entryFresh)}
	case errors.Is(err, object.ErrNotExist):
		return entryPoint{false, now.Add(entryAgain)}
	}
	return entryPoint{last.there, now.Add(entryAgain)}
}
