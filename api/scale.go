package api

import (
	"context"
	"net/http"
	"time"
)

// Scale is what a scaler of segmenters needs to know: as many workers as
// Broadcasts divided by what one is to have, and one more where BehindSeconds
// grows. There may be none.
type Scale struct {
	Broadcasts int `json:"broadcasts"` // that are not packaged to their end
	Unowned    int `json:"unowned"`    // broadcasts that wait for a worker
	Owned      int `json:"owned"`      // broadcasts that have one
	Capacity   int `json:"capacity"`   // most broadcasts of all workers together
	Workers    int `json:"workers"`    // that hold a lease
	// BehindSeconds is how much of the broadcast that is furthest behind waits
	// to be listed; time in which its encoder sends nothing does not count. Up
	// to a segment and a half is normal. It compares the clocks of nodes.
	BehindSeconds float64 `json:"behind_seconds"`
}

// AddWorker counts a worker that takes at most capacity broadcasts.
func (s *Scale) AddWorker(capacity int) {
	s.Workers++
	s.Capacity += capacity
}

// AddWork counts a broadcast that is not packaged to its end; owned by a
// worker or not, and behind by so much.
func (s *Scale) AddWork(owned bool, behind time.Duration) {
	s.Broadcasts++
	if owned {
		s.Owned++
	} else {
		s.Unowned++
	}
	s.BehindSeconds = max(s.BehindSeconds, behind.Seconds())
}

// scale answers GET /api/v1/scale.
func (h *Handler) scale(w http.ResponseWriter, r *http.Request) {
	var s Scale
	if h.cfg.Registry != nil {
		ctx, cancel := context.WithTimeout(r.Context(), answerTimeout)
		defer cancel()
		var err error
		if s, err = h.cfg.Registry.Scale(ctx); !h.answered(w, r, err) {
			return
		}
	}
	writeJSON(w, s)
}
