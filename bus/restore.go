package bus

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// forgottenMost is how long NATS may deny that it has a stream of ours before
// that is believed: one that starts may not know all of them yet.
const forgottenMost = 5 * time.Second

// restore makes the streams anew that NATS does not have any more: its disk was
// lost. Any number of nodes may do so at once. What was in them is gone: the
// frames, who publishes and who packages what. Sessions and workers find that
// out by the registry and by their entries, and begin afresh; see
// supervisor.due and Worker.watch.
//
// An embedded server has the disk of its own process, and is started anew under
// us by revive, when it may deny anything for a while.
func (b *Bus) restore(ctx context.Context) {
	if b.server != nil {
		return
	}
	b.restoring.Lock() // the watches of a process all find out at once
	defer b.restoring.Unlock()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for _, config := range b.laid {
		_, err := b.js.Stream(ctx, config.Name)
		if !errors.Is(err, jetstream.ErrStreamNotFound) {
			continue
		}
		_, err = b.js.CreateStream(ctx, config)
		b.log.Error("nats has lost a stream, which was made anew", "stream", config.Name, "err", err)
	}
}

// evict kicks a session of this node if the registry names another broadcast
// for its stream, or none: what it publishes nobody will read.
func (b *Bus) evict(ctx context.Context, s *Session) error {
	e, err := b.Entry(ctx, s.stream)
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
