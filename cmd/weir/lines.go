package main

import (
	"io"
	"sync"
	"time"
)

const (
	// linesWaiting is how many bytes of lines may wait for who reads them.
	linesWaiting = 1 << 20
	// linesFlush is how long the end waits for the last of them.
	linesFlush = time.Second
)

// lines writes whole lines to a writer that may stall or break without making
// anybody wait: what it cannot take is dropped and counted. Any goroutine may
// use it.
type lines struct {
	to io.Writer

	mu      sync.Mutex
	told    func(n int) []byte // a line that says how many were dropped
	waiting [][]byte
	bytes   int
	dropped int
	closed  bool
	wake    chan struct{}
	done    chan struct{}
}

// newLines starts the goroutine that writes, which Close waits for.
func newLines(to io.Writer) *lines {
	l := &lines{to: to, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go l.run()
	return l
}

// Write takes lines. It never fails and never waits.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	if l.bytes+len(p) > linesWaiting || l.closed {
		l.dropped++
	} else {
		l.waiting = append(l.waiting, append([]byte(nil), p...))
		l.bytes += len(p)
	}
	l.mu.Unlock()
	l.stir()
	return len(p), nil
}

func (l *lines) stir() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// onDrop sets what says how many lines were dropped.
func (l *lines) onDrop(told func(n int) []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.told = told
}

// take returns what waits; false is the end.
func (l *lines) take() (batch [][]byte, more bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	batch, l.waiting, l.bytes = l.waiting, nil, 0
	return batch, len(batch) > 0 || !l.closed
}

func (l *lines) run() {
	defer close(l.done)
	for {
		batch, more := l.take()
		for _, line := range batch {
			if _, err := l.to.Write(line); err != nil {
				l.drop(1) // who read has gone; of a terminal or a FIFO another may come
			} else {
				l.tell()
			}
		}
		if !more {
			l.tell()
			return
		}
		if len(batch) == 0 {
			<-l.wake
		}
	}
}

func (l *lines) drop(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dropped += n
}

// tell writes how many lines were dropped, if any were.
func (l *lines) tell() {
	l.mu.Lock()
	n, told := l.dropped, l.told
	l.dropped = 0
	l.mu.Unlock()
	if n == 0 || told == nil {
		return
	}
	if _, err := l.to.Write(told(n)); err != nil {
		l.drop(n)
	}
}

// Close writes what waits, for a second at most.
func (l *lines) Close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.stir()
	select {
	case <-l.done:
	case <-time.After(linesFlush):
	}
}
