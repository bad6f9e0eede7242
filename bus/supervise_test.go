package bus

import (
	"testing"
	"time"
)

// TestSilentNode: a node disappears without a word. Its session is declared
// lost when the lease is over, and the broadcast ended when the window is.
func TestSilentNode(t *testing.T) {
	t.Parallel()
	n := startNATS(t)
	node := open(t, Config{URL: n.ClientURL(), NodeLease: time.Second})
	s := openSession(t, node)
	appendBatches(t, s, 100, 1)
	// Several watch: what they all do is done once.
	for range 2 {
		b := open(t, Config{URL: n.ClientURL()})
		running(t, supervise(b, time.Second))
	}
	b := open(t, Config{URL: n.ClientURL()})
	time.Sleep(1500 * time.Millisecond)
	if e := entryOf(t, b); e.State != Live {
		t.Fatalf("while the node lives, the registry says %+v", e)
	}
	node.conn.Close() // its lease remains
	var lost, ended Registration
	eventually(t, 5*time.Second, "the session is lost", func() bool { lost = entryOf(t, b); return lost.State == Waiting })
	eventually(t, 5*time.Second, "the broadcast has ended", func() bool { ended = entryOf(t, b); return ended.State == Ended })
	if open := ended.Since.Sub(lost.Since); open < time.Second {
		t.Errorf("the window was open for %v", open)
	}
	time.Sleep(2 * grace) // whoever came second has looked by now
	if f := flagsOf(logOf(t, b, s.Broadcast())); f != "bk el x" {
		t.Errorf("the log holds %q", f)
	}
}

// TestForgottenSession: the registry names a session of this very node that
// it does not run, because it could not say so when it ended.
func TestForgottenSession(t *testing.T) {
	b := embedded(t)
	s := openSession(t, b)
	appendBatches(t, s, 100, 1)
	b.dismiss(s)
	running(t, supervise(b, time.Hour))
	eventually(t, 5*time.Second, "the session is lost", func() bool { return entryOf(t, b).State == Waiting })
}

// TestUnwrittenDecisions: whoever decided died before it wrote.
func TestUnwrittenDecisions(t *testing.T) {
	t.Parallel()
	for state, want := range map[StreamState]string{Waiting: "bk el", Ended: "bk x"} {
		t.Run(string(state), func(t *testing.T) {
			b := embedded(t)
			s := openSession(t, b)
			appendBatches(t, s, 100, 1)
			decideOnly(state)(t, b, s)
			running(t, supervise(b, time.Hour))
			eventually(t, 5*time.Second, "the log says "+want, func() bool {
				return flagsOf(logOf(t, b, s.Broadcast())) == want
			})
		})
	}
}

// TestReconnectInTime: what came back within the window is not ended by a
// node that saw it go.
func TestReconnectInTime(t *testing.T) {
	t.Parallel()
	var b *Bus
	var s *Session
	for window := time.Second; ; window *= 2 {
		b = embedded(t)
		running(t, supervise(b, window))
		s = openSession(t, b)
		appendBatches(t, s, 100, 1)
		began := time.Now()
		end(false)(t, b, s)
		time.Sleep(window / 2)
		s = openSession(t, b)
		if time.Since(began) < window {
			appendBatches(t, s, 100, 1)
			time.Sleep(window) // it would be over by now
			break
		}
		if window > patience {
			t.Fatal("no session begins in time")
		}
	}
	if e := entryOf(t, b); e.State != Live || e.Epoch != 2 {
		t.Errorf("the registry says %+v", e)
	}
	if f := flagsOf(logOf(t, b, s.Broadcast())); f != "bk el f bk" {
		t.Errorf("the log holds %q", f)
	}
}
