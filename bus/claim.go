package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"weir/bus/internal/jet"
	"weir/media"
)

// Claim is a rendition of a broadcast that a worker owns for its kind of work,
// until somebody else does. One goroutine at a time may save it.
type Claim struct {
	worker   *Worker
	key      string
	stream   media.Stream
	claimed  uint64 // the revision that made it ours
	progress progress

	mu    sync.Mutex // Save and the worker's refresh
	head  stateHead
	state []byte
	rev   uint64
	born  time.Time // when the bucket was made in which that is
	wrote time.Time // when that was
	read  uint64    // how far the log was read then
	over  bool      // another worker has it, or may: nothing is written ever again
	// restored: it was lost, and written anew, which Save has not told yet.
	restored bool
}

// Broadcast is the id of the broadcast.
func (c *Claim) Broadcast() string { b, _ := c.worker.kind.parse(c.key); return b }

// Rendition is the rendition's name.
func (c *Claim) Rendition() string { _, r := c.worker.kind.parse(c.key); return r }

// Stream is the stream that the broadcast belongs to.
func (c *Claim) Stream() media.Stream { return c.stream }

// State is what the owner before, or Save, saved last; nil if nothing was.
func (c *Claim) State() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// Save is the checkpoint and the fence: it stores state if this worker still
// owns the claim. An answer that was lost is looked up at the leader; Save
// returns only when the state is known to be stored, or ErrNotOwner, or when
// ctx ends. After that, saving the same state again finds out.
//
// Where NATS has lost the claim, or gone back behind it, Save writes it anew:
// whoever packages a broadcast knows best how far it is. It then returns
// ErrRestored, once: another worker may have owned it meanwhile, of which nobody
// knows but the store.
func (c *Claim) Save(ctx context.Context, state []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.write(ctx, false, state)
	if err == nil && c.restored {
		c.restored = false
		return fmt.Errorf("save state: %w", ErrRestored)
	}
	return err
}

// Close is the last Save. Nobody will claim the broadcast again, and its key
// goes when the log has forgotten it, too.
func (c *Claim) Close(ctx context.Context, state []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.write(ctx, true, state)
}

// refresh saves again what was saved last, which shows that the owner lives,
// and that it still is the owner.
func (c *Claim) refresh(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.head.Closed || c.over {
		return nil
	}
	return c.write(ctx, false, c.state)
}

// write saves state. c.mu is held.
func (c *Claim) write(ctx context.Context, closed bool, state []byte) error {
	head := stateHead{Owner: c.worker.id, Stream: c.stream.String(), Format: c.head.Format, Closed: closed, Takeovers: c.head.Takeovers, Claim: c.head.Claim}
	if state != nil {
		head.Format = c.worker.format(c.head)
	}
	var ttl time.Duration
	if closed {
		ttl = max(c.worker.bus.retain, time.Second)
	}
	for !c.over {
		rev, err := putState(ctx, c.worker.claims, c.key, head, state, c.rev, ttl)
		var other *jet.Conflict
		if err == nil {
			c.head, c.state, c.rev, c.wrote = head, state, rev, time.Now()
			c.read = c.progress.to().seq
			return nil
		}
		if !errors.As(err, &other) {
			return fmt.Errorf("save state: %w", err)
		}
		if err := c.contend(ctx, other); err != nil {
			return fmt.Errorf("save state: %w", err)
		}
	}
	return fmt.Errorf("save state: %w", ErrNotOwner)
}

// contend finds out whose the entry is that stands in the place of our revision.
// It is another worker's, and the claim is over; or it is a save of ours of which
// we never heard; or NATS has lost the claim: it went back, or the bucket was made
// anew and nobody has claimed the key there. Then ours is written over it.
func (c *Claim) contend(ctx context.Context, other *jet.Conflict) error {
	born, err := c.worker.claims.Born(ctx)
	if err != nil {
		return err
	}
	it := other.Item()
	var head stateHead
	if it.Value != nil {
		if head, _, err = parseState(it.Value); err != nil {
			return err
		}
	}
	switch {
	case head.Owner == c.worker.id && head.Claim == c.head.Claim && !head.Closed: // ids are never used again
	case head.Owner == c.worker.id && head.Claim > c.head.Claim: // a later one of our own
		c.over = true
		return nil
	case lostClaim(born.Equal(c.born), it.Value != nil, head, it.Rev, c.rev):
		c.worker.log.Error("nats has lost a claim, which is written anew", "broadcast", c.Broadcast(), "rendition", c.Rendition())
		c.restored = true
	default:
		c.over = true
		return nil
	}
	c.rev, c.born = it.Rev, born
	return nil
}

// lostClaim tells whether NATS has lost the claim of revision ours: what stands
// there now is older, or stands in a bucket that was made since, where nobody
// has claimed it. same tells that it is the same bucket, there that it has the
// key.
func lostClaim(same, there bool, head stateHead, rev, ours uint64) bool {
	switch {
	case !there:
		return !same // else it was closed, and has expired
	case head.Closed:
		return false
	case same:
		return rev < ours
	}
	return head.Owner == ""
}

// claim takes the key at revision rev. It returns *jet.Conflict if the key has
// changed since.
func (w *Worker) claim(ctx context.Context, key string, rev uint64) (*Claim, error) {
	born, err := w.claims.Born(ctx)
	if err != nil {
		return nil, fmt.Errorf("claim: %w", err)
	}
	it, err := w.claims.Get(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("claim: %w", err)
	}
	if it.Rev != rev || it.Value == nil {
		return nil, fmt.Errorf("claim: %w", &jet.Conflict{})
	}
	head, state, err := parseState(it.Value)
	if err != nil {
		return nil, fmt.Errorf("claim: %w", err)
	}
	stream, err := parseStream(head.Stream)
	if err != nil {
		return nil, fmt.Errorf("claim: %w", err)
	}
	if head.Owner != "" && head.Owner != w.id {
		head.Takeovers++
	}
	head.Owner, head.Claim, head.Aside = w.id, w.claimNumber.Add(1), 0
	if rev, err = putState(ctx, w.claims, key, head, state, rev, 0); err != nil {
		return nil, fmt.Errorf("claim: %w", err)
	}
	return &Claim{worker: w, key: key, stream: stream, head: head, state: state, claimed: rev, rev: rev, born: born, wrote: time.Now()}, nil
}

// entry is the entry as it was written last.
func (c *Claim) entry() (stateHead, uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.head, c.rev
}

// release gives the claim back, if it is still ours: whoever sees it may take
// it at once, if it is not set aside where its log ends (0: it is not). It looks
// first, as the last Save may be undecided. The claim is over whatever comes of
// it.
func (c *Claim) release(ctx context.Context, aside uint64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	for {
		it, err := c.worker.claims.Get(ctx, c.key)
		if err != nil {
			return fmt.Errorf("release claim: %w", err)
		}
		head, state, err := parseState(it.Value)
		if err != nil || head.Owner != c.worker.id || head.Claim != c.head.Claim || head.Closed {
			return nil // somebody else's, or nobody's any more
		}
		head.Owner, head.Aside = "", aside
		rev, err := putState(ctx, c.worker.claims, c.key, head, state, it.Rev, 0)
		if err == nil {
			c.head, c.state, c.rev = head, state, rev
			return nil
		}
		if jet.IgnoreConflict(err) != nil {
			return fmt.Errorf("release claim: %w", err)
		}
	}
}
