package bench

import (
	"context"
	"errors"
	"os"
	"time"
)

// watcher follows one stream's playlist: when it can first be played, and when
// each segment is listed.
type watcher struct {
	where   where
	address string
	events  chan cutEvent
	period  time.Duration

	cuts     []cutEvent
	modified time.Time // of the file that was read last
	next     uint64    // media sequence number of the first entry that is new
	end      time.Duration
	started  bool

	seen
}

// seen is what a watcher found.
type seen struct {
	playable time.Duration   // from the first frame to the first segment that is listed; 0: never
	listed   []time.Duration // from a segment's last frame to its listing
	segments []string        // addresses, in order
	err      error
}

// How often a playlist is looked at while something is to come: a file's
// modification time costs a microsecond, a request costs the server.
const (
	filePeriod    = 2 * time.Millisecond
	requestPeriod = 20 * time.Millisecond
)

func newWatcher(w where, name string) *watcher {
	t := &watcher{where: w, address: w.entry(name), events: make(chan cutEvent, 64), period: filePeriod}
	if w.remote() {
		t.period = requestPeriod
	}
	return t
}

// run watches until ctx is done.
func (w *watcher) run(ctx context.Context) {
	ticker := time.NewTicker(w.period)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-w.events:
			w.cuts = append(w.cuts, e)
			continue
		case <-ticker.C:
		}
		if err := w.look(ctx); err != nil && !errors.Is(err, errAbsent) && ctx.Err() == nil {
			w.err = err
			return
		}
		if w.idle() {
			select {
			case <-ctx.Done():
				return
			case e := <-w.events:
				w.cuts = append(w.cuts, e)
			}
		}
	}
}

// idle: everything that could be listed is, until the next key picture.
func (w *watcher) idle() bool {
	return w.started && len(w.cuts) > 0 && w.end >= w.cuts[len(w.cuts)-1].at-near
}

// near is how far a listed boundary may be from the key picture it stands for.
const near = 150 * time.Millisecond

// look reads the playlist if it may have changed.
func (w *watcher) look(ctx context.Context) error {
	if !w.where.remote() && w.started {
		info, err := os.Stat(w.address)
		if err != nil || info.ModTime().Equal(w.modified) {
			return nil // where it is replaced it may be away for a moment
		}
		w.modified = info.ModTime()
	}
	l, err := w.where.media(ctx, w.address)
	if err != nil {
		return err
	}
	now := time.Now()
	w.address = l.address
	for _, s := range l.entries {
		if w.started && s.Sequence < w.next {
			continue
		}
		w.started, w.next = true, s.Sequence+1
		w.segments = append(w.segments, w.where.resolve(l.address, s.URI))
		w.end += time.Duration(s.Duration * float64(time.Second))
		w.took(now)
	}
	return nil
}

// took notes a segment that is listed at now and ends at w.end.
func (w *watcher) took(now time.Time) {
	for len(w.events) > 0 {
		w.cuts = append(w.cuts, <-w.events)
	}
	if len(w.segments) == 1 && len(w.cuts) > 0 {
		w.playable = now.Sub(w.cuts[0].key)
	}
	for i := len(w.cuts) - 1; i > 0; i-- {
		if c := w.cuts[i]; (c.at - w.end).Abs() < near {
			w.listed = append(w.listed, now.Sub(c.last))
			return
		}
	}
}
