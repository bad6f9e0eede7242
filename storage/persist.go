package storage

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"weir/media/object"
)

// Persist is a writer whose Put, Get and Delete go on until they succeed, or the
// store has answered, or their context ends, whatever the failure: a store that is
// full, away, or denies us has room again some time. It is the only one that tries
// again: an S3 below it does so itself, with its own waits, for longer than it
// would.
func Persist(s Writer, log *slog.Logger) *Persistent { return &Persistent{s, log} }

// Writer is what of a Store writers use.
type Writer interface {
	Put(ctx context.Context, o object.Object, c object.Condition) (etag string, err error)
	Get(ctx context.Context, key string) (body []byte, info object.Info, err error)
	Delete(ctx context.Context, key string) error
}

// Persistent is a Writer in front of another one, see Persist.
type Persistent struct {
	to  Writer
	log *slog.Logger
}

// Put is a Store's.
func (p *Persistent) Put(ctx context.Context, o object.Object, c object.Condition) (etag string, err error) {
	err = p.do(ctx, "put "+o.Key, func(ctx context.Context) error {
		etag, err = p.to.Put(ctx, o, c)
		return err
	})
	return etag, err
}

// Get is a Store's.
func (p *Persistent) Get(ctx context.Context, key string) (body []byte, info object.Info, err error) {
	err = p.do(ctx, "get "+key, func(ctx context.Context) error {
		body, info, err = p.to.Get(ctx, key)
		return err
	})
	return body, info, err
}

// Delete is a Store's.
func (p *Persistent) Delete(ctx context.Context, key string) error {
	return p.do(ctx, "delete "+key, func(ctx context.Context) error { return p.to.Delete(ctx, key) })
}

// The waits of a store that has none of its own, and how long an attempt may
// take. Each may take twice as long as the one before: where uploads share a line
// that is slower than all of them, none would ever be done.
const (
	persistAttempt = 10 * time.Second // the first
	persistLongest = 80 * time.Second
	persistFirst   = 100 * time.Millisecond
	persistLast    = 2 * time.Second
)

// do calls op once where the store below goes on by itself, else until it need
// not any more.
func (p *Persistent) do(ctx context.Context, what string, op func(context.Context) error) error {
	call := &persistence{log: p.log, what: what, began: time.Now()}
	ctx = context.WithValue(ctx, persistenceKey{}, call)
	if persists(p.to) {
		return op(ctx)
	}
	most := persistAttempt
	for wait := persistFirst; ; wait = min(2*wait, persistLast) {
		attempt, cancel := context.WithTimeout(ctx, most)
		err := op(attempt)
		if attempt.Err() != nil {
			most = min(2*most, persistLongest)
		}
		cancel()
		switch {
		case err == nil || final(err):
			call.ended(err)
			return err
		case ctx.Err() != nil:
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
		call.failed(err)
		timer := time.NewTimer(wait/2 + rand.N(wait))
		select {
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		case <-timer.C:
		}
	}
}

// persists tells whether a store goes on by itself where its context asks it to.
func persists(s Writer) bool {
	switch s := s.(type) {
	case *S3:
		return true
	case diskStore:
		return persists(s.Store)
	}
	return false
}

// persistence is one call that goes on; nil for one that does not.
type persistence struct {
	log   *slog.Logger
	what  string
	began time.Time
	told  time.Time // when it was last said that it goes on
}

type persistenceKey struct{}

// persistenceOf is what a call's context asks for.
func persistenceOf(ctx context.Context) *persistence {
	p, _ := ctx.Value(persistenceKey{}).(*persistence)
	return p
}

// complainEvery is how often a call that goes on says so.
const complainEvery = 30 * time.Second

// failed says that an attempt did, and that there will be another one.
func (p *persistence) failed(err error) {
	if p != nil && time.Since(p.told) > complainEvery {
		p.told = time.Now()
		p.log.Warn("retrying", "what", p.what, "err", err)
	}
}

// ended says that the last attempt was a good one, where others were told of.
func (p *persistence) ended(err error) {
	if p != nil && err == nil && !p.told.IsZero() {
		p.log.Info("succeeded at last", "what", p.what, "after", time.Since(p.began).Round(time.Millisecond).String())
	}
}
