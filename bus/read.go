package bus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go/jetstream"

	"weir/bus/internal/jet"
	"weir/media/framelog"
)

// Read calls fn with every batch and marker of a rendition behind sequence
// after (0: from the first), in order and each once, whoever reads and however
// often: split batches are joined, batches whose session died in the middle of
// one are dropped, and so are those of a fenced session. missed tells that
// messages before this one had aged out, or were lost by the server. Read
// waits for more until ctx ends or fn fails, and returns their error.
//
// Every message says which one it follows (it was published so), so a hole is
// known with certainty: none is missed, and nothing is mistaken for one.
func (b *Bus) Read(ctx context.Context, broadcast, rendition string, after uint64, fn func(b *framelog.Batch, missed bool) error) error {
	subject, stream := b.topic(broadcast, rendition)
	r := reader{pos: after, fn: fn, foreign: func(seq uint64, err error) {
		b.log.Warn("foreign message on the log skipped", "subject", subject, "seq", seq, "err", err)
	}}
	start := func() jetstream.ConsumerConfig {
		return jetstream.ConsumerConfig{
			FilterSubject: subject, // literal: a wildcard costs ten times as much
			DeliverPolicy: jetstream.DeliverByStartSequencePolicy,
			OptStartSeq:   r.pos + 1,
		}
	}
	return fmt.Errorf("read log: %w", stream.Follow(ctx, jet.Follower{Start: start, Message: r.message}))
}

// Tail reads a rendition as Read does, from the newest key batch on: for
// readers who join what is live. missed then tells that this batch had aged
// out, and that the first one that came is not a key batch.
func (b *Bus) Tail(ctx context.Context, broadcast, rendition string, fn func(b *framelog.Batch, missed bool) error) error {
	subject, stream := b.topic(broadcast, rendition)
	last, err := stream.Last(ctx, subject)
	if err != nil {
		return fmt.Errorf("tail log: %w", err)
	}
	var after uint64
	if last != nil {
		h, err := framelog.ParseHeader(last.Header.Get(framelog.HeaderName))
		if err != nil {
			return fmt.Errorf("tail log: message %d: %w", last.Sequence, err)
		}
		after = max(joinAt(h, last.Sequence), 1) - 1
	}
	return b.Read(ctx, broadcast, rendition, after, fn)
}

// reader makes batches of messages.
type reader struct {
	fn      func(b *framelog.Batch, missed bool) error
	foreign func(seq uint64, err error)
	pos     uint64 // the newest message seen

	missed bool // messages are missing since the last call of fn
	over   bool // the broadcast has ended: nothing follows

	epoch, number uint64 // of that message; 0 before the first

	open  framelog.Header // of the batch whose continuation must come
	first uint64          // the message that it began with
	parts [][]byte        // of that batch, empty if there is none
	size  int
}

// message takes the next message of the subject.
func (r *reader) message(m jet.Message) error {
	h, err := framelog.ParseHeader(m.Header.Get(framelog.HeaderName))
	if errors.Is(err, framelog.ErrVersion) {
		return fmt.Errorf("message %d: %w", m.Seq, err)
	}
	var prev uint64
	if err == nil {
		prev, err = strconv.ParseUint(m.Header.Get(jetstream.ExpectedLastSubjSeqHeader), 10, 64)
	}
	if err != nil {
		r.pos = m.Seq
		r.foreign(m.Seq, err)
		return nil
	}
	r.missed = r.missed || r.gap(h, prev, m.Seq)
	r.pos = m.Seq
	if r.over || !h.Flags.Has(framelog.Final) && (h.Epoch < r.epoch || h.Epoch == r.epoch && h.Number <= r.number && r.number > 0) {
		return nil
	}
	r.over = h.Flags.Has(framelog.Final)
	continues := len(r.parts) > 0 && h.Flags&^framelog.More == 0 && h.Session == r.open.Session && h.Number == r.number+1
	r.epoch, r.number = h.Epoch, h.Number
	return r.join(h, m, continues)
}

// gap tells whether messages are missing between the last one seen and h,
// which follows prev. A message that follows none comes first, or after all
// before it had aged out: then only its number can tell.
// A caller who began right before h knows what was there.
func (r *reader) gap(h framelog.Header, prev, seq uint64) bool {
	if r.epoch == 0 && r.pos > 0 && seq == r.pos+1 {
		return false
	}
	if prev == r.pos {
		return h.Epoch == r.epoch && h.Number > r.number+1
	}
	return prev != 0 || h.Epoch != r.epoch || h.Number != r.number+1
}

// join calls fn with what m completes.
func (r *reader) join(h framelog.Header, m jet.Message, continues bool) error {
	if !continues {
		r.forget()
		r.open, r.first = h, m.Seq
	}
	if r.size += len(m.Data); r.size > maxBatch {
		return fmt.Errorf("the batch at sequence %d is larger than %d bytes", m.Seq, maxBatch)
	}
	if h.Flags.Has(framelog.More) {
		r.parts = append(r.parts, m.Data)
		return nil
	}
	b := framelog.Batch{Header: r.open, Tags: m.Data, First: r.first, Seq: m.Seq}
	if continues {
		r.parts = append(r.parts, m.Data)
		b.Tags = bytes.Join(r.parts, nil)
		b.Flags &^= framelog.More
	}
	missed := r.missed
	r.missed = false
	r.forget()
	return r.fn(&b, missed)
}

// forget drops the parts of the batch that was joined, or never will be.
func (r *reader) forget() {
	clear(r.parts)
	r.parts, r.size = r.parts[:0], 0
}
