package bus

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const (
	// unansweredMost is how long the embedded server may leave one write
	// unanswered.
	unansweredMost = 5 * time.Second
	// reviveEvery is how often it is started anew at most.
	reviveEvery = 15 * time.Second
	// roomPoll is how often a session looks whether there is room again.
	roomPoll = 50 * time.Millisecond
)

// anyStore is what the embedded JetStream may keep: it would count what streams
// reserve, not what they hold. How much room there is in fact, HoldWhile says.
const anyStore = 1 << 60

// HoldWhile makes sessions wait for as long as full is true: there is no room
// for frames on the disk. It is called before the first session opens.
func (b *Bus) HoldWhile(full func() bool) { b.full = full }

// waitForRoom returns when the disk has room for frames.
func (b *Bus) waitForRoom(ctx context.Context) error {
	for b.full() {
		if sleep(ctx, roomPoll) != nil {
			return fmt.Errorf("the disk is full: %w", context.Cause(ctx))
		}
	}
	return nil
}

// revive starts the embedded JetStream anew where it has left a write
// unanswered since the time given. A stream of it that failed to write to its
// disk once answers no write ever again; started anew it goes on with what is
// in its files, and that is all it has acknowledged. The connection stays,
// readers find their place again, and writes are tried again as ever.
func (b *Bus) revive(since time.Time) {
	if b.server == nil || time.Since(since) < unansweredMost || b.full() {
		return
	}
	b.mu.Lock()
	soon := time.Since(b.revived) < reviveEvery
	if !soon {
		b.revived = time.Now()
	}
	b.mu.Unlock()
	if soon {
		return
	}
	dir := filepath.Dir(b.server.StoreDir())
	err := b.server.ShutdownJetStream()
	err = errors.Join(err, b.server.EnableJetStream(&server.JetStreamConfig{StoreDir: dir, MaxMemory: anyStore, MaxStore: anyStore}))
	b.log.Warn("jetstream left writes unanswered, and was started anew", "err", err)
}
