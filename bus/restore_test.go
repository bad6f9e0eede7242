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

// TestNATSLosesItsDisk: the server comes back with nothing. The streams are
// made anew as they were, by nodes that were not told how; who publishes is
// told to come again, who packages leaves; and the next session begins the
// stream's next broadcast, which is claimed.
func TestNATSLosesItsDisk(t *testing.T) {
	t.Parallel()
	n := startNATS(t)
	told := open(t, Config{URL: n.ClientURL(), Retain: 20 * time.Minute, MaxBytes: 1 << 20, Shards: 2})
	ingest, packager := open(t, Config{URL: n.ClientURL()}), open(t, Config{URL: n.ClientURL()})
	if err := told.Close(); err != nil {
		t.Fatal(err)
	}
	running(t, supervise(ingest, time.Minute))
	claimed := make(chan string, 2)
	left := make(chan error, 2)
	running(t, func(ctx context.Context) error {
		return packager.Work(Segment, WorkConfig{}).Run(ctx, func(ctx context.Context, c *Claim) error {
			claimed <- c.Broadcast()
			err := packager.Read(ctx, c.Broadcast(), Source, framelog.Position{}, func(*framelog.Batch, bool) error { return nil })
			left <- context.Cause(ctx)
			return err
		})
	})
	s := openSession(t, ingest)
	appendBatches(t, s, 1000, 1, 2)
	if got := <-claimed; got != s.Broadcast() {
		t.Fatalf("claimed %s, want %s", got, s.Broadcast())
	}

	n.stop()
	if err := os.RemoveAll(filepath.Join(n.opts.StoreDir, server.JetStreamStoreDir)); err != nil {
		t.Fatal(err)
	}
	n.start()
	began := time.Now()
	select {
	case <-s.Kicked():
	case <-time.After(20 * time.Second):
		t.Fatal("the session was not told that nobody reads it any more")
	}
	kicked := time.Since(began)
	if err := s.End(within(t, 5*time.Second), true); !errors.Is(err, ErrFenced) {
		t.Errorf("end the session: %v, want it to be fenced", err)
	}
	select {
	case cause := <-left:
		if !errors.Is(cause, ErrNotOwner) {
			t.Errorf("the worker left for %v, want %v", cause, ErrNotOwner)
		}
	case <-time.After(10 * time.Second):
		t.Error("the worker still packages what is gone")
	}

	next := openSession(t, ingest)
	appendBatches(t, next, 1000, 1)
	if next.Broadcast() == s.Broadcast() {
		t.Error("the broadcast goes on, of which nothing is known")
	}
	select {
	case got := <-claimed:
		if got != next.Broadcast() {
			t.Errorf("claimed %s, want %s", got, next.Broadcast())
		}
	case <-time.After(10 * time.Second):
		t.Error("nobody claimed the next broadcast")
	}
	for i := range 2 {
		info, err := ingest.conn.JetStream().Stream(within(t, 5*time.Second), shardConfig(i, Config{}).Name)
		if err != nil {
			t.Fatal(err)
		}
		if c := info.CachedInfo().Config; c.MaxAge != 20*time.Minute || c.MaxBytes != 1<<20 {
			t.Errorf("shard %d keeps %v, %d bytes; want what it was created with", i, c.MaxAge, c.MaxBytes)
		}
	}
	t.Logf("session told %v after the server was back", kicked.Round(10*time.Millisecond))
}

// TestSessionThatTheRegistryForgot: its entry was gone before anybody saw it.
func TestSessionThatTheRegistryForgot(t *testing.T) {
	b := embedded(t)
	s, other := openSession(t, b), openOther(t, b)
	subject := b.streams.Subject(s.stream.Token())
	if err := b.streams.Purge(within(t, 5*time.Second), jetstream.WithPurgeSubject(subject)); err != nil {
		t.Fatal(err)
	}
	running(t, supervise(b, time.Minute))
	select {
	case <-s.Kicked():
	case <-time.After(10 * time.Second):
		t.Error("the session was not told that nobody reads it any more")
	}
	select {
	case <-other.Kicked():
		t.Error("a session was kicked that the registry knows")
	case <-time.After(2 * rescan):
	}
}
