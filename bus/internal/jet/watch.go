package jet

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Change is what a watcher learns of a key. Where Gone, there is none (any
// more). Value is nil where headers only are watched.
type Change struct {
	Key string
	Item
	Gone   bool
	Header nats.Header
	Stored time.Time // by the server's clock
}

// Watcher is whoever watches keys. An error of its functions ends that.
type Watcher struct {
	Prefix string // of the keys; empty: all
	// Headers: values are not wanted.
	Headers bool
	Change  func(Change) error
	// Synced is called when all keys that there were have come. Optional.
	Synced func() error
}

// Watch tells w of every key of the bucket as it stands, and then of each
// change, until ctx ends or w fails. After any trouble it looks at all keys
// anew, so that no deletion is missed, and is synced again.
func (k *Bucket) Watch(ctx context.Context, w Watcher) error {
	x := watch{Watcher: w, bucket: k, known: make(map[string]bool)}
	if x.Synced == nil {
		x.Synced = func() error { return nil }
	}
	return k.Follow(ctx, Follower{Start: x.start, Message: x.message, Idle: x.idle})
}

// watch is a Watcher at work.
type watch struct {
	Watcher
	bucket *Bucket
	known  map[string]bool // keys that are there; true: seen since looking began

	// While the keys are looked at (anew): the sequence that the stream had then.
	// A consumer delivers in order, so that with it, or a later one, all have
	// come; but for a key that was written before its turn, whose turn is later
	// then. So the stream is asked once more when that has come.
	looking, again bool
	until          uint64
}

func (w *watch) start(_ context.Context, info *jetstream.StreamInfo) (jetstream.ConsumerConfig, error) {
	w.looking, w.again, w.until = true, true, info.State.LastSeq
	for key := range w.known {
		w.known[key] = false
	}
	return jetstream.ConsumerConfig{
		FilterSubject: w.bucket.prefix + w.Prefix + ">",
		DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy,
		HeadersOnly:   w.Headers,
	}, nil
}

func (w *watch) message(m Message) error {
	c := Change{Key: strings.TrimPrefix(m.Subject, w.bucket.prefix), Header: m.Header, Stored: m.Stored}
	c.Rev, c.Gone = m.Seq, tombstone(m.Header)
	if c.Gone {
		delete(w.known, c.Key)
	} else {
		w.known[c.Key] = true
		if !w.Headers {
			c.Value = m.Data
		}
	}
	if err := w.Change(c); err != nil || !w.looking || m.Seq < w.until {
		return err
	}
	if w.again {
		w.again = false
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		now, err := w.bucket.conn.js.Stream(ctx, w.bucket.CachedInfo().Config.Name)
		if err != nil {
			return nil // idle will tell
		}
		if w.until = now.CachedInfo().State.LastSeq; m.Seq < w.until {
			return nil
		}
	}
	return w.sync(context.Background())
}

// idle is asked when nothing comes: the last message may be one of no interest,
// or the mark of a deletion that has expired. What a consumer still has to
// deliver is known to it. That count was seen too low while keys were written,
// for as long as that takes: not for as long as nothing has come. What it has
// delivered may still be on its way: it must be here.
func (w *watch) idle(ctx context.Context, c jetstream.Consumer, got uint64) (done bool, err error) {
	if !w.looking {
		return true, nil
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	info, err := c.Info(ctx)
	if err != nil || info.NumPending > 0 || info.Delivered.Consumer > got {
		return false, nil // asked again, or given up with its consumer
	}
	return true, w.sync(ctx)
}

// sync ends looking. What was known and has not come is gone, if the leader
// says so.
func (w *watch) sync(ctx context.Context) error {
	w.looking = false
	for key, seen := range w.known {
		if seen {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		m, err := w.bucket.Last(ctx, w.bucket.Subject(key))
		cancel()
		if err != nil {
			continue // the next trouble looks again
		}
		c := Change{Key: key, Item: itemOf(m), Gone: itemOf(m).Value == nil}
		if m != nil {
			c.Header, c.Stored = m.Header, m.Time
		}
		if c.Gone {
			delete(w.known, key)
		}
		if err := w.Change(c); err != nil {
			return err
		}
	}
	return w.Synced()
}

// errSynced ends a watch that wanted the present only.
var errSynced = errors.New("synced")

// List calls fn with every key of the bucket that begins with prefix.
func (k *Bucket) List(ctx context.Context, prefix string, fn func(Change) error) error {
	all := make(map[string]Change)
	err := k.Watch(ctx, Watcher{Prefix: prefix, Change: func(c Change) error {
		if all[c.Key] = c; c.Gone {
			delete(all, c.Key)
		}
		return nil
	}, Synced: func() error { return errSynced }})
	if !errors.Is(err, errSynced) {
		return err
	}
	for _, c := range all {
		if err := fn(c); err != nil {
			return err
		}
	}
	return nil
}
