package bus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"weir/media/framelog"
)

// write is one message that must stand right behind another of its subject.
type write struct {
	stream  jetstream.Stream
	subject string
	header  string // Weir-Batch; empty for a key-value entry
	remove  bool   // a key-value entry's end
	data    []byte
	after   uint64        // sequence of the subject's last message, 0 for none
	ttl     time.Duration // 0: as long as the stream keeps it
}

// conflict says that another message stands where a write was to stand. last
// is nil where the subject has no message at all.
type conflict struct{ last *jetstream.RawStreamMsg }

func (c *conflict) Error() string {
	if c.last == nil {
		return "the message to follow is gone"
	}
	return fmt.Sprintf("another message follows, at sequence %d", c.last.Sequence)
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
	// told before that is believed: a new leader may still be catching up.
	tailLost = 5 * time.Second
)

// store writes w exactly once, and returns its sequence. It tries until ctx
// ends, always the same bytes with the same expectation, so that at most one
// attempt is ever stored. "Wrong last sequence" (10071, and 10164 from a
// replicated stream, which also says it of our own attempt in flight) is
// resolved by asking the stream's leader what stands last:
//
//   - nothing newer than expected: our attempt is in flight, wait and retry
//   - w itself: its answer was lost
//   - anything else, or nothing: *conflict
//
// Any other error means that w may have been stored or not: retry. So does
// ctx's end: the caller must treat w as undecided.
func (b *Bus) store(ctx context.Context, w write) (uint64, error) {
	timeout, began := attemptTimeout, time.Now()
	var behind time.Time
	for try := 0; ; try++ {
		seq, err := b.attempt(ctx, w, timeout)
		if err == nil {
			return seq, nil
		}
		if errors.Is(err, nats.ErrMaxPayload) || errors.Is(err, nats.ErrConnectionClosed) {
			return 0, fmt.Errorf("publish: %w", err)
		}
		if !wrongSequence(err) {
			switch {
			case errors.Is(err, context.DeadlineExceeded):
				timeout = min(2*timeout, maxAttemptTimeout)
				b.revive(began)
			case errors.Is(err, nats.ErrReconnectBufExceeded):
				try = 0 // not connected: nothing was sent, so look again soon
			}
			if pause(ctx, try) != nil {
				return 0, fmt.Errorf("publish: %w (last: %w)", context.Cause(ctx), err)
			}
			continue
		}
		last, err := b.last(ctx, w.stream, w.subject)
		switch {
		case err != nil:
			return 0, err
		case last != nil && last.Sequence > w.after:
			if w.is(last) {
				return last.Sequence, nil
			}
			return 0, &conflict{last}
		case last == nil && w.after != 0:
			return 0, &conflict{nil}
		case last != nil && last.Sequence < w.after:
			if behind.IsZero() {
				behind = time.Now()
			} else if time.Since(behind) > tailLost {
				return 0, &conflict{last}
			}
		}
		if pause(ctx, 0) != nil {
			return 0, fmt.Errorf("publish: %w", context.Cause(ctx))
		}
	}
}

// attempt publishes w once.
func (b *Bus) attempt(ctx context.Context, w write, timeout time.Duration) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	m := &nats.Msg{Subject: w.subject, Data: w.data, Header: make(nats.Header, 3)}
	if w.header != "" {
		m.Header.Set(framelog.HeaderName, w.header)
	}
	if w.remove {
		m.Header.Set(kvOperation, "DEL")
	}
	opts := []jetstream.PublishOpt{jetstream.WithExpectLastSequencePerSubject(w.after), jetstream.WithRetryAttempts(0)}
	if w.ttl > 0 {
		opts = append(opts, jetstream.WithMsgTTL(w.ttl))
	}
	ack, err := b.js.PublishMsg(ctx, m, opts...)
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

// is tells whether m is w, as an earlier attempt stored it. Every write says
// who made it, in its header or its value, so equal bytes are the same write.
func (w write) is(m *jetstream.RawStreamMsg) bool {
	return m.Header.Get(framelog.HeaderName) == w.header &&
		(m.Header.Get(kvOperation) != "") == w.remove &&
		bytes.Equal(m.Data, w.data)
}

func wrongSequence(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) &&
		(api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}

// last returns the newest message of a subject as the stream's leader knows
// it, nil if there is none. It asks until ctx ends.
func (b *Bus) last(ctx context.Context, stream jetstream.Stream, subject string) (*jetstream.RawStreamMsg, error) {
	for try := 0; ; try++ {
		attempt, cancel := context.WithTimeout(ctx, time.Second)
		m, err := stream.GetLastMsgForSubject(attempt, subject)
		cancel()
		switch {
		case err == nil:
			return m, nil
		case errors.Is(err, jetstream.ErrMsgNotFound):
			return nil, nil
		case errors.Is(err, nats.ErrConnectionClosed):
			return nil, fmt.Errorf("read the last message: %w", err)
		}
		if pause(ctx, try) != nil {
			return nil, fmt.Errorf("read the last message: %w (last: %w)", context.Cause(ctx), err)
		}
	}
}

// pause waits before the try after try: 20 ms, growing to 320 ms. It returns
// ctx's error if that ends first.
func pause(ctx context.Context, try int) error {
	return sleep(ctx, 20*time.Millisecond<<min(try, 4))
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// bucket is a NATS key-value bucket of which every read is the leader's and
// every write a compare-and-set.
type bucket struct {
	bus    *Bus
	stream jetstream.Stream
	prefix string
}

// item is a key as it stands. Value is nil if there is none; the revision is
// then that of the deletion, or 0.
type item struct {
	value []byte
	rev   uint64
}

func itemOf(m *jetstream.RawStreamMsg) item {
	switch {
	case m == nil:
		return item{}
	case tombstone(m.Header):
		return item{rev: m.Sequence}
	}
	return item{m.Data, m.Sequence}
}

// tombstone tells whether a bucket's message says that its key is gone: it was
// deleted, or the server says that its time was up.
func tombstone(h nats.Header) bool {
	return h.Get(kvOperation) != "" || h.Get(jetstream.MarkerReasonHeader) != ""
}

func (k *bucket) get(ctx context.Context, key string) (item, error) {
	m, err := k.bus.last(ctx, k.stream, k.prefix+key)
	return itemOf(m), err
}

// put sets key if its revision is rev (0: if there is none). It returns the
// new revision, or *conflict.
func (k *bucket) put(ctx context.Context, key string, value []byte, rev uint64, ttl time.Duration) (uint64, error) {
	return k.bus.store(ctx, write{stream: k.stream, subject: k.prefix + key, data: value, after: rev, ttl: ttl})
}

// remove deletes key if its revision is rev.
func (k *bucket) remove(ctx context.Context, key string, rev uint64) error {
	_, err := k.bus.store(ctx, write{stream: k.stream, subject: k.prefix + key, remove: true, after: rev, ttl: markerTTL})
	return err
}

// clear forgets all keys.
func (k *bucket) clear(ctx context.Context) error {
	if err := k.stream.Purge(ctx); err != nil {
		return fmt.Errorf("clear bucket: %w", err)
	}
	return nil
}
