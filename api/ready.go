package api

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Part is something that a process needs to take work.
type Part struct {
	Name string
	// Check reports what is wrong with it.
	Check func(context.Context) error
	// Optional: without it the process does a part of its work.
	Optional bool
}

const (
	// readyTimeout bounds how long a part is waited for, readyFresh is for how
	// long what it said is said again, however many probes ask.
	readyTimeout = 2 * time.Second
	readyFresh   = time.Second
)

// readiness is what the parts of a process said last.
type readiness struct {
	parts   []Part
	changes []change

	mu    sync.Mutex // one probe asks at a time, the others wait for it
	asked time.Time
	ready bool
	text  string
}

func newReadiness(parts []Part, log *slog.Logger) *readiness {
	r := &readiness{parts: parts, changes: make([]change, len(parts))}
	for i, p := range parts {
		r.changes[i] = change{log: log.With("part", p.Name), bad: "not ready", good: "ready again"}
	}
	return r
}

// look asks the parts, all at once, if that was not done lately. What is wrong
// with one goes to the log: the port may be open to the world.
func (r *readiness) look(ctx context.Context) (ready bool, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.asked) < readyFresh && r.ready {
		return r.ready, r.text
	}
	// To the end, even if the probe gives up: the next one has the answer.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readyTimeout)
	defer cancel()
	wrong := make([]error, len(r.parts))
	var checks sync.WaitGroup
	for i, p := range r.parts {
		checks.Go(func() { wrong[i] = p.Check(ctx) })
	}
	checks.Wait()
	r.ready = true
	var lines strings.Builder
	for i, p := range r.parts {
		r.changes[i].report(wrong[i])
		state := "ok"
		switch {
		case wrong[i] != nil && p.Optional:
			state = "away"
		case wrong[i] != nil:
			state, r.ready = "not ready", false
		}
		lines.WriteString("\n" + p.Name + ": " + state)
	}
	r.asked, r.text = time.Now(), "not ready"+lines.String()
	if r.ready {
		r.text = "ready" + lines.String()
	}
	return r.ready, r.text
}

// serveReady answers the readiness probe: a line for all, and one for each part.
func (h *Handler) serveReady(w http.ResponseWriter, r *http.Request) {
	ready, lines := h.ready.look(r.Context())
	if !ready {
		w.Header().Set("Retry-After", "1")
		text(w, http.StatusServiceUnavailable, lines)
		return
	}
	text(w, http.StatusOK, lines)
}
