package bus

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"weir/bus/internal/jet"
)

// probeEvery is the rhythm of a prober, and the time between the two requests
// that prove a death.
const probeEvery = 100 * time.Millisecond

// roster knows who holds a lease, and finds out about those who do not. There
// is one for a Bus; what it calls a key is a lease's.
//
// Whoever holds one is dead when it is gone, at the leader, and does not answer
// a request, while we have been connected ourselves for more than a second.
// After an outage of NATS all leases are gone, and nobody is dead.
type roster struct {
	bus   *Bus
	begin sync.Once

	mu     sync.Mutex
	leases map[string]uint64 // revision
	dead   map[string]bool
	asking map[string]bool // requests under way
	found  []func()        // called when there may be news; none may block
}

func newRoster(b *Bus) *roster {
	return &roster{bus: b, leases: make(map[string]uint64), dead: make(map[string]bool), asking: make(map[string]bool)}
}

// tell has found called when there may be news, from now until the Bus closes.
// The first call begins to watch the leases.
func (r *roster) tell(found func()) {
	r.mu.Lock()
	r.found = append(r.found, found)
	r.mu.Unlock()
	r.begin.Do(func() { r.bus.background(r.watch) })
}

func (r *roster) watch(ctx context.Context) {
	_ = r.bus.nodes.Watch(ctx, jet.Watcher{Headers: true, Change: func(c jet.Change) error { // ends with the Bus
		r.mu.Lock()
		defer r.mu.Unlock()
		if !c.Gone {
			r.leases[c.Key] = c.Rev
			delete(r.dead, c.Key)
			return nil
		}
		delete(r.leases, c.Key)
		r.news() // not proven yet, but worth a question
		return nil
	}})
}

// news tells all. r.mu is held.
func (r *roster) news() {
	for _, found := range r.found {
		found()
	}
}

// isDead tells whether the holder is proven dead. If it may be, it begins to
// find out, and tells when it has.
func (r *roster) isDead(key string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, held := r.leases[key]; held {
		return false
	}
	if !r.dead[key] && !r.asking[key] && r.bus.conn.Settled() {
		r.ask(key, func(ctx context.Context) { r.examine(ctx, key) })
	}
	return r.dead[key]
}

// ask runs f beside, at most one for each holder. r.mu is held.
func (r *roster) ask(key string, f func(context.Context)) {
	r.asking[key] = true
	r.bus.background(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, errandMost)
		defer cancel()
		f(ctx)
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.asking, key)
		r.news() // or not, but the next question may be asked
	})
}

// examine proves a holder without a lease dead, or is in no hurry to try again.
func (r *roster) examine(ctx context.Context, key string) {
	it, err := r.bus.nodes.Get(ctx, key)
	if err != nil || it.Value != nil || r.bus.ping(ctx, key) == nil || ctx.Err() != nil || !r.bus.conn.Settled() {
		_ = jet.Sleep(ctx, probeEvery) // ends with ctx, as whoever asks does
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, held := r.leases[key]; !held {
		r.dead[key] = true
	}
}

// probe asks the worker next to one's own key whether it is there, until ctx
// ends, and takes the lease of one that is not, which tells everybody. It is
// quicker than the lease by seconds: a process that was killed drops its
// subscription at once. All workers stand in a ring, so that each is asked by
// one: the requests are as many as the workers.
func (r *roster) probe(ctx context.Context, own string) {
	for jet.Sleep(ctx, probeEvery) == nil {
		r.mu.Lock()
		if next := r.next(own); next != "" && !r.asking[next] && r.bus.conn.Settled() {
			rev := r.leases[next]
			r.ask(next, func(ctx context.Context) { r.probeOne(ctx, next, rev) })
		}
		r.mu.Unlock()
	}
}

// next is the worker behind own in the ring, empty where there is no other.
// r.mu is held.
func (r *roster) next(own string) string {
	var keys []string
	for key := range r.leases {
		if strings.HasPrefix(key, workerPrefix) && key != own {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return ""
	}
	slices.Sort(keys)
	i, _ := slices.BinarySearch(keys, own)
	return keys[i%len(keys)]
}

// probeOne asks a worker twice, at least probeEvery apart. One request may hang
// where the process died under it; one that answers neither may be frozen,
// which its lease will tell.
func (r *roster) probeOne(ctx context.Context, key string, rev uint64) {
	began := time.Now()
	if r.bus.ping(ctx, key) == nil || jet.Sleep(ctx, time.Until(began.Add(probeEvery))) != nil {
		return
	}
	if err := r.bus.ping(ctx, key); !errors.Is(err, jet.ErrNoResponders) || !r.bus.conn.Settled() {
		return
	}
	r.bus.log.Info("worker is gone", "worker", strings.TrimPrefix(key, workerPrefix))
	if err := r.bus.nodes.Remove(ctx, key, rev); jet.IgnoreConflict(err) != nil {
		r.bus.log.Debug("lease not taken", "key", key, "err", err)
	}
}
