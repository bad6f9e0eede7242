package bus

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// grace is how long Supervise leaves it to whoever decided something in the
// registry to write it into the log.
const grace = 500 * time.Millisecond

// Supervise does for the sessions of all nodes what those cannot do any more,
// until ctx ends: it declares the sessions of a dead node lost, ends the
// broadcasts whose reconnect window is over, and writes the markers into the
// log that whoever decided did not come to write. Every ingest node and every
// worker may run it; what they do twice is done once.
//
// Nobody compares clocks: a window is measured from when this node saw the
// entry waiting, which at worst makes it longer.
func (b *Bus) Supervise(ctx context.Context, window time.Duration) error {
	s := &supervisor{bus: b, window: window, wake: make(chan struct{}, 1), entries: make(map[string]*sighting)}
	s.roster = newRoster(b, nodePrefix, b.node, s.stir)
	life, end := context.WithCancel(ctx)
	failed := make(chan error, 2)
	var parts sync.WaitGroup
	parts.Go(func() { failed <- s.roster.run(life) })
	parts.Go(func() { failed <- b.Watch(life, s.see) })
	err := s.run(ctx, failed)
	end()
	parts.Wait()
	s.roster.requests.Wait()
	if err != nil {
		return fmt.Errorf("supervise: %w", err)
	}
	return nil
}

type supervisor struct {
	bus    *Bus
	window time.Duration
	roster *roster
	wake   chan struct{}

	mu      sync.Mutex
	entries map[string]*sighting // by stream
}

// sighting is a revision of an entry, and when it was first seen.
type sighting struct {
	Registration
	seen     time.Time
	repaired bool
}

func (s *supervisor) stir() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *supervisor) see(e Registration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := e.Stream.Token()
	known := s.entries[key]
	if known != nil && known.Broadcast != e.Broadcast {
		s.stir() // this node may run a session of the one before
	}
	if e.Broadcast == "" {
		delete(s.entries, key)
	} else if known == nil || known.rev != e.rev {
		s.entries[key] = &sighting{Registration: e, seen: time.Now()}
	}
	return nil
}

func (s *supervisor) run(ctx context.Context, failed <-chan error) error {
	tick := time.NewTicker(rescan)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			if ctx.Err() != nil {
				return nil
			}
			return err
		case <-s.wake:
		case <-tick.C:
		}
		for _, do := range s.due(ctx, time.Now()) {
			if err := do(); err != nil && ctx.Err() == nil {
				s.bus.log.Warn("supervise", "err", err) // due again at the next look
			}
		}
	}
}

// due returns what is to be done at now.
func (s *supervisor) due(ctx context.Context, now time.Time) []func() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []func() error
	for _, x := range s.bus.publishing() {
		if e := s.entries[x.stream.Token()]; e == nil || e.Broadcast != x.broadcast {
			all = append(all, func() error { return s.bus.evict(ctx, x) })
		}
	}
	for _, e := range s.entries {
		since := now.Sub(e.seen)
		switch {
		case e.State == Live:
			if s.orphaned(ctx, e.Registration) {
				all = append(all, func() error { return s.bus.lose(ctx, e.Registration) })
			}
		case e.State == Waiting && since >= s.window:
			all = append(all, func() error { return s.bus.EndBroadcast(ctx, e.Registration) })
		case !e.repaired && since >= grace:
			all = append(all, func() error {
				err := s.bus.Repair(ctx, e.Registration)
				e.repaired = err == nil
				return err
			})
		}
	}
	return all
}

// orphaned tells whether nobody runs the session of a live entry: its node is
// dead, or it is this one, which does not know it.
func (s *supervisor) orphaned(ctx context.Context, e Registration) bool {
	if e.Node == s.bus.node {
		return !s.bus.runs(e.Session)
	}
	return s.roster.isDead(ctx, e.Node)
}

// evict kicks a session of this node if the registry names another broadcast
// for its stream, or none: what it publishes nobody will read.
func (b *Bus) evict(ctx context.Context, s *Session) error {
	e, err := b.Registration(ctx, s.stream)
	if err != nil {
		return err
	}
	if e.Broadcast != s.broadcast {
		b.log.Warn("the registry does not know a session any more", "stream", s.stream, "broadcast", s.broadcast, "session", s.id)
		s.kick.Do(func() { close(s.kicked) })
	}
	return nil
}

// publishing returns the sessions of this node that are, or were, in the registry.
func (b *Bus) publishing() (all []*Session) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.sessions {
		if s.registered {
			all = append(all, s)
		}
	}
	return all
}
