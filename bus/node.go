package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"weir/bus/internal/jet"
	"weir/media"
)

// pingTimeout is how long a request to another node waits. A node that was
// killed answers "no responders" in 2 ms, one that is frozen not at all.
const pingTimeout = 200 * time.Millisecond

// pingSubject is where the holder of a lease answers.
func pingSubject(key string) string { return "weir." + key + ".ping" }

// kickSubject is where a node is asked to end a session.
func kickSubject(node string) string { return "weir." + nodePrefix + node + ".kick" }

// answer subscribes to the requests that other nodes make of this one: are you
// there, and end that session.
func (b *Bus) answer() error {
	_, err := b.answerPings(nodePrefix + b.node)
	if err == nil {
		_, err = b.conn.Answer(kickSubject(b.node), b.kicked)
	}
	if err == nil {
		_, err = b.conn.Answer(contestSubject(b.node), b.contested)
	}
	if err == nil {
		err = b.conn.Flush()
	}
	return err
}

func (b *Bus) answerPings(key string) (stop func(), err error) {
	return b.conn.Answer(pingSubject(key), func([]byte) []byte { return nil })
}

// kicked answers a kick with the id of the session it closed, or with nothing.
func (b *Bus) kicked(id []byte) []byte {
	b.mu.Lock()
	s := b.sessions[string(id)]
	b.mu.Unlock()
	if s == nil {
		return nil
	}
	s.kick.Do(func() { close(s.kicked) })
	return id
}

// tellKick kicks e's session without waiting for an answer: it is fenced
// anyhow.
func (b *Bus) tellKick(e Registration) {
	if err := b.conn.Publish(kickSubject(e.Node), []byte(e.Session)); err != nil {
		b.log.Debug("kick not sent", "err", err)
	}
}

// Kick ends what is open of stream s: a live session by its node, which has
// heard when Kick returns; a broadcast that waits for its encoder, or whose end
// is still to be written, at once. ErrNotLive: there is nothing.
func (b *Bus) Kick(ctx context.Context, s media.Stream) error {
	err := b.kickOpen(ctx, s)
	if err != nil {
		return fmt.Errorf("kick %s: %w", s, err)
	}
	return nil
}

func (b *Bus) kickOpen(ctx context.Context, s media.Stream) error {
	e, err := b.Registration(ctx, s)
	if err != nil {
		return err
	}
	switch e.State {
	case Live:
		answer, err := b.conn.Request(ctx, kickSubject(e.Node), []byte(e.Session))
		if errors.Is(err, jet.ErrNoResponders) {
			return b.finish(ctx, e) // its node is gone, or does not know it
		}
		if err != nil {
			return fmt.Errorf("ask node %s: %w", e.Node, err)
		}
		if string(answer) != e.Session {
			return ErrNotLive
		}
		return nil
	case Waiting:
		return b.finish(ctx, e)
	}
	all, err := b.Ownerships(ctx)
	if err != nil {
		return err
	}
	err = ErrNotLive
	for _, o := range all {
		if o.Stream == s && !o.Closed {
			if err = b.settle(ctx, s, o.Broadcast, o.Rendition); err != nil {
				return err
			}
		}
	}
	return err
}

// ping asks whether the holder of a lease is there. jet.ErrNoResponders: it
// is not, or not connected at this moment. context.DeadlineExceeded: no answer
// in time.
func (b *Bus) ping(ctx context.Context, key string) error {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	_, err := b.conn.Request(ctx, pingSubject(key), nil)
	return err
}

func (b *Bus) enroll(s *Session) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sessions[s.id] = s
}

func (b *Bus) dismiss(s *Session) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.sessions, s.id)
}

// runs tells whether this process runs a session.
func (b *Bus) runs(session string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sessions[session] != nil
}

// hold returns when the node holds its lease, which it then renews until
// Close. The first call asks for it.
func (b *Bus) hold(ctx context.Context) error {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return jet.ErrClosed
	}
	if b.holding == nil {
		b.holding = make(chan struct{})
		held, once := b.holding, sync.Once{}
		l := lease{bus: b, key: nodePrefix + b.node, ttl: b.nodeLease, load: b.nodeLoad}
		b.running.Go(func() { l.run(b.alive(), func() { once.Do(func() { close(held) }) }) })
	}
	held := b.holding
	b.mu.Unlock()
	select {
	case <-held:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("take the node's lease: %w", context.Cause(ctx))
	}
}

// nodeLoad is what the node's lease says.
func (b *Bus) nodeLoad() Load {
	b.mu.Lock()
	defer b.mu.Unlock()
	return Load{Running: len(b.sessions)}
}

// The kinds of leases, as prefixes of their keys.
const (
	nodePrefix   = "node."
	workerPrefix = "worker."
)

// Load is what a node says of itself with each renewal of its lease.
type Load struct {
	// Running is how many sessions an ingest publishes, or how many broadcasts
	// a worker owns.
	Running int `json:"running"`
	// Capacity is how many a worker would own; 0 in an ingest's lease.
	Capacity int `json:"capacity,omitempty"`
	// Kind is a worker's; releases before this one had no other than Segment.
	Kind Kind `json:"kind,omitempty"`
}

// lease is a key that its holder renews and that goes away when it does not.
type lease struct {
	bus  *Bus
	key  string
	ttl  time.Duration // whole seconds, at least one: the server counts so
	load func() Load
}

// run takes the lease, renews it until ctx ends, and gives it back. held is
// called after each renewal. KV updates clear a key's time to live, so each
// renewal sets it again.
func (l *lease) run(ctx context.Context, held func()) {
	var rev uint64
	for ctx.Err() == nil {
		value, err := json.Marshal(l.load())
		if err == nil {
			rev, err = l.renew(ctx, value, rev)
		}
		if err == nil {
			held()
		} else if ctx.Err() == nil {
			l.bus.log.Warn("lease not renewed", "key", l.key, "err", err)
			_ = jet.Sleep(ctx, 100*time.Millisecond) // ends with ctx, as the loop does
			continue
		}
		_ = jet.Sleep(ctx, l.ttl/3)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := l.giveBack(ctx, rev); err != nil {
		l.bus.log.Debug("lease left to expire", "key", l.key, "err", err)
	}
}

// giveBack deletes the key at rev, or at the renewal whose answer we did not
// wait for.
func (l *lease) giveBack(ctx context.Context, rev uint64) error {
	for {
		err := l.bus.nodes.Remove(ctx, l.key, rev)
		var c *jet.Conflict
		if !errors.As(err, &c) || c.Item().Value == nil {
			return jet.IgnoreConflict(err)
		}
		rev = c.Last.Sequence
	}
}

// renew sets the key behind rev, or behind whatever took its place: the mark
// of its expiry, or of a prober that found us dead. Nobody else writes a key
// that bears our name.
func (l *lease) renew(ctx context.Context, value []byte, rev uint64) (uint64, error) {
	for {
		now, err := l.bus.nodes.Put(ctx, l.key, value, rev, l.ttl)
		var c *jet.Conflict
		if err == nil || !errors.As(err, &c) {
			return now, err
		}
		if rev != 0 {
			l.bus.log.Warn("lease was lost, taken anew", "key", l.key)
		}
		rev = c.Item().Rev
	}
}
