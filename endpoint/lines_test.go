package endpoint

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// written is a log that one goroutine writes and another reads.
type written struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (w *written) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(p)
}

func (w *written) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

func (w *written) Reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text.Reset()
}

func TestLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text written
		l := newLines(slog.New(slog.NewTextHandler(&text, nil)))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); l.run(ctx) }()
		flood := func(n int) {
			for range n {
				l.write(slog.LevelInfo, "connection ended", "handshake", slog.String("remote", "192.0.2.1:5"))
			}
		}
		flood(300)
		l.write(slog.LevelInfo, "connection ended", "protocol")
		l.write(slog.LevelInfo, "publish refused", "handshake")
		l.write(slog.LevelDebug, "connection ended", "lost")
		if n := strings.Count(text.String(), "\n"); n != linesAtOnce+2 {
			t.Errorf("%d lines, want %d: of each kind the first ones:\n%s", n, linesAtOnce+2, text.String())
		}
		text.Reset()
		time.Sleep(linePause)
		flood(2)
		if got := text.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "more=290") {
			t.Errorf("the next line says how many were kept back:\n%s", got)
		}
		text.Reset()
		time.Sleep(tellInterval)
		synctest.Wait()
		if got := text.String(); !strings.Contains(got, "reason=handshake") || !strings.Contains(got, "more=1") || strings.Contains(got, "remote") {
			t.Errorf("when nothing more comes, a line of its own does:\n%s", got)
		}
		text.Reset()
		flood(50)
		cancel()
		<-done
		if got := text.String(); !strings.Contains(got, "more=") {
			t.Errorf("and so does one at the end:\n%s", got)
		}
	})
}
