package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"weir/bus/internal/jet"
	"weir/media"
	"weir/media/framelog"
)

// Recover has a broadcast gone on with that the store has without an end, and
// that NATS knows nothing of: it is claimable again, and whoever claims it takes
// up what the store lists. newest tells that it is the last that the store has of
// its stream: where the registry knows no other, its encoder has the reconnect
// window to come back into it; all others get their end. It tells whether anything
// was to be done.
func (b *Bus) Recover(ctx context.Context, s media.Stream, broadcast, rendition string, newest bool) (done bool, err error) {
	it, err := b.state.Get(ctx, Segment.key(broadcast, rendition))
	if err != nil {
		return false, fmt.Errorf("recover broadcast: %w", err)
	}
	if it.Value == nil {
		if _, err := putState(ctx, b.state, Segment.key(broadcast, rendition), stateHead{Stream: s.String()}, nil, it.Rev, 0); err != nil {
			return false, fmt.Errorf("recover broadcast: %w", err)
		}
		done = true
	}
	if !newest {
		return done, nil
	}
	registered, err := b.reregister(ctx, s, broadcast)
	if err != nil {
		return done, fmt.Errorf("recover broadcast: %w", err)
	}
	return done || registered, nil
}

// reregister puts a broadcast into the registry as one that waits for its encoder,
// where nothing is known of the stream.
func (b *Bus) reregister(ctx context.Context, s media.Stream, broadcast string) (bool, error) {
	e, err := b.Registration(ctx, s)
	if err != nil || e.Broadcast != "" {
		return false, err
	}
	e.Broadcast, e.Epoch, e.Session, e.Node = broadcast, 1, "0", b.node
	e.State, e.Since = Waiting, time.Now().UTC()
	subject, stream := b.topic(broadcast, Source)
	last, err := stream.Last(ctx, subject)
	if err != nil {
		return false, err
	}
	if last != nil { // the next session's epoch is above all that readers have seen
		h, err := framelog.ParseHeader(last.Header.Get(framelog.HeaderName))
		if errors.Is(err, framelog.ErrVersion) {
			return false, err
		}
		e.Epoch = max(e.Epoch, h.Epoch)
	}
	err = b.decide(ctx, &e)
	return err == nil, jet.IgnoreConflict(err)
}
