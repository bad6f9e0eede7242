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
	began := time.Now()
	node.conn.Close() // its lease remains
	eventually(t, 5*time.Second, "the session is lost", func() bool { return entryOf(t, b).State == Waiting })
	lost := time.Since(began)
	eventually(t, 5*time.Second, "the broadcast has ended", func() bool { return entryOf(t, b).State == Ended })
	ended := time.Since(began) - lost
	t.Logf("lease 1 s, window 1 s: lost after %v, ended %v later", lost.Round(10*time.Millisecond), ended.Round(10*time.Millisecond))
	if ended < time.Second {
		t.Errorf("the window was open for %v", ended)
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
	b := embedded(t)
	running(t, supervise(b, time.Second))
	s := openSession(t, b)
	appendBatches(t, s, 100, 1)
	end(false)(t, b, s)
	time.Sleep(500 * time.Millisecond)
	s = openSession(t, b)
	appendBatches(t, s, 100, 1)
	time.Sleep(time.Second)
	if e := entryOf(t, b); e.State != Live || e.Epoch != 2 {
		t.Errorf("the registry says %+v", e)
	}
	if f := flagsOf(logOf(t, b, s.Broadcast())); f != "bk el f bk" {
		t.Errorf("the log holds %q", f)
	}
}
