package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"weir/bus/internal/jet"
	"weir/media"
)

// Claim is a rendition of a broadcast that a worker owns for its kind of work,
// until somebody else does. One goroutine at a time may use it.
type Claim struct {
	worker *Worker
	key    string
	stream media.Stream
	head   stateHead
	state  []byte
	rev    uint64
}

// Broadcast is the id of the broadcast.
func (c *Claim) Broadcast() string { b, _ := c.worker.kind.parse(c.key); return b }

// Rendition is the rendition's name.
func (c *Claim) Rendition() string { _, r := c.worker.kind.parse(c.key); return r }

// Stream is the stream that the broadcast belongs to.
func (c *Claim) Stream() media.Stream { return c.stream }

// State is what the owner before, or Save, saved last; nil if nothing was.
func (c *Claim) State() []byte { return c.state }

// Save is the checkpoint and the fence: it stores state if this worker still
// owns the claim. An answer that was lost is looked up at the leader; Save
// returns only when the state is known to be stored, or ErrNotOwner, or when
// ctx ends. After that, saving the same state again finds out. To save the
// same state now and then shows that the owner lives though it cannot go on.
func (c *Claim) Save(ctx context.Context, state []byte) error {
	return c.write(ctx, false, state)
}

// Close is the last Save. Nobody will claim the broadcast again, and its key
// goes when the log has forgotten it, too.
func (c *Claim) Close(ctx context.Context, state []byte) error {
	return c.write(ctx, true, state)
}

func (c *Claim) write(ctx context.Context, closed bool, state []byte) error {
	head := stateHead{Owner: c.worker.id, Stream: c.stream.String(), Format: c.worker.format(c.head), Closed: closed, Takeovers: c.head.Takeovers}
	value, err := appendState(head, state)
	if err != nil {
		return err
	}
	var ttl time.Duration
	if closed {
		ttl = max(c.worker.bus.retain, time.Second)
	}
	rev, err := c.worker.claims.Put(ctx, c.key, value, c.rev, ttl)
	var other *jet.Conflict
	if errors.As(err, &other) {
		return fmt.Errorf("save state: %w", ErrNotOwner)
	}
	if err != nil {
		return fmt.Errorf("save state: %w", err)
	}
	c.head, c.state, c.rev = head, state, rev
	return nil
}

// claim takes the key at revision rev. It returns *jet.Conflict if the key has
// changed since.
func (w *Worker) claim(ctx context.Context, key string, rev uint64) (*Claim, error) {
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
	head.Owner = w.id
	value, err := appendState(head, state)
	if err != nil {
		return nil, err
	}
	if rev, err = w.claims.Put(ctx, key, value, rev, 0); err != nil {
		return nil, fmt.Errorf("claim: %w", err)
	}
	return &Claim{worker: w, key: key, stream: stream, head: head, state: state, rev: rev}, nil
}

// release gives the claim back, if it is still ours: whoever sees it may take
// it at once. It looks first, as the last Save may be undecided.
func (c *Claim) release(ctx context.Context) error {
	for {
		it, err := c.worker.claims.Get(ctx, c.key)
		if err != nil {
			return fmt.Errorf("release claim: %w", err)
		}
		head, state, err := parseState(it.Value)
		if err != nil || head.Owner != c.worker.id || head.Closed {
			return nil // somebody else's, or nobody's any more
		}
		head.Owner = ""
		value, err := appendState(head, state)
		if err != nil {
			return err
		}
		rev, err := c.worker.claims.Put(ctx, c.key, value, it.Rev, 0)
		if err == nil {
			c.head, c.state, c.rev = head, state, rev
			return nil
		}
		if jet.IgnoreConflict(err) != nil {
			return fmt.Errorf("release claim: %w", err)
		}
	}
}
