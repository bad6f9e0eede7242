package bus

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"weir/bus/internal/jet"
)

// Supervise does for the sessions of all nodes what those cannot do any more,
// until ctx ends: it declares the sessions of a dead node lost, ends the
// broadcasts whose reconnect window is over, and writes the markers into the
// log that whoever decided did not come to write. What one of registry, States
// and sessions has lost is made whole from the others. Every ingest node and
// every worker may run it; what they do twice is done once.
//
// Nobody compares clocks: a window is measured from when this node saw the
// entry waiting, which at worst makes it longer.
func (b *Bus) Supervise(ctx context.Context, window time.Duration) error {
	s := &supervisor{bus: b, wake: make(chan struct{}, 1), view: newOverview(window), busy: make(map[duty]bool)}
	b.roster.tell(s.stir)
	life, end := context.WithCancel(ctx)
	failed := make(chan error, 2)
	var parts sync.WaitGroup
	parts.Go(func() { failed <- b.Watch(life, s.see) })
	parts.Go(func() { failed <- s.watchStates(life) })
	err := s.run(ctx, failed)
	end()
	parts.Wait()
	s.doing.Wait()
	if err != nil {
		return fmt.Errorf("supervise: %w", err)
	}
	return nil
}

type supervisor struct {
	bus   *Bus
	wake  chan struct{}
	doing sync.WaitGroup

	mu   sync.Mutex
	view *overview
	busy map[duty]bool
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
	s.view.see(e, time.Now())
	s.stir()
	return nil
}

func (s *supervisor) watchStates(ctx context.Context) error {
	return s.bus.state.Watch(ctx, jet.Watcher{Headers: true, Change: func(c jet.Change) error {
		var head stateHead
		var err error
		if !c.Gone {
			if head, err = headOf(ctx, s.bus.state, c); err != nil {
				s.bus.log.Warn("state entry skipped", "key", c.Key, "err", err)
				return nil
			}
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.view.seeState(c.Key, head, !c.Gone, time.Now())
		return nil
	}, Synced: func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.view.synced = true
		return nil
	}})
}

// run does what is due, each thing beside and in bounded time: a shard that is
// away delays nothing of another.
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
		sessions := s.bus.publishing()
		s.mu.Lock()
		for _, d := range s.view.due(time.Now(), sessions, s.orphaned) {
			if s.busy[d] {
				continue
			}
			s.busy[d] = true
			s.doing.Go(func() { s.do(ctx, d) })
		}
		s.mu.Unlock()
	}
}

// do does one duty. If it fails it is due again at the next look.
func (s *supervisor) do(ctx context.Context, d duty) {
	short, cancel := context.WithTimeout(ctx, errandMost)
	defer cancel()
	err := s.bus.perform(short, d)
	if err != nil && ctx.Err() == nil {
		s.bus.log.Warn("supervise", "duty", d.what, "stream", d.stream, "broadcast", d.broadcast, "err", err)
		_ = jet.Sleep(ctx, time.Second) // ends with ctx, as run does
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.busy, d)
	if err == nil {
		s.view.done(d, time.Now())
	}
}

// orphaned tells whether nobody runs the session of a live entry: its node is
// dead, or it is this one, which does not know it.
func (s *supervisor) orphaned(e Registration) bool {
	if e.Node == s.bus.node {
		return !s.bus.runs(e.Session)
	}
	return s.bus.roster.isDead(nodePrefix + e.Node)
}

// perform does a duty, if it still is one.
func (b *Bus) perform(ctx context.Context, d duty) error {
	switch d.what {
	case mustEvict, mustReenter:
		return b.reenter(ctx, d)
	case mustSettle:
		return b.settle(ctx, d.stream, d.broadcast, d.rendition)
	}
	e, err := b.Registration(ctx, d.stream)
	if err != nil || e.Broadcast != d.broadcast || e.rev != d.rev {
		return err
	}
	switch d.what {
	case mustLose:
		return b.lose(ctx, e)
	case mustEnd:
		return b.EndBroadcast(ctx, e)
	case mustRepair:
		return b.Repair(ctx, e)
	case mustAnnounce:
		b.log.Error("nats has lost the state of a broadcast, which is claimable again", "stream", d.stream, "broadcast", d.broadcast)
		return b.Announce(ctx, Segment, d.stream, d.broadcast, Source)
	case mustFinish:
		return b.finish(ctx, e)
	case mustPrune:
		return jet.IgnoreConflict(b.streams.Remove(ctx, d.stream.Token(), d.rev))
	}
	return fmt.Errorf("unknown duty %q", d.what)
}

// finish ends a broadcast, whatever its session: that is kicked.
func (b *Bus) finish(ctx context.Context, e Registration) error {
	if e.State == Live {
		b.tellKick(e)
	}
	e.State, e.Since = Ended, time.Now().UTC()
	if err := b.decide(ctx, &e); err != nil {
		return jet.IgnoreConflict(err)
	}
	b.log.Info("broadcast ended", "stream", e.Stream, "broadcast", e.Broadcast)
	return b.Repair(ctx, e)
}

// reenter puts a session of this node back into a registry that has lost it.
// If that names another one by now, the session ends: what it publishes nobody
// will read.
func (b *Bus) reenter(ctx context.Context, d duty) error {
	i := slices.IndexFunc(b.publishing(), func(s *Session) bool { return s.id == d.session })
	if i < 0 {
		return nil
	}
	s := b.publishing()[i]
	e, err := b.Registration(ctx, s.stream)
	if err != nil {
		return err
	}
	switch s.standing(e) {
	case standsIn:
		return nil
	case forgotten:
		again := Registration{Stream: s.stream, Broadcast: s.broadcast, Epoch: s.epoch, Session: s.id, Node: b.node, State: Live, Since: s.since, Renditions: s.renditions(), rev: e.rev}
		err := b.decide(ctx, &again)
		if err == nil {
			b.log.Error("nats has lost a session's entry, which is written anew", "stream", s.stream, "broadcast", s.broadcast, "session", s.id)
		}
		return jet.IgnoreConflict(err)
	}
	b.log.Warn("the registry does not know a session any more", "stream", s.stream, "broadcast", s.broadcast, "session", s.id)
	s.kick.Do(func() { close(s.kicked) })
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
