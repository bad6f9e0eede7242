package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"weir/bus/internal/jet"
)

// WorkConfig says what a worker takes.
type WorkConfig struct {
	// Capacity is how many broadcasts the worker owns at most (default 100).
	Capacity int
	// Formats of State that the worker reads, and writes where a broadcast has
	// them; one that begins gets the last. It never claims another (default: 1).
	Formats []int
	// Lease is how long the worker may be frozen before others take over what
	// it owns (default 3 s, whole seconds).
	Lease time.Duration
	// Stall is how long a worker that answers may make no commit while the log
	// of a broadcast grows, before others take that over: three target
	// durations (default 36 s).
	Stall time.Duration
	// Idle is for how long nothing may come on a broadcast's log before the
	// worker sets it aside for another that waits, when it owns as many as it may
	// (default 5 s).
	Idle time.Duration
}

// outrun is how long the watch may be behind what we have written ourselves. An
// older revision that comes later says that NATS went back.
const outrun = 5 * time.Second

// claimSpread is how long a fully loaded worker leaves an unowned broadcast to
// others; one that is idle takes it at once.
const claimSpread = 100 * time.Millisecond

// Worker claims broadcasts for one kind of work and hands them to a function.
// Any number of workers may share a Bus.
type Worker struct {
	bus    *Bus
	kind   Kind
	id     string // in leases and claims
	claims *jet.Bucket
	cfg    WorkConfig
	log    *slog.Logger
	wake   chan struct{}
	// claimNumber is its newest claim's.
	claimNumber atomic.Uint64

	mu      sync.Mutex
	keys    map[string]*stateView
	owned   map[string]bool         // being claimed, or running
	running map[string]*claimAtWork // of those
	taken   WorkerStats
	// toldFull is when the worker last said that it has no room.
	toldFull time.Time
}

// claimAtWork is a claim whose handler runs.
type claimAtWork struct {
	claim *Claim
	leave context.CancelCauseFunc
	began time.Time
	// leaving: it is being set aside. tail is where its log ends then.
	leaving bool
	tail    uint64
	stays   time.Time // until when it is not, as it had to do when asked last
}

// stateView is what the worker knows of a state entry.
type stateView struct {
	stateHead
	rev     uint64
	changed time.Time // when we learned of it
	free    time.Time // since when it is to be had; zero while it is not
	stale   time.Time // until when we wait to be told what a claim ran into
	retry   time.Time // until when we leave it to others, as our handler failed
	fails   int       // of our handler, in a row
	stuck   bool      // its owner does not commit though its log grows
	tail    uint64    // of its log, when last looked at
	aside   uint64    // the end of its log when it was set aside; 0: it was not, or there is more
}

// WorkerStats counts what a worker has done, and has.
type WorkerStats struct {
	Owned, Capacity int
	// Unowned broadcasts, now, of all that could be claimed.
	Unowned int
	// Claims in all; Takeovers of them from a dead or stuck owner; Lost to
	// another worker.
	Claims, Takeovers, Lost uint64
}

// Work makes a worker of one kind.
func (b *Bus) Work(k Kind, cfg WorkConfig) *Worker {
	if cfg.Capacity == 0 {
		cfg.Capacity = DefaultCapacity
	}
	if len(cfg.Formats) == 0 {
		cfg.Formats = []int{1}
	}
	if cfg.Lease == 0 {
		cfg.Lease = 3 * time.Second
	}
	if cfg.Stall == 0 {
		cfg.Stall = 36 * time.Second
	}
	if cfg.Idle == 0 {
		cfg.Idle = 5 * time.Second
	}
	w := &Worker{
		bus: b, kind: k, id: b.workerID(), claims: k.bucket(b), cfg: cfg, log: b.log,
		wake:    make(chan struct{}, 1),
		keys:    make(map[string]*stateView),
		owned:   make(map[string]bool),
		running: make(map[string]*claimAtWork),
	}
	b.roster.tell(w.stir)
	return w
}

// workerID names the node's next worker. The first has the node's own name.
func (b *Bus) workerID() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.workers++; b.workers == 1 {
		return b.node
	}
	return fmt.Sprintf("%s-%d", b.node, b.workers)
}

// ID is the name of the worker in leases and claims.
func (w *Worker) ID() string { return w.id }

// format is the one of State that the worker writes where head is: what has
// begun goes on in its format, so that a worker of the release that began it
// can take it back.
func (w *Worker) format(head stateHead) int {
	if head.Format != 0 {
		return head.Format
	}
	return w.cfg.Formats[len(w.cfg.Formats)-1]
}

// Run claims what nobody owns, or whose owner is dead or stuck, as far as the
// capacity goes, and calls handle with each claim, each in its own goroutine.
// What handle returns says what becomes of the claim:
//
//   - ErrNotOwner: another worker has it; nothing is touched
//   - anything else: if the claim is not closed it is released, for others to
//     take at once, and for this worker to take later
//
// When ctx ends Run waits for the handlers, whose contexts end with it,
// releases their claims, gives its lease back and returns nil.
func (w *Worker) Run(ctx context.Context, handle func(ctx context.Context, c *Claim) error) error {
	leave, err := w.bus.answerPings(workerPrefix + w.id)
	if err != nil {
		return fmt.Errorf("run worker: %w", err)
	}
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	held := make(chan struct{})
	var once sync.Once
	l := lease{bus: w.bus, key: workerPrefix + w.id, ttl: w.cfg.Lease, load: w.load}
	work, stop := context.WithCancel(ctx)
	failed := make(chan error, 1)
	var parts, handlers sync.WaitGroup
	parts.Go(func() { l.run(life, func() { once.Do(func() { close(held) }) }) })
	parts.Go(func() { failed <- w.watch(life) })
	parts.Go(func() { w.bus.roster.probe(life, l.key) })
	parts.Go(func() { w.watchStalls(life) })
	parts.Go(func() { w.watchAside(life) })

	select {
	case <-held:
		err = w.schedule(work, &handlers, handle, failed)
	case err = <-failed:
	case <-ctx.Done():
	}
	stop()
	handlers.Wait()
	end()
	parts.Wait()
	leave()
	if err != nil {
		return fmt.Errorf("run worker: %w", err)
	}
	return nil
}

// Stats returns the worker's figures.
func (w *Worker) Stats() WorkerStats {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.taken
	s.Owned, s.Capacity = len(w.owned), w.cfg.Capacity
	for key, v := range w.keys {
		if !v.Closed && v.Owner == "" && !w.owned[key] {
			s.Unowned++
		}
	}
	return s
}

func (w *Worker) load() Load {
	w.mu.Lock()
	defer w.mu.Unlock()
	return Load{Running: len(w.owned), Capacity: w.cfg.Capacity, Kind: w.kind}
}

// stir makes schedule look again.
func (w *Worker) stir() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// watch follows the heads of the state entries: their States are their
// owners'.
func (w *Worker) watch(ctx context.Context) error {
	return w.claims.Watch(ctx, jet.Watcher{Prefix: w.kind.prefix(), Headers: true, Change: func(c jet.Change) error {
		if c.Gone {
			w.forget(ctx, c.Key)
			return nil
		}
		head, err := headOf(ctx, w.claims, c)
		if err != nil {
			w.log.Warn("state entry skipped", "key", c.Key, "err", err)
			return nil
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.learn(c.Key, head, c.Rev)
		return nil
	}})
}

// forget takes note that an entry has gone. If we run it, its claim finds out
// why: NATS may have lost it.
func (w *Worker) forget(ctx context.Context, key string) {
	w.mu.Lock()
	delete(w.keys, key)
	r := w.running[key]
	w.mu.Unlock()
	if r != nil {
		w.refresh(ctx, r)
	}
}

// refresh saves a claim again, beside. One that is not ours any more is left.
func (w *Worker) refresh(ctx context.Context, r *claimAtWork) {
	w.bus.background(func(life context.Context) {
		life, cancel := context.WithTimeout(life, errandMost)
		defer cancel()
		defer context.AfterFunc(ctx, cancel)()
		if err := r.claim.refresh(life); errors.Is(err, ErrNotOwner) {
			r.leave(ErrNotOwner)
		}
	})
}

// learn takes note of an entry. w.mu is held. An owner whose entry names
// another is told to leave: two would do the same work.
func (w *Worker) learn(key string, head stateHead, rev uint64) {
	v := w.keys[key]
	if v == nil {
		v = &stateView{}
		w.keys[key] = v
	}
	if r := w.running[key]; r != nil && head.Owner != w.id && rev > r.claim.claimed {
		r.leave(ErrNotOwner)
	}
	if rev == v.rev || rev < v.rev && time.Since(v.changed) < outrun {
		return // we know it already, from having written it
	}
	v.stateHead, v.rev, v.changed, v.stuck, v.tail = head, rev, time.Now(), false, 0
	v.stale = time.Time{}
	v.aside = 0
	if head.Owner == "" {
		v.aside = head.Aside
	}
	if !w.available(v) {
		v.free = time.Time{}
	} else if !w.owned[key] {
		w.stir()
	}
}

// available tells whether the entry may be ours: it is nobody's, or it names
// us though we do not run it, or its owner makes no commits. w.mu is held.
func (w *Worker) available(v *stateView) bool {
	return v.Owner == "" || v.Owner == w.id || v.stuck
}

// own is the life of one claim.
func (w *Worker) own(ctx context.Context, d decision, handle func(context.Context, *Claim) error) {
	key := d.key
	defer func() {
		w.mu.Lock()
		delete(w.owned, key)
		w.mu.Unlock()
		w.stir()
	}()
	c, err := w.take(ctx, d)
	if err != nil {
		wait := rescan
		if jet.IgnoreConflict(err) != nil && ctx.Err() == nil {
			w.log.Warn("broadcast not claimed", "key", key, "err", err)
			wait = 10 * time.Second
		}
		w.outdated(d.key, d.rev, wait)
		return
	}
	log := w.log.With("stream", c.stream, "broadcast", c.Broadcast(), "rendition", c.Rendition())
	log.Info("broadcast claimed")
	began := time.Now()
	tail, err := w.handle(ctx, c, handle)
	head, rev := c.entry()
	switch {
	case errors.Is(err, ErrNotOwner):
		w.mu.Lock()
		w.taken.Lost++
		w.mu.Unlock()
		w.outdated(key, rev, time.Second)
		log.Info("broadcast lost to another worker")
		return
	case head.Closed:
		w.mu.Lock()
		w.learn(key, head, rev)
		w.mu.Unlock()
		log.Info("broadcast closed")
		return
	case errors.Is(err, errAside):
		log.Info("broadcast set aside", "reason", err)
		err = nil
	case err != nil && ctx.Err() == nil:
		log.Warn("broadcast given back", "err", err)
	default:
		log.Info("broadcast released")
	}
	w.giveBack(ctx, c, tail, err != nil && time.Since(began) < time.Minute)
}

// handle calls the handler, which has to leave when the entry is deleted under
// it, or is set aside: tail is then where its log ends, if all that is on it was
// done.
func (w *Worker) handle(ctx context.Context, c *Claim, handle func(context.Context, *Claim) error) (tail uint64, err error) {
	ctx, leave := context.WithCancelCause(ctx)
	defer leave(nil)
	r := &claimAtWork{claim: c, leave: leave, began: time.Now()}
	w.mu.Lock()
	w.running[c.key] = r
	w.mu.Unlock()
	err = handle(ctx, c)
	cause := context.Cause(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.running, c.key)
	switch {
	case errors.Is(cause, ErrNotOwner):
		return 0, cause
	case errors.Is(cause, errAside) && !errors.Is(err, ErrNotOwner):
		if c.owes() {
			return 0, cause
		}
		return r.tail, cause
	}
	return 0, err
}

// take claims what was decided, and makes sure that the log has an end if the
// broadcast has one.
func (w *Worker) take(ctx context.Context, d decision) (*Claim, error) {
	c, err := w.claim(ctx, d.key, d.rev)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	w.taken.Claims++
	if d.owner != "" && d.owner != w.id {
		w.taken.Takeovers++
	}
	w.mu.Unlock()
	if err := w.bus.settle(ctx, c.stream, c.Broadcast(), c.Rendition()); err != nil && ctx.Err() == nil {
		w.log.Warn("log not settled", "broadcast", c.Broadcast(), "err", err)
	}
	return c, nil
}

// giveBack releases a claim though ctx may have ended, set aside where its log
// ends, if that is not 0. A broadcast that our handler fails on is left to others
// for longer each time.
func (w *Worker) giveBack(ctx context.Context, c *Claim, aside uint64, again bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := c.release(ctx, aside); err != nil {
		w.log.Warn("claim left to be taken over", "broadcast", c.Broadcast(), "err", err)
	}
	head, rev := c.entry()
	w.mu.Lock()
	defer w.mu.Unlock()
	v := w.keys[c.key]
	if v == nil {
		return
	}
	w.learn(c.key, head, rev)
	if v.fails++; !again {
		v.fails = 0
	}
	v.retry = time.Now().Add(min(time.Second<<min(v.fails, 5), 30*time.Second))
}

// outdated waits for news of an entry of which no more is known than rev, for
// d at most.
func (w *Worker) outdated(key string, rev uint64, d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if v := w.keys[key]; v != nil && v.rev <= rev {
		v.stale = time.Now().Add(d)
	}
}
