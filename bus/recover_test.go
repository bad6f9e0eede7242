package bus

import (
	"context"
	"testing"
	"time"
)

// TestRecover: registry and States are lost, the sessions are gone, and the log is
// there. What is recovered is claimable, its encoder comes back into it, and what
// is known is left as it is.
func TestRecover(t *testing.T) {
	t.Parallel()
	b := embedded(t)
	s := openSession(t, b)
	appendBatches(t, s, 100, 1)
	s = openSession(t, b) // epoch 2
	appendBatches(t, s, 100, 1)
	b.dismiss(s)
	ctx := within(t, 10*time.Second)
	for _, k := range []interface{ Clear(context.Context) error }{b.state, b.streams} {
		if err := k.Clear(ctx); err != nil {
			t.Fatal(err)
		}
	}
	recovers := func(broadcast string, newest, want bool) {
		t.Helper()
		if done, err := b.Recover(ctx, live, broadcast, Source, newest); err != nil || done != want {
			t.Errorf("recovered %s: %t, %v", broadcast, done, err)
		}
	}
	const older = "20200101T000000Z-aaaa"
	recovers(older, false, true)
	recovers(s.Broadcast(), true, true)
	recovers(s.Broadcast(), true, false)
	if e := entryOf(t, b); e.Broadcast != s.Broadcast() || e.State != Waiting || e.Epoch != 2 {
		t.Errorf("the registry says %+v", e)
	}
	h := newObserver()
	running(t, func(ctx context.Context) error { return b.Work(Segment, WorkConfig{}).Run(ctx, h.handler("w")) })
	eventually(t, 10*time.Second, "both are packaged", func() bool { return h.allOwned([]string{older, s.Broadcast()}, anyone) })
	again := openSession(t, b)
	if again.Broadcast() != s.Broadcast() || again.Epoch() != 3 {
		t.Errorf("the encoder comes back into %s, epoch %d", again.Broadcast(), again.Epoch())
	}
	appendBatches(t, again, 100, 1)
	running(t, supervise(b, time.Hour))
	eventually(t, 10*time.Second, "the older one is given its end", func() bool { return flagsOf(logOf(t, b, older)) == "x" })
}
