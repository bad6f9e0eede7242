package segmenter

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"weir/hls"
	"weir/media/object"
)

// own is where the objects of the packager's broadcast are.
func (p *packager) own() object.Broadcast {
	return object.Broadcast{Stream: p.job.Stream, ID: p.job.Broadcast}
}

// key is an object of the packager's rendition.
func (p *packager) key(name string) string { return p.own().Key(p.job.Rendition, name) }

// cache is how long what s says may be kept.
func cache(s *hls.State) string {
	if s.Phase != hls.Live {
		return object.CacheEnded
	}
	return object.CacheLive(time.Duration(s.Target) * time.Second)
}

// immutable is an object that stays as it is.
func (p *packager) immutable(name string, body []byte) object.Object {
	key := p.key(name)
	return object.Object{Key: key, Body: body, ContentType: object.ContentType(key), CacheControl: object.CacheForever}
}

// putSegment stores a segment under its name. Where other bytes have it,
// another release made them: this one's go beside it, and the State says so.
func (p *packager) putSegment(ctx context.Context, cut *hls.Cut) error {
	s := cut.Segment
	o := p.immutable(s.Name, s.Body)
	same, err := p.putImmutable(ctx, o)
	if err != nil || same {
		return err
	}
	// Whether that is ours to decide the next Save tells; if not, the object is
	// one that no playlist names.
	sum := sha256.Sum256(s.Body)
	name := cut.State.AlternativeName(s.Sequence, [4]byte(sum[:4]))
	o.Key = p.key(name)
	if err := p.putOwn(ctx, o); err != nil {
		return err
	}
	p.decided.rename(s.Sequence, name)
	return nil
}

// putRun stores a run of entries. Where some were adopted, the one that is
// there knows more.
func (p *packager) putRun(ctx context.Context, number uint64, entries []hls.Entry) error {
	o := p.immutable(object.RunName(number), hls.EncodeRun(number, entries))
	if p.adopted {
		there, _, err := p.find(ctx, o.Key)
		if err != nil {
			return err
		}
		if _, err := hls.ParseRun(number, there); err == nil {
			return nil
		}
	}
	return p.putOwn(ctx, o)
}

// putOwn creates an object whose bytes are beyond doubt: its name, or States
// that are saved, say what it holds. Others under its key are damaged, and are
// overwritten.
func (p *packager) putOwn(ctx context.Context, o object.Object) error {
	same, err := p.putImmutable(ctx, o)
	if err != nil || same {
		return err
	}
	return retry(ctx, p.log, "put "+o.Key, func(ctx context.Context) error {
		there, info, err := p.worker.Store.Get(ctx, o.Key)
		if err != nil || bytes.Equal(there, o.Body) {
			return err
		}
		_, err = p.worker.Store.Put(ctx, o, object.Condition{Match: info.ETag})
		return err
	})
}

// putImmutable creates an object, and tells whether the key now holds these
// bytes. An object that is there already may be our own, of an attempt whose
// answer was lost, or another worker's identical work.
func (p *packager) putImmutable(ctx context.Context, o object.Object) (same bool, err error) {
	err = retry(ctx, p.log, "put "+o.Key, func(ctx context.Context) error {
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

// get reads an object, however long the store is away.
func (p *packager) get(ctx context.Context, key string) (body []byte, err error) {
	body, etag, err := p.find(ctx, key)
	if err == nil && etag == "" {
		err = object.ErrNotExist
	}
	return body, err
}

// errAgain has retry go on at once, where it is the first failure.
var errAgain = errors.New("the object has changed meanwhile")

// The back-off of retries, and how long an attempt may take: a store that
// hangs is asked again while the segment is worth listing. Each attempt may
// take twice as long as the one before: where uploads share a line that is
// slower than all of them, none would ever be done.
const (
	attemptMost = 10 * time.Second // the first
	attemptLast = 80 * time.Second
	retryFirst  = 100 * time.Millisecond
	retryLast   = 2 * time.Second
)

// complainEvery is how often a retry that goes on says so.
const complainEvery = 30 * time.Second

// retry calls do until it succeeds, the rendition is lost or ctx is done:
// frames wait in the log meanwhile.
func retry(ctx context.Context, log *slog.Logger, what string, do func(context.Context) error) error {
	began, told := time.Now(), time.Time{}
	patience := attemptMost
	for wait := retryFirst; ; wait = min(2*wait, retryLast) {
		attempt, cancel := context.WithTimeout(ctx, patience)
		err := do(attempt)
		if attempt.Err() != nil {
			patience = min(2*patience, attemptLast)
		}
		cancel()
		switch {
		case err == nil && !told.IsZero():
			log.Info("succeeded at last", "what", what, "after", time.Since(began).Round(time.Millisecond).String())
			return nil
		case err == nil, errors.Is(err, ErrNotOwner), errors.Is(err, errBeginAgain):
			return err
		case ctx.Err() != nil:
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		}
		pause := wait/2 + rand.N(wait)
		if errors.Is(err, errAgain) && wait == retryFirst {
			pause = 0
		} else if time.Since(told) > complainEvery {
			told = time.Now()
			log.Warn("retrying", "what", what, "err", err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-time.After(pause):
		}
	}
}
