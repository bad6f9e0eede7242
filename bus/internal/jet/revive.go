package jet

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
	// roomPoll is how often it is looked whether there is room again.
	roomPoll = 50 * time.Millisecond
)

// anyStore is what the embedded JetStream may keep: it would count what streams
// reserve, not what they hold. How much room there is in fact, HoldWhile says.
const anyStore = 1 << 60

// HoldWhile makes WaitForRoom wait for as long as full is true: there is no room
// on the disk. It is called before the first of those.
func (c *Conn) HoldWhile(full func() bool) { c.full = full }

// WaitForRoom returns when the disk has room.
func (c *Conn) WaitForRoom(ctx context.Context) error {
	for c.full() {
		if Sleep(ctx, roomPoll) != nil {
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
func (c *Conn) revive(since time.Time) {
	if c.server == nil || time.Since(since) < unansweredMost || c.full() {
		return
	}
	c.mu.Lock()
	soon := time.Since(c.revived) < reviveEvery
	if !soon {
		c.revived = time.Now()
	}
	c.mu.Unlock()
	if soon {
		return
	}
	dir := filepath.Dir(c.server.StoreDir())
	err := c.server.ShutdownJetStream()
	err = errors.Join(err, c.server.EnableJetStream(&server.JetStreamConfig{StoreDir: dir, MaxMemory: anyStore, MaxStore: anyStore}))
	c.log.Warn("jetstream left writes unanswered, and was started anew", "err", err)
}
