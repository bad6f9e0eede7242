package segmenter

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"path"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"weir/hls"
	"weir/media"
	"weir/media/object"
)

// listAll writes the playlists of what is saved: of the newest State, where
// several have come while the store was busy.
func (p *packager) listAll(ctx context.Context, entries, archive, retention *updater) error {
	var next *pendingCut
	var end uint64 // of what is listed
	for {
		var news []*pendingCut
		if news, next = p.news(next, end); news == nil {
			return nil
		}
		s := news[len(news)-1].cut.State
		if s.Phase == hls.Live && s.Next() > 0 {
			if err := p.listLive(ctx, s); err != nil {
				return err
			}
			entries.update(s)
		}
		p.tellTarget(s)
		end = s.Next()
		p.worker.Metrics.listed(p, s)
		p.count(news)
		for _, n := range news {
			if n.vod {
				archive.update(s)
			}
			if s.Phase != hls.Ending { // else the end is
				p.owed.add(-n.owed)
			}
		}
		if s.Forget {
			retention.update(s)
		}
	}
}

// tellTarget says once that segments are longer than was asked for: only the
// encoder can mend that.
func (p *packager) tellTarget(s *hls.State) {
	asked := s.Settings().Segment
	if p.toldTarget || s.Next() == 0 || time.Duration(s.Target)*time.Second < asked+time.Second {
		return
	}
	p.toldTarget = true
	p.log.Warn("segments are longer than --segment, and each second of that is three of delay for viewers: set the encoder to a key frame every 2 s",
		"segment", asked.String(), "target_duration", (time.Duration(s.Target) * time.Second).String())
}

// news waits for what is saved, first if that was taken already, and takes
// more of it: as far as the live window of the last one still begins where
// what is listed ends, so that no segment is left out. next is one that does
// not.
func (p *packager) news(first *pendingCut, end uint64) (news []*pendingCut, next *pendingCut) {
	if first == nil {
		if first = <-p.saved; first == nil {
			return nil, nil // there is no more
		}
	}
	news = []*pendingCut{first}
	for len(p.saved) > 0 {
		s := <-p.saved
		if s.cut.State.Next()-uint64(s.cut.State.Window()) > end {
			return news, s
		}
		news = append(news, s)
	}
	return news, nil
}

// counted is what the metrics know of a State's sums.
type counted struct {
	frames, batches uint64
	millis          int64
	drops           media.Drops
}

// count counts what is now listed.
func (p *packager) count(news []*pendingCut) {
	for _, n := range news {
		if n.cut.Segment != nil {
			p.worker.Metrics.segment(n.cut.Segment, time.Since(n.began))
		}
	}
	s := news[len(news)-1].cut.State
	now := counted{s.LostFrames, s.LostBatches, s.LostMS, s.Drops}
	p.worker.Metrics.lost(now.frames-p.counted.frames, now.batches-p.counted.batches, now.millis-p.counted.millis)
	p.worker.Metrics.dropped(s.Drops.Since(&p.counted.drops))
	p.counted = now
}

// listLive makes live.m3u8 agree with s.
func (p *packager) listLive(ctx context.Context, s *hls.State) error {
	return p.putPlaylist(ctx, playlist{key: p.key(object.LivePlaylist), body: s.LivePlaylist(), cache: cache(s)})
}

// refresh is how often the multivariants are written anew though nothing has
// changed: a rule of the store that goes by age takes them from no show that
// is live, and what was deleted by mistake comes back.
const refresh = time.Hour

// multivariants writes the broadcast's multivariant playlist and, unless a newer
// broadcast has, the stream's. They belong to the owner of
// the source rendition, and change seldom.
func (p *packager) multivariants(ctx context.Context, s *hls.State) error {
	if p.job.Rendition != object.Source {
		return nil
	}
	list := object.LivePlaylist
	if s.Phase != hls.Live {
		list = object.VODPlaylist
	}
	uri := path.Join(p.job.Rendition, list)
	own := playlist{key: p.own().Index(), body: s.Multivariant(uri), cache: cache(s), refresh: refresh}
	entry := playlist{key: object.EntryPoint(p.job.Stream.String()), body: s.Multivariant(path.Join(p.job.Broadcast, uri)), cache: cache(s), refresh: refresh}
	both, ctx := errgroup.WithContext(ctx)
	for _, l := range []playlist{own, entry} {
		both.Go(func() error { return guard(func() error { return p.putPlaylist(ctx, l) }) })
	}
	return both.Wait()
}

// archive rewrites vod.m3u8 while the broadcast is live. Whatever keeps it
// from that, the live playlist goes on.
func (p *packager) archive(ctx context.Context, s *hls.State) error {
	err := p.putVOD(ctx, s)
	if err == nil || errors.Is(err, ErrNotOwner) {
		return err
	}
	if ctx.Err() == nil {
		p.log.Warn("vod.m3u8 is not brought up to date", "err", err)
	}
	return nil
}

// end closes a broadcast whose last segment is stored: VOD, live and
// multivariant playlists, then the last checkpoint. Nothing else of the pipeline
// is left.
func (p *packager) end(ctx context.Context) error {
	s := p.state.Clone()
	p.decided.applyTo(s)
	if s.Phase == hls.Ending && s.Next() > 0 {
		if err := p.putVOD(ctx, s); err != nil {
			return err
		}
		if err := p.listLive(ctx, s); err != nil {
			return err
		}
		if err := p.multivariants(ctx, s); err != nil {
			return err
		}
	}
	s.Phase = hls.Closed
	blob := s.Encode()
	if err := p.job.Checkpoint.Close(ctx, blob); err != nil {
		return fmt.Errorf("close checkpoint: %w", err)
	}
	return nil
}

// lists are the playlists that a packager has written or found, by key.
type lists struct {
	mu  sync.Mutex
	all map[string]written
}

// written is a playlist as it was seen last. An empty etag: there is none. Of
// its body only the sum is kept: vod.m3u8 grows with its show.
type written struct {
	etag  string
	sum   [sha256.Size]byte
	place hls.Place
	live  *hls.List // as in playlist
	at    time.Time
}

func seen(l playlist, etag string) written {
	return written{etag: etag, sum: sha256.Sum256(l.body), place: hls.PlaceOf(l.body), live: l.live, at: time.Now()}
}

func (l *lists) get(key string) written {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all[key]
}

func (l *lists) set(key string, w written) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all == nil {
		l.all = make(map[string]written)
	}
	l.all[key] = w
}

// forget has every playlist written again.
func (l *lists) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.all)
}

// playlist is a playlist to be written.
type playlist struct {
	key   string
	body  []byte
	cache string
	// refresh, where set, is for how long the same body is not written again.
	refresh time.Duration
	live    *hls.List // what body says, of live.m3u8 alone, whose length is bounded
}

// read is l with what its body says.
func (l playlist) read() playlist {
	if path.Base(l.key) != object.LivePlaylist {
		return l
	}
	if list, err := hls.ParseList(l.body); err == nil {
		l.live = &list
	}
	return l
}

// done tells whether the playlist need not be written over the one seen: it is
// the same, or that tells more. errBeginAgain: they tell different things.
func (l *playlist) done(seen written, now time.Time) (bool, error) {
	if seen.etag == "" {
		return false, nil
	}
	if seen.sum == sha256.Sum256(l.body) {
		return l.refresh == 0 || now.Sub(seen.at) < l.refresh, nil
	}
	if l.live != nil && seen.live != nil {
		switch l.live.Against(seen.live) {
		case hls.Contradicts:
			return false, fmt.Errorf("the store's %s contradicts what is saved: %w", l.key, errBeginAgain)
		case hls.IsBehind:
			return true, nil
		}
		return false, nil
	}
	return hls.PlaceOf(l.body).Behind(seen.place), nil
}

// putPlaylist writes a playlist, unless the one that is there tells more. That
// needs no question who owns the rendition: a playlist is only ever written over
// one that it continues, by a store that knows conditions. Of two owners, one of
// whom NATS has forgotten, the one whose playlist is there first is right; the
// other sees that its own contradicts that, and begins again with it.
func (p *packager) putPlaylist(ctx context.Context, l playlist) error {
	l = l.read()
	if done, err := l.done(p.lists.get(l.key), time.Now()); done || err != nil {
		return err
	}
	err := again(ctx, func() error { return p.tryPlaylist(ctx, l) })
	if err != nil {
		return fmt.Errorf("put playlist %s: %w", l.key, err)
	}
	return nil
}

// tryPlaylist writes a playlist over the one seen last, or where none was seen.
// If another is there, it is seen now.
func (p *packager) tryPlaylist(ctx context.Context, l playlist) error {
	known := p.lists.get(l.key)
	if done, err := l.done(known, time.Now()); done || err != nil {
		return err
	}
	o := object.Object{Key: l.key, Body: l.body, ContentType: object.ContentType(l.key), CacheControl: l.cache}
	etag, err := p.worker.Store.Put(ctx, o, object.Condition{Absent: known.etag == "", Match: known.etag})
	if err == nil {
		p.lists.set(l.key, seen(l, etag))
		return nil
	}
	if !errors.Is(err, object.ErrPrecondition) {
		return err
	}
	body, info, err := p.worker.Store.Get(ctx, l.key)
	switch {
	case errors.Is(err, object.ErrNotExist):
		p.lists.forget() // somebody deleted it, and perhaps the others
	case err != nil:
		return err
	default:
		p.lists.set(l.key, seen(playlist{key: l.key, body: body}.read(), info.ETag))
	}
	return errAgain
}

// putVOD renders vod.m3u8 from the index objects and s. It begins behind the
// last index object that retention has taken away.
func (p *packager) putVOD(ctx context.Context, s *hls.State) error {
	first := s.First
	var entries []hls.Entry
	if !s.Forget {
		runs, err := p.runs(ctx, s)
		if err != nil {
			return err
		}
		for n := len(runs) - 1; n >= 0 && runs[n] != nil; n-- {
			first = uint64(n) * hls.RunLength
		}
		for _, run := range runs[first/hls.RunLength:] {
			entries = append(entries, run...)
		}
	}
	return p.putPlaylist(ctx, playlist{key: p.key(object.VODPlaylist), body: s.VODPlaylist(first, entries), cache: cache(s)})
}

// indexReads is how many index objects are read at once: a day of segments
// has hundreds.
const indexReads = 8

// runs returns the entries of the index objects in front of s, nil for one that
// is not there any more. At the end of a broadcast, so is one that is damaged:
// nobody will ever mend it.
func (p *packager) runs(ctx context.Context, s *hls.State) ([][]hls.Entry, error) {
	runs := make([][]hls.Entry, s.First/hls.RunLength)
	all, ctx := errgroup.WithContext(ctx)
	all.SetLimit(indexReads)
	for i := range uint64(len(runs)) {
		all.Go(func() error {
			body, err := p.get(ctx, p.key(object.RunName(i)))
			if errors.Is(err, object.ErrNotExist) {
				return nil
			}
			if err != nil {
				return fmt.Errorf("get index object %d: %w", i, err)
			}
			if runs[i], err = hls.ParseRun(i, body); err != nil && s.Phase != hls.Live {
				p.log.Error("vod.m3u8 begins behind an index object that is damaged", "err", err)
				return nil
			}
			return err
		})
	}
	return runs, all.Wait()
}
