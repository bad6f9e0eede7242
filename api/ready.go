package api

import (
	"context"
	"errors"
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
	// readyWait is how long a probe waits for the parts' answers, readyTimeout
	// how long a part may take for one: a store that answers after three seconds
	// is slow, and takes work. Until its answer is there, its last one counts.
	readyWait    = 2 * time.Second
	readyTimeout = 10 * time.Second
	// readyFresh is for how long a good answer is given again, however many
	// probes ask.
	readyFresh = time.Second
)

// readiness is what the parts of a process said last.
type readiness struct {
	parts []*partCheck
}

func newReadiness(parts []Part, log *slog.Logger) *readiness {
	r := &readiness{}
	for _, p := range parts {
		r.parts = append(r.parts, &partCheck{
			Part: p, err: errors.New("it has not answered yet"),
			change: change{log: log.With("part", p.Name), bad: "not ready", good: "ready again"},
		})
	}
	return r
}

// look asks the parts, all at once, whose answers are old. What is wrong with
// one goes to the log: the port may be open to the world.
func (r *readiness) look(ctx context.Context) (ready bool, text string) {
	ctx, cancel := context.WithTimeout(ctx, readyWait)
	defer cancel()
	for _, p := range r.parts {
		p.ask(ctx)
	}
	ready = true
	var lines strings.Builder
	for _, p := range r.parts {
		state := "ok"
		switch err := p.answer(ctx); {
		case err != nil && p.Optional:
			state = "away"
		case err != nil:
			state, ready = "not ready", false
		}
		lines.WriteString("\n" + p.Name + ": " + state)
	}
	if !ready {
		return false, "not ready" + lines.String()
	}
	return true, "ready" + lines.String()
}

// partCheck asks a part, at most once at a time.
type partCheck struct {
	Part
	change change

	mu      sync.Mutex
	asking  chan struct{} // closed when the part has answered; nil: it is not being asked
	err     error         // the last answer
	expires time.Time     // of a good one
}

// ask begins to ask the part, if its last answer is old and nobody does. It is
// asked to the end, even if the probe gives up: the next one has the answer.
func (p *partCheck) ask(ctx context.Context) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.asking != nil || p.err == nil && time.Now().Before(p.expires) {
		return
	}
	p.asking = make(chan struct{})
	go func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readyTimeout)
		defer cancel()
		err := p.Check(ctx)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.err, p.expires = err, time.Now().Add(readyFresh)
		p.change.report(err)
		close(p.asking)
		p.asking = nil
	}()
}

// answer is the part's last one, and waits for one that is on its way as long
// as ctx lets it.
func (p *partCheck) answer(ctx context.Context) error {
	p.mu.Lock()
	asking := p.asking
	p.mu.Unlock()
	if asking != nil {
		select {
		case <-asking:
		case <-ctx.Done():
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.asking != nil && p.err != nil {
		p.change.report(p.err)
	}
	return p.err
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
