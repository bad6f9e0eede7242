package bus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"weir/bus/internal/jet"
	"weir/media/framelog"
)

// Read calls fn with every batch and marker of a rendition behind a position,
// in order and each once, whoever reads and however often: split batches are
// joined, batches whose session died in the middle of one are dropped, and so
// are those of a fenced session. missed tells that messages before this one had
// aged out, or were lost by the server. Read waits for more until ctx ends or fn
// fails, and returns their error.
//
// Messages of a session are numbered, and each says which one it follows (it was
// published so): a hole is known with certainty, and nothing is mistaken for
// one. A log that was made anew, or has gone back, is read from its start; what
// was read before does not come again.
func (b *Bus) Read(ctx context.Context, broadcast, rendition string, after framelog.Position, fn func(b *framelog.Batch, missed bool) error) error {
	return b.read(ctx, broadcast, rendition, after, fn, func(string, uint64, bool) {})
}

// read is Read, which notes in which log it is, and how far; anew, where it goes
// back in that.
func (b *Bus) read(ctx context.Context, broadcast, rendition string, after framelog.Position, fn func(*framelog.Batch, bool) error, note func(log string, seq uint64, anew bool)) error {
	subject, stream := b.topic(broadcast, rendition)
	log := b.log.With("subject", subject)
	r := newReader(after, fn, func(seq uint64, err error) {
		log.Warn("foreign message on the log skipped", "seq", seq, "err", err)
	})
	start := func(ctx context.Context, info *jetstream.StreamInfo) (jetstream.ConsumerConfig, error) {
		at, err := placeOf(ctx, stream, subject, r.pos)
		if err != nil {
			return jetstream.ConsumerConfig{}, err
		}
		what := r.begin(strconv.FormatInt(info.Created.UnixNano(), 36), info.State.LastSeq, at)
		if what != "" {
			log.Error(what + ": it is read from its start")
		}
		note(r.log, r.pos, r.rewound)
		return jetstream.ConsumerConfig{
			FilterSubject: subject, // literal: a wildcard costs ten times as much
			DeliverPolicy: jetstream.DeliverByStartSequencePolicy,
			OptStartSeq:   r.pos + 1,
		}, nil
	}
	message := func(m jet.Message) error {
		err := r.message(m)
		note(r.log, m.Seq, false)
		return err
	}
	for {
		err := stream.Follow(ctx, jet.Follower{Start: start, Message: message})
		if !errors.Is(err, errRewritten) {
			return fmt.Errorf("read log: %w", err)
		}
		log.Error("the log was written anew behind what was read: it is read from its start")
		r.rewind()
	}
}

// place is what stands in the log where a reader was.
type place struct {
	at *framelog.Header // its message there; nil where there is none, or it is no batch
	// foreign: another subject's message is there, which may always have been: a
	// reader that begins right before a message takes the sequence before that.
	foreign bool
	next    *framelog.Header // then: the subject's first one behind it, if there is one
}

// placeOf looks at what stands at a sequence of a shard's log, where a reader
// of one subject was.
func placeOf(ctx context.Context, stream *jet.Stream, subject string, seq uint64) (p place, err error) {
	if seq == 0 {
		return place{}, nil
	}
	m, err := messageAt(ctx, stream, seq)
	if err != nil || m == nil {
		return place{}, err
	}
	if m.Subject == subject {
		return place{at: headerOfRaw(m)}, nil
	}
	next, err := messageAt(ctx, stream, seq+1, jetstream.WithGetMsgSubject(subject))
	if err != nil || next == nil {
		return place{foreign: true}, err
	}
	return place{foreign: true, next: headerOfRaw(next)}, nil
}

// messageAt is the message at a sequence, or the subject's first one from there
// on; nil where there is none.
func messageAt(ctx context.Context, stream *jet.Stream, seq uint64, opts ...jetstream.GetMsgOpt) (*jetstream.RawStreamMsg, error) {
	m, err := stream.GetMsg(ctx, seq, opts...)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look at message %d: %w", seq, err)
	}
	return m, nil
}

// headerOfRaw is the header of a message, nil where it has none of ours.
func headerOfRaw(m *jetstream.RawStreamMsg) *framelog.Header {
	h, err := framelog.ParseHeader(m.Header.Get(framelog.HeaderName))
	if err != nil {
		return nil
	}
	return &h
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
	var after framelog.Position
	if last != nil {
		h, err := framelog.ParseHeader(last.Header.Get(framelog.HeaderName))
		if err != nil {
			return fmt.Errorf("tail log: message %d: %w", last.Sequence, err)
		}
		after.Seq = max(joinAt(h, last.Sequence), 1) - 1
	}
	return b.Read(ctx, broadcast, rendition, after, fn)
}

// Written returns when a rendition's log was last written to, by the server's
// clock; the zero time where it holds nothing.
func (b *Bus) Written(ctx context.Context, broadcast, rendition string) (time.Time, error) {
	subject, stream := b.topic(broadcast, rendition)
	last, err := stream.Last(ctx, subject)
	if err != nil {
		return time.Time{}, fmt.Errorf("look at the log's end: %w", err)
	}
	if last == nil {
		return time.Time{}, nil
	}
	return last.Time, nil
}

// reader makes batches of messages.
type reader struct {
	fn      func(b *framelog.Batch, missed bool) error
	foreign func(seq uint64, err error)
	log     string // which one is read; empty before that is known
	pos     uint64 // the newest message seen
	seen    bool   // that one, since begin: else it is taken from a Position
	rewound bool   // pos was set back: what comes was there before

	missed bool // messages are missing since the last call of fn
	over   bool // the broadcast has ended: nothing follows

	epoch, number uint64 // of the newest that counts; 0 while they are not known
	at            turn   // of the message at pos, whether it counts or not

	open  framelog.Header // of the batch whose continuation must come
	first uint64          // the message that it began with
	parts [][]byte        // of that batch, empty if there is none
	size  int
}

// turn is what tells a message of the log from all others of its subject; zero
// where it is not known.
type turn struct{ epoch, number uint64 }

func newReader(after framelog.Position, fn func(*framelog.Batch, bool) error, foreign func(uint64, error)) *reader {
	r := &reader{fn: fn, foreign: foreign, log: after.Log, pos: after.Seq}
	if after.Log != "" { // else a release before this one wrote the position, and no number
		r.epoch, r.number = after.Epoch, after.Number
		r.at = turn{after.Epoch, after.Number}
	}
	return r
}

// begin is called before messages come, with the log's name, its newest sequence,
// and what stands at the reader's position. It says what has happened to the log
// if that was no good.
func (r *reader) begin(log string, newest uint64, p place) (what string) {
	switch {
	case r.log != "" && r.log != log:
		what = "the log was made anew"
	case newest < r.pos:
		what = "the log has lost its tail"
	case r.at != turn{} && !r.stands(p):
		what = "the log was written anew where it was read"
	}
	r.log, r.seen = log, false
	if what != "" {
		r.rewind()
	}
	return what
}

// stands tells whether what stands at the reader's position is what it knows of
// it.
func (r *reader) stands(p place) bool {
	switch {
	case p.foreign:
		// Nothing of ours was there, if what comes is what came next.
		return p.next != nil && turn{p.next.Epoch, p.next.Number} == turn{r.at.epoch, r.at.number + 1}
	case p.at == nil:
		return true // it has aged out
	case p.at.Flags.Has(framelog.Final) && !r.over:
		return false // a marker takes the number that comes next: of an end that tells nothing
	}
	return r.at == turn{p.at.Epoch, p.at.Number}
}

// rewind has the log read from its start. What was read before is known by its
// epoch and number.
func (r *reader) rewind() {
	r.pos, r.at, r.rewound = 0, turn{}, true
	r.missed = r.missed || r.epoch == 0 // without a number nobody knows what is
	r.forget()
}

// errRewritten says that messages stand at or before the reader's position that
// it has not seen.
var errRewritten = errors.New("the log was rewritten")

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
		r.pos, r.at = m.Seq, turn{}
		r.foreign(m.Seq, err)
		return nil
	}
	if r.over || !h.Flags.Has(framelog.Final) && (h.Epoch < r.epoch || h.Epoch == r.epoch && h.Number <= r.number && r.number > 0) {
		r.pos, r.at = m.Seq, turn{h.Epoch, h.Number}
		return nil
	}
	if r.gap(h, prev, m.Seq) {
		before := prev < r.pos || prev == r.pos && !r.seen // where this reader has been
		if r.epoch > 0 && !r.rewound && prev > 0 && before {
			return errRewritten
		}
		r.missed = true
	}
	r.pos, r.at, r.seen, r.rewound = m.Seq, turn{h.Epoch, h.Number}, true, false
	r.over = h.Flags.Has(framelog.Final)
	continues := len(r.parts) > 0 && h.Flags&^framelog.More == 0 && h.Session == r.open.Session && h.Number == r.number+1
	r.epoch, r.number = h.Epoch, h.Number
	return r.join(h, m, continues)
}

// gap tells whether messages are missing between the last one seen and h,
// which follows prev. Within a session its number tells; what another one wrote
// first follows what was last. A caller who began right before h, and knew no
// number, knows what was there.
func (r *reader) gap(h framelog.Header, prev, seq uint64) bool {
	switch {
	case h.Epoch == r.epoch && r.epoch > 0:
		return h.Number > r.number+1
	case r.epoch == 0 && r.pos > 0 && seq == r.pos+1:
		return false
	}
	return prev != r.pos
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
	b := framelog.Batch{Header: r.open, Tags: m.Data, First: r.first, Seq: m.Seq, Last: h.Number, Log: r.log, Stored: m.Stored}
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
