package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"weir/bus/internal/jet"
	"weir/media/framelog"
)

func TestOpenSession(t *testing.T) {
	for _, test := range []struct {
		name     string
		before   func(t *testing.T, b *Bus, s *Session) // what happens to the session that was there
		conflict IfLive
		want     string // same, new or busy
		log      string // of the first broadcast, afterwards
	}{
		{"live, takeover", func(*testing.T, *Bus, *Session) {}, Takeover, "same", "bk - f"},
		{"live, reject", func(*testing.T, *Bus, *Session) {}, Reject, "busy", "bk -"},
		{"lost", end(false), Takeover, "same", "bk - el f"},
		{"lost, reject: it is not live", end(false), Reject, "same", "bk - el f"},
		{"ended", end(true), Takeover, "new", "bk - x"},
		{"ended, reject", end(true), Reject, "new", "bk - x"},
		{"decided as ended, but not written", decideOnly(Ended), Takeover, "new", "bk - x"},
		{"decided as lost, but not written: the fence says it as well", decideOnly(Waiting), Takeover, "same", "bk - f"},
		{"live on a node that is gone, reject", func(t *testing.T, b *Bus, _ *Session) {
			e := entryOf(t, b)
			e.Node = "gone"
			if err := b.decide(within(t, time.Second), &e); err != nil {
				t.Fatal(err)
			}
		}, Reject, "same", "bk - f"},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := embedded(t)
			first := openSession(t, b)
			appendBatches(t, first, 100, 1, 2)
			test.before(t, b, first)
			s, err := b.OpenSession(within(t, 5*time.Second), "", live, time.Now(), test.conflict)
			switch {
			case test.want == "busy":
				if !errors.Is(err, ErrBusy) {
					t.Errorf("open session: %v, want %v", err, ErrBusy)
				}
			case err != nil:
				t.Fatal(err)
			case (s.Broadcast() == first.Broadcast()) != (test.want == "same"):
				t.Errorf("the broadcast was %s and is %s", first.Broadcast(), s.Broadcast())
			case test.want == "same" && s.Epoch() != 2 || test.want == "new" && s.Epoch() != 1:
				t.Errorf("epoch %d", s.Epoch())
			default:
				appendBatches(t, s, 100, 1)
				e := entryOf(t, b)
				if e.Broadcast != s.Broadcast() || e.Epoch != s.Epoch() || e.Session != s.ID() || e.State != Live || e.Node != b.Node() {
					t.Errorf("the registry says %+v", e)
				}
			}
			want := test.log
			if test.want == "same" {
				want += " bk"
			}
			if f := flagsOf(logOf(t, b, first.Broadcast())); f != want {
				t.Errorf("the log holds %q, want %q", f, want)
			}
		})
	}
}

// end ends the session.
func end(clean bool) func(*testing.T, *Bus, *Session) {
	return func(t *testing.T, _ *Bus, s *Session) {
		t.Helper()
		if err := s.End(within(t, 5*time.Second), clean); err != nil {
			t.Fatal(err)
		}
	}
}

// decideOnly dies between the decision and the log.
func decideOnly(state StreamState) func(*testing.T, *Bus, *Session) {
	return func(t *testing.T, b *Bus, s *Session) {
		t.Helper()
		e := entryOf(t, b)
		e.State = state
		if err := b.decide(within(t, time.Second), &e); err != nil {
			t.Fatal(err)
		}
		b.dismiss(s)
	}
}

// TestFencedSession: once OpenSession has returned, the session before it can
// write nothing, neither media nor an end.
func TestFencedSession(t *testing.T) {
	b := embedded(t)
	old := openSession(t, b)
	appendBatches(t, old, 100, 1)
	s := openSession(t, b)
	if err := old.Append(within(t, time.Second), batch(2, 100)); !errors.Is(err, ErrFenced) {
		t.Errorf("append: %v, want %v", err, ErrFenced)
	}
	select {
	case <-old.Kicked(): // whoever serves its connection learns of it at once
	case <-time.After(patience):
		t.Error("the fenced session was not kicked")
	}
	for _, clean := range []bool{false, true} {
		if err := old.End(within(t, time.Second), clean); !errors.Is(err, ErrFenced) {
			t.Errorf("end: %v, want %v", err, ErrFenced)
		}
	}
	appendBatches(t, s, 100, 1, 2)
	if f := flagsOf(logOf(t, b, s.Broadcast())); f != "bk f bk -" {
		t.Errorf("the log holds %q", f)
	}
	if e := entryOf(t, b); e.Session != s.ID() || e.State != Live {
		t.Errorf("the registry says %+v", e)
	}
}

// TestDeclaredLost: a session whose node was taken for dead finds out at its
// next write, and whoever publishes it opens another.
func TestDeclaredLost(t *testing.T) {
	for _, n := range []int{0, 2} { // batches before, where none: it has not even begun
		t.Run(fmt.Sprint(n, " batches before"), func(t *testing.T) {
			b := embedded(t)
			s := openSession(t, b)
			for i := range n {
				appendBatches(t, s, 100, i+1)
			}
			if err := b.lose(within(t, time.Second), entryOf(t, b)); err != nil {
				t.Fatal(err)
			}
			if err := s.Append(within(t, time.Second), batch(n+1, 100)); !errors.Is(err, ErrFenced) {
				t.Errorf("append: %v, want %v", err, ErrFenced)
			}
			if err := s.End(within(t, time.Second), false); err != nil {
				t.Errorf("to be lost is what it has to say: %v", err)
			}
			next := openSession(t, b)
			appendBatches(t, next, 100, 1)
			want := strings.TrimPrefix(" el f bk", map[bool]string{true: " "}[n == 0])
			if n > 0 {
				want = "bk -" + want
			}
			if f := flagsOf(logOf(t, b, s.Broadcast())); f != want {
				t.Errorf("the log holds %q, want %q", f, want)
			}
		})
	}
}

// TestMarkersAreWrittenOnce by however many nodes see that they are missing.
func TestMarkersAreWrittenOnce(t *testing.T) {
	n := startNATS(t)
	var all []*Bus
	for range 3 {
		all = append(all, open(t, Config{URL: n.ClientURL()}))
	}
	s := openSession(t, all[0])
	appendBatches(t, s, 100, 1)
	decideOnly(Waiting)(t, all[0], s)
	each := func(f func(b *Bus) error) {
		t.Helper()
		var wg sync.WaitGroup
		for range 5 {
			for _, b := range all {
				wg.Go(func() {
					if err := f(b); err != nil {
						t.Error(err)
					}
				})
			}
		}
		wg.Wait()
	}
	e := entryOf(t, all[0])
	each(func(b *Bus) error { return b.Repair(within(t, 10*time.Second), e) })
	each(func(b *Bus) error { return b.EndBroadcast(within(t, 10*time.Second), e) })
	if f := flagsOf(logOf(t, all[0], s.Broadcast())); f != "bk el x" {
		t.Errorf("the log holds %q", f)
	}
	if e := entryOf(t, all[0]); e.State != Ended {
		t.Errorf("the registry says %+v", e)
	}
}

// TestEndBroadcastLeavesWhatCameBack: the encoder returned while a node was
// about to end the broadcast.
func TestEndBroadcastLeavesWhatCameBack(t *testing.T) {
	b := embedded(t)
	s := openSession(t, b)
	appendBatches(t, s, 100, 1)
	end(false)(t, b, s)
	e := entryOf(t, b)
	s = openSession(t, b)
	if err := b.EndBroadcast(within(t, time.Second), e); err != nil {
		t.Fatal(err)
	}
	appendBatches(t, s, 100, 1)
	if f := flagsOf(logOf(t, b, s.Broadcast())); f != "bk el f bk" {
		t.Errorf("the log holds %q", f)
	}
}

// TestRacingPublishers: many publish the same stream at once. Each is told
// whether it has it; one has it in the end, and the log holds, epoch by epoch,
// what each wrote before the next one's fence.
func TestRacingPublishers(t *testing.T) {
	n := startNATS(t)
	var sessions []*Session
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 4 {
		b := open(t, Config{URL: n.ClientURL()})
		wg.Go(func() {
			for range 5 {
				s, err := b.OpenSession(within(t, 10*time.Second), "", live, time.Now(), Takeover)
				if errors.Is(err, ErrFenced) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				sessions = append(sessions, s)
				mu.Unlock()
				for n := 1; n < 20; n++ {
					if err := s.Append(within(t, 10*time.Second), batch(n, 100)); errors.Is(err, ErrFenced) {
						break
					} else if err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	b := sessions[0].bus
	e := entryOf(t, b)
	winners := 0
	for _, s := range sessions {
		if s.Append(within(t, 5*time.Second), batch(100, 10)) == nil {
			winners++
			if s.ID() != e.Session {
				t.Errorf("session %s of epoch %d writes, the registry says %+v", s.ID(), s.Epoch(), e)
			}
		}
	}
	if winners != 1 {
		t.Errorf("%d sessions can write", winners)
	}
	checkOrder(t, logOf(t, b, e.Broadcast))
}

// checkOrder fails the test unless epochs never go back, and numbers run on
// within each.
func checkOrder(t *testing.T, all []*framelog.Batch) {
	t.Helper()
	for i, x := range all[1:] {
		was := all[i]
		if x.Epoch < was.Epoch || x.Epoch == was.Epoch && (x.Number != was.Number+1 || x.Session != was.Session) {
			t.Errorf("%v comes behind %v", x.Header, was.Header)
		}
	}
}

// TestRacingWriters: of two writers that expect the same message to be last,
// exactly one is stored, in each of many rounds.
func TestRacingWriters(t *testing.T) {
	b := embedded(t)
	raceWriters(t, b, b, 300)
}

func raceWriters(t *testing.T, a, b *Bus, rounds int) {
	t.Helper()
	var last uint64
	for round := range rounds {
		type result struct {
			seq uint64
			err error
		}
		var r [2]result
		var wg sync.WaitGroup
		for i, bus := range []*Bus{a, b} {
			wg.Go(func() {
				subject, stream := bus.topic("race", Source)
				h := framelog.Header{Session: fmt.Sprint("s", i), Epoch: 1, Number: uint64(round + 1)}
				seq, err := stream.Write(within(t, 20*time.Second), jet.Write{Subject: subject, Header: batchHeader(h), After: last})
				r[i] = result{seq, err}
			})
		}
		wg.Wait()
		var c *jet.Conflict
		switch {
		case r[0].err == nil && errors.As(r[1].err, &c):
			last = r[0].seq
		case r[1].err == nil && errors.As(r[0].err, &c):
			last = r[1].seq
		default:
			t.Fatalf("round %d: %v and %v", round, r[0].err, r[1].err)
		}
		if c.Last.Sequence != last {
			t.Fatalf("round %d: the winner is at %d, the loser was told %d", round, last, c.Last.Sequence)
		}
	}
}

func TestKick(t *testing.T) {
	n := startNATS(t)
	a, b := open(t, Config{URL: n.ClientURL()}), open(t, Config{URL: n.ClientURL()})
	if err := b.Kick(within(t, time.Second), live); !errors.Is(err, ErrNotLive) {
		t.Errorf("kick of nobody: %v", err)
	}
	s := openSession(t, a)
	if err := b.Kick(within(t, time.Second), live); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.Kicked():
	case <-time.After(patience):
		t.Error("the session was not told")
	}
	a.dismiss(s)
	if err := b.Kick(within(t, time.Second), live); !errors.Is(err, ErrNotLive) {
		t.Errorf("kick of a session that its node does not know: %v", err)
	}
}

// TestUndecidedAppend: when ctx ends before the answer, the batch may be
// stored or not, and what comes next must not take its number.
func TestUndecidedAppend(t *testing.T) {
	n := startNATS(t)
	b := open(t, Config{URL: n.ClientURL()})
	s := openSession(t, b)
	appendBatches(t, s, 100, 1)
	n.stop()
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if err := s.Append(ctx, batch(2, 100)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("append without a server: %v", err)
	}
	n.start()
	if err := s.Append(within(t, 5*time.Second), batch(2, 100)); err == nil {
		t.Error("a batch was stored behind one that is undecided")
	}
	end(false)(t, b, s)
	if f := flagsOf(logOf(t, b, s.Broadcast())); f != "bk el" && f != "bk - el" {
		t.Errorf("the log holds %q", f)
	}
}

func TestWatch(t *testing.T) {
	n := startNATS(t)
	b := open(t, Config{URL: n.ClientURL()})
	seen := make(chan string, 100)
	stop := running(t, func(ctx context.Context) error {
		err := b.Watch(ctx, func(e Registration) error {
			seen <- fmt.Sprint(e.Stream, " ", e.State)
			return nil
		})
		if ctx.Err() != nil {
			return nil
		}
		return err
	})
	expect := func(want string) {
		t.Helper()
		for { // what is known may be told again
			select {
			case got := <-seen:
				if got == want {
					return
				}
			case <-time.After(patience):
				t.Fatalf("not seen: %s", want)
			}
		}
	}
	s := openSession(t, b)
	expect("live/alice live")
	n.stop()
	n.start()
	end(false)(t, b, s)
	expect("live/alice waiting")
	// A key that goes while nobody watches is missed by none.
	n.stop()
	n.start()
	all, err := b.Streams(within(t, 10*time.Second))
	if err != nil || len(all) != 1 || all[0].State != Waiting {
		t.Errorf("streams: %+v, %v", all, err)
	}
	if err := b.streams.Clear(within(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	n.stop()
	n.start()
	expect("live/alice ")
	stop()
}

// TestListWhileKeysChange: a key that is written while the keys are listed is
// listed all the same.
func TestListWhileKeysChange(t *testing.T) {
	b := embedded(t)
	const keys = 30
	key := func(i int) string { return fmt.Sprint("k", i%keys) }
	putKeys(t, b, keys)
	running(t, func(ctx context.Context) error {
		for i := 0; ctx.Err() == nil; i += 7 {
			it, err := b.state.Get(ctx, key(i))
			if err == nil {
				_, err = b.state.Put(ctx, key(i), fmt.Append(nil, i), it.Rev, 0)
			}
			if err != nil && ctx.Err() == nil {
				return err
			}
		}
		return nil
	})
	for range 50 {
		seen := make(map[string]bool)
		err := b.state.List(within(t, 5*time.Second), "", func(c jet.Change) error { seen[c.Key] = true; return nil })
		if err != nil || len(seen) != keys {
			t.Fatalf("%d keys of %d are listed: %v", len(seen), keys, err)
		}
	}
}

func TestOpenIsRepeatable(t *testing.T) {
	n := startNATS(t)
	var wg sync.WaitGroup
	for range 8 { // all find nothing, and create
		wg.Go(func() {
			b, err := Open(within(t, 20*time.Second), Config{URL: n.ClientURL(), Shards: 4, Retain: time.Minute, Log: testLog(t)})
			if err != nil {
				t.Error(err)
				return
			}
			if len(b.shards) != 4 {
				t.Errorf("%d shards", len(b.shards))
			}
			if err := b.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	t.Run("takes what is there", func(t *testing.T) {
		b := open(t, Config{URL: n.ClientURL()})
		if len(b.shards) != 4 || b.retain != time.Minute {
			t.Errorf("%d shards, retention %v", len(b.shards), b.retain)
		}
		var used []int
		for i := range 100 {
			used = append(used, b.shard(fmt.Sprint(i)))
		}
		slices.Sort(used)
		if used = slices.Compact(used); len(used) != 4 {
			t.Errorf("a hundred broadcasts use the shards %v", used)
		}
	})
	t.Run("changes what may change", func(t *testing.T) {
		b := open(t, Config{URL: n.ClientURL(), Retain: time.Hour, MaxBytes: 1 << 30})
		c := b.shards[3].CachedInfo().Config
		if c.MaxAge != time.Hour || c.MaxBytes != 1<<30 || c.AllowDirect {
			t.Errorf("the stream is %+v", c)
		}
	})
	t.Run("not the number of shards", func(t *testing.T) {
		if _, err := Open(within(t, 5*time.Second), Config{URL: n.ClientURL(), Shards: 2, Log: testLog(t)}); err == nil {
			t.Error("two nodes would look for a broadcast in different places")
		}
	})
	t.Run("says what the server refuses", func(t *testing.T) {
		_, err := Open(within(t, 20*time.Second), Config{URL: n.ClientURL(), Retain: time.Nanosecond, Log: testLog(t)})
		var api *jetstream.APIError
		if !errors.As(err, &api) {
			t.Errorf("open: %v", err)
		}
	})
	t.Run("waits for a server that is not there", func(t *testing.T) {
		url := n.ClientURL()
		n.stop()
		var back sync.WaitGroup
		back.Go(func() {
			time.Sleep(300 * time.Millisecond)
			n.start()
		})
		b := open(t, Config{URL: url})
		back.Wait()
		if err := b.Ready(within(t, 5*time.Second)); err != nil || !b.Connected() {
			t.Errorf("ready: %v", err)
		}
	})
}

func TestOpenFails(t *testing.T) {
	if _, err := Open(within(t, time.Second), Config{Log: testLog(t)}); err == nil {
		t.Error("an embedded server without a directory")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	if _, err := Open(ctx, Config{URL: "nats://127.0.0.1:1", Log: testLog(t)}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a server that never comes: %v", err)
	}
}

// TestNextBroadcast: a stream's broadcasts sort as they began, though the
// second may begin within the same second, on a node whose clock is behind.
func TestNextBroadcast(t *testing.T) {
	now := time.Date(2026, 11, 28, 5, 0, 0, 0, time.UTC)
	id := nextBroadcast("", now, [10]byte{9})
	for _, at := range []time.Time{now, now.Add(-time.Hour), now.Add(time.Minute), now.Add(time.Second)} {
		next := nextBroadcast(id, at, [10]byte{1})
		if next <= id {
			t.Errorf("begun at %v: %s does not sort behind %s", at, next, id)
		}
		id = next
	}
}
