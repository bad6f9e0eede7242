package bus

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"weir/bus/internal/jet"
)

const (
	// probeEvery is the rhythm of a prober, and the time between the two
	// requests that prove a death.
	probeEvery = 100 * time.Millisecond
	// probeFan is how many of the others a prober asks each time, chosen
	// anew: three of them each, by however many workers, is enough that
	// every one of them is asked about three times.
	probeFan = 3
)

// roster knows which nodes hold a lease of one kind, and finds out about those
// that do not.
//
// A node is dead when its lease is gone, at the leader, and it does not answer
// a request, while we have been connected ourselves for more than a second.
// After an outage of NATS all leases are gone, and nobody is dead.
type roster struct {
	bus    *Bus
	prefix string
	self   string // never asked, empty where that is not one of them
	found  func() // called when there may be news; must not block

	mu       sync.Mutex
	synced   bool
	leases   map[string]uint64 // id → revision
	dead     map[string]bool
	asking   map[string]bool // requests under way
	requests sync.WaitGroup
}

func newRoster(b *Bus, prefix, self string, found func()) *roster {
	return &roster{
		bus: b, prefix: prefix, self: self, found: found,
		leases: make(map[string]uint64),
		dead:   make(map[string]bool),
		asking: make(map[string]bool),
	}
}

// run watches the leases until ctx ends. Whoever ends it waits for r.requests
// when nobody asks any more.
func (r *roster) run(ctx context.Context) error {
	return r.bus.nodes.Watch(ctx, r.prefix, func(c jet.Change) error {
		id := strings.TrimPrefix(c.Key, r.prefix)
		r.mu.Lock()
		defer r.mu.Unlock()
		if c.Value != nil {
			r.leases[id] = c.Rev
			delete(r.dead, id)
			return nil
		}
		delete(r.leases, id)
		r.found() // not proven yet, but worth a question
		return nil
	}, func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.synced = true
		r.found()
		return nil
	})
}

// isDead tells whether the node is proven dead. If it may be, it begins to
// find out, and calls found when it has.
func (r *roster) isDead(ctx context.Context, id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, held := r.leases[id]; held || !r.synced {
		return false
	}
	if !r.dead[id] && !r.asking[id] && r.bus.conn.Settled() {
		r.ask(id, func() { r.examine(ctx, id) })
	}
	return r.dead[id]
}

// ask runs f in a goroutine, at most one for each node. r.mu is held.
func (r *roster) ask(id string, f func()) {
	r.asking[id] = true
	r.requests.Go(func() {
		f()
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.asking, id)
		r.found() // or not, but the next question may be asked
	})
}

// examine proves a node without a lease dead, or is in no hurry to try again.
func (r *roster) examine(ctx context.Context, id string) {
	it, err := r.bus.nodes.Get(ctx, r.prefix+id)
	if err != nil || it.Value != nil || r.bus.ping(ctx, r.prefix+id) == nil || ctx.Err() != nil || !r.bus.conn.Settled() {
		_ = jet.Sleep(ctx, probeEvery) // ends with ctx, as whoever asks does
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, held := r.leases[id]; !held {
		r.dead[id] = true
	}
}

// probe asks the others whether they are there until ctx ends, and takes the
// lease of one that is not, which tells everybody. It is quicker than the
// lease by seconds: a process that was killed drops its subscription at once.
func (r *roster) probe(ctx context.Context) {
	for jet.Sleep(ctx, probeEvery) == nil {
		if !r.bus.conn.Settled() {
			continue
		}
		r.mu.Lock()
		others := make([]string, 0, len(r.leases))
		for id := range r.leases {
			if id != r.self && !r.asking[id] {
				others = append(others, id)
			}
		}
		rand.Shuffle(len(others), func(i, j int) { others[i], others[j] = others[j], others[i] })
		for _, id := range others[:min(probeFan, len(others))] {
			rev := r.leases[id]
			r.ask(id, func() { r.probeOne(ctx, id, rev) })
		}
		r.mu.Unlock()
	}
}

// probeOne asks a node twice, at least probeEvery apart. One request may hang
// where the process died under it; a node that answers neither may be frozen,
// which its lease will tell.
func (r *roster) probeOne(ctx context.Context, id string, rev uint64) {
	began := time.Now()
	if r.bus.ping(ctx, r.prefix+id) == nil || jet.Sleep(ctx, time.Until(began.Add(probeEvery))) != nil {
		return
	}
	if err := r.bus.ping(ctx, r.prefix+id); !errors.Is(err, jet.ErrNoResponders) || !r.bus.conn.Settled() {
		return
	}
	r.bus.log.Info("node is gone", "node", id)
	if err := r.bus.nodes.Remove(ctx, r.prefix+id, rev); jet.IgnoreConflict(err) != nil {
		r.bus.log.Debug("lease not taken", "node", id, "err", err)
	}
}
