package segmenter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"weir/hls"
	"weir/media"
	"weir/media/framelog"
)

// packager is one Job under way: a pipeline, each of which goes on
// while the next is busy, so that a slow store costs latency and no frames.
//
//	push     cuts the log into segments
//	upload   stores them, several at a time
//	commit   saves their States, in order
//	list     writes the live playlist of the newest State that is saved
//
// Beside the pipeline, and never in its way, the multivariants and vod.m3u8 are
// rewritten and old segments are deleted.
type packager struct {
	worker  *Worker
	job     Job
	log     *slog.Logger
	cutter  *hls.Cutter // push's alone
	state   *hls.State  // the newest; push's alone
	decided *decisions
	adopted bool // entries from the store, which knows no sizes
	// claimed is the State that the owner before has saved, and may not have
	// listed. It waits for adopt.
	claimed *pendingCut
	// checkpoint is the State that was saved last. commit's alone.
	checkpoint []byte
	lists      lists
	owed       owed

	cuts   chan *pendingCut
	saved  chan *pendingCut
	landed chan struct{} // an upload has ended
	bodies chan []byte   // of segments that are stored
	ahead  atomic.Int32  // uploads under way

	counted counted // list's alone
	// toldTarget: tellTarget has. list's alone.
	toldTarget bool
	leaving    leaving // the retention's alone
	// dropped is what the cutter had dropped when it was asked last, told are the
	// reasons that were told of in the session, toldCodec of which tracks, video
	// and sound, that their codec is none of ours. push's alone.
	dropped   media.Drops
	told      map[media.DropReason]bool
	toldCodec [2]bool
}

// How far the steps may be apart: enough for a store that takes as long as
// three segments for each request, and few enough that what playlists name is
// never far behind what is saved.
const (
	uploadsAhead = 4
	cutsAhead    = 4
	savedAhead   = 4
)

// pendingCut is a Cut on its way.
type pendingCut struct {
	cut    *hls.Cut
	began  time.Time
	stored chan struct{} // closed when the segment is
	vod    bool          // vod.m3u8 is due
	owed   int           // 1: it counts as owed until it is listed
}

// run runs the pipeline until the log's end (errEnding), or one of the steps
// fails, or ctx is done. What was cut by then is finished, if that takes no
// longer than a handover may.
func (p *packager) run(ctx context.Context) error {
	late, cancel := graceful(ctx)
	defer cancel()
	pipeline, late := errgroup.WithContext(late)
	reading, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(late, stop)()
	aside, leave := context.WithCancel(late)
	entries, archive, retention := newUpdater(p.multivariants), newUpdater(p.archive), newUpdater(p.forget)
	step := func(do func() error) { pipeline.Go(func() error { return guard(do) }) }
	step(func() error { return entries.run(aside) })
	step(func() error { return archive.run(aside) })
	step(func() error { return retention.run(aside) })
	step(func() error { return p.commitAll(late) })
	step(func() error {
		defer leave()
		return p.listAll(late, entries, archive, retention)
	})
	submit := func(cut *hls.Cut) error {
		p.state = cut.State
		s := &pendingCut{cut: cut, began: time.Now(), stored: make(chan struct{}), owed: 1}
		p.owed.add(s.owed)
		done, err := p.admit(reading, cut)
		if err != nil {
			return err
		}
		step(func() error {
			defer done()
			return p.upload(late, s)
		})
		return send(reading, p.cuts, s)
	}
	err := guard(func() error {
		defer close(p.cuts)
		if err := p.adopt(reading); err != nil {
			return err
		}
		if p.claimed != nil {
			p.claimed.owed = 1
			p.owed.add(1)
			if err := send(reading, p.saved, p.claimed); err != nil {
				return err
			}
		}
		return p.worker.Source.Read(reading, p.job.Broadcast, p.job.Rendition, p.state.Place(),
			func(b *framelog.Batch, missed bool) error { return p.push(reading, b, missed, submit) })
	})
	if failed := pipeline.Wait(); failed != nil {
		return failed
	}
	return err
}

// guard makes an error of a panic: a broadcast that brings out a fault of ours
// must not take the others of its process with it.
func guard(do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return do()
}

// push takes a batch of the log, and ships what it brings.
func (p *packager) push(ctx context.Context, b *framelog.Batch, missed bool, submit func(*hls.Cut) error) error {
	select {
	case body := <-p.bodies:
		p.cutter.Reuse(body)
	default:
	}
	p.decided.applyTo(p.cutter)
	if missed {
		p.log.Warn("the log had lost frames before they were read")
		for _, cut := range p.cutter.Missed() {
			if err := submit(cut); err != nil {
				return err
			}
		}
	}
	p.worker.Metrics.batch()
	if b.Flags.Has(framelog.Begin) {
		p.worker.Metrics.enter(p, time.Now())
	}
	for _, cut := range p.cutter.Push(b) {
		if err := submit(cut); err != nil {
			return err
		}
		if cut.State.Phase == hls.Ending {
			return errEnding
		}
	}
	p.tellDrops(b.Flags.Has(framelog.Begin))
	return p.recall(ctx)
}

// recallTimeout bounds how long the log is read anew for.
const recallTimeout = 5 * time.Second

// errRecalled leaves Source.Read where the log was read anew far enough.
var errRecalled = errors.New("read anew")

// recall gives the cutter the batches once more that it asks for, if it does.
func (p *packager) recall(ctx context.Context) error {
	first, last, needed := p.cutter.Recall()
	if !needed {
		return nil
	}
	short, cancel := context.WithTimeout(ctx, recallTimeout)
	defer cancel()
	var batches []*framelog.Batch
	size := 0
	err := p.worker.Source.Read(short, p.job.Broadcast, p.job.Rendition, framelog.Position{Seq: first - 1}, func(b *framelog.Batch, missed bool) error {
		if missed || size > hls.RecallBytes {
			batches = nil
			return errRecalled
		}
		batches, size = append(batches, b), size+len(b.Tags)
		if b.Seq >= last {
			return errRecalled
		}
		return nil
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if !errors.Is(err, errRecalled) {
		p.log.Warn("the last pictures could not be read from the log again", "err", err)
		batches = nil
	}
	p.cutter.Replay(batches)
	return nil
}

// tellDrops says once a session of each reason why something reaches no viewer:
// an operator who hears nothing would look for the fault everywhere else.
func (p *packager) tellDrops(begins bool) {
	if begins || p.told == nil {
		p.told, p.toldCodec = make(map[media.DropReason]bool), [2]bool{}
	}
	tell := func(reason media.DropReason, more ...any) {
		p.log.Warn("left out of what viewers see", append([]any{"what", reason.Sentence(), "reason", reason.String()}, more...)...)
	}
	for i, codec := range p.cutter.Foreign() {
		if codec != "" && !p.toldCodec[i] {
			p.toldCodec[i] = true
			tell(media.DropCodec, "codec", codec)
		}
	}
	dropped := p.cutter.Dropped()
	if dropped == p.dropped {
		return
	}
	more := dropped.Since(&p.dropped)
	p.dropped = dropped
	for _, reason := range media.DropReasons() {
		if more[reason] > 0 && !p.told[reason] && reason != media.DropCodec {
			p.told[reason] = true
			tell(reason)
		}
	}
}

// admit waits until a Cut may be uploaded. The oldest of a broadcast never
// waits for another broadcast's; those ahead of it share a budget.
func (p *packager) admit(ctx context.Context, cut *hls.Cut) (done func(), err error) {
	var size int64
	if cut.Segment != nil {
		size = int64(len(cut.Segment.Body))
	}
	for {
		ahead := p.ahead.Load()
		paid := ahead > 0 && ahead < uploadsAhead && p.worker.Ahead.take(size)
		if ahead == 0 || paid {
			p.ahead.Add(1)
			return func() {
				if paid {
					p.worker.Ahead.give(size)
				}
				p.ahead.Add(-1)
				select {
				case p.landed <- struct{}{}:
				default: // there is word already
				}
			}, nil
		}
		select {
		case <-p.landed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// upload stores what a Cut brought, but for the State: of two workers that do
// so at once, both store the same.
func (p *packager) upload(ctx context.Context, s *pendingCut) error {
	if s.cut.Segment != nil {
		if err := p.putSegment(ctx, s.cut); err != nil {
			return fmt.Errorf("put segment %d: %w", s.cut.Segment.Sequence, err)
		}
		p.recycle(s)
	}
	close(s.stored)
	return nil
}

// recycle gives a stored segment's buffer back, unless its upload was so slow
// that an attempt that was given up may still read it.
func (p *packager) recycle(s *pendingCut) {
	if time.Since(s.began) < time.Second {
		select {
		case p.bodies <- s.cut.Segment.Body:
		default:
		}
	}
	s.cut.Segment.Body = nil
}

// commitAll saves the State behind each Cut that is stored, in order, and
// before it what has left that. A crash before that: the redo writes the same
// bytes. After it: the next owner writes the playlists from State.
func (p *packager) commitAll(ctx context.Context) error {
	defer close(p.saved)
	for s := range p.cuts {
		select {
		case <-s.stored:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := p.putRuns(ctx, s.cut); err != nil {
			return err
		}
		p.decided.applyTo(s.cut.State)
		s.vod = s.cut.Segment != nil && p.decided.vodDue(s.cut.State)
		if err := p.save(ctx, s.cut.State); err != nil {
			return err
		}
		if err := send(ctx, p.saved, s); err != nil {
			return err
		}
	}
	return nil
}

// putRuns stores the entries that a Cut took out of the State. All segments in
// front of it are stored by now, so that their names are decided.
func (p *packager) putRuns(ctx context.Context, cut *hls.Cut) error {
	for i, entries := range cut.Runs {
		number := cut.FirstRun + uint64(i)
		p.decided.name(number*hls.RunLength, entries)
		if err := p.putRun(ctx, number, entries); err != nil {
			return fmt.Errorf("put index object %d: %w", number, err)
		}
	}
	return nil
}

func (p *packager) save(ctx context.Context, s *hls.State) error {
	blob := s.Encode()
	err := p.job.Checkpoint.Save(ctx, blob)
	if err == nil || errors.Is(err, ErrRestored) {
		p.checkpoint = blob
	}
	if errors.Is(err, ErrRestored) {
		err = errors.Join(errBeginAgain, err)
	}
	if err != nil {
		return fmt.Errorf("save checkpoint: %w", err)
	}
	return nil
}

// send gives s to the next step.
func send(ctx context.Context, to chan<- *pendingCut, s *pendingCut) error {
	select {
	case to <- s:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// handover is how long the pipeline may go on after its worker was told to go.
// Without it the next owner would do the same work again.
const handover = 2 * time.Second

// graceful returns a context that ends handover after ctx.
func graceful(ctx context.Context) (context.Context, context.CancelFunc) {
	late, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		time.AfterFunc(handover, cancel)
	})
	return late, func() { stop(); cancel() }
}
