package bus

import (
	"context"
	"sync"
	"testing"
	"time"

	"weir/media"
	"weir/media/framelog"
)

// readers count what handlers have read of each broadcast.
type readers struct {
	mu   sync.Mutex
	read map[string]int
}

// handler reads a broadcast's log from its start, and waits for slow at each
// batch.
func (r *readers) handler(b *Bus, slow <-chan struct{}) func(context.Context, *Claim) error {
	return func(ctx context.Context, c *Claim) error {
		return b.Read(ctx, c.Broadcast(), c.Rendition(), framelog.Position{}, func(batch *framelog.Batch, _ bool) error {
			if len(batch.Tags) > 0 {
				r.mu.Lock()
				r.read[c.Broadcast()] = max(r.read[c.Broadcast()], int(batch.Number))
				r.mu.Unlock()
			}
			select {
			case <-slow:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}
}

// far tells whether a broadcast was read as far as a session has written.
func (r *readers) far(s *Session, number int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.read[s.Broadcast()] >= number
}

// begin opens a session with one batch.
func begin(t *testing.T, b *Bus, name string) *Session {
	t.Helper()
	s, err := b.OpenSession(within(t, 10*time.Second), media.Stream{App: "live", Name: name}, time.Now(), Takeover)
	if err != nil {
		t.Fatal(err)
	}
	appendBatches(t, s, 100, 1)
	return s
}

// Shows of which nothing comes any more give their places to those that wait,
// and get one again when something comes.
func TestIdleGivesWay(t *testing.T) {
	b := embedded(t)
	r := &readers{read: make(map[string]int)}
	quick := make(chan struct{})
	close(quick)
	w := b.Work(Segment, WorkConfig{Capacity: 2, Idle: 100 * time.Millisecond})
	running(t, func(ctx context.Context) error { return w.Run(ctx, r.handler(b, quick)) })
	var sessions []*Session
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		s := begin(t, b, name)
		sessions = append(sessions, s)
		eventually(t, 20*time.Second, name+" is packaged", func() bool { return r.far(s, 1) })
	}
	for _, s := range sessions {
		before := func() int { r.mu.Lock(); defer r.mu.Unlock(); return r.read[s.Broadcast()] }()
		appendBatches(t, s, 100, 2)
		eventually(t, 20*time.Second, "what comes of it later is packaged", func() bool { return r.far(s, before+1) })
	}
}

// A show whose log is read slowly is not idle: it keeps its place.
func TestSlowKeepsItsPlace(t *testing.T) {
	b := embedded(t)
	r := &readers{read: make(map[string]int)}
	slow := make(chan struct{})
	w := b.Work(Segment, WorkConfig{Capacity: 1, Idle: 50 * time.Millisecond})
	running(t, func(ctx context.Context) error { return w.Run(ctx, r.handler(b, slow)) })
	first := begin(t, b, "a")
	appendBatches(t, first, 100, 2, 3, 4)
	eventually(t, 20*time.Second, "it is read", func() bool { return r.far(first, 1) })
	second := begin(t, b, "b")
	time.Sleep(300 * time.Millisecond)
	if r.far(second, 1) {
		t.Error("a show whose log had more for its reader lost its place")
	}
	close(slow)
	eventually(t, 20*time.Second, "the second gets the place when the first is idle", func() bool { return r.far(second, 1) })
}
