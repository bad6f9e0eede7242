package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// A log that nobody reads, and one whose reader has gone, make nobody wait.
func TestLines(t *testing.T) {
	line := []byte(strings.Repeat("x", 999) + "\n")
	t.Run("stalled", func(t *testing.T) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		l := newLines(w)
		l.onDrop(func(n int) []byte { return fmt.Appendf(nil, "%d dropped\n", n) })
		began := time.Now()
		const n = 3000
		for range n {
			if _, err := l.Write(line); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("3 MB into a pipe that nobody reads took %v", took)
		}
		var got bytes.Buffer
		var reading sync.WaitGroup
		reading.Go(func() { _, _ = io.Copy(&got, r) }) // ends with w
		l.Close()
		_ = w.Close()
		reading.Wait()
		whole, dropped := strings.Count(got.String(), string(line)), 0
		for told := range strings.Lines(strings.ReplaceAll(got.String(), string(line), "")) {
			d := 0
			if _, err := fmt.Sscanf(told, "%d dropped\n", &d); err != nil {
				t.Errorf("neither a line nor a count: %q", told)
			}
			dropped += d
		}
		if whole+dropped != n || whole < linesWaiting/len(line)-1 {
			t.Errorf("%d whole lines and %d dropped, want %d in all", whole, dropped, n)
		}
	})
	t.Run("never read", func(t *testing.T) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		l := newLines(w)
		for range 200 {
			_, _ = l.Write(line)
		}
		began := time.Now()
		l.Close()
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("the end took %v", took)
		}
		_ = r.Close() // lets the writer go
		<-l.done
		_ = w.Close()
	})
}

// A reader that goes away, and another that comes.
func TestLinesReaderGone(t *testing.T) {
	var out flaky
	l := newLines(&out)
	l.onDrop(func(n int) []byte { return fmt.Appendf(nil, "%d dropped\n", n) })
	write := func(text string) {
		_, _ = l.Write([]byte(text))
		for { // until it was tried
			l.mu.Lock()
			waits := len(l.waiting)
			l.mu.Unlock()
			if waits == 0 {
				break
			}
			time.Sleep(time.Millisecond)
		}
		time.Sleep(10 * time.Millisecond)
	}
	write("one\n")
	out.set(io.ErrClosedPipe)
	write("two\n")
	write("three\n")
	out.set(nil)
	write("four\n")
	l.Close()
	if got, want := out.text.String(), "one\nfour\n2 dropped\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if out.tries > 10 {
		t.Errorf("%d tries to write: a writer that fails is no reason to be busy", out.tries)
	}
}

// flaky is a writer that fails for a while.
type flaky struct {
	mu    sync.Mutex
	err   error
	tries int
	text  bytes.Buffer
}

func (f *flaky) set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

func (f *flaky) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.tries++; f.err != nil {
		return 0, f.err
	}
	return f.text.Write(p)
}

// A stage that is told to end while it waits for NATS ended as asked.
func TestEndedWhileItBegins(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(300*time.Millisecond, cancel)
	var said bytes.Buffer
	if code := run(ctx, []string{"ingest", "--nats", "nats://127.0.0.1:1", "--rtmp", "127.0.0.1:0", "--http", "127.0.0.1:0"}, io.Discard, &said); code != 0 {
		t.Errorf("exit code %d, want 0:\n%s", code, said.String())
	}
}
