package bus

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"weir/media/framelog"
)

// packaging runs a worker that saves how many batches of each broadcast it has
// read, and closes it at its end.
func packaging(t *testing.T, b *Bus, closed chan<- string) {
	t.Helper()
	running(t, func(ctx context.Context) error {
		return b.Work(Segment, WorkConfig{}).Run(ctx, func(ctx context.Context, c *Claim) error {
			err := c.Read(ctx, framelog.Position{}, func(x *framelog.Batch, _ bool) error {
				if x.Flags.Has(framelog.Final) {
					return errEnough
				}
				err := c.Save(ctx, []byte{byte('0' + x.Number)})
				if errors.Is(err, ErrRestored) {
					return nil // nothing else is to be made whole here
				}
				return err
			})
			if errors.Is(err, errEnough) {
				closed <- string(c.State())
				return c.Close(ctx, c.State())
			}
			return err
		})
	})
}

// saved is the State of a broadcast.
func saved(t *testing.T, b *Bus, broadcast string) string {
	t.Helper()
	it, err := b.state.Get(within(t, time.Second), stateKey(broadcast))
	if err != nil || it.Value == nil {
		return ""
	}
	_, state, _ := parseState(it.Value)
	return string(state)
}

// goesOn fails unless the session publishes batch n, its worker saves it, and
// the registry says what it said before.
func goesOn(t *testing.T, b *Bus, s *Session, n int) {
	t.Helper()
	appendBatches(t, s, 1000, n)
	eventually(t, 30*time.Second, "the worker has saved what came", func() bool {
		return saved(t, b, s.Broadcast()) == string(rune('0'+n))
	})
	eventually(t, 30*time.Second, "the registry names the session", func() bool {
		e, err := b.Registration(within(t, time.Second), live)
		return err == nil && e.Session == s.ID() && e.Broadcast == s.Broadcast() && e.State == Live
	})
	select {
	case <-s.Kicked():
		t.Error("the session was told to end")
	default:
	}
}

// closes fails unless the broadcast's end is heard.
func closes(t *testing.T, s *Session, closed <-chan string, want string) {
	t.Helper()
	if err := s.End(within(t, 10*time.Second), true); err != nil {
		t.Errorf("end: %v", err)
	}
	select {
	case got := <-closed:
		if got != want {
			t.Errorf("closed with the State %s, want %s", got, want)
		}
	case <-time.After(patience):
		t.Error("nobody heard the end")
	}
}

// TestNATSLosesItsDisk: the server comes back with nothing. The streams are
// made anew as they were, by nodes that were not told how; who publishes and
// who packages write back what they know, and the show goes on to its end.
func TestNATSLosesItsDisk(t *testing.T) {
	t.Parallel()
	n := startNATS(t)
	told := open(t, Config{URL: n.ClientURL(), Retain: 20 * time.Minute, MaxBytes: 1 << 20, Shards: 2})
	ingest, packager := open(t, Config{URL: n.ClientURL()}), open(t, Config{URL: n.ClientURL()})
	if err := told.Close(); err != nil {
		t.Fatal(err)
	}
	running(t, supervise(ingest, time.Minute))
	closed := make(chan string, 2)
	packaging(t, packager, closed)
	s := openSession(t, ingest)
	goesOn(t, ingest, s, 1)
	goesOn(t, ingest, s, 2)

	n.stop()
	if err := os.RemoveAll(filepath.Join(n.opts.StoreDir, server.JetStreamStoreDir)); err != nil {
		t.Fatal(err)
	}
	n.start()
	goesOn(t, ingest, s, 3)
	for i := range 2 {
		info, err := ingest.conn.JetStream().Stream(within(t, 5*time.Second), shardConfig(i, Config{}).Name)
		if err != nil {
			t.Fatal(err)
		}
		if c := info.CachedInfo().Config; c.MaxAge != 20*time.Minute || c.MaxBytes != 1<<20 {
			t.Errorf("shard %d keeps %v, %d bytes; want what it was created with", i, c.MaxAge, c.MaxBytes)
		}
	}
	goesOn(t, ingest, s, 4)
	closes(t, s, closed, "4")
}

// TestBucketIsLost: NATS has lost one of the buckets, and the others are there.
func TestBucketIsLost(t *testing.T) {
	for _, bucket := range []string{"KV_weir-state", "KV_weir-streams", "KV_weir-nodes"} {
		t.Run(bucket, func(t *testing.T) {
			t.Parallel()
			n := startNATS(t)
			b := open(t, Config{URL: n.ClientURL()})
			running(t, supervise(b, time.Minute))
			closed := make(chan string, 2)
			packaging(t, b, closed)
			s := openSession(t, b)
			goesOn(t, b, s, 1)
			if err := b.conn.JetStream().DeleteStream(within(t, 5*time.Second), bucket); err != nil {
				t.Fatal(err)
			}
			goesOn(t, b, s, 2)
			time.Sleep(time.Second) // whatever is found out, it changes nothing
			goesOn(t, b, s, 3)
			closes(t, s, closed, "3")
		})
	}
}

// TestNobodyKnowsTheState: the States are lost while no worker runs. The
// broadcast is announced again, for a worker to take up what the store has.
func TestNobodyKnowsTheState(t *testing.T) {
	t.Parallel()
	n := startNATS(t)
	b := open(t, Config{URL: n.ClientURL()})
	running(t, supervise(b, time.Minute))
	s := openSession(t, b)
	appendBatches(t, s, 1000, 1)
	if err := b.conn.JetStream().DeleteStream(within(t, 5*time.Second), "KV_weir-state"); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, "the broadcast is claimable", func() bool {
		it, err := b.state.Get(within(t, time.Second), stateKey(s.Broadcast()))
		return err == nil && it.Value != nil
	})
	closed := make(chan string, 2)
	packaging(t, b, closed)
	goesOn(t, b, s, 2)
	closes(t, s, closed, "2")
}

// TestNobodyKnowsTheBroadcast: the registry is lost while the encoder is away.
// Nobody will ever say that the broadcast has ended: when the reconnect window
// is over, it has.
func TestNobodyKnowsTheBroadcast(t *testing.T) {
	t.Parallel()
	n := startNATS(t)
	b := open(t, Config{URL: n.ClientURL()})
	closed := make(chan string, 2)
	packaging(t, b, closed)
	s := openSession(t, b)
	goesOn(t, b, s, 1)
	if err := s.End(within(t, 5*time.Second), false); err != nil {
		t.Fatal(err)
	}
	if err := b.conn.JetStream().DeleteStream(within(t, 5*time.Second), "KV_weir-streams"); err != nil {
		t.Fatal(err)
	}
	running(t, supervise(b, time.Second))
	select {
	case <-closed:
	case <-time.After(patience):
		t.Error("the broadcast has no end")
	}
}

// TestEndThatWasNotWritten: the registry has decided, and the log could not be
// told: its server was away, and whoever was to tell it has gone. The broadcast
// was claimed before, so that its owner does not look again by itself.
func TestEndThatWasNotWritten(t *testing.T) {
	t.Parallel()
	b := embedded(t)
	closed := make(chan string, 2)
	packaging(t, b, closed)
	s := openSession(t, b)
	goesOn(t, b, s, 1)
	e := entryOf(t, b)
	e.State = Ended
	if err := b.decide(within(t, time.Second), &e); err != nil {
		t.Fatal(err)
	}
	next := openOther(t, b) // and the stream goes on under another name, whose end is told
	if err := next.End(within(t, 5*time.Second), true); err != nil {
		t.Fatal(err)
	}
	e.Broadcast, e.State = e.Broadcast+"x", Live // as if the next one had come
	if err := b.decide(within(t, time.Second), &e); err != nil {
		t.Fatal(err)
	}
	running(t, supervise(b, time.Minute))
	for range 2 {
		select {
		case <-closed:
		case <-time.After(patience):
			t.Fatal("the end was never written")
		}
	}
}

// TestKickEndsWhatIsOpen: what waits for its encoder, and what nobody runs.
func TestKickEndsWhatIsOpen(t *testing.T) {
	t.Parallel()
	b := embedded(t)
	closed := make(chan string, 2)
	packaging(t, b, closed)
	heard := func(what string) {
		t.Helper()
		if err := b.Kick(within(t, 5*time.Second), live); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		select {
		case <-closed:
		case <-time.After(patience):
			t.Errorf("%s: no end", what)
		}
		if e := entryOf(t, b); e.State == Live || e.State == Waiting {
			t.Errorf("%s: the registry says %s", what, e.State)
		}
	}
	s := openSession(t, b)
	goesOn(t, b, s, 1)
	if err := s.End(within(t, 5*time.Second), false); err != nil {
		t.Fatal(err)
	}
	heard("waiting")
	s = openSession(t, b)
	goesOn(t, b, s, 1)
	if err := b.streams.Clear(within(t, 5*time.Second)); err != nil {
		t.Fatal(err)
	}
	heard("unknown to the registry")
	eventually(t, 10*time.Second, "all is closed", func() bool {
		return errors.Is(b.Kick(within(t, 5*time.Second), live), ErrNotLive)
	})
}

// TestSessionThatTheRegistryForgot: its entry was gone before anybody saw it.
// It is written anew; if another broadcast has begun meanwhile, the session
// ends.
func TestSessionThatTheRegistryForgot(t *testing.T) {
	b := embedded(t)
	s, other := openSession(t, b), openOther(t, b)
	for _, x := range []*Session{s, other} {
		if err := b.streams.Purge(within(t, 5*time.Second), jetstream.WithPurgeSubject(b.streams.Subject(x.stream.Token()))); err != nil {
			t.Fatal(err)
		}
	}
	newer := Registration{Stream: other.stream, Broadcast: other.broadcast + "x", Epoch: 1, Session: "another", Node: "elsewhere", State: Live}
	if err := b.decide(within(t, 5*time.Second), &newer); err != nil {
		t.Fatal(err)
	}
	running(t, supervise(b, time.Minute))
	select {
	case <-other.Kicked():
	case <-time.After(patience):
		t.Error("the session was not told that nobody reads it any more")
	}
	eventually(t, 10*time.Second, "the entry is there again", func() bool { return entryOf(t, b).Session == s.ID() })
	select {
	case <-s.Kicked():
		t.Error("a session was kicked that nobody has replaced")
	case <-time.After(2 * rescan):
	}
}
