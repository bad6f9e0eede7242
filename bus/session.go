package bus

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"weir/bus/internal/jet"
	"weir/media"
	"weir/media/framelog"
)

// IfLive says what happens when somebody publishes a stream that is live.
type IfLive int

const (
	// Takeover fences the session that was there: the newcomer has proven that
	// it may publish.
	Takeover IfLive = iota
	// Reject refuses the newcomer with ErrBusy, unless the node of the session
	// that is there does not answer any more.
	Reject
	// Contend is Takeover with a limit: where sessions that are well take a stream
	// from each other again and again, each keeps it for longer, and ErrBusy
	// refuses whoever comes too soon.
	Contend
)

// Session publishes one session of a broadcast: its source, and other
// renditions by writers of their own.
type Session struct {
	bus       *Bus
	stream    media.Stream
	broadcast string
	epoch     uint64
	id        string
	owner     string
	since     time.Time // as the registry has it
	rev       uint64    // of the registry's entry that named it first
	source    *Writer

	mu      sync.Mutex
	writers map[string]*Writer // of the other renditions that are registered

	registered bool         // its broadcast and epoch are set; guarded by bus.mu
	began      time.Time    // guarded by bus.mu
	rounds     int          // of a contest; guarded by bus.mu
	stored     atomic.Int64 // when a batch was stored last, in Unix nanoseconds
	kicked     chan struct{}
	kick       sync.Once
}

// OpenSession registers a session of stream s that begins at now: the first of
// a new broadcast, or the next of one that is live or waiting. A session that
// was there is fenced before it returns. It tries until ctx ends.
// owner is whom the registry names, or nobody.
func (b *Bus) OpenSession(ctx context.Context, owner string, s media.Stream, now time.Time, c IfLive) (*Session, error) {
	if err := b.hold(ctx); err != nil {
		return nil, fmt.Errorf("open session: %w", err)
	}
	x := &Session{bus: b, stream: s, owner: owner, id: randomID(10), kicked: make(chan struct{}), writers: make(map[string]*Writer)}
	b.enroll(x) // before the registry names it: Supervise looks for it here
	before, err := x.register(ctx, now, c)
	if err == nil {
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
func (s *Session) register(ctx context.Context, now time.Time, c IfLive) (Registration, error) {
	var random [10]byte
	_, _ = rand.Read(random[:]) // never fails, see crypto/rand
	for {
		before, err := s.bus.Registration(ctx, s.stream)
		if err != nil {
			return Registration{}, err
		}
		e := before
		rounds, err := s.bus.admit(ctx, e, c)
		switch {
		case err != nil:
			return Registration{}, err
		case e.Broadcast == "" || e.State == Ended:
			e.Broadcast, e.Epoch, e.Renditions = nextBroadcast(before.Broadcast, now, random), 1, nil
		default:
			e.Epoch++
		}
		e.Session, e.Node, e.State, e.Since, e.Owner = s.id, s.bus.node, Live, now.UTC(), s.owner
		err = s.bus.decide(ctx, &e)
		if err == nil {
			s.bus.mu.Lock()
			defer s.bus.mu.Unlock()
			s.broadcast, s.epoch, s.registered, s.since, s.rev = e.Broadcast, e.Epoch, true, e.Since, e.rev
			s.began, s.rounds = time.Now(), rounds
			s.stored.Store(s.began.UnixNano())
			return before, nil
		}
		if jet.IgnoreConflict(err) != nil {
			return Registration{}, err
		}
	}
}

// contest is the session's place in a contest for its stream.
func (s *Session) contest() contest {
	s.bus.mu.Lock()
	defer s.bus.mu.Unlock()
	return contest{began: s.began, stored: time.Unix(0, s.stored.Load()), rounds: s.rounds}
}

// nextBroadcast names a broadcast of a stream that begins at now. Its id sorts
// behind the one before, whatever the clocks of their nodes: playlists are told
// apart by that.
func nextBroadcast(before string, now time.Time, random [10]byte) string {
	id := media.BroadcastID(now, random)
	if id > before {
		return id
	}
	began, _, _ := strings.Cut(before, "-")
	if t, err := time.Parse("20060102T150405Z", began); err == nil {
		return media.BroadcastID(t.Add(time.Second), random)
	}
	return id
}

// prepare does what must be done before the session's first batch: a new
// broadcast becomes claimable, and has a name in its own right even if the
// registry goes on to the next; a session that was there is fenced.
func (s *Session) prepare(ctx context.Context, before Registration) error {
	if before.Broadcast != s.broadcast {
		if err := s.bus.Repair(ctx, before); err != nil { // the last chance to
			return err
		}
	}
	if err := s.bus.Announce(ctx, Segment, s.stream, s.broadcast, Source); err != nil {
		return err
	}
	s.source = s.writer(Source)
	if s.epoch == 1 {
		return nil
	}
	if before.State == Live {
		s.bus.tellKick(before) // its connection may hang without ever writing again
	}
	for _, rendition := range before.Renditions {
		w := s.writer(rendition)
		if err := w.fence(ctx); err != nil {
			return err
		}
		s.writers[rendition] = w
	}
	return s.source.fence(ctx)
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

// Append stores b as the source's next batch, see Writer.Append.
func (s *Session) Append(ctx context.Context, b *framelog.Batch) error {
	err := s.source.Append(ctx, b)
	if err == nil {
		s.stored.Store(time.Now().UnixNano())
	}
	return err
}

// End ends the session. Clean: so does the broadcast. Otherwise the connection
// was lost, and the reconnect window opens. The registry decides, then the log
// is told. ErrFenced: somebody else has decided, nothing was written.
func (s *Session) End(ctx context.Context, clean bool) error {
	defer s.bus.dismiss(s)
	e, err := s.bus.Registration(ctx, s.stream)
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
		if jet.IgnoreConflict(err) != nil {
			return fmt.Errorf("end session: %w", err)
		}
		if e, err = s.bus.Registration(ctx, s.stream); err != nil {
			return fmt.Errorf("end session: %w", err)
		}
	}
	return s.bus.Repair(ctx, e)
}
