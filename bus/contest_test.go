package bus

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestContestYield(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		why         string
		age, silent time.Duration
		rounds      int
		want        int
		wait        time.Duration
	}{
		{"the first time is free", time.Second, 0, 0, 1, 0},
		{"so is the second", time.Second, 0, 1, 2, 0},
		{"the third has to wait", 2 * time.Second, 0, 2, 0, 8 * time.Second},
		{"and then may", 10 * time.Second, 0, 2, 3, 0},
		{"the next waits twice as long", 2 * time.Second, 0, 3, 0, 18 * time.Second},
		{"but not for ever", 2 * time.Second, 0, 40, 0, 298 * time.Second},
		{"who stores nothing has no say", 2 * time.Second, 4 * time.Second, 3, 0, 0},
		{"after a while all is forgotten", 11 * time.Minute, 0, 40, 1, 0},
	} {
		c := contest{began: now.Add(-tt.age), stored: now.Add(-tt.silent), rounds: tt.rounds}
		if rounds, wait := c.yield(now); rounds != tt.want || wait != tt.wait {
			t.Errorf("%s: round %d after %v, want %d after %v", tt.why, rounds, wait, tt.want, tt.wait)
		}
	}
}

// TestContend: encoders on two nodes that take one stream from each other are
// slowed down, and the one that is there goes on; one that hangs has no say.
func TestContend(t *testing.T) {
	n := startNATS(t)
	nodes := []*Bus{open(t, Config{URL: n.ClientURL(), Node: "a"}), open(t, Config{URL: n.ClientURL(), Node: "b"})}
	var last *Session
	for i := range freeRounds + 1 {
		s, err := nodes[i%2].OpenSession(within(t, 10*time.Second), "", live, time.Now(), Contend)
		if err != nil {
			t.Fatalf("round %d: %v", i, err)
		}
		appendBatches(t, s, 10, 1)
		last = s
	}
	other := nodes[(freeRounds+1)%2]
	for range 3 {
		_, err := other.OpenSession(within(t, 10*time.Second), "", live, time.Now(), Contend)
		if !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), "ms more") {
			t.Errorf("%v, want ErrBusy and for how long", err)
		}
		if err := other.CheckSession(within(t, 10*time.Second), live, Contend); !errors.Is(err, ErrBusy) {
			t.Errorf("check: %v, want ErrBusy", err)
		}
	}
	appendBatches(t, last, 10, 2)
	last.stored.Store(time.Now().Add(-steady - time.Second).UnixNano())
	s, err := other.OpenSession(within(t, 10*time.Second), "", live, time.Now(), Contend)
	if err != nil {
		t.Fatalf("a session that stores nothing keeps its stream: %v", err)
	}
	if got := s.contest().rounds; got != 0 {
		t.Errorf("round %d: that was no contest", got)
	}
}

// TestCheckSession decides nothing.
func TestCheckSession(t *testing.T) {
	b := embedded(t)
	for _, c := range []IfLive{Takeover, Reject, Contend} {
		if err := b.CheckSession(within(t, 10*time.Second), live, c); err != nil {
			t.Errorf("nobody is there: %v", err)
		}
	}
	if e, err := b.Registration(within(t, time.Second), live); err != nil || e.Broadcast != "" {
		t.Errorf("%+v, %v: a check leaves nothing in the registry", e, err)
	}
	openSession(t, b)
	for c, want := range map[IfLive]error{Takeover: nil, Reject: ErrBusy, Contend: nil} {
		if err := b.CheckSession(within(t, 10*time.Second), live, c); !errors.Is(err, want) {
			t.Errorf("policy %d: %v, want %v", c, err, want)
		}
	}
}
