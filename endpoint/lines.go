package endpoint

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	// linesAtOnce is how many lines of one kind may come one after another,
	// and linePause how long each further one takes.
	linesAtOnce = 10
	linePause   = 2 * time.Second
	// tellInterval is how long lines that were kept back are counted before one
	// says how many they were.
	tellInterval = 10 * time.Second
)

// lines writes what strangers make the log say: of each kind a few lines, and
// how many more they would have been. Any goroutine may use it.
type lines struct {
	log *slog.Logger

	mu    sync.Mutex
	kinds map[string]*lineKind
}

// lineKind is the account of one kind of line.
type lineKind struct {
	free time.Time // when there was nothing to wait for
	kept int       // lines since the last one written
	what string
	of   slog.Level
}

func newLines(log *slog.Logger) *lines {
	return &lines{log: log, kinds: make(map[string]*lineKind)}
}

// write writes a line unless there were too many of its kind. Kinds are words
// of ours.
func (l *lines) write(level slog.Level, what, kind string, attrs ...slog.Attr) {
	ctx := context.Background()
	if !l.log.Enabled(ctx, level) {
		return
	}
	ok, kept := l.take(time.Now(), level, what, kind)
	if !ok {
		return
	}
	attrs = append([]slog.Attr{slog.String("reason", kind)}, attrs...)
	if kept > 0 {
		attrs = append(attrs, slog.Int("more", kept))
	}
	l.log.LogAttrs(ctx, level, what, attrs...)
}

// take tells whether a line may be written, and how many were not since the
// last.
func (l *lines) take(now time.Time, level slog.Level, what, kind string) (ok bool, kept int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.kinds[what+kind]
	if k == nil {
		k = &lineKind{what: what}
		l.kinds[what+kind] = k
	}
	if earliest := now.Add(-linesAtOnce * linePause); k.free.Before(earliest) {
		k.free = earliest
	}
	k.of = level
	if k.free.Add(linePause).After(now) {
		k.kept++
		return false, 0
	}
	k.free = k.free.Add(linePause)
	kept, k.kept = k.kept, 0
	return true, kept
}

// run tells from time to time what was kept back, until ctx is done.
func (l *lines) run(ctx context.Context) {
	tick := time.NewTicker(tellInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			l.tell()
		case <-ctx.Done():
			l.tell()
			return
		}
	}
}

func (l *lines) tell() {
	type line struct {
		lineKind
		reason string
	}
	var all []line
	l.mu.Lock()
	for name, k := range l.kinds {
		if k.kept > 0 {
			all = append(all, line{*k, name[len(k.what):]})
			k.kept = 0
		}
	}
	l.mu.Unlock()
	for _, k := range all {
		l.log.LogAttrs(context.Background(), k.of, k.what, slog.String("reason", k.reason), slog.Int("more", k.kept))
	}
}
