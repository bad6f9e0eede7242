package segmenter

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
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
	return again(ctx, func() error {
		there, info, err := p.worker.Store.Get(ctx, o.Key)
		over := object.Condition{Match: info.ETag}
		switch {
		case errors.Is(err, object.ErrNotExist): // somebody has deleted it
			over = object.Condition{Absent: true}
		case err != nil || bytes.Equal(there, o.Body):
			return err
		}
		_, err = p.worker.Store.Put(ctx, o, over)
		return changed(err)
	})
}

// putImmutable creates an object, and tells whether the key now holds these
// bytes. An object that is there already may be our own, of an attempt whose
// answer was lost, or another worker's identical work.
func (p *packager) putImmutable(ctx context.Context, o object.Object) (same bool, err error) {
	err = again(ctx, func() error {
		_, err := p.worker.Store.Put(ctx, o, object.Condition{Absent: true})
		if !errors.Is(err, object.ErrPrecondition) {
			same = err == nil
			return err
		}
		there, _, err := p.worker.Store.Get(ctx, o.Key)
		same = err == nil && bytes.Equal(there, o.Body)
		return changed(err)
	})
	return same, err
}

// get reads an object.
func (p *packager) get(ctx context.Context, key string) (body []byte, err error) {
	body, etag, err := p.find(ctx, key)
	if err == nil && etag == "" {
		err = object.ErrNotExist
	}
	return body, err
}

// errAgain says that an object is not what it was when it was looked at.
var errAgain = errors.New("the object has changed meanwhile")

// changed is errAgain where the store's answer says that.
func changed(err error) error {
	if errors.Is(err, object.ErrNotExist) || errors.Is(err, object.ErrPrecondition) {
		return errAgain
	}
	return err
}

// How long to wait before an object that others change is looked at anew.
const (
	againFirst = 100 * time.Millisecond
	againLast  = 2 * time.Second
)

// again calls do, which looks at an object and writes it by compare-and-set,
// until nobody came between: at once the first time. The store itself tries again
// what fails.
func again(ctx context.Context, do func() error) error {
	for wait := time.Duration(0); ; wait = longer(wait) {
		if err := do(); !errors.Is(err, errAgain) {
			return err
		}
		if err := pause(ctx, wait); err != nil {
			return fmt.Errorf("%w: %w", err, errAgain)
		}
	}
}

// longer is what is waited for after wait was in vain.
func longer(wait time.Duration) time.Duration {
	return min(max(2*wait, againFirst), againLast)
}

// pause waits for about so long, or until ctx is done.
func pause(ctx context.Context, wait time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(wait/2 + rand.N(max(wait, 1))):
		return nil
	}
}
