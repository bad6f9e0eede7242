package bus

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"weir/media/framelog"
)

// readTo is how far a log was read, and when something came of it last.
type readTo struct {
	seq uint64
	at  time.Time
}

// progress is how far a claim's log was read for it, and what is not done yet of
// that.
type progress struct {
	mu   sync.Mutex
	log  string // which one that is
	far  readTo
	owed atomic.Int64
}

// to returns how far the log was read.
func (r *progress) to() readTo {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.far
}

// note takes note of how far a reader of the claim is. One that reads a part of
// the log once more meanwhile takes nothing back; one that finds that the log is
// another one, or has gone back, does.
func (r *progress) note(log string, seq uint64, anew bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if log != r.log || anew || seq > r.far.seq {
		r.log, r.far = log, readTo{seq, time.Now()}
	}
}

// Read reads the log of the claim's rendition as Bus.Read does. The worker takes
// note of how far: where nothing comes, the broadcast may be set aside for
// another that waits.
func (c *Claim) Read(ctx context.Context, after framelog.Position, fn func(b *framelog.Batch, missed bool) error) error {
	return c.worker.bus.read(ctx, c.Broadcast(), c.Rendition(), after, fn, c.progress.note)
}

// Owe adds n to what was made of the log that is read and is not delivered yet.
// As long as there is any the broadcast is not set aside.
func (c *Claim) Owe(n int) { c.progress.owed.Add(int64(n)) }

// owes tells whether there is any.
func (c *Claim) owes() bool { return c.progress.owed.Load() > 0 }
