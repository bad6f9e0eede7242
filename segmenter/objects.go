package segmenter

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path"
	"time"

	"weir/media"
	"weir/media/object"
)

// SourceRendition is the rendition that the encoder itself sent.
const SourceRendition = "source"

// Content types (RFC 8216, 4) and cache times of objects. Segments never
// change; playlists may be kept for half a target duration.
const (
	typePlaylist = "application/vnd.apple.mpegurl"
	typeSegment  = "video/mp2t"
	typeIndex    = "application/json"
	cacheForever = "public, max-age=31536000, immutable"
	cacheLong    = "public, max-age=86400"
)

// entryKey is the multivariant playlist that viewers of a stream open.
func entryKey(s media.Stream) string { return path.Join(s.String(), "index.m3u8") }

// broadcastKey is an object of one broadcast.
func broadcastKey(s media.Stream, broadcast, name string) string {
	return path.Join(s.String(), broadcast, name)
}

// key is an object of the packager's rendition.
func (p *packager) key(name string) string {
	return broadcastKey(p.job.Stream, p.job.Broadcast, path.Join(p.job.Rendition, name))
}

func (p *packager) liveCache() string {
	if p.seg.State().Phase != Live {
		return cacheLong
	}
	return fmt.Sprintf("public, max-age=%d", max(1, p.seg.State().Target/2))
}

// putSegment stores a segment under its name. Where other bytes have it,
// another release made them: this one's go beside it, and the State says so.
func (p *packager) putSegment(ctx context.Context, s *Segment) error {
	o := object.Object{Key: p.key(s.Name), Body: s.Body, ContentType: typeSegment, CacheControl: cacheForever}
	same, err := p.putImmutable(ctx, o)
	if err != nil || same {
		return err
	}
	// Ours to decide only while the rendition is: the State of the last
	// boundary cannot be saved again, but the claim can be seen.
	if _, err := p.job.Checkpoint.Verify(ctx); err != nil {
		return err
	}
	sum := sha256.Sum256(s.Body)
	name := fmt.Sprintf("%08d-%x.ts", s.Sequence, sum[:4])
	o.Key = p.key(name)
	if same, err = p.putImmutable(ctx, o); err != nil {
		return err
	}
	if !same {
		return fmt.Errorf("object %s holds other bytes than its name says", o.Key)
	}
	p.seg.Amend(name, 0)
	return nil
}

func (p *packager) putRun(ctx context.Context, number uint64, entries []Entry) error {
	o := object.Object{Key: p.key(runName(number)), Body: encodeRun(number, entries), ContentType: typeIndex, CacheControl: cacheForever}
	same, err := p.putImmutable(ctx, o)
	if err == nil && !same {
		// Entries follow from the States before, which only owners wrote.
		_, err := p.job.Checkpoint.Verify(ctx)
		return errors.Join(err, fmt.Errorf("object %s holds other entries", o.Key))
	}
	return err
}

// putImmutable creates an object, and tells whether the key now holds these
// bytes. An object that is there already may be our own, of an attempt whose
// answer was lost, or another worker's identical work.
func (p *packager) putImmutable(ctx context.Context, o object.Object) (same bool, err error) {
	err = retry(ctx, p.worker.Log, "put object", func(ctx context.Context) error {
		_, err := p.worker.Store.Put(ctx, o, object.Condition{Absent: true})
		if !errors.Is(err, object.ErrPrecondition) {
			same = err == nil
			return err
		}
		there, _, err := p.worker.Store.Get(ctx, o.Key)
		same = err == nil && bytes.Equal(there, o.Body)
		return err
	})
	return same, err
}

// playlist is a playlist to be written.
type playlist struct {
	key   string
	body  []byte
	cache string
	// guard, where set, is asked before each attempt whether to write at all.
	guard func(context.Context) (bool, error)
}

// written is a playlist as this packager has written or found it. An empty
// etag: there is none.
type written struct {
	etag string
	body []byte
}

// putPlaylist writes a playlist over the one that this packager has seen
// last. One that somebody else has written since is overwritten only if the
// rendition is still ours.
func (p *packager) putPlaylist(ctx context.Context, l playlist) error {
	if bytes.Equal(p.written[l.key].body, l.body) {
		return nil
	}
	err := retry(ctx, p.worker.Log, "put playlist", func(ctx context.Context) error {
		return p.tryPlaylist(ctx, l)
	})
	if err != nil {
		return fmt.Errorf("put playlist %s: %w", l.key, err)
	}
	return nil
}

func (p *packager) tryPlaylist(ctx context.Context, l playlist) error {
	seen, known := p.written[l.key]
	if !known {
		body, info, err := p.worker.Store.Get(ctx, l.key)
		if err != nil && !errors.Is(err, object.ErrNotExist) {
			return err
		}
		seen = written{etag: info.ETag, body: body}
		p.written[l.key] = seen
		if err == nil && bytes.Equal(body, l.body) {
			return nil
		}
		// What was just read may be a newer owner's. Ours to overwrite only if
		// the rendition is still ours now, after the reading.
		if _, err := p.job.Checkpoint.Verify(ctx); err != nil {
			return err
		}
	}
	if l.guard != nil {
		if ok, err := l.guard(ctx); err != nil || !ok {
			return err
		}
	}
	o := object.Object{Key: l.key, Body: l.body, ContentType: typePlaylist, CacheControl: l.cache}
	etag, err := p.worker.Store.Put(ctx, o, object.Condition{Absent: seen.etag == "", Match: seen.etag})
	if errors.Is(err, object.ErrPrecondition) {
		delete(p.written, l.key)
		_, err := p.job.Checkpoint.Verify(ctx)
		return errors.Join(err, errAgain)
	}
	if err == nil {
		p.written[l.key] = written{etag: etag, body: l.body}
	}
	return err
}

// putVOD renders vod.m3u8 from the index objects and the State. It begins
// behind the last index object that retention has taken away.
func (p *packager) putVOD(ctx context.Context, cache string) error {
	s := p.seg.State()
	var first uint64
	var entries []Entry
	runs := s.First / runLength
	if s.Forget {
		first, runs = s.First, 0
	}
	for n := range runs {
		body, err := p.get(ctx, p.key(runName(n)))
		if errors.Is(err, object.ErrNotExist) {
			first, entries = (n+1)*runLength, nil
			continue
		}
		if err != nil {
			return fmt.Errorf("get index object %d: %w", n, err)
		}
		run, err := parseRun(n, body)
		if err != nil {
			return err
		}
		entries = append(entries, run...)
	}
	return p.putPlaylist(ctx, playlist{key: p.key("vod.m3u8"), body: s.vodPlaylist(first, entries), cache: cache})
}

// get reads an object, however long the store is away.
func (p *packager) get(ctx context.Context, key string) (body []byte, err error) {
	missing := false
	err = retry(ctx, p.worker.Log, "get object", func(ctx context.Context) error {
		var err error
		body, _, err = p.worker.Store.Get(ctx, key)
		if missing = errors.Is(err, object.ErrNotExist); missing {
			return nil
		}
		return err
	})
	if missing {
		return nil, object.ErrNotExist
	}
	return body, err
}

// errAgain has retry go on at once.
var errAgain = errors.New("the object has changed meanwhile")

// The back-off of retries, and the longest that one attempt may take: a store
// that hangs is asked again while the segment is worth listing.
const (
	attemptMost = 10 * time.Second
	retryFirst  = 100 * time.Millisecond
	retryLast   = 2 * time.Second
)

// retry calls do until it succeeds, the rendition is lost or ctx is done:
// frames wait in the log meanwhile.
func retry(ctx context.Context, log *slog.Logger, what string, do func(context.Context) error) error {
	for wait := retryFirst; ; wait = min(2*wait, retryLast) {
		attempt, cancel := context.WithTimeout(ctx, attemptMost)
		err := do(attempt)
		cancel()
		if err == nil || errors.Is(err, ErrNotOwner) {
			return err
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		}
		pause := wait/2 + rand.N(wait)
		if errors.Is(err, errAgain) {
			pause = 0
		} else {
			log.Warn("retrying", "what", what, "error", err, "in", pause)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-time.After(pause):
		}
	}
}
