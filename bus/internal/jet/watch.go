package jet

import (
	"context"
	"errors"
	"maps"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Change is what a watcher learns of a key. Value is nil when the key is gone.
type Change struct {
	Key string
	Item
	Stored time.Time // by the server's clock
}

// Watch calls fn with every key of the bucket that begins with prefix as it
// stands, then synced, then fn again with each change, until fn or synced
// fail or ctx ends. After any trouble it looks at all keys anew, so that no
// deletion is missed, and calls synced again.
func (k *Bucket) Watch(ctx context.Context, prefix string, fn func(Change) error, synced func() error) error {
	w := watcher{fn: fn, synced: synced, bucket: k, filter: k.prefix + prefix + ">", known: make(map[string]bool)}
	return k.Follow(ctx, Follower{
		Start: func(*jetstream.StreamInfo) jetstream.ConsumerConfig {
			return jetstream.ConsumerConfig{FilterSubject: w.filter, DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy}
		},
		Begun:   w.look,
		Message: w.message,
		Silence: w.quiet,
	})
}

// watcher is a watch under way.
type watcher struct {
	fn     func(Change) error
	synced func() error
	bucket *Bucket
	filter string
	known  map[string]bool // keys that are there

	// While the keys are looked at (anew): those that must come, and those
	// that were known but have not come.
	looking bool
	coming  map[string]bool
	missing map[string]bool
}

// look begins to look at all keys. It asks which there are: the number of
// messages that a consumer has pending does not tell, one of a key that is
// written meanwhile is taken off it before its successor is put on.
func (w *watcher) look(ctx context.Context) error {
	w.looking, w.coming, w.missing = true, make(map[string]bool), maps.Clone(w.known)
	var info *jetstream.StreamInfo
	for try := 0; ; try++ {
		attempt, cancel := context.WithTimeout(ctx, time.Second)
		var err error
		info, err = w.bucket.Info(attempt, jetstream.WithSubjectFilter(w.filter))
		cancel()
		if err == nil {
			break
		}
		if Pause(ctx, try) != nil {
			return nil // the consumer ends with ctx, too
		}
	}
	for subject := range info.State.Subjects {
		w.coming[strings.TrimPrefix(subject, w.bucket.prefix)] = true
	}
	return w.check()
}

func (w *watcher) message(m Message) error {
	c := Change{Key: strings.TrimPrefix(m.Subject, w.bucket.prefix), Item: Item{Rev: m.Seq}, Stored: m.Stored}
	if tombstone(m.Header) {
		delete(w.known, c.Key)
	} else {
		c.Value, w.known[c.Key] = m.Data, true
	}
	if err := w.fn(c); err != nil || !w.looking {
		return err
	}
	delete(w.coming, c.Key)
	delete(w.missing, c.Key)
	return w.check()
}

func (w *watcher) check() error {
	if len(w.coming) > 0 {
		return nil
	}
	return w.sync()
}

// quiet asks for what does not come: the mark of a deletion may have expired
// before it was delivered, and the consumer's server may be behind the leader.
func (w *watcher) quiet(ctx context.Context) error {
	if !w.looking {
		return nil
	}
	for key := range w.coming {
		m, err := w.bucket.Last(ctx, w.bucket.Subject(key))
		if err != nil {
			return nil // the consumer ends with ctx, too
		}
		if it := itemOf(m); it.Value != nil {
			w.known[key] = true
			delete(w.missing, key)
			if err := w.fn(Change{key, it, m.Time}); err != nil {
				return err
			}
		}
	}
	return w.sync()
}

func (w *watcher) sync() error {
	for key := range w.missing {
		delete(w.known, key)
		if err := w.fn(Change{Key: key}); err != nil {
			return err
		}
	}
	w.looking, w.coming, w.missing = false, nil, nil
	return w.synced()
}

// errSynced ends a watch that wanted the present only.
var errSynced = errors.New("synced")

// List calls fn with every key of the bucket that begins with prefix.
func (k *Bucket) List(ctx context.Context, prefix string, fn func(Change) error) error {
	err := k.Watch(ctx, prefix, func(c Change) error {
		if c.Value == nil {
			return nil
		}
		return fn(c)
	}, func() error { return errSynced })
	if errors.Is(err, errSynced) {
		return nil
	}
	return err
}
