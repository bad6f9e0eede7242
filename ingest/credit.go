package ingest

import "time"

const (
	// maxCredit is what a session begins with, and the most it saves up: a
	// hundred preludes of a real encoder.
	maxCredit = 256 << 10
	// creditRate is what a session earns in a second by itself, so that the
	// thinnest stream has a key batch a second.
	creditRate = 4 << 10
	// batchCost is what a batch costs the log beside its tags: the message, its
	// header and its place in the index.
	batchCost = 512
)

// credit bounds what a session makes the log store beside the tags themselves.
// It earns what the encoder sends, and pays for each prelude and for each batch
// that ends before its time. A key frame that cannot be paid for opens no key
// batch: readers join at the next that can, and the log holds at most about
// twice what came, whatever an encoder makes of headers and key frames.
type credit struct {
	left int
	at   time.Time
}

func newCredit() credit { return credit{left: maxCredit} }

// earn takes account of a tag of n bytes that came at now.
func (c *credit) earn(now time.Time, n int) {
	if passed := now.Sub(c.at); !c.at.IsZero() && passed > 0 {
		n += int(min(passed, time.Minute).Milliseconds()) * creditRate / 1000
	}
	c.at = now
	c.left = min(c.left+n, maxCredit)
}

// covers tells whether a batch with a prelude of n bytes can be paid for.
func (c *credit) covers(n int) bool { return c.left >= n+batchCost }

// spend pays for a batch with a prelude of n bytes.
func (c *credit) spend(n int) { c.left -= n + batchCost }
