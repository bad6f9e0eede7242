package bus

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"weir/bus/internal/jet"
)

// errAside is why a handler leaves whose broadcast is set aside: nothing comes
// of it, and others wait for its place. Its claim is released; whoever has room
// takes it, and those who have none when there is something to do again.
var errAside = errors.New("nothing comes, and others wait for its place")

const (
	// fullLines is how often a worker says that it has no room.
	fullLines = time.Minute
	// asideLooks is how many times within WorkConfig.Idle the logs are looked at
	// of what was set aside.
	asideLooks = 5
)

// due is an entry that is to be claimed.
type due struct {
	key string
	*stateView
}

// inOrder sorts entries by who is to be claimed first: those that were set aside
// come last, else who has waited for the longest comes first.
func inOrder(all []due) {
	slices.SortFunc(all, func(a, b due) int {
		if (a.aside == 0) != (b.aside == 0) {
			return cmp.Compare(min(a.aside, 1), min(b.aside, 1))
		}
		return a.free.Compare(b.free)
	})
}

// makeRoom sets as many broadcasts aside as wait for a place, and were not set
// aside themselves: those of which nothing has come for the longest, and for
// WorkConfig.Idle at least. w.mu is held.
func (w *Worker) makeRoom(now time.Time, waiting []due) {
	need := 0
	for _, d := range waiting {
		if d.aside == 0 {
			need++
		}
	}
	type idle struct {
		key   string
		since time.Time
		*claimAtWork
	}
	var all []idle
	for key, r := range w.running {
		if r.leaving {
			need--
			continue
		}
		since := r.began
		if read := r.claim.progress.to(); read.at.After(since) {
			since = read.at
		}
		if now.Sub(since) >= w.cfg.Idle && !now.Before(r.stays) && !r.claim.owes() {
			all = append(all, idle{key, since, r})
		}
	}
	slices.SortFunc(all, func(a, b idle) int { return a.since.Compare(b.since) })
	for _, r := range all[:max(min(need, len(all)), 0)] {
		r.leaving = true
		w.bus.background(func(life context.Context) {
			life, cancel := context.WithTimeout(life, errandMost)
			defer cancel()
			w.setAside(life, r.key, r.claimAtWork)
		})
	}
	if need > len(all) && now.Sub(w.toldFull) > fullLines {
		w.toldFull = now
		w.log.Warn("broadcasts wait for a place: as many are packaged here as may be (more segmenters, or a larger --capacity)",
			"waiting", need, "capacity", w.cfg.Capacity)
	}
}

// setAside makes a handler leave, if there is nothing on its log that it has
// not read: one that reads slowly is not idle. Where there is, it stays for
// WorkConfig.Idle at least, and the next one is asked.
func (w *Worker) setAside(ctx context.Context, key string, r *claimAtWork) {
	subject, stream := w.bus.topic(w.kind.parse(key))
	last, err := stream.Last(ctx, subject)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil || last == nil || last.Sequence != r.claim.progress.to().seq || r.claim.owes() {
		r.leaving, r.stays = false, time.Now().Add(w.cfg.Idle)
		w.stir()
		return
	}
	r.tail = last.Sequence
	r.leave(errAside)
}

// watchAside looks for news of what was set aside.
func (w *Worker) watchAside(ctx context.Context) {
	for jet.Sleep(ctx, max(w.cfg.Idle/asideLooks, 10*time.Millisecond)) == nil {
		for key, tail := range w.asides() {
			subject, stream := w.bus.topic(w.kind.parse(key))
			last, err := stream.Last(ctx, subject)
			if err != nil || last != nil && last.Sequence == tail {
				continue
			}
			w.mu.Lock()
			if v := w.keys[key]; v != nil && v.aside == tail {
				v.aside = 0
				w.stir()
			}
			w.mu.Unlock()
		}
	}
}

// asides are the entries that were set aside, here or elsewhere, and that nobody
// has taken since, each with the end of its log then.
func (w *Worker) asides() map[string]uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all map[string]uint64
	for key, v := range w.keys {
		if v.aside == 0 || v.Closed {
			continue
		}
		if all == nil {
			all = make(map[string]uint64)
		}
		all[key] = v.aside
	}
	return all
}
