package jet

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// forgottenMost is how long NATS may deny that it has a stream of ours before
// that is believed: one that starts may not know all of them yet.
const forgottenMost = 5 * time.Second

// restore makes the streams anew that NATS does not have any more: its disk was
// lost. Any number of nodes may do so at once. What was in them is gone, which
// whoever had something there finds out by itself.
//
// An embedded server has the disk of its own process, and is started anew under
// us by revive, when it may deny anything for a while.
func (c *Conn) restore(ctx context.Context) {
	if c.server != nil {
		return
	}
	c.restoring.Lock() // the watches of a process all find out at once
	defer c.restoring.Unlock()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	c.mu.Lock()
	laid := slices.Clone(c.laid)
	c.mu.Unlock()
	for _, config := range laid {
		_, err := c.js.Stream(ctx, config.Name)
		if !errors.Is(err, jetstream.ErrStreamNotFound) {
			continue
		}
		_, err = c.js.CreateStream(ctx, config)
		c.log.Error("nats has lost a stream, which was made anew: what nobody here goes on with is found by weir store recover", "stream", config.Name, "err", err)
	}
}
