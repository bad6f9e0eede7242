package segmenter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"time"

	"weir/media"
	"weir/media/framelog"
	"weir/media/object"
)

// Source reads the frame log of one rendition.
type Source interface {
	// Read calls fn for each batch behind position after, in order, and waits
	// for more at the log's end. A batch's Tags stay as they are after the
	// call. missed tells that batches before this one had aged out before
	// they were read. Read returns the error of fn, or ctx's.
	Read(ctx context.Context, broadcast, rendition string, after uint64, fn func(b *framelog.Batch, missed bool) error) error
}

// Store keeps objects.
type Store interface {
	Put(ctx context.Context, o object.Object, c object.Condition) (etag string, err error)
	Get(ctx context.Context, key string) (body []byte, info object.Info, err error)
	Delete(ctx context.Context, key string) error
}

// Checkpoint is the claim on one rendition: whoever can save owns it.
type Checkpoint interface {
	// Save stores state over the one that was saved last, by compare-and-set.
	// It returns ErrNotOwner where another worker has saved, or claimed.
	Save(ctx context.Context, state []byte) error
	// Close is the last Save: nobody is to claim the rendition again.
	Close(ctx context.Context, state []byte) error
	// Verify returns ErrNotOwner where another worker owns the rendition. If
	// it is ours, current tells whether the registry names this broadcast as
	// its stream's.
	Verify(ctx context.Context) (current bool, err error)
}

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
}

// Worker packages renditions. One Worker serves any number of Jobs at once.
type Worker struct {
	Source   Source
	Store    Store
	Settings Settings // of broadcasts that begin with this worker
	Log      *slog.Logger
	Metrics  *Metrics
}

// Package segments one rendition until its broadcast has ended (nil), another
// worker owns it (ErrNotOwner) or ctx is done. Whatever ends it, the next
// owner goes on from the last Save and makes the same bytes.
func (w *Worker) Package(ctx context.Context, job Job) error {
	p, err := w.open(ctx, job)
	if err != nil {
		return fmt.Errorf("claim %s: %w", job.Broadcast, err)
	}
	if w.Metrics.enter(p, time.Now()); p.seg.State().Next() > 0 {
		w.Metrics.listed(p)
	}
	defer w.Metrics.leave(p)
	if p.seg.State().Phase == Live {
		err = w.Source.Read(ctx, job.Broadcast, job.Rendition, p.seg.State().Position, func(b *framelog.Batch, missed bool) error {
			return p.push(ctx, b, missed)
		})
		if !errors.Is(err, errEnding) {
			return err
		}
	}
	if err := p.end(ctx); err != nil {
		return fmt.Errorf("end %s: %w", job.Broadcast, err)
	}
	return nil
}

// errEnding leaves Source.Read at the end of a broadcast.
var errEnding = errors.New("broadcast is ending")

// packager is one Job under way.
type packager struct {
	worker  *Worker
	job     Job
	seg     *Segmenter
	written map[string]written // by key
	// lostFrames and lostBatches are what the metrics have counted.
	lostFrames, lostBatches uint64
	leaving                 leaving
	told                    [2]bool // of a foreign codec: video, audio
}

// open claims the rendition for good: it restores the State, and makes the
// playlists agree with it. The owner before may have died between its Save
// and its playlist.
func (w *Worker) open(ctx context.Context, job Job) (*packager, error) {
	p := &packager{worker: w, job: job, written: make(map[string]written)}
	if job.State == nil {
		seg, err := New(w.Settings)
		p.seg = seg
		return p, err
	}
	state, err := ParseState(job.State)
	if err != nil {
		return nil, err
	}
	if p.seg, err = Restore(state); err != nil {
		return nil, err
	}
	p.leaving.due = true // the owner before may have been at it
	if state.Next() > 0 && state.Phase == Live {
		err = p.playlists(ctx, !state.Forget)
	}
	return p, err
}

func (p *packager) push(ctx context.Context, b *framelog.Batch, missed bool) error {
	if missed {
		p.worker.Log.Warn("the log had lost frames before they were read", "stream", p.job.Stream, "broadcast", p.job.Broadcast)
		if cut := p.seg.Missed(); cut != nil {
			if err := p.commit(ctx, cut); err != nil {
				return err
			}
		}
	}
	p.worker.Metrics.batch()
	if b.Flags.Has(framelog.Begin) {
		p.worker.Metrics.enter(p, time.Now())
	}
	cut := p.seg.Push(b)
	p.tellForeign()
	if cut == nil {
		return nil
	}
	if err := p.commit(ctx, cut); err != nil {
		return err
	}
	if p.seg.State().Phase == Ending {
		return errEnding
	}
	return nil
}

// tellForeign says once of each track why nobody will see or hear it.
func (p *packager) tellForeign() {
	for i, codec := range p.seg.Foreign() {
		if codec == "" || p.told[i] {
			continue
		}
		p.told[i] = true
		p.worker.Log.Warn("a track is left out: only H.264 and AAC are packaged",
			"stream", p.job.Stream, "broadcast", p.job.Broadcast, "codec", codec)
	}
}

// commit stores what a Cut brought: segment, index, checkpoint, playlists, in
// this order. A crash before the checkpoint: the redo writes the same bytes.
// After it: the next owner writes the playlists from State.
func (p *packager) commit(ctx context.Context, cut *Cut) error {
	ctx, cancel := graceful(ctx)
	defer cancel()
	began := time.Now()
	if cut.Segment != nil {
		if err := p.putSegment(ctx, cut.Segment); err != nil {
			return fmt.Errorf("put segment %d: %w", cut.Segment.Sequence, err)
		}
	}
	if cut.Run != nil {
		if err := p.putRun(ctx, cut.RunNumber, cut.Run); err != nil {
			return fmt.Errorf("put index object %d: %w", cut.RunNumber, err)
		}
	}
	vod := cut.Segment != nil && p.vodDue()
	if err := p.save(ctx); err != nil {
		return err
	}
	p.worker.Metrics.listed(p)
	if cut.Segment == nil {
		return nil
	}
	if p.seg.State().Phase == Live {
		if err := p.playlists(ctx, vod); err != nil {
			return err
		}
		p.forget(ctx, cut.Run != nil)
	}
	s := p.seg.State()
	p.worker.Metrics.segment(cut.Segment, s.LostFrames-p.lostFrames, s.LostBatches-p.lostBatches, time.Since(began))
	p.lostFrames, p.lostBatches = s.LostFrames, s.LostBatches
	return nil
}

// vodDue decides whether vod.m3u8 is to be rewritten: when it has grown by a
// quarter, so that all rewrites of a broadcast together cost a constant per
// segment.
func (p *packager) vodDue() bool {
	s := p.seg.State()
	if s.Forget {
		return false // an EVENT playlist keeps what it has listed (RFC 8216, 4.3.3.5)
	}
	if n := s.Next(); n >= s.VODLength+max(1, s.VODLength/4) {
		s.VODLength = n
		return true
	}
	return false
}

func (p *packager) save(ctx context.Context) error {
	blob := p.seg.State().Encode()
	return retry(ctx, p.worker.Log, "save checkpoint", func(ctx context.Context) error {
		return p.job.Checkpoint.Save(ctx, blob)
	})
}

// playlists makes live.m3u8, the multivariants and, where vod is set,
// vod.m3u8 agree with the State.
func (p *packager) playlists(ctx context.Context, vod bool) error {
	s := p.seg.State()
	if err := p.putPlaylist(ctx, playlist{key: p.key("live.m3u8"), body: s.livePlaylist(), cache: p.liveCache()}); err != nil {
		return err
	}
	if vod {
		if err := p.putVOD(ctx, p.liveCache()); err != nil {
			return err
		}
	}
	return p.multivariants(ctx)
}

// multivariants writes the broadcast's multivariant playlist and, while the
// registry names the broadcast, the stream's. They belong to the owner of
// the source rendition, and change seldom.
func (p *packager) multivariants(ctx context.Context) error {
	if p.job.Rendition != SourceRendition {
		return nil
	}
	s := p.seg.State()
	list := "live.m3u8"
	if s.Phase != Live {
		list = "vod.m3u8"
	}
	uri := path.Join(p.job.Rendition, list)
	own := playlist{key: broadcastKey(p.job.Stream, p.job.Broadcast, "index.m3u8"), body: s.multivariant(uri), cache: p.liveCache()}
	if err := p.putPlaylist(ctx, own); err != nil {
		return err
	}
	entry := playlist{key: entryKey(p.job.Stream), body: s.multivariant(path.Join(p.job.Broadcast, uri)), cache: p.liveCache()}
	entry.guard = p.job.Checkpoint.Verify
	return p.putPlaylist(ctx, entry)
}

// end closes a broadcast whose last segment is stored: VOD, live and
// multivariant playlists, then the last checkpoint.
func (p *packager) end(ctx context.Context) error {
	s := p.seg.State()
	if s.Phase == Ending && s.Next() > 0 {
		if err := p.putVOD(ctx, cacheLong); err != nil {
			return err
		}
		if err := p.playlists(ctx, false); err != nil {
			return err
		}
	}
	s.Phase = Closed
	blob := s.Encode()
	return retry(ctx, p.worker.Log, "close checkpoint", func(ctx context.Context) error {
		return p.job.Checkpoint.Close(ctx, blob)
	})
}

// handover is how long a commit that is under way may take after its worker
// was told to go. Without it the next owner would do the same work again.
const handover = 2 * time.Second

// graceful returns a context that ends handover after ctx.
func graceful(ctx context.Context) (context.Context, context.CancelFunc) {
	late, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		time.AfterFunc(handover, cancel)
	})
	return late, func() { stop(); cancel() }
}
