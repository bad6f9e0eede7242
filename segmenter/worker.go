// Package segmenter turns the frame log into objects: it reads a broadcast's
// log, has hls cut it, and stores what comes of that in an order that survives
// being killed at any moment: segment, checkpoint, playlist.
package segmenter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"weir/hls"
	"weir/media"
	"weir/media/framelog"
	"weir/media/object"
)

// Source reads the frame log of one rendition.
type Source interface {
	// Read calls fn for each batch behind a position, in order, and waits
	// for more at the log's end. A batch's Tags stay as they are after the
	// call. missed tells that batches before this one had aged out before
	// they were read. Read returns the error of fn, or ctx's.
	Read(ctx context.Context, broadcast, rendition string, after framelog.Position, fn func(b *framelog.Batch, missed bool) error) error
}

// Store keeps objects. It tries again what fails, until it has answered or ctx is
// done: frames wait in the log meanwhile.
type Store interface {
	Put(ctx context.Context, o object.Object, c object.Condition) (etag string, err error)
	Get(ctx context.Context, key string) (body []byte, info object.Info, err error)
	Delete(ctx context.Context, key string) error
}

// Checkpoint is the claim on one rendition: whoever can save owns it.
type Checkpoint interface {
	// Save stores state over the one that was saved last, by compare-and-set. It
	// tries until ctx is done.
	// It returns ErrNotOwner where another worker has saved, or claimed, and
	// ErrRestored where nobody knows. One goroutine at a time calls Save and
	// Close.
	Save(ctx context.Context, state []byte) error
	// Close is the last Save: nobody is to claim the rendition again.
	Close(ctx context.Context, state []byte) error
}

// ErrRestored says that NATS had lost the claim: the State is stored, anew, and
// somebody else may have had the rendition meanwhile.
var ErrRestored = errors.New("the claim was lost, and written anew")

// ErrNotOwner says that another worker owns the rendition: leave at once,
// touch nothing.
var ErrNotOwner = errors.New("another worker owns the rendition")

// Job is one rendition of a broadcast to package.
type Job struct {
	Stream     media.Stream
	Broadcast  string
	Rendition  string
	State      []byte // nil where nobody has claimed it yet
	Checkpoint Checkpoint
	// Owe is told of each Cut from when it is made, 1, until viewers see it, -1:
	// as long as there is one, the job is not idle though nothing comes. Optional.
	Owe func(n int)
}

// Worker packages renditions. One Worker serves any number of Jobs at once.
type Worker struct {
	Source   Source
	Store    Store
	Settings hls.Settings // of broadcasts that begin with this worker
	Log      *slog.Logger
	Metrics  *Metrics
	// Ahead bounds what is uploaded while an older segment of its broadcast
	// still is. Nil: nothing.
	Ahead *Budget
}

// Package segments one rendition until its broadcast has ended (nil), another
// worker owns it (ErrNotOwner) or ctx is done. Whatever ends it, the next
// owner goes on from the last Save and makes the same bytes.
func (w *Worker) Package(ctx context.Context, job Job) error {
	for wait := time.Duration(0); ; wait = longer(wait) {
		p, err := w.open(job)
		if err != nil {
			return fmt.Errorf("claim %s: %w", job.Broadcast, err)
		}
		began := time.Now()
		err = p.life(ctx)
		if !errors.Is(err, errBeginAgain) || ctx.Err() != nil {
			return err
		}
		p.log.Error("what the store lists is compared with what was saved, and gone on from there", "err", err)
		if time.Since(began) > settled {
			wait = 0
		}
		if pause(ctx, wait) != nil {
			return err
		}
		job.State = p.checkpoint
	}
}

// settled is how long a life lasts whose begin has put right what was to be.
const settled = 30 * time.Second

// errBeginAgain ends a life whose State may not be what viewers have seen.
var errBeginAgain = errors.New("the broadcast is to be gone on with from what the store lists")

// life is all of a packager's work.
func (p *packager) life(ctx context.Context) (err error) {
	p.worker.Metrics.enter(p, time.Now())
	defer p.worker.Metrics.leave(p)
	defer func() {
		if errors.Is(err, errBeginAgain) {
			p.owed.forgive() // what is not listed is cut once more
		}
	}()
	switch p.state.Phase {
	case hls.Live:
		err = p.run(ctx)
	case hls.Ending:
		p.owed.add(1) // the end
		err = p.adopt(ctx)
	}
	if err != nil && !errors.Is(err, errEnding) {
		return err
	}
	if err := p.end(ctx); err != nil {
		return fmt.Errorf("end %s: %w", p.job.Broadcast, err)
	}
	return nil
}

// errEnding leaves Source.Read at the end of a broadcast.
var errEnding = errors.New("broadcast is ending")

// open takes up the State of the owner before, if there was one.
func (w *Worker) open(job Job) (*packager, error) {
	p := &packager{
		worker: w, job: job, log: w.Log.With("stream", job.Stream, "broadcast", job.Broadcast),
		cuts: make(chan *pendingCut, cutsAhead), saved: make(chan *pendingCut, savedAhead),
		landed: make(chan struct{}, 1), bodies: make(chan []byte, 1), checkpoint: job.State, owed: owed{tell: job.Owe},
	}
	var err error
	if p.cutter, err = newCutter(job.State, w.Settings); err != nil {
		return nil, err
	}
	s := p.cutter.State()
	p.state, p.decided = s, newDecisions(s)
	p.counted, p.dropped = counted{s.LostFrames, s.LostBatches, s.LostMS, s.Drops}, s.Drops
	if job.State == nil {
		return p, nil
	}
	p.leaving.due = true // the owner before may have been at it
	if s.Next() > 0 && s.Phase == hls.Live {
		// The owner before may have died between its Save and its playlists.
		p.claimed = &pendingCut{cut: &hls.Cut{State: s}, vod: !s.Forget}
	}
	return p, nil
}

// newCutter goes on from a State, or begins a broadcast where there is none.
func newCutter(state []byte, s hls.Settings) (*hls.Cutter, error) {
	if state == nil {
		return hls.New(s)
	}
	parsed, err := hls.ParseState(state)
	if err != nil {
		return nil, err
	}
	return hls.Restore(parsed)
}
