package bus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/bus/internal/jet"
	"weir/media"
)

// broadcasts opens n broadcasts, each with a batch on its log, and returns
// their ids.
func broadcasts(t *testing.T, b *Bus, n int) (ids []string) {
	t.Helper()
	for i := range n {
		s, err := b.OpenSession(within(t, 10*time.Second), "", media.Stream{App: "live", Name: fmt.Sprint("s", i)}, time.Now(), Takeover)
		if err != nil {
			t.Fatal(err)
		}
		appendBatches(t, s, 100, 1)
		ids = append(ids, s.Broadcast())
	}
	return ids
}

// observer sees what the workers of a test do, and whether ever two of them own a
// broadcast without the first being told at its next Save.
type observer struct {
	mu     sync.Mutex
	owners map[string][]string // by broadcast, in order
	saved  map[string]int
}

func newObserver() *observer {
	return &observer{owners: make(map[string][]string), saved: make(map[string]int)}
}

// handler saves a counter until ctx ends or the claim is lost.
func (h *observer) handler(name string) func(context.Context, *Claim) error {
	return func(ctx context.Context, c *Claim) error {
		h.mu.Lock()
		h.owners[c.Broadcast()] = append(h.owners[c.Broadcast()], name)
		h.mu.Unlock()
		var n int
		if c.State() != nil {
			if _, err := fmt.Sscanf(string(c.State()), `{"n":%d}`, &n); err != nil {
				return err
			}
		}
		for jet.Sleep(ctx, 10*time.Millisecond) == nil {
			n++
			if err := c.Save(ctx, fmt.Appendf(nil, `{"n":%d}`, n)); err != nil {
				return err
			}
			h.mu.Lock()
			h.saved[c.Broadcast()]++
			h.mu.Unlock()
		}
		return ctx.Err()
	}
}

func (h *observer) owner(broadcast string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if o := h.owners[broadcast]; len(o) > 0 {
		return o[len(o)-1]
	}
	return ""
}

// owned counts the broadcasts of each worker.
func (h *observer) owned() map[string]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := make(map[string]int)
	for _, o := range h.owners {
		n[o[len(o)-1]]++
	}
	return n
}

// allOwned tells whether every broadcast has an owner of which ok holds.
func (h *observer) allOwned(ids []string, ok func(owner string) bool) bool {
	for _, id := range ids {
		if o := h.owner(id); o == "" || !ok(o) {
			return false
		}
	}
	return true
}

func anyone(string) bool { return true }

// TestClaimsAreShared: many workers see many broadcasts at once; each gets one
// owner, and the load is spread.
func TestClaimsAreShared(t *testing.T) {
	n := startNATS(t)
	h := newObserver()
	var workers []*Worker
	for i := range 4 {
		w := open(t, Config{URL: n.ClientURL()}).Work(Segment, WorkConfig{Capacity: 12, Lease: time.Minute})
		workers = append(workers, w)
		running(t, func(ctx context.Context) error { return w.Run(ctx, h.handler(fmt.Sprint("w", i))) })
	}
	b := open(t, Config{URL: n.ClientURL()})
	eventually(t, 5*time.Second, "four workers hold a lease", func() bool {
		all, err := b.Workers(within(t, 5*time.Second), Segment)
		return err == nil && len(all) == 4
	})
	ids := broadcasts(t, b, 40)
	eventually(t, 5*time.Second, "each broadcast is owned", func() bool { return h.allOwned(ids, anyone) })
	time.Sleep(300 * time.Millisecond)
	h.mu.Lock()
	for id, o := range h.owners {
		if len(o) != 1 {
			t.Errorf("broadcast %s was owned by %v", id, o)
		}
	}
	h.mu.Unlock()
	for w, n := range h.owned() {
		if n < 4 { // 10 each, where the machine has time for all of them, and three have room for 36
			t.Errorf("worker %s has %d of 40 broadcasts", w, n)
		}
	}
	t.Logf("40 broadcasts on 4 workers: %v", h.owned())
	eventually(t, 5*time.Second, "the workers count 40 owned and none unowned", func() bool {
		owned := 0
		for _, w := range workers {
			owned += w.Stats().Owned
		}
		return owned == 40 && workers[0].Stats().Unowned == 0
	})
}

// TestKindsOfWork: in one process and on one connection, a broadcast is
// segmented by one of two workers and recorded by a third; its record goes to
// no segmenter, and each kind keeps a State of its own.
func TestKindsOfWork(t *testing.T) {
	b := embedded(t)
	ids := broadcasts(t, b, 6)
	h := newObserver()
	a, c := b.Work(Segment, WorkConfig{Capacity: 4}), b.Work(Segment, WorkConfig{Capacity: 4})
	running(t, func(ctx context.Context) error { return a.Run(ctx, h.handler("a")) })
	running(t, func(ctx context.Context) error { return c.Run(ctx, h.handler("c")) })
	records := newObserver()
	r := b.Work(Record, WorkConfig{})
	running(t, func(ctx context.Context) error { return r.Run(ctx, records.handler("r")) })
	if err := b.Announce(within(t, 5*time.Second), Record, media.Stream{App: "live", Name: "s0"}, ids[0], Source); err != nil {
		t.Fatal(err)
	}
	eventually(t, 5*time.Second, "all are segmented, one is recorded", func() bool {
		return h.allOwned(ids, anyone) && records.owner(ids[0]) == "r" && a.Stats().Unowned == 0
	})
	if n := h.owned(); n["a"] > 4 || n["c"] > 4 || len(records.owned()) != 1 {
		t.Errorf("segmented by %v, recorded by %v; each has room for 4", n, records.owned())
	}
	if a.ID() == c.ID() || a.ID() == r.ID() {
		t.Errorf("workers %s, %s, %s: two of the same name", a.ID(), c.ID(), r.ID())
	}
	eventually(t, 5*time.Second, "each has its lease", func() bool {
		segment, err := b.Workers(within(t, 5*time.Second), Segment)
		record, err2 := b.Workers(within(t, 5*time.Second), Record)
		return err == nil && err2 == nil && len(segment) == 2 && len(record) == 1
	})
}

func TestCapacity(t *testing.T) {
	b := embedded(t)
	h := newObserver()
	w := b.Work(Segment, WorkConfig{Capacity: 2})
	running(t, func(ctx context.Context) error { return w.Run(ctx, h.handler("w")) })
	broadcasts(t, b, 5)
	eventually(t, 5*time.Second, "two are owned, three are not", func() bool { s := w.Stats(); return s.Owned == 2 && s.Unowned == 3 })
	time.Sleep(300 * time.Millisecond)
	if s := w.Stats(); s.Owned != 2 || s.Unowned != 3 {
		t.Errorf("a worker for two has %+v", s)
	}
	all, err := b.Ownerships(within(t, 5*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	owned := 0
	for _, o := range all {
		if o.Owner == b.Node() {
			owned++
		}
	}
	if len(all) != 5 || owned != 2 {
		t.Errorf("%d broadcasts are listed, %d of them owned", len(all), owned)
	}
}

// TestReleaseOnCancel is SIGTERM: others claim at once, and go on from the
// State that was saved.
func TestReleaseOnCancel(t *testing.T) {
	n := startNATS(t)
	h := newObserver()
	first := open(t, Config{URL: n.ClientURL()}).Work(Segment, WorkConfig{})
	stop := running(t, func(ctx context.Context) error { return first.Run(ctx, h.handler("first")) })
	b := open(t, Config{URL: n.ClientURL()})
	ids := broadcasts(t, b, 10)
	eventually(t, 5*time.Second, "the first has all", func() bool { return h.allOwned(ids, anyone) })
	second := b.Work(Segment, WorkConfig{})
	running(t, func(ctx context.Context) error { return second.Run(ctx, h.handler("second")) })
	time.Sleep(200 * time.Millisecond)
	began := time.Now()
	stop()
	stopped := time.Since(began)
	h.mu.Lock()
	saves := h.saved[ids[0]]
	h.mu.Unlock()
	eventually(t, 10*time.Second, "the second has all", func() bool {
		return h.allOwned(ids, func(o string) bool { return o == "second" })
	})
	t.Logf("10 broadcasts: given back after %v, taken after %v", stopped.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
	eventually(t, 5*time.Second, "the first gave its lease back", func() bool {
		all, err := b.Workers(within(t, time.Second), Segment)
		return err == nil && len(all) == 1
	})
	it, err := b.state.Get(within(t, time.Second), stateKey(ids[0]))
	if err != nil {
		t.Fatal(err)
	}
	var saved int
	if _, state, _ := parseState(it.Value); state != nil {
		_, _ = fmt.Sscanf(string(state), `{"n":%d}`, &saved)
	}
	if saved < saves {
		t.Errorf("the State counts %d saves, the first worker made %d", saved, saves)
	}
}

// TestSaveFences: the worker that lost a claim learns it at its next Save,
// and what the other wrote stands.
func TestSaveFences(t *testing.T) {
	n := startNATS(t)
	a, b := open(t, Config{URL: n.ClientURL()}), open(t, Config{URL: n.ClientURL()})
	id := broadcasts(t, a, 1)[0]
	claim := func(x *Bus) *Claim {
		t.Helper()
		it, err := x.state.Get(within(t, time.Second), Segment.key(id, Source))
		if err != nil {
			t.Fatal(err)
		}
		c, err := x.Work(Segment, WorkConfig{}).claim(within(t, time.Second), stateKey(id), it.Rev)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first := claim(a)
	if first.State() != nil || first.Broadcast() != id || first.Rendition() != Source || first.Stream().Name != "s0" {
		t.Errorf("claim of %s %s %s with State %q", first.Stream(), first.Broadcast(), first.Rendition(), first.State())
	}
	state := []byte("{\"n\":1}\nany bytes\x00\xff")
	if err := first.Save(within(t, time.Second), state); err != nil {
		t.Fatal(err)
	}
	second := claim(b)
	if !bytes.Equal(second.State(), state) {
		t.Errorf("the second owner got %q", second.State())
	}
	ctx := within(t, 5*time.Second)
	if err := first.Save(ctx, []byte("zombie")); !errors.Is(err, ErrNotOwner) {
		t.Errorf("save: %v", err)
	}
	if err := first.Close(ctx, []byte("zombie")); !errors.Is(err, ErrNotOwner) {
		t.Errorf("close: %v", err)
	}
	if err := first.release(ctx, 0); err != nil {
		t.Errorf("release of what is not ours: %v", err)
	}
	if err := second.Save(ctx, []byte("2")); err != nil {
		t.Error(err)
	}
}

// TestOldClaimFences: what is left of a claim of the same worker, before the one
// it has now, is as any other's: a refresh that comes late neither takes back
// what was released, nor writes its old State over the newer one.
func TestOldClaimFences(t *testing.T) {
	b := embedded(t)
	id := broadcasts(t, b, 1)[0]
	w := b.Work(Segment, WorkConfig{})
	ctx := within(t, 20*time.Second)
	look := func() (stateHead, string, uint64) {
		t.Helper()
		it, err := b.state.Get(ctx, stateKey(id))
		if err != nil {
			t.Fatal(err)
		}
		h, s, err := parseState(it.Value)
		if err != nil {
			t.Fatal(err)
		}
		return h, string(s), it.Rev
	}
	claim := func() *Claim {
		t.Helper()
		_, _, rev := look()
		c, err := w.claim(ctx, stateKey(id), rev)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first := claim()
	if err := first.Save(ctx, []byte("old")); err != nil {
		t.Fatal(err)
	}
	if err := first.release(ctx, 0); err != nil {
		t.Fatal(err)
	}
	if err := first.refresh(ctx); err != nil {
		t.Errorf("refresh of what was released: %v", err)
	}
	if h, _, _ := look(); h.Owner != "" {
		t.Errorf("a refresh took back what was released: %+v", h)
	}
	if err := first.Save(ctx, []byte("old")); !errors.Is(err, ErrNotOwner) {
		t.Errorf("save of what was released: %v", err)
	}
	// The next claim's answer is lost, and it is made again: the entry names us.
	second := claim()
	third := claim()
	if err := third.Save(ctx, []byte("new")); err != nil {
		t.Fatal(err)
	}
	if err := second.Save(ctx, []byte("zombie")); !errors.Is(err, ErrNotOwner) {
		t.Errorf("save of an older claim: %v", err)
	}
	if err := second.release(ctx, 0); err != nil {
		t.Errorf("release of an older claim: %v", err)
	}
	if h, s, _ := look(); h.Owner != w.id || s != "new" {
		t.Errorf("an older claim of the same worker made it %+v, %q", h, s)
	}
}

// TestLostSaveAnswers: a Save whose answer is lost is stored once, and not
// mistaken for another worker's.
func TestLostSaveAnswers(t *testing.T) {
	t.Parallel()
	n := startNATS(t)
	p, proxied := startProxy(t, n.ClientURL())
	straight := open(t, Config{URL: n.ClientURL()})
	id := broadcasts(t, straight, 1)[0]
	b := open(t, Config{URL: proxied})
	it, err := b.state.Get(within(t, time.Second), Segment.key(id, Source))
	if err != nil {
		t.Fatal(err)
	}
	c, err := b.Work(Segment, WorkConfig{}).claim(within(t, time.Second), stateKey(id), it.Rev)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		p.Deafen()
		time.AfterFunc(50*time.Millisecond, p.Hear)
		before := c.rev
		if err := c.Save(within(t, 5*time.Second), fmt.Append(nil, i)); err != nil {
			t.Fatalf("save %d: %v", i, err)
		}
		if c.rev != before+1 {
			t.Errorf("save %d took the revision from %d to %d", i, before, c.rev)
		}
	}
	// Nobody waits for the answer. What is saved next follows on it all the same.
	p.Deafen()
	short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := c.Save(short, []byte("undecided")); err == nil || errors.Is(err, ErrNotOwner) {
		t.Fatalf("a save without an answer: %v", err)
	}
	p.Hear()
	if err := c.Save(within(t, 5*time.Second), []byte("decided")); err != nil {
		t.Fatalf("the save behind one that is undecided: %v", err)
	}
	// The answer is lost, and before it can be looked up another has claimed.
	p.Deafen()
	saved := make(chan error, 1)
	go func() { saved <- c.Save(within(t, 10*time.Second), []byte("last")) }()
	eventually(t, 5*time.Second, "the state is stored", func() bool {
		it, err = straight.state.Get(within(t, time.Second), Segment.key(id, Source))
		return err == nil && bytes.HasSuffix(it.Value, []byte("last"))
	})
	if _, err := straight.Work(Segment, WorkConfig{}).claim(within(t, time.Second), stateKey(id), it.Rev); err != nil {
		t.Fatal(err)
	}
	p.Hear()
	if err := <-saved; !errors.Is(err, ErrNotOwner) {
		t.Errorf("save: %v", err)
	}
	if err := c.refresh(within(t, time.Second)); err != nil {
		t.Errorf("refresh of what is another's: %v", err)
	}
	now, err := straight.state.Get(within(t, time.Second), Segment.key(id, Source))
	if err != nil {
		t.Fatal(err)
	}
	if head, _, err := parseState(now.Value); err != nil || head.Owner == c.worker.id {
		t.Errorf("the claim was taken back: %+v, %v", head, err)
	}
}

// TestHandlerEnds: what the handler returns says what becomes of the claim.
func TestHandlerEnds(t *testing.T) {
	t.Parallel()
	b := open(t, Config{Dir: t.TempDir(), Retain: 2 * time.Second})
	ids := broadcasts(t, b, 3)
	var calls [3]atomic.Int32
	w := b.Work(Segment, WorkConfig{})
	running(t, func(ctx context.Context) error {
		return w.Run(ctx, func(ctx context.Context, c *Claim) error {
			switch c.Broadcast() {
			case ids[0]:
				calls[0].Add(1)
				return c.Close(ctx, []byte("done"))
			case ids[1]:
				if calls[1].Add(1) == 1 {
					return errors.New("cannot now")
				}
			default:
				calls[2].Add(1)
			}
			<-ctx.Done()
			return ctx.Err()
		})
	})
	eventually(t, 10*time.Second, "the one that failed is tried again", func() bool { return calls[1].Load() == 2 })
	if n := calls[0].Load(); n != 1 {
		t.Errorf("the closed broadcast was handled %d times", n)
	}
	if n := calls[2].Load(); n != 1 {
		t.Errorf("the running broadcast was handled %d times", n)
	}
	eventually(t, 5*time.Second, "it has what is left", func() bool { s := w.Stats(); return s.Owned == 2 && s.Unowned == 0 })
	// The key of the closed broadcast goes when the log has forgotten it.
	eventually(t, 10*time.Second, "the closed key is gone", func() bool {
		it, err := b.state.Get(within(t, time.Second), stateKey(ids[0]))
		return err == nil && it.Value == nil
	})
}

// TestFailingEverywhere: a broadcast that no worker can handle is not tossed
// from one to the other without end.
func TestFailingEverywhere(t *testing.T) {
	t.Parallel()
	n := startNATS(t)
	var mu sync.Mutex
	calls := make(map[int][]time.Time) // by worker
	for i := range 3 {
		w := open(t, Config{URL: n.ClientURL()}).Work(Segment, WorkConfig{})
		running(t, func(ctx context.Context) error {
			return w.Run(ctx, func(context.Context, *Claim) error {
				mu.Lock()
				defer mu.Unlock()
				calls[i] = append(calls[i], time.Now())
				return errors.New("cannot")
			})
		})
	}
	broadcasts(t, open(t, Config{URL: n.ClientURL()}), 1)
	eventually(t, 10*time.Second, "all have failed on it, and one again", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(calls) == 3 && slices.ContainsFunc([]int{0, 1, 2}, func(i int) bool { return len(calls[i]) > 1 })
	})
	mu.Lock()
	defer mu.Unlock()
	for i, at := range calls {
		for n := 1; n < len(at); n++ {
			if after, want := at[n].Sub(at[n-1]), time.Second<<n; after < want {
				t.Errorf("worker %d had it again after %v, the time number %d, want %v at least", i, after, n+1, want)
			}
		}
	}
}

// TestKeysThatNameUs: a claim whose answer we never saw is ours to run.
func TestKeysThatNameUs(t *testing.T) {
	b := embedded(t)
	id := broadcasts(t, b, 1)[0]
	it, err := b.state.Get(within(t, time.Second), Segment.key(id, Source))
	if err != nil {
		t.Fatal(err)
	}
	h := newObserver()
	w := b.Work(Segment, WorkConfig{})
	if _, err := w.claim(within(t, time.Second), stateKey(id), it.Rev); err != nil {
		t.Fatal(err)
	}
	running(t, func(ctx context.Context) error { return w.Run(ctx, h.handler("w")) })
	eventually(t, 5*time.Second, "it is run", func() bool { return h.owner(id) == "w" })
}

// TestFormats: an old worker leaves what a new one has written alone, however
// dead that is.
func TestFormats(t *testing.T) {
	n := startNATS(t)
	id := broadcasts(t, open(t, Config{URL: n.ClientURL()}), 1)[0]
	h := newObserver()
	newer := open(t, Config{URL: n.ClientURL()}).Work(Segment, WorkConfig{Formats: []int{1, 2}})
	stop := running(t, func(ctx context.Context) error { return newer.Run(ctx, h.handler("new")) })
	eventually(t, 5*time.Second, "the new one has saved", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.saved[id] > 3
	})
	stop()
	older := open(t, Config{URL: n.ClientURL()}).Work(Segment, WorkConfig{})
	running(t, func(ctx context.Context) error { return older.Run(ctx, h.handler("old")) })
	eventually(t, 5*time.Second, "the old one sees work that it cannot do", func() bool { return older.Stats().Unowned == 1 })
	time.Sleep(300 * time.Millisecond)
	if o := h.owner(id); o != "new" {
		t.Errorf("%s has claimed it", o)
	}
	newest := open(t, Config{URL: n.ClientURL()}).Work(Segment, WorkConfig{Formats: []int{2, 3}})
	running(t, func(ctx context.Context) error { return newest.Run(ctx, h.handler("newest")) })
	eventually(t, 5*time.Second, "another new one takes it", func() bool { return h.owner(id) == "newest" })
	h.mu.Lock()
	saved := h.saved[id]
	h.mu.Unlock()
	eventually(t, 5*time.Second, "and saves", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.saved[id] > saved
	})
	it, err := newest.claims.Get(t.Context(), Segment.key(id, Source))
	if err != nil {
		t.Fatal(err)
	}
	if head, _, err := parseState(it.Value); err != nil || head.Format != 2 {
		t.Errorf("the newest has saved format %d, %v; want 2, which it was begun in: the new one may have to take it back", head.Format, err)
	}
}

// TestStuckOwner: an owner that answers but commits nothing while the log
// grows loses the broadcast; one whose log stands still does not.
func TestStuckOwner(t *testing.T) {
	t.Parallel()
	n := startNATS(t)
	b := open(t, Config{URL: n.ClientURL()})
	ids := broadcasts(t, b, 2)
	growing, err := b.OpenSession(within(t, 5*time.Second), "", media.Stream{App: "live", Name: "s0"}, time.Now(), Takeover)
	if err != nil {
		t.Fatal(err)
	}
	hung := open(t, Config{URL: n.ClientURL()}).Work(Segment, WorkConfig{})
	running(t, func(ctx context.Context) error {
		return hung.Run(ctx, func(ctx context.Context, _ *Claim) error { <-ctx.Done(); return ctx.Err() })
	})
	eventually(t, 5*time.Second, "the hung one has both", func() bool { return hung.Stats().Owned == 2 })
	h := newObserver()
	const stall = 800 * time.Millisecond
	w := open(t, Config{URL: n.ClientURL()}).Work(Segment, WorkConfig{Stall: stall})
	began := time.Now()
	running(t, func(ctx context.Context) error { return w.Run(ctx, h.handler("w")) })
	for i := 1; h.owner(ids[0]) == ""; i++ {
		if time.Since(began) > patience {
			t.Fatal("nobody takes over from the stuck owner")
		}
		appendBatches(t, growing, 10, i)
		time.Sleep(50 * time.Millisecond)
	}
	if d := time.Since(began); d < stall {
		t.Errorf("the broadcast changed hands after %v", d)
	}
	if o := h.owner(ids[1]); o != "" {
		t.Error("a broadcast was taken though there was nothing to commit")
	}
	if s := w.Stats(); s.Takeovers != 1 {
		t.Errorf("the worker counts %+v", s)
	}
}

// TestOutageMovesNothing: while NATS is away every lease runs out. When it is
// back nobody is dead, and everybody goes on with what they have.
func TestOutageMovesNothing(t *testing.T) {
	t.Parallel()
	n := startNATS(t)
	h := newObserver()
	var workers []*Worker
	for i := range 3 {
		w := open(t, Config{URL: n.ClientURL()}).Work(Segment, WorkConfig{Lease: time.Second})
		workers = append(workers, w)
		running(t, func(ctx context.Context) error { return w.Run(ctx, h.handler(fmt.Sprint("w", i))) })
	}
	ids := broadcasts(t, open(t, Config{URL: n.ClientURL()}), 12)
	eventually(t, 10*time.Second, "each broadcast is owned", func() bool { return h.allOwned(ids, anyone) })
	saves := func() map[string]int { h.mu.Lock(); defer h.mu.Unlock(); return maps.Clone(h.saved) }
	n.stop()
	time.Sleep(2500 * time.Millisecond)
	n.start()
	before := saves()
	eventually(t, 20*time.Second, "all go on", func() bool {
		now := saves()
		return !slices.ContainsFunc(ids, func(id string) bool { return now[id] < before[id]+100 })
	})
	for _, w := range workers {
		if s := w.Stats(); s.Takeovers != 0 || s.Lost != 0 {
			t.Errorf("a worker counts %+v", s)
		}
	}
}

// TestWorkerEndsWithTheBus: a worker whose bus is closed under it reports it.
func TestWorkerEndsWithTheBus(t *testing.T) {
	b := embedded(t)
	w := b.Work(Segment, WorkConfig{})
	ended := make(chan error, 1)
	go func() { ended <- w.Run(context.Background(), newObserver().handler("w")) }()
	time.Sleep(200 * time.Millisecond)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err == nil {
			t.Error("a worker without a bus ended as if it was asked to")
		}
	case <-time.After(patience):
		t.Fatal("the worker goes on without a bus")
	}
}

// TestOverIsSettled: the registry has gone on to another broadcast, and the
// end of the one before never came to the log. Its worker still hears it.
func TestOverIsSettled(t *testing.T) {
	b := embedded(t)
	id := broadcasts(t, b, 1)[0]
	stream := media.Stream{App: "live", Name: "s0"}
	e, err := b.Registration(within(t, time.Second), stream)
	if err != nil {
		t.Fatal(err)
	}
	e.Broadcast = "another"
	if err := b.decide(within(t, time.Second), &e); err != nil {
		t.Fatal(err)
	}
	w := b.Work(Segment, WorkConfig{})
	over := make(chan string, 1)
	running(t, func(ctx context.Context) error {
		return w.Run(ctx, func(ctx context.Context, c *Claim) error {
			over <- flagsOf(logOf(t, b, id))
			return c.Close(ctx, nil)
		})
	})
	select {
	case got := <-over:
		if got != "bk x" {
			t.Errorf("the log holds %q", got)
		}
	case <-time.After(patience):
		t.Fatal("not claimed")
	}
}
