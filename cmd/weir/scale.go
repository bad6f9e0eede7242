package main

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"weir/bus"
	"weir/hls"
)

// scaleTimeout bounds the three listings that make a scale.
const scaleTimeout = 5 * time.Second

// scale is what a scaler of segmenters needs to know, the answer to
// GET /api/v1/scale: as many workers as Broadcasts divided by what one is to
// have, and one more where BehindSeconds grows. There may be none.
type scale struct {
	Broadcasts int `json:"broadcasts"` // that are not packaged to their end
	Unowned    int `json:"unowned"`    // broadcasts that wait for a worker
	Owned      int `json:"owned"`      // broadcasts that have one
	Capacity   int `json:"capacity"`   // most broadcasts of all workers together
	Workers    int `json:"workers"`    // that hold a lease
	// BehindSeconds is how long ago the last listed segment ended of the
	// broadcast that is furthest behind, of those whose encoder is sending or
	// has ended. Up to a segment and a half is normal. It compares the clocks
	// of nodes.
	BehindSeconds float64 `json:"behind_seconds"`
}

// measureScale asks the registry, the checkpoints and the leases.
func measureScale(ctx context.Context, b *bus.Bus) (scale, error) {
	var s scale
	workers, err := b.Workers(ctx, bus.Segment)
	if err != nil {
		return s, err
	}
	for _, w := range workers {
		s.Workers++
		s.Capacity += w.Capacity
	}
	entries, err := b.Streams(ctx)
	if err != nil {
		return s, err
	}
	waiting := make(map[string]bool) // broadcasts whose encoder is away
	for _, e := range entries {
		waiting[e.Broadcast] = e.State == bus.Waiting
	}
	owners, err := b.Ownerships(ctx)
	if err != nil {
		return s, err
	}
	now := time.Now()
	for _, o := range owners {
		if o.Closed {
			continue
		}
		s.Broadcasts++
		if o.Owner == "" {
			s.Unowned++
		} else {
			s.Owned++
		}
		if !waiting[o.Broadcast] {
			s.BehindSeconds = max(s.BehindSeconds, now.Sub(listedUntil(o)).Seconds())
		}
	}
	return s, nil
}

// listedUntil is the wall clock to which a broadcast is listed: its begin
// where nothing is.
func listedUntil(o bus.Ownership) time.Time {
	if until := hls.Summarize(o.State).Until; !until.IsZero() {
		return until
	}
	return o.Saved
}

// serveScale answers GET /api/v1/scale.
func serveScale(b *bus.Bus) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), scaleTimeout)
		defer cancel()
		s, err := measureScale(ctx, b)
		if err != nil {
			w.Header().Set("Retry-After", "1")
			http.Error(w, "NATS does not answer, try again", http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		_ = json.NewEncoder(w).Encode(s) // the reader may have left
	}
}
