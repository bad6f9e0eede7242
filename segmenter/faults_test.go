package segmenter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"weir/hls"
	"weir/internal/synthetic"
	"weir/media/framelog"
	"weir/media/object"
	"weir/storage"
)

// faults is what lies between workers and what they stand on: requests and
// answers that come late, out of order, twice, or never.
type faults struct {
	t     *testing.T
	store storage.Store
	mu    sync.Mutex
	rng   *rand.Rand
	left  int // requests that something happens to; then to none
	late  sync.WaitGroup
}

func (s *faults) roll(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rng.IntN(n)
}

func (s *faults) upTo(d time.Duration) time.Duration {
	return time.Duration(s.roll(int(d/time.Millisecond)+1)) * time.Millisecond
}

// fate is what happens to a request.
type fate int

const (
	fine       fate = iota
	slow            // takes seconds
	refused         // fails, and does nothing
	unheard         // is done, and fails
	hanging         // has no answer, and may be done later
	fates           // how many there are
	faultEvery = 6  // one request of so many meets one
)

func (s *faults) fate() fate {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left <= 0 || s.rng.IntN(faultEvery) > 0 {
		return fine
	}
	s.left--
	return fate(s.rng.IntN(int(fates)))
}

var errInjected = errors.New("503 Service Unavailable")

// request has do done, or not.
func (s *faults) request(ctx context.Context, do func() error) error {
	f, wait := s.fate(), s.upTo(30*time.Millisecond)
	switch f {
	case slow:
		wait = s.upTo(6 * time.Second)
	case hanging:
		wait = time.Hour
	}
	select {
	case <-time.After(wait):
	case <-ctx.Done():
		if s.roll(2) == 0 { // it is on its way all the same
			s.late.Go(func() {
				time.Sleep(s.upTo(30 * time.Second))
				_ = do() // nobody hears of it
			})
		}
		return ctx.Err()
	}
	if f == refused {
		return errInjected
	}
	err := do()
	if f == unheard {
		return errInjected
	}
	return err
}

// leaderKey is the checkpoint's key at the leader, where everything is known.
type leaderKey struct {
	mu     sync.Mutex
	owner  int // 0: nobody
	claims int
	rev    uint64
	state  []byte
	closed bool
}

// take claims the key, whoever has it.
func (b *leaderKey) take(r *faultyWorker) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.claims++
	b.rev++
	b.owner, r.id, r.rev = b.claims, b.claims, b.rev
	return b.state
}

func (b *leaderKey) release(id int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.owner == id {
		b.owner = 0
	}
}

func (b *leaderKey) free() (free, closed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.owner == 0, b.closed
}

// save is bus.Claim's: by compare-and-set, and a lost answer is recognised.
func (b *leaderKey) save(id int, after uint64, state []byte, closed bool) (uint64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.owner != id:
		return 0, ErrNotOwner
	case b.rev == after:
		b.rev, b.state, b.closed = b.rev+1, state, closed
	case !bytes.Equal(b.state, state):
		return 0, ErrNotOwner
	}
	return b.rev, nil
}

// faultyWorker is one life of a worker. It may be killed, and freeze.
type faultyWorker struct {
	*faults
	leaderKey *leaderKey
	id        int
	rev       uint64 // Save's alone

	killed, back atomic.Bool
	mu           sync.Mutex
	awake        time.Time // frozen until then
	joined       time.Time // cut off from the log until then
	fenced       time.Time // when it was told that it is not the owner
}

var errSunk = fmt.Errorf("%w: killed", ErrNotOwner) // ends Package at once, as a kill would

// do is a request of a life, that must not be begun behind its end.
func (r *faultyWorker) do(ctx context.Context, what string, request func() error) error {
	r.thaw()
	if r.back.Load() {
		r.t.Errorf("life %d: %s after Package had returned", r.id, what)
	}
	r.mu.Lock()
	if !r.fenced.IsZero() && time.Since(r.fenced) > 0 && ctx.Err() == nil {
		r.t.Errorf("life %d: %s %v after another worker was known to own the rendition", r.id, what, time.Since(r.fenced))
	}
	r.mu.Unlock()
	if r.killed.Load() {
		return errSunk
	}
	err := r.request(ctx, request)
	r.thaw()
	if r.killed.Load() {
		return errSunk
	}
	if errors.Is(err, ErrNotOwner) {
		r.mu.Lock()
		r.fenced = time.Now()
		r.mu.Unlock()
	}
	return err
}

// thaw waits until the host goes on.
func (r *faultyWorker) thaw() {
	r.mu.Lock()
	wait := time.Until(r.awake)
	r.mu.Unlock()
	time.Sleep(wait)
}

func (r *faultyWorker) freeze(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.awake = time.Now().Add(d)
}

func (r *faultyWorker) cutOff(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.joined = time.Now().Add(d)
}

// reach fails while the leader of the log cannot be reached.
func (r *faultyWorker) reach() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Now().Before(r.joined) {
		return errInjected
	}
	return nil
}

func (r *faultyWorker) Put(ctx context.Context, o object.Object, c object.Condition) (etag string, err error) {
	o.Body = bytes.Clone(o.Body) // what is on its way does not change
	var answer string
	err = r.do(ctx, "put "+o.Key, func() (err error) {
		answer, err = r.store.Put(context.Background(), o, c)
		return err
	})
	if err != nil {
		return "", err
	}
	return answer, nil
}

func (r *faultyWorker) Get(ctx context.Context, key string) (body []byte, info object.Info, err error) {
	var answer struct {
		body []byte
		info object.Info
	}
	err = r.do(ctx, "get "+key, func() (err error) {
		answer.body, answer.info, err = r.store.Get(context.Background(), key)
		return err
	})
	if err != nil {
		return nil, object.Info{}, err
	}
	return answer.body, answer.info, nil
}

func (r *faultyWorker) Delete(ctx context.Context, key string) error {
	return r.do(ctx, "delete "+key, func() error { return r.store.Delete(context.Background(), key) })
}

func (r *faultyWorker) Save(ctx context.Context, state []byte) error {
	return r.save(ctx, state, false)
}

func (r *faultyWorker) Close(ctx context.Context, state []byte) error {
	return r.save(ctx, state, true)
}

func (r *faultyWorker) save(ctx context.Context, state []byte, closed bool) error {
	if _, err := hls.ParseState(state); err != nil {
		r.t.Errorf("nobody can go on from %s: %v", state, err)
	}
	for after := r.rev; ; {
		attempt, cancel := context.WithTimeout(ctx, 10*time.Second)
		var rev uint64
		err := r.do(attempt, "save", func() (err error) {
			if err := r.reach(); err != nil {
				return err
			}
			rev, err = r.leaderKey.save(r.id, after, state, closed)
			return err
		})
		cancel()
		if err == nil {
			r.rev = rev
		}
		if err == nil || errors.Is(err, ErrNotOwner) || ctx.Err() != nil {
			return err
		}
		select {
		case <-time.After(r.upTo(time.Second)):
		case <-ctx.Done():
		}
	}
}

// forgetful is a log that is written while it is read, and forgets.
type forgetful struct {
	tape
	began  time.Time
	retain time.Duration // 0: for ever
}

func (l forgetful) Read(ctx context.Context, _, _ string, after framelog.Position, fn func(*framelog.Batch, bool) error) error {
	hole, position := false, after.Seq
	for i, b := range l.batches {
		if b.Seq <= after.Seq {
			continue
		}
		at := l.began.Add(time.Duration(i) * 250 * time.Millisecond)
		select {
		case <-time.After(time.Until(at)):
		case <-ctx.Done():
			return ctx.Err()
		}
		// The last one stays: somebody writes it again where it is not seen.
		if l.retain > 0 && time.Since(at) > l.retain && !b.Flags.Has(framelog.Final) {
			hole = true
			continue
		}
		if err := fn(b, hole && b.First != position+1); err != nil {
			return err
		}
		hole, position = false, b.Seq
	}
	<-ctx.Done()
	return ctx.Err()
}

// machines is all that packages a broadcast.
type machines struct {
	*faults
	leaderKey *leaderKey
	log       forgetful
	set       hls.Settings
}

// host is a machine on which one worker after the other lives until the
// broadcast is closed. Of all lives, so many are cut short.
func (c *machines) host(short *atomic.Int32) {
	for {
		time.Sleep(100*time.Millisecond + c.upTo(2*time.Second))
		free, closed := c.leaderKey.free()
		if closed {
			return
		}
		// Now and then somebody alive is taken for dead.
		if !free && (short.Load() <= 0 || c.roll(20) > 0) {
			continue
		}
		c.live(short.Add(-1) >= 0)
	}
}

// live is one life.
func (c *machines) live(short bool) {
	r := &faultyWorker{faults: c.faults, leaderKey: c.leaderKey}
	state := c.leaderKey.take(r)
	ctx, cancel := context.WithCancel(c.t.Context())
	defer cancel()
	var told time.Time
	var end sync.WaitGroup
	over := make(chan struct{})
	if short {
		end.Go(func() {
			select {
			case <-time.After(c.upTo(25 * time.Second)):
			case <-over:
				return
			}
			switch c.roll(4) {
			case 0: // SIGKILL
				r.killed.Store(true)
				cancel()
			case 1: // SIGTERM
				told = time.Now()
				cancel()
			case 2: // SIGSTOP, and SIGCONT
				r.freeze(c.upTo(40 * time.Second))
			case 3: // a broken network; others take it for dead
				r.cutOff(c.upTo(40 * time.Second))
				c.leaderKey.release(r.id)
			}
		})
	}
	worker := &Worker{Source: c.log, Store: storage.Persist(r, quiet), Settings: c.set, Log: quiet, Ahead: NewBudget(1<<20, 8)}
	err := worker.Package(ctx, Job{Stream: alice, Broadcast: broadcast, Rendition: object.Source, State: state, Checkpoint: r})
	r.back.Store(true)
	close(over)
	end.Wait()
	if err != nil && !errors.Is(err, ErrNotOwner) && !errors.Is(err, context.Canceled) {
		c.t.Errorf("life %d ended with %v", r.id, err)
	}
	if !told.IsZero() && time.Since(told) > handover {
		c.t.Errorf("life %d took %v to go, want %v at most", r.id, time.Since(told), handover)
	}
	if !r.killed.Load() && !errors.Is(err, ErrNotOwner) {
		c.leaderKey.release(r.id)
		return
	}
	// Somebody finds out in a while.
	time.Sleep(time.Second)
	c.leaderKey.release(r.id)
}

// observer remembers what playlists said: what they say of a segment never
// changes, they never go back, and name only what is there.
type observer struct {
	t     *testing.T
	store storage.Store
	said  map[int]string // of each segment
	at    map[string]place
}

// place is how far a playlist has come.
type place struct {
	first, end int
	over       bool
	etag       string
}

func newObserver(t *testing.T, s storage.Store) *observer {
	return &observer{t: t, store: s, said: make(map[int]string), at: make(map[string]place)}
}

func (a *observer) look() {
	for _, name := range []string{"live.m3u8", "vod.m3u8"} {
		body, info, err := a.store.Get(a.t.Context(), source00+name)
		before := a.at[name]
		if info.ETag == before.etag && (err == nil || errors.Is(err, object.ErrNotExist)) {
			continue
		}
		if err != nil {
			a.t.Error(err)
			return
		}
		now := a.read(name, string(body))
		now.etag = info.ETag
		if now.first < before.first || now.end < before.end || before.over && !now.over {
			a.t.Errorf("%s went back from %+v to %+v", name, before, now)
		}
		a.at[name] = now
	}
}

// entryTags are the tags that belong to a segment.
var entryTags = []string{"#EXTINF", "#EXT-X-PROGRAM-DATE-TIME", "#EXT-X-DISCONTINUITY", "#EXT-X-GAP"}

func (a *observer) read(name, list string) (p place) {
	var says []string
	for line := range strings.SplitSeq(list, "\n") {
		if n, _ := fmt.Sscanf(line, "#EXT-X-MEDIA-SEQUENCE:%d", &p.first); n == 1 {
			p.end = p.first
		}
		p.over = p.over || line == "#EXT-X-ENDLIST"
		tag, _, _ := strings.Cut(line, ":")
		if slices.Contains(entryTags, tag) {
			says = append(says, line)
		}
		if line == "" || line[0] == '#' {
			continue
		}
		if _, err := a.store.Stat(a.t.Context(), source00+line); err != nil && !slices.Contains(says, "#EXT-X-GAP") {
			a.t.Errorf("%s: %v", name, err)
		}
		now := strings.Join(append(says, line), " ")
		if before, known := a.said[p.end]; known && before != now {
			a.t.Errorf("%s says of segment %d %q, it was %q", name, p.end, now, before)
		}
		a.said[p.end], says = now, nil
		p.end++
	}
	return p
}

// packageUnderFaults packages a broadcast while faults happen, and returns what is left of it.
func packageUnderFaults(t *testing.T, rec *synthetic.Log, set hls.Settings, retain time.Duration, seed uint64, look func(storage.Store) func()) map[string]string {
	s := &faults{t: t, store: storage.NewMemory(), rng: rand.New(rand.NewPCG(seed, 1)), left: 150}
	c := &machines{faults: s, leaderKey: new(leaderKey), log: forgetful{tape{rec.Batches}, time.Now(), retain}, set: set}
	watch := look(s.store)
	var short atomic.Int32
	short.Store(12)
	var hosts sync.WaitGroup
	for range 3 {
		hosts.Go(func() { c.host(&short) })
	}
	for began := time.Now(); ; time.Sleep(200 * time.Millisecond) {
		watch()
		if _, closed := c.leaderKey.free(); closed {
			break
		}
		if time.Since(began) > time.Hour {
			t.Fatal("the broadcast has no end")
		}
	}
	hosts.Wait()
	s.late.Wait()
	watch()
	return contents(t, s.store)
}

// Whatever happens to requests, and with workers that are killed, frozen, told to go, and taken
// for dead, what is left is what one worker leaves that nothing happens to; and
// at every moment the playlists are right.
func TestInjectedFaults(t *testing.T) {
	t.Parallel()
	rec := new(synthetic.Log)
	for i, seconds := range []float64{30, 65} {
		s := synthetic.New(seconds)
		s.PictureLen, s.GOP, s.FPS, s.Seed = 30, 1, 5, uint64(i)
		rec.Session(t, s.Tags(), framelog.End|framelog.Lost)
	}
	rec.Add(&framelog.Batch{Header: framelog.Header{Flags: framelog.Final}})
	set := hls.Settings{Segment: time.Second, Window: 4 * time.Second}
	undisturbed := storage.NewMemory()
	if err := life(t, new(key), undisturbed, rec, set, anyStep); err != nil {
		t.Fatal(err)
	}
	want := contents(t, undisturbed)
	for seed := range uint64(4) {
		synctest.Test(t, func(t *testing.T) {
			got := packageUnderFaults(t, rec, set, 0, seed, func(s storage.Store) func() {
				return newObserver(t, s).look
			})
			if !maps.Equal(got, want) {
				t.Errorf("seed %d:", seed)
				sameObjects(t, got, want)
			}
		})
	}
}

// The same with a log that forgets before it is read: what is left conforms.
func TestInjectedFaultsWithHoles(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		rec := new(synthetic.Log)
		for i := range 2 {
			s := synthetic.New(45)
			s.PictureLen, s.GOP, s.FPS, s.Seed = 30, 1, 5, uint64(i)
			switch (seed + uint64(i)) % 4 {
			case 0:
				s.Audio = false
			case 1:
				s.ChangeAt, s.ChangeTo = 20, synthetic.AVC360
			case 2:
				s.Video = false
			}
			rec.Session(t, s.Tags(), []framelog.Flags{0, framelog.Final}[i])
		}
		synctest.Test(t, func(t *testing.T) {
			set := hls.Settings{Segment: time.Second, Window: 10 * time.Second}
			objects := packageUnderFaults(t, rec, set, 4*time.Second, seed, func(s storage.Store) func() {
				return newObserver(t, s).look
			})
			// A session of sound alone holds the last picture of the one before it, as
			// long as the log has that: here it forgets it, and the segments list
			// sound only, between discontinuities. hls.js and Shaka go on.
			conforms(t, objects, "SEG-TRACK-SET")
		})
	}
}

// The same with retention: nothing goes that a player may ask for.
func TestInjectedFaultsWithRetention(t *testing.T) {
	t.Parallel()
	rec := new(synthetic.Log)
	s := synthetic.New(220)
	s.PictureLen, s.GOP, s.FPS, s.Audio = 20, 1, 2, false
	rec.Session(t, s.Tags(), framelog.Final)
	set := hls.Settings{Segment: time.Second, Window: 4 * time.Second, Forget: true}
	for seed := range uint64(2) {
		synctest.Test(t, func(t *testing.T) {
			var watch *keeper
			packageUnderFaults(t, rec, set, 0, seed, func(s storage.Store) func() {
				watch = newKeeper(t, s)
				return watch.look
			})
			if left := watch.segments(); left >= 220 {
				t.Errorf("seed %d: all of the %d segments are left", seed, left)
			}
		})
	}
}
