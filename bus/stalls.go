package bus

import (
	"context"
	"time"

	"weir/bus/internal/jet"
)

// watchStalls looks for owners that answer but make no commits though the log
// grows, and shows of what runs here that it goes on.
func (w *Worker) watchStalls(ctx context.Context) {
	for jet.Sleep(ctx, max(w.cfg.Stall/4, 10*time.Millisecond)) == nil {
		for _, r := range w.unsaved() {
			w.refresh(ctx, r)
		}
		for _, key := range w.idle() {
			w.bus.background(func(life context.Context) {
				life, cancel := context.WithTimeout(life, errandMost)
				defer cancel()
				w.lookAtTail(life, key)
			})
		}
	}
}

// unsaved are the claims of which the log is read, and of which there is
// nothing to be saved for long: of a stream that makes no segments.
func (w *Worker) unsaved() (all []*claimAtWork) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.running {
		if !r.claim.mu.TryLock() {
			continue // it is being saved
		}
		if time.Since(r.claim.wrote) > w.cfg.Stall/4 && r.claim.progress.to().seq > r.claim.read {
			all = append(all, r)
		}
		r.claim.mu.Unlock()
	}
	return all
}

// idle returns the entries of others that have not changed for a stall.
func (w *Worker) idle() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var keys []string
	for key, v := range w.keys {
		if !v.Closed && !w.owned[key] && !w.available(v) && time.Since(v.changed) > w.cfg.Stall*3/4 {
			keys = append(keys, key)
		}
	}
	return keys
}

// lookAtTail declares an entry stuck if its log has grown since it was last
// looked at, and it still has not changed for a stall.
func (w *Worker) lookAtTail(ctx context.Context, key string) {
	broadcast, rendition := w.kind.parse(key)
	subject, stream := w.bus.topic(broadcast, rendition)
	last, err := stream.Last(ctx, subject)
	if err != nil || last == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	v := w.keys[key]
	if v == nil {
		return
	}
	if v.tail != 0 && last.Sequence > v.tail && time.Since(v.changed) > w.cfg.Stall {
		w.log.Warn("owner makes no commits", "broadcast", broadcast, "owner", v.Owner, "for", time.Since(v.changed))
		v.stuck = true
		w.stir()
	}
	v.tail = last.Sequence
}
