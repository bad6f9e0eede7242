package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"weir/bus/internal/jet"
	"weir/media"
	"weir/media/framelog"
)

// StreamState is where a stream's newest broadcast stands.
type StreamState string

// The states of a broadcast.
const (
	// Live: a session publishes it.
	Live StreamState = "live"
	// Waiting: its session was lost, the encoder may come back.
	Waiting StreamState = "waiting"
	// Ended: the next session begins another broadcast.
	Ended StreamState = "ended"
)

// Registration is what the registry says of a stream.
type Registration struct {
	Stream    media.Stream `json:"-"`
	Broadcast string       `json:"broadcast"`
	// Epoch counts the broadcast's sessions from 1. The newest is the only one
	// whose batches readers take.
	Epoch   uint64 `json:"epoch"`
	Session string `json:"session"`
	// Node runs the session, or ran it.
	Node  string      `json:"node"`
	State StreamState `json:"state"`
	Since time.Time   `json:"since"` // when it became so, by that node's clock
	// Owner is whose stream it is, for operators; empty: nobody said.
	Owner string `json:"owner,omitempty"`
	// Renditions are those of the broadcast that sessions publish beside the
	// source.
	Renditions []string `json:"renditions,omitempty"`

	rev uint64
}

// endedTTL is how long the registry knows a stream whose broadcast has ended:
// streams that come and go under ever new names must not pile up.
const endedTTL = 24 * time.Hour

func parseRegistration(key string, it jet.Item) (Registration, error) {
	s, err := media.ParseToken(key)
	if err != nil {
		return Registration{}, fmt.Errorf("read registry: %w", err)
	}
	e := Registration{Stream: s, rev: it.Rev}
	if it.Value == nil {
		return e, nil
	}
	if err := json.Unmarshal(it.Value, &e); err != nil {
		return Registration{}, fmt.Errorf("read registry entry %s: %w", s, err)
	}
	return e, nil
}

// Registration returns what the registry's leader says of a stream; its Broadcast is
// empty if that is nothing.
func (b *Bus) Registration(ctx context.Context, s media.Stream) (Registration, error) {
	it, err := b.streams.Get(ctx, s.Token())
	if err != nil {
		return Registration{}, err
	}
	return parseRegistration(s.Token(), it)
}

// decide writes e if nobody has changed the entry since e was read, and takes
// the new revision into e.
func (b *Bus) decide(ctx context.Context, e *Registration) error {
	value, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("write registry: %w", err)
	}
	var ttl time.Duration
	if e.State == Ended {
		ttl = endedTTL
	}
	rev, err := b.streams.Put(ctx, e.Stream.Token(), value, e.rev, ttl)
	if err != nil {
		return fmt.Errorf("write registry: %w", err)
	}
	e.rev = rev
	return nil
}

// Streams lists the registry.
func (b *Bus) Streams(ctx context.Context) ([]Registration, error) {
	all, err := listed(ctx, b.seen, b.seen.streams)
	if err != nil {
		return nil, fmt.Errorf("list streams: %w", err)
	}
	return all, nil
}

func registrationOf(c jet.Change) (Registration, error) { return parseRegistration(c.Key, c.Item) }

// Watch calls fn with every entry of the registry as it stands, and then with
// each change, until fn fails or ctx ends. An entry that has gone comes with
// an empty Broadcast.
func (b *Bus) Watch(ctx context.Context, fn func(Registration) error) error {
	return b.streams.Watch(ctx, jet.Watcher{Change: func(c jet.Change) error {
		e, err := registrationOf(c)
		if err != nil {
			b.log.Warn("registry entry skipped", "err", err)
			return nil
		}
		return fn(e)
	}})
}

// lose decides that the session which e names is lost, and writes it into the
// log. It does nothing if the registry has moved on.
func (b *Bus) lose(ctx context.Context, e Registration) error {
	if e.State != Live {
		return nil
	}
	e.State, e.Since = Waiting, time.Now().UTC()
	if err := b.decide(ctx, &e); err != nil {
		return jet.IgnoreConflict(err)
	}
	b.log.Info("session lost", "stream", e.Stream, "broadcast", e.Broadcast, "session", e.Session, "epoch", e.Epoch, "node", e.Node)
	return b.Repair(ctx, e)
}

// EndBroadcast ends a broadcast whose reconnect window is over: the registry
// decides, if e is waiting and nobody has changed it since, then the log is
// told. Any node may do it, and again.
func (b *Bus) EndBroadcast(ctx context.Context, e Registration) error {
	if e.State == Waiting {
		e.State, e.Since = Ended, time.Now().UTC()
		if err := b.decide(ctx, &e); err != nil {
			return jet.IgnoreConflict(err)
		}
		b.log.Info("broadcast ended", "stream", e.Stream, "broadcast", e.Broadcast)
	}
	return b.Repair(ctx, e)
}

// Repair makes the log say what the registry has decided: it writes the end of
// e's session, or of its broadcast, if whoever decided it did not come to
// write it. Any node may do it, and again.
func (b *Bus) Repair(ctx context.Context, e Registration) error {
	var flags framelog.Flags
	switch e.State {
	case Waiting:
		flags = framelog.End | framelog.Lost
	case Ended:
		flags = framelog.Final
	default:
		return nil
	}
	open, err := b.open(ctx, e.Broadcast)
	if err != nil || !open {
		return err
	}
	for _, rendition := range e.published() {
		if err := b.mark(ctx, e, rendition, flags); err != nil {
			return err
		}
	}
	return nil
}

// published are all renditions that sessions of the broadcast publish.
func (e *Registration) published() []string { return append([]string{Source}, e.Renditions...) }

// open tells whether a broadcast has a State that is not closed: whether
// anybody still waits for its end.
func (b *Bus) open(ctx context.Context, broadcast string) (bool, error) {
	it, err := b.state.Get(ctx, stateKey(broadcast))
	if err != nil || it.Value == nil {
		return false, err
	}
	head, _, err := parseState(it.Value)
	return !head.Closed, err
}

// settle writes the end of a broadcast into a rendition's log if the registry
// knows nothing of it any more, which is the last that can be decided of it.
func (b *Bus) settle(ctx context.Context, s media.Stream, broadcast, rendition string) error {
	e, err := b.Registration(ctx, s)
	if err != nil {
		return err
	}
	if e.Broadcast == broadcast {
		return b.Repair(ctx, e)
	}
	return b.mark(ctx, Registration{Broadcast: broadcast, Session: "0"}, rendition, framelog.Final)
}

// mark writes a marker behind the last message of a rendition's log, unless it
// or what outdates it is there. A writer that finds it there is fenced.
func (b *Bus) mark(ctx context.Context, e Registration, rendition string, flags framelog.Flags) error {
	subject, stream := b.topic(e.Broadcast, rendition)
	for {
		last, err := stream.Last(ctx, subject)
		if err != nil {
			return fmt.Errorf("mark log: %w", err)
		}
		h := framelog.Header{Session: e.Session, Epoch: e.Epoch, Number: 1, Flags: flags}
		w := jet.Write{Subject: subject}
		if last != nil {
			was, err := framelog.ParseHeader(last.Header.Get(framelog.HeaderName))
			if errors.Is(err, framelog.ErrVersion) {
				return fmt.Errorf("mark log: %w", err)
			}
			if outdates(was, h) {
				return nil
			}
			if was.Session != "" && was.Epoch >= h.Epoch {
				h.Session, h.Epoch, h.Number = was.Session, was.Epoch, was.Number+1
			}
			h.LastKey = joinAt(was, last.Sequence)
			w.After = last.Sequence
		}
		w.Header = batchHeader(h)
		_, err = stream.Write(ctx, w)
		var c *jet.Conflict
		switch {
		case err == nil:
			return nil
		case !errors.As(err, &c):
			return fmt.Errorf("mark log: %w", err)
		}
		// Somebody wrote in between: look again.
	}
}

// outdates tells whether a log whose last message is last needs no marker m.
func outdates(last, m framelog.Header) bool {
	if last.Flags.Has(framelog.Final) {
		return true
	}
	return m.Flags.Has(framelog.End) && (last.Epoch > m.Epoch || last.Epoch == m.Epoch && last.Flags.Has(framelog.End))
}

// joinAt is where a reader that meets the message h at seq may join the log:
// the LastKey of what comes next.
func joinAt(h framelog.Header, seq uint64) uint64 {
	if h.Flags.Has(framelog.Key) {
		return seq
	}
	return h.LastKey
}

// batchHeader is how a batch's header travels.
func batchHeader(h framelog.Header) jet.Header {
	return jet.Header{Name: framelog.HeaderName, Value: h.String()}
}
