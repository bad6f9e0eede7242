// Package testlog is what tests of several rooms record: the text of a log, and
// changes that somebody waits for.
package testlog

import (
	"bytes"
	"log/slog"
	"sync"
	"testing"
	"time"
)

// Buffer is a log's text, that goroutines write and a test reads.
type Buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// New returns a Buffer, and a logger of all levels that writes there.
func New() (*Buffer, *slog.Logger) {
	b := new(Buffer)
	return b, slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// Write takes a line.
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

// String returns what was written so far.
func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// Watched guards what goroutines change and a test waits for. Its zero value is
// ready.
type Watched struct {
	sync.Mutex
	changed chan struct{} // closed and replaced whenever something happens
}

// Change says that something has happened. The lock is held.
func (w *Watched) Change() {
	if w.changed != nil {
		close(w.changed)
	}
	w.changed = make(chan struct{})
}

// Wait returns when done, which is called with the lock held, at each change.
func (w *Watched) Wait(t testing.TB, why string, done func() bool) {
	t.Helper()
	limit := time.After(time.Minute)
	for {
		w.Lock()
		if w.changed == nil {
			w.changed = make(chan struct{})
		}
		ok, changed := done(), w.changed
		w.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-limit:
			t.Fatalf("waited in vain: %s", why)
		}
	}
}
