package bus

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"

	"weir/bus/internal/jet"
	"weir/media/framelog"
)

const (
	// partBytes is the largest payload of one message: a default NATS server
	// takes 1 MB. Larger batches are split.
	partBytes = 512 << 10
	// maxBatch is the largest batch.
	maxBatch = 32 << 20
)

// Writer publishes a rendition of a session's broadcast. One goroutine at a
// time may call Append.
type Writer struct {
	session   *Session
	rendition string
	subject   string
	shard     *jet.Stream

	last    uint64 // sequence of the newest message of the subject, as far as we know
	lastKey uint64 // where a reader may join
	number  uint64 // of our newest message
	// undecided is set when a message was not known to be stored before ctx
	// ended: what follows it must not take its number.
	undecided bool
}

func (s *Session) writer(rendition string) *Writer {
	w := &Writer{session: s, rendition: rendition}
	w.subject, w.shard = s.bus.topic(s.broadcast, rendition)
	return w
}

// renditions are the names of the writers.
func (s *Session) renditions() (names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.writers))
}

// renditionName is one token of a subject, and of an object's key.
var renditionName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// Writer returns the session's writer of another rendition than the source. The registry names the rendition from now on, so that whoever
// ends the session or the broadcast ends it there, too; it is claimable as the
// source is. It tries until ctx ends; ErrFenced as Append.
func (s *Session) Writer(ctx context.Context, rendition string) (*Writer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.writers[rendition]; w != nil {
		return w, nil
	}
	if !renditionName.MatchString(rendition) {
		return nil, fmt.Errorf("open writer: rendition %q: want %s", rendition, renditionName)
	}
	for {
		e, err := s.bus.Registration(ctx, s.stream)
		if err != nil {
			return nil, fmt.Errorf("open writer: %w", err)
		}
		if e.Session != s.id || e.State != Live {
			return nil, fmt.Errorf("open writer: %w", ErrFenced)
		}
		if slices.Contains(e.Renditions, rendition) {
			break
		}
		e.Renditions = append(e.Renditions, rendition)
		err = s.bus.decide(ctx, &e)
		if err == nil {
			break
		}
		if jet.IgnoreConflict(err) != nil {
			return nil, fmt.Errorf("open writer: %w", err)
		}
	}
	if err := s.bus.Announce(ctx, Segment, s.stream, s.broadcast, rendition); err != nil {
		return nil, fmt.Errorf("open writer: %w", err)
	}
	w := s.writer(rendition)
	s.writers[rendition] = w
	return w, nil
}

// fence writes the session's message 0 behind whatever older sessions wrote.
func (w *Writer) fence(ctx context.Context) error {
	for {
		last, err := w.shard.Last(ctx, w.subject)
		if err != nil {
			return err
		}
		w.last, w.lastKey = 0, 0
		if last != nil {
			h, err := framelog.ParseHeader(last.Header.Get(framelog.HeaderName))
			if h.Epoch >= w.session.epoch || errors.Is(err, framelog.ErrVersion) {
				return ErrFenced // by a newer session, or declared lost already
			}
			w.last, w.lastKey = last.Sequence, joinAt(h, last.Sequence)
		}
		h := framelog.Header{Session: w.session.id, Epoch: w.session.epoch, Flags: framelog.Fence, LastKey: w.lastKey}
		seq, err := w.shard.Write(ctx, jet.Write{Subject: w.subject, Header: batchHeader(h), After: w.last})
		if err == nil {
			w.last = seq
			return nil
		}
		if jet.IgnoreConflict(err) != nil {
			return err
		}
	}
}

// Append stores b in the log exactly once. It fills b's Session, Epoch,
// Number, LastKey and Seq; what the batch is (Flags, Prelude, Wall) is the
// caller's to say. It blocks until the batch is stored or ctx ends, after
// which the batch is undecided and the session can only be ended.
// ErrFenced: a newer session has taken over, or this one was declared lost.
func (w *Writer) Append(ctx context.Context, b *framelog.Batch) error {
	if w.undecided {
		return errors.New("append: an earlier batch is undecided")
	}
	if len(b.Tags) > maxBatch {
		return fmt.Errorf("append: a batch of %d bytes, the most is %d", len(b.Tags), maxBatch)
	}
	if err := w.session.bus.conn.WaitForRoom(ctx); err != nil {
		return fmt.Errorf("append: %w", err) // decided: nothing was sent
	}
	part := max(1, min(partBytes, w.session.bus.conn.MaxPayload()-4<<10)) // less its header
	h, rest := b.Header, b.Tags
	for first := true; first || len(rest) > 0; first = false {
		n := min(part, len(rest))
		if len(rest) > n {
			h.Flags |= framelog.More
		} else {
			h.Flags &^= framelog.More
		}
		if err := w.put(ctx, &h, rest[:n]); err != nil {
			return fmt.Errorf("append: %w", err)
		}
		if first {
			b.Header, b.First = h, w.last
			b.Flags &^= framelog.More
		}
		rest = rest[n:]
		h.Flags, h.Prelude = 0, 0
	}
	b.Seq, b.Last = w.last, w.number
	return nil
}

// put stores one message behind the session's last, and fills in the header's
// Session, Epoch, Number and LastKey.
func (w *Writer) put(ctx context.Context, h *framelog.Header, data []byte) error {
	h.Session, h.Epoch = w.session.id, w.session.epoch
	for {
		h.Number, h.LastKey = w.number+1, w.lastKey
		seq, err := w.shard.Write(ctx, jet.Write{Subject: w.subject, Header: batchHeader(*h), Data: data, After: w.last})
		if err == nil {
			w.last, w.lastKey, w.number = seq, joinAt(*h, seq), h.Number
			return nil
		}
		var c *jet.Conflict
		if !errors.As(err, &c) {
			w.undecided = true
			return err
		}
		if err := w.resolve(c); err != nil {
			return err
		}
	}
}

// resolve looks at what stands where our message was to stand: nil means try
// again behind it.
func (w *Writer) resolve(c *jet.Conflict) error {
	if c.Last == nil { // all of the subject has aged out
		w.last = 0
		return nil
	}
	_, err := framelog.ParseHeader(c.Last.Header.Get(framelog.HeaderName))
	switch {
	case errors.Is(err, framelog.ErrVersion):
		return ErrFenced // only a newer release's session writes so
	case err != nil:
		// Not ours, nor any session's: readers skip it, and so do we.
		w.last = c.Last.Sequence
		return nil
	case c.Last.Sequence < w.last:
		w.session.bus.log.Error("the log has lost its tail", "broadcast", w.session.broadcast, "had", w.last, "has", c.Last.Sequence)
		w.last = c.Last.Sequence
		return nil
	}
	return ErrFenced
}
