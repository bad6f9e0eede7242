package bus

import (
	"context"
	"slices"
	"sync"
	"time"
)

// rescan is how often schedule looks though nothing happened.
const rescan = 250 * time.Millisecond

// schedule starts handlers until ctx ends.
func (w *Worker) schedule(ctx context.Context, handlers *sync.WaitGroup, handle func(context.Context, *Claim) error, failed <-chan error) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			return err
		case <-w.wake:
		case <-timer.C:
		}
		ready, next := w.scan(time.Now())
		for _, d := range ready {
			handlers.Go(func() { w.own(ctx, d, handle) })
		}
		timer.Reset(next)
	}
}

// decision is to claim an entry as it stood: if it has changed when the claim
// comes to it, the reasons are gone.
type decision struct {
	key, owner string
	rev        uint64
}

// scan marks the entries that are to be claimed at now as owned, and returns
// them, and when to look again.
func (w *Worker) scan(now time.Time) (ready []decision, next time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	next = rescan
	var all []due
	for key, v := range w.keys {
		if v.Closed || w.owned[key] || v.Format != 0 && !slices.Contains(w.cfg.Formats, v.Format) {
			continue
		}
		if !w.available(v) && !w.bus.roster.isDead(workerPrefix+v.Owner) {
			v.free = time.Time{}
			continue
		}
		if v.free.IsZero() {
			v.free = now
		}
		if wait := max(v.free.Add(w.hesitation()).Sub(now), v.stale.Sub(now), v.retry.Sub(now)); wait > 0 {
			next = min(next, wait)
		} else {
			all = append(all, due{key, v})
		}
	}
	inOrder(all)
	for i, d := range all {
		if len(w.owned) >= w.cfg.Capacity {
			w.makeRoom(now, all[i:])
			break
		}
		w.owned[d.key], d.aside = true, 0
		ready = append(ready, decision{d.key, d.Owner, d.rev})
	}
	return ready, next
}

// hesitation is how long the worker leaves a broadcast to others: the more it
// has, the longer. w.mu is held.
func (w *Worker) hesitation() time.Duration {
	return claimSpread * time.Duration(len(w.owned)) / time.Duration(w.cfg.Capacity)
}
