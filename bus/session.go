package bus

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"weir/media"
	"weir/media/framelog"
)

// Conflict says what happens when somebody publishes a stream that is live.
type Conflict int

const (
	// Takeover fences the session that was there: the newcomer has proven that
	// it may publish.
	Takeover Conflict = iota
	// Reject refuses the newcomer with ErrBusy, unless the node of the session
	// that is there does not answer any more.
	Reject
)

const (
	// partBytes is the largest payload of one message: a default NATS server
	// takes 1 MB. Larger batches are split.
	partBytes = 512 << 10
	// maxBatch is the largest batch.
	maxBatch = 32 << 20
)

// Session publishes one session of a broadcast. One goroutine at a time may
// call Append and End.
type Session struct {
	bus       *Bus
	stream    media.Stream
	broadcast string
	epoch     uint64
	id        string

	subject string
	shard   jetstream.Stream

	last    uint64 // sequence of the newest message of the subject, as far as we know
	lastKey uint64 // where a reader may join
	number  uint64 // of our newest message
	// undecided is set when a message was not known to be stored before ctx
	// ended: what follows it must not take its number.
	undecided bool

	registered bool // its broadcast and epoch are set; guarded by bus.mu
	kicked     chan struct{}
	kick       sync.Once
}

// OpenSession registers a session of stream s that begins at now: the first of
// a new broadcast, or the next of one that is live or waiting. A session that
// was there is fenced before it returns. It tries until ctx ends.
func (b *Bus) OpenSession(ctx context.Context, s media.Stream, now time.Time, c Conflict) (*Session, error) {
	if err := b.hold(ctx); err != nil {
		return nil, fmt.Errorf("open session: %w", err)
	}
	x := &Session{bus: b, stream: s, id: randomID(10), kicked: make(chan struct{})}
	b.enroll(x) // before the registry names it: Supervise looks for it here
	before, err := x.register(ctx, now, c)
	if err == nil {
		x.subject, x.shard = b.topic(x.broadcast, Source)
		err = x.prepare(ctx, before)
	}
	if err != nil {
		b.dismiss(x) // Supervise finds what we leave in the registry
		return nil, fmt.Errorf("open session: %w", err)
	}
	return x, nil
}

// register makes the registry name this session, and returns the entry that
// was there before.
func (s *Session) register(ctx context.Context, now time.Time, c Conflict) (Entry, error) {
	var random [10]byte
	_, _ = rand.Read(random[:]) // never fails, see crypto/rand
	for {
		before, err := s.bus.Entry(ctx, s.stream)
		if err != nil {
			return Entry{}, err
		}
		e := before
		switch {
		case e.Broadcast == "" || e.State == Ended:
			e.Broadcast, e.Epoch = media.BroadcastID(now, random), 1
		case c == Reject && e.State == Live && s.bus.ping(ctx, nodePrefix+e.Node) == nil:
			return Entry{}, ErrBusy
		default:
			e.Epoch++
		}
		e.Session, e.Node, e.State, e.Since = s.id, s.bus.node, Live, now.UTC()
		err = s.bus.decide(ctx, &e)
		if err == nil {
			s.bus.mu.Lock()
			defer s.bus.mu.Unlock()
			s.broadcast, s.epoch, s.registered = e.Broadcast, e.Epoch, true
			return before, nil
		}
		if ignoreConflict(err) != nil {
			return Entry{}, err
		}
	}
}

// prepare does what must be done before the session's first batch: a new
// broadcast becomes claimable, and has a name in its own right even if the
// registry goes on to the next; a session that was there is fenced.
func (s *Session) prepare(ctx context.Context, before Entry) error {
	if before.Broadcast != s.broadcast {
		if err := s.bus.Repair(ctx, before); err != nil { // the last chance to
			return err
		}
	}
	if err := s.bus.announce(ctx, s.stream, s.broadcast); err != nil {
		return err
	}
	if s.epoch == 1 {
		return nil
	}
	if before.State == Live {
		s.bus.tellKick(before) // its connection may hang without ever writing again
	}
	return s.fence(ctx)
}

// fence writes the session's message 0 behind whatever older sessions wrote.
func (s *Session) fence(ctx context.Context) error {
	for {
		last, err := s.bus.last(ctx, s.shard, s.subject)
		if err != nil {
			return err
		}
		s.last, s.lastKey = 0, 0
		if last != nil {
			h, err := framelog.ParseHeader(last.Header.Get(framelog.HeaderName))
			if h.Epoch >= s.epoch || errors.Is(err, framelog.ErrVersion) {
				return ErrFenced // by a newer session, or declared lost already
			}
			s.last, s.lastKey = last.Sequence, joinAt(h, last.Sequence)
		}
		h := framelog.Header{Session: s.id, Epoch: s.epoch, Flags: framelog.Fence, LastKey: s.lastKey}
		seq, err := s.bus.store(ctx, write{stream: s.shard, subject: s.subject, header: h.String(), after: s.last})
		if err == nil {
			s.last = seq
			return nil
		}
		if ignoreConflict(err) != nil {
			return err
		}
	}
}

// Broadcast is the id of the broadcast that the session is part of.
func (s *Session) Broadcast() string { return s.broadcast }

// Epoch is the session's place among the broadcast's, from 1.
func (s *Session) Epoch() uint64 { return s.epoch }

// ID names the session.
func (s *Session) ID() string { return s.id }

// Kicked is closed when somebody asks for the session's end: an operator, or
// the node of a session that has taken over. Whoever publishes the session
// should end it.
func (s *Session) Kicked() <-chan struct{} { return s.kicked }

// Append stores b in the log exactly once. It fills b's Session, Epoch,
// Number, LastKey and Seq; what the batch is (Flags, Prelude, Wall) is the
// caller's to say. It blocks until the batch is stored or ctx ends, after
// which the batch is undecided and the session can only be ended.
// ErrFenced: a newer session has taken over, or this one was declared lost.
func (s *Session) Append(ctx context.Context, b *framelog.Batch) error {
	if s.undecided {
		return errors.New("append: an earlier batch is undecided")
	}
	if len(b.Tags) > maxBatch {
		return fmt.Errorf("append: a batch of %d bytes, the most is %d", len(b.Tags), maxBatch)
	}
	if err := s.bus.waitForRoom(ctx); err != nil {
		return fmt.Errorf("append: %w", err) // decided: nothing was sent
	}
	part := max(1, min(partBytes, int(s.bus.nc.MaxPayload())-4<<10)) // less its header
	h, rest := b.Header, b.Tags
	for first := true; first || len(rest) > 0; first = false {
		n := min(part, len(rest))
		if len(rest) > n {
			h.Flags |= framelog.More
		} else {
			h.Flags &^= framelog.More
		}
		if err := s.put(ctx, &h, rest[:n]); err != nil {
			return fmt.Errorf("append: %w", err)
		}
		if first {
			b.Header, b.First = h, s.last
			b.Flags &^= framelog.More
		}
		rest = rest[n:]
		h.Flags, h.Prelude = 0, 0
	}
	b.Seq = s.last
	return nil
}

// put stores one message behind the session's last, and fills in the header's
// Session, Epoch, Number and LastKey.
func (s *Session) put(ctx context.Context, h *framelog.Header, data []byte) error {
	h.Session, h.Epoch = s.id, s.epoch
	for {
		h.Number, h.LastKey = s.number+1, s.lastKey
		seq, err := s.bus.store(ctx, write{stream: s.shard, subject: s.subject, header: h.String(), data: data, after: s.last})
		if err == nil {
			s.last, s.lastKey, s.number = seq, joinAt(*h, seq), h.Number
			return nil
		}
		var c *conflict
		if !errors.As(err, &c) {
			s.undecided = true
			return err
		}
		if err := s.resolve(c); err != nil {
			return err
		}
	}
}

// resolve looks at what stands where our message was to stand: nil means try
// again behind it.
func (s *Session) resolve(c *conflict) error {
	if c.last == nil { // all of the subject has aged out
		s.last = 0
		return nil
	}
	_, err := framelog.ParseHeader(c.last.Header.Get(framelog.HeaderName))
	switch {
	case errors.Is(err, framelog.ErrVersion):
		return ErrFenced // only a newer release's session writes so
	case err != nil:
		// Not ours, nor any session's: readers skip it, and so do we.
		s.last = c.last.Sequence
		return nil
	case c.last.Sequence < s.last:
		s.bus.log.Error("the log has lost its tail", "broadcast", s.broadcast, "had", s.last, "has", c.last.Sequence)
		s.last = c.last.Sequence
		return nil
	}
	return ErrFenced
}

// End ends the session. Clean: so does the broadcast. Otherwise the connection
// was lost, and the reconnect window opens. The registry decides, then the log
// is told. ErrFenced: somebody else has decided, nothing was written.
func (s *Session) End(ctx context.Context, clean bool) error {
	defer s.bus.dismiss(s)
	e, err := s.bus.Entry(ctx, s.stream)
	if err != nil {
		return fmt.Errorf("end session: %w", err)
	}
	for {
		if e.Broadcast != s.broadcast || e.Session != s.id || e.State == Ended {
			return fmt.Errorf("end session: %w", ErrFenced)
		}
		if e.State == Waiting && !clean {
			break // we were declared lost, which is all we had to say
		}
		e.State, e.Since = Waiting, time.Now().UTC()
		if clean {
			e.State = Ended
		}
		if err = s.bus.decide(ctx, &e); err == nil {
			break
		}
		if ignoreConflict(err) != nil {
			return fmt.Errorf("end session: %w", err)
		}
		if e, err = s.bus.Entry(ctx, s.stream); err != nil {
			return fmt.Errorf("end session: %w", err)
		}
	}
	return s.bus.Repair(ctx, e)
}
