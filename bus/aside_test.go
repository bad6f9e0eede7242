package bus

import (
	"context"
	"log/slog"
	"strings"
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
		return c.Read(ctx, framelog.Position{}, func(batch *framelog.Batch, _ bool) error {
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
	s, err := b.OpenSession(within(t, 10*time.Second), "", media.Stream{App: "live", Name: name}, time.Now(), Takeover)
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

// A show that is slow to read and one that owes what it has read stay; that they
// stay does not keep those behind them, in the row of who goes first.
func TestBusyDoesNotStarve(t *testing.T) {
	var logged lockedBuffer
	b := open(t, Config{Dir: t.TempDir(), Log: slog.New(slog.NewTextHandler(&logged, nil))})
	r := &readers{read: make(map[string]int)}
	slow, quick := make(chan struct{}), make(chan struct{})
	close(quick)
	var claims sync.Map // by stream's name
	w := b.Work(Segment, WorkConfig{Capacity: 3, Idle: 100 * time.Millisecond})
	running(t, func(ctx context.Context) error {
		return w.Run(ctx, func(ctx context.Context, c *Claim) error {
			claims.Store(c.Stream().Name, c)
			switch c.Stream().Name {
			case "slow":
				return r.handler(b, slow)(ctx, c)
			case "owes":
				c.Owe(1)
			}
			return r.handler(b, quick)(ctx, c)
		})
	})
	behind := begin(t, b, "slow")
	appendBatches(t, behind, 100, 2, 3, 4)
	eventually(t, 20*time.Second, "the slow one has a place", func() bool { return r.far(behind, 1) })
	owes := begin(t, b, "owes")
	eventually(t, 20*time.Second, "the one that owes has a place", func() bool { return r.far(owes, 1) })
	idle := begin(t, b, "idle")
	eventually(t, 20*time.Second, "the idle one has a place", func() bool { return r.far(idle, 1) })
	waits := begin(t, b, "waits")
	eventually(t, 20*time.Second, "the one that waits gets the idle one's place", func() bool { return r.far(waits, 1) })
	running := func(s *Session) bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.running[stateKey(s.Broadcast())] != nil
	}
	if !running(behind) || !running(owes) {
		t.Errorf("slow runs: %t, and what owes: %t; both had something to do", running(behind), running(owes))
	}
	appendBatches(t, idle, 100, 2)
	eventually(t, 20*time.Second, "it comes back for one that is idle by now", func() bool { return r.far(idle, 2) })
	appendBatches(t, waits, 100, 2)
	eventually(t, 20*time.Second, "and so does that", func() bool { return r.far(waits, 2) })
	// Nobody is idle any more.
	for _, s := range []*Session{waits, idle} {
		c, _ := claims.Load(s.stream.Name)
		c.(*Claim).Owe(1)
	}
	begin(t, b, "one")
	begin(t, b, "two")
	eventually(t, 20*time.Second, "an operator is told", func() bool { return strings.Contains(logged.String(), "wait for a place") })
	c, _ := claims.Load("owes")
	c.(*Claim).Owe(-1)
	eventually(t, 20*time.Second, "what owes nothing any more goes", func() bool { return !running(owes) })
}

// What was set aside is so for all workers: they do not pass it round.
func TestAsideForAll(t *testing.T) {
	n := startNATS(t)
	b := open(t, Config{URL: n.ClientURL()})
	r := &readers{read: make(map[string]int)}
	quick := make(chan struct{})
	close(quick)
	var ws []*Worker
	for range 2 {
		x := open(t, Config{URL: n.ClientURL()})
		w := x.Work(Segment, WorkConfig{Capacity: 1, Idle: 50 * time.Millisecond, Lease: time.Minute})
		ws = append(ws, w)
		running(t, func(ctx context.Context) error { return w.Run(ctx, r.handler(x, quick)) })
	}
	var sessions []*Session
	for _, name := range []string{"a", "b", "c"} {
		s := begin(t, b, name)
		sessions = append(sessions, s)
		eventually(t, 20*time.Second, name+" is packaged", func() bool { return r.far(s, 1) })
	}
	eventually(t, 20*time.Second, "two are packaged and one is set aside", func() bool {
		var owned, aside int
		for _, s := range sessions {
			it, err := b.state.Get(within(t, time.Second), stateKey(s.Broadcast()))
			if err != nil {
				t.Fatal(err)
			}
			switch h, _, _ := parseState(it.Value); {
			case h.Owner != "":
				owned++
			case h.Aside != 0:
				aside++
			}
		}
		return owned == 2 && aside == 1
	})
	claims := func() uint64 { return ws[0].Stats().Claims + ws[1].Stats().Claims }
	before := claims()
	time.Sleep(time.Second)                  // twenty times Idle
	if after := claims(); after > before+1 { // one may have been on its way
		t.Errorf("%d claims though nothing at all comes", after-before)
	}
	for _, s := range sessions {
		appendBatches(t, s, 100, 2)
		eventually(t, 20*time.Second, "what comes of it later is packaged", func() bool { return r.far(s, 2) })
	}
}
