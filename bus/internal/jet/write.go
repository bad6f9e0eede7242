package jet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Write is one message that must stand right behind another of its subject.
type Write struct {
	Subject string
	Header  Header // optional
	Remove  bool   // a key-value entry's end
	Data    []byte
	After   uint64        // sequence of the subject's last message, 0 for none
	TTL     time.Duration // 0: as long as the stream keeps it
}

// Header is the one header of a message that is not NATS' own.
type Header struct{ Name, Value string }

// Conflict says that another message stands where a write was to stand. Last
// is nil where the subject has no message at all.
type Conflict struct{ Last *jetstream.RawStreamMsg }

func (c *Conflict) Error() string {
	if c.Last == nil {
		return "the message to follow is gone"
	}
	return fmt.Sprintf("another message follows, at sequence %d", c.Last.Sequence)
}

// IgnoreConflict makes nothing of an error that says that somebody else has
// decided first.
func IgnoreConflict(err error) error {
	var c *Conflict
	if errors.As(err, &c) {
		return nil
	}
	return err
}

// Stream is a JetStream stream.
type Stream struct {
	jetstream.Stream
	conn *Conn
}

// kvOperation is the header of NATS key-value entries that are not values.
const kvOperation = "KV-Operation"

// attemptTimeout is how long the first attempt of a write waits for its
// answer, maxAttemptTimeout the later ones: a slow server is not helped by
// impatience, but a stream that has no leader for the moment never answers.
const (
	attemptTimeout    = 500 * time.Millisecond
	maxAttemptTimeout = time.Second
	// tailLost is how long the leader may know less of a subject than we were
	// told before that is believed: a new leader may still be catching up. A
	// server that is alone has nobody to catch up with.
	tailLost = 5 * time.Second
)

// Write writes w exactly once, and returns its sequence. It tries until ctx
// ends, always the same bytes with the same expectation, so that at most one
// attempt is ever stored. "Wrong last sequence" (10071, and 10164 from a
// replicated stream, which also says it of our own attempt in flight) is
// resolved by asking the stream's leader what stands last:
//
//   - nothing newer than expected: our attempt is in flight, wait and retry
//   - w itself: its answer was lost
//   - anything else, or nothing: *Conflict
//
// Any other error means that w may have been stored or not: retry. So does
// ctx's end: the caller must treat w as undecided.
func (s *Stream) Write(ctx context.Context, w Write) (uint64, error) {
	timeout, began := attemptTimeout, time.Now()
	var behind time.Time
	for try := 0; ; try++ {
		seq, err := s.attempt(ctx, w, timeout)
		if err == nil {
			s.conn.heard()
			return seq, nil
		}
		if errors.Is(err, nats.ErrMaxPayload) || errors.Is(err, nats.ErrConnectionClosed) {
			return 0, fmt.Errorf("publish: %w", err)
		}
		if !wrongSequence(err) {
			switch {
			case errors.Is(err, context.DeadlineExceeded):
				timeout = min(2*timeout, maxAttemptTimeout)
				s.conn.revive(began)
				s.conn.leaveSilent(began)
			case errors.Is(err, nats.ErrReconnectBufExceeded):
				try = 0 // not connected: nothing was sent, so look again soon
			}
			if Pause(ctx, try) != nil {
				return 0, fmt.Errorf("publish: %w (last: %w)", context.Cause(ctx), err)
			}
			continue
		}
		if seq, err := s.settle(ctx, w, &behind); seq != 0 || err != nil {
			return seq, err
		}
		if Pause(ctx, 0) != nil {
			return 0, fmt.Errorf("publish: %w", context.Cause(ctx))
		}
	}
}

// settle asks what stands last where w was to be written, and returns its
// sequence if that is w, or 0 if nobody can say yet. behind is since when the
// stream has ended before what w expects.
func (s *Stream) settle(ctx context.Context, w Write, behind *time.Time) (uint64, error) {
	last, err := s.Last(ctx, w.Subject)
	switch {
	case err != nil:
		return 0, err
	case last != nil && last.Sequence > w.After:
		if w.is(last) {
			return last.Sequence, nil
		}
		return 0, &Conflict{last}
	case last == nil && w.After != 0:
		return 0, &Conflict{nil}
	case last != nil && last.Sequence < w.After:
		if behind.IsZero() {
			*behind = time.Now()
		}
		if s.CachedInfo().Config.Replicas <= 1 || time.Since(*behind) > tailLost {
			return 0, &Conflict{last}
		}
	}
	return 0, nil
}

// attempt publishes w once.
func (s *Stream) attempt(ctx context.Context, w Write, timeout time.Duration) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	m := &nats.Msg{Subject: w.Subject, Data: w.Data, Header: make(nats.Header, 3)}
	if w.Header.Name != "" {
		m.Header.Set(w.Header.Name, w.Header.Value)
	}
	if w.Remove {
		m.Header.Set(kvOperation, "DEL")
	}
	opts := []jetstream.PublishOpt{jetstream.WithExpectLastSequencePerSubject(w.After), jetstream.WithRetryAttempts(0)}
	if w.TTL > 0 {
		opts = append(opts, jetstream.WithMsgTTL(w.TTL))
	}
	ack, err := s.conn.js.PublishMsg(ctx, m, opts...)
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

// is tells whether m is w, as an earlier attempt stored it. Every write says
// who made it, in its header or its value, so equal bytes are the same write.
func (w Write) is(m *jetstream.RawStreamMsg) bool {
	return (w.Header.Name == "" || m.Header.Get(w.Header.Name) == w.Header.Value) &&
		(m.Header.Get(kvOperation) != "") == w.Remove &&
		bytes.Equal(m.Data, w.Data)
}

func wrongSequence(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) &&
		(api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}

// Last returns the newest message of a subject as the stream's leader knows
// it, nil if there is none. It asks until ctx ends.
func (s *Stream) Last(ctx context.Context, subject string) (*jetstream.RawStreamMsg, error) {
	for try := 0; ; try++ {
		attempt, cancel := context.WithTimeout(ctx, time.Second)
		m, err := s.GetLastMsgForSubject(attempt, subject)
		cancel()
		switch {
		case err == nil:
			return m, nil
		case errors.Is(err, jetstream.ErrMsgNotFound):
			return nil, nil
		case errors.Is(err, nats.ErrConnectionClosed):
			return nil, fmt.Errorf("read the last message: %w", err)
		}
		if Pause(ctx, try) != nil {
			return nil, fmt.Errorf("read the last message: %w (last: %w)", context.Cause(ctx), err)
		}
	}
}

// Pause waits before the try after try: 20 ms, growing to 320 ms. It returns
// ctx's error if that ends first.
func Pause(ctx context.Context, try int) error {
	return Sleep(ctx, 20*time.Millisecond<<min(try, 4))
}

// Sleep waits for d. It returns ctx's error if that ends first.
func Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// Queue adds a message to a stream once: others with its id are dropped for as
// long as the stream remembers that. It tries until ctx ends.
func (c *Conn) Queue(ctx context.Context, subject, id string, data []byte) error {
	for try := 0; ; try++ {
		attempt, cancel := context.WithTimeout(ctx, maxAttemptTimeout)
		_, err := c.js.Publish(attempt, subject, data, jetstream.WithMsgID(id), jetstream.WithRetryAttempts(0))
		cancel()
		if err == nil || errors.Is(err, nats.ErrMaxPayload) || errors.Is(err, nats.ErrConnectionClosed) {
			return err
		}
		if Pause(ctx, try) != nil {
			return fmt.Errorf("%w (last: %w)", context.Cause(ctx), err)
		}
	}
}
