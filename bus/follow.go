package bus

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A consumer holds at most this much in flight; a message is smaller than
// partBytes and its header.
const (
	inFlightMessages = 64
	inFlightBytes    = 2 << 20
)

// record is a message of a stream.
type record struct {
	subject string
	header  nats.Header
	data    []byte
	seq     uint64
	at      time.Time
}

// handlerError carries an error of the caller's own function through follow.
type handlerError struct{ error }

func (e handlerError) Unwrap() error { return e.error }

// follower is whoever follows a stream. An error of its functions ends that.
type follower struct {
	// start says where each consumer begins, and on which subject.
	start func() jetstream.ConsumerConfig
	// message takes the messages, in order and without holes.
	message func(record) error
	// begun is called when a consumer is there. Optional.
	begun func(context.Context) error
	// silence is called whenever no message has come for a while, though the
	// consumer lives. Optional.
	silence func(context.Context) error
}

const (
	// heartbeat is the rhythm of a consumer that has nothing to deliver. One
	// that has missed two is given up.
	heartbeat = time.Second
	// silent is how long a while is: long enough for a consumer that is dead to
	// be given up before.
	silent = 3 * heartbeat
)

// follow reads a stream until a function of f fails or ctx ends; their error
// is returned.
//
// A consumer is thrown away at the first sign of trouble (the connection lost,
// a missing heartbeat, a hole in its sequence) and another one made: after a
// node's return an old one was seen to answer "no responders" for good.
func (b *Bus) follow(ctx context.Context, stream jetstream.Stream, f follower) error {
	var forgotten time.Time // since when NATS does not know the stream
	for try := 0; ; try++ {
		began := time.Now()
		err := b.consume(ctx, stream, f)
		var own handlerError
		if errors.As(err, &own) {
			return own.error
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if errors.Is(err, nats.ErrConnectionClosed) {
			return fmt.Errorf("follow stream: %w", err)
		}
		b.log.Debug("consumer made anew", "stream", stream.CachedInfo().Config.Name, "err", err)
		if time.Since(began) > time.Second {
			try = 0
		}
		switch {
		case !errors.Is(err, jetstream.ErrStreamNotFound):
			forgotten = time.Time{}
		case forgotten.IsZero():
			forgotten = time.Now()
		case time.Since(forgotten) > forgottenMost:
			b.restore(ctx)
		}
		if pause(ctx, try) != nil {
			return context.Cause(ctx)
		}
	}
}

// consume is the life of one consumer. It needs no acknowledgements and lives
// in its server's memory.
func (b *Bus) consume(ctx context.Context, stream jetstream.Stream, f follower) error {
	ctx, cancel := context.WithCancel(ctx)
	lost, watched := b.lostSignal(), make(chan struct{})
	defer func() { cancel(); <-watched }()
	go func() {
		defer close(watched)
		select {
		case <-lost:
			cancel()
		case <-ctx.Done():
		}
	}()

	cfg := f.start()
	cfg.AckPolicy = jetstream.AckNonePolicy
	cfg.MemoryStorage = true
	cfg.Replicas = 1
	cfg.InactiveThreshold = 30 * time.Second
	making, made := context.WithTimeout(ctx, 5*time.Second)
	c, err := stream.CreateConsumer(making, cfg)
	made()
	if err != nil {
		return fmt.Errorf("make a consumer: %w", err)
	}
	defer b.discard(c)
	messages, err := c.Messages(
		jetstream.PullMaxMessagesWithBytesLimit(inFlightMessages, inFlightBytes),
		jetstream.PullExpiry(30*time.Second),
		jetstream.PullHeartbeat(heartbeat))
	if err != nil {
		return fmt.Errorf("start a consumer: %w", err)
	}
	defer messages.Stop()
	if f.begun != nil {
		if err := f.begun(ctx); err != nil {
			return handlerError{err}
		}
	}
	for n := uint64(1); ; n++ {
		r, err := f.next(ctx, messages, n)
		if err != nil {
			return err
		}
		if err := f.message(r); err != nil {
			return handlerError{err}
		}
	}
}

// next waits for the consumer's n-th message.
func (f follower) next(ctx context.Context, messages jetstream.MessagesContext, n uint64) (record, error) {
	for {
		wait, cancel := ctx, func() {}
		if f.silence != nil {
			wait, cancel = context.WithTimeout(ctx, silent)
		}
		m, err := messages.Next(jetstream.NextContext(wait))
		cancel()
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil && f.silence != nil {
			if err := f.silence(ctx); err != nil {
				return record{}, handlerError{err}
			}
			continue
		}
		if err != nil {
			return record{}, fmt.Errorf("next message: %w", err)
		}
		meta, err := m.Metadata()
		if err != nil {
			return record{}, fmt.Errorf("next message: %w", err)
		}
		if meta.Sequence.Consumer != n {
			return record{}, fmt.Errorf("message %d of the consumer came as number %d", meta.Sequence.Consumer, n)
		}
		return record{m.Subject(), m.Headers(), m.Data(), meta.Sequence.Stream, meta.Timestamp}, nil
	}
}

// discard deletes a consumer that is not needed any more; if that fails the
// server does, after its threshold.
func (b *Bus) discard(c jetstream.Consumer) {
	if !b.Connected() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	info := c.CachedInfo()
	_ = b.js.DeleteConsumer(ctx, info.Stream, info.Name)
}

// change is what a watcher learns of a key. Value is nil when the key is gone.
type change struct {
	key   string
	value []byte
	rev   uint64
	at    time.Time // when it was stored, by the server's clock
}

// watch calls fn with every key of the bucket that begins with prefix as it
// stands, then synced, then fn again with each change, until fn or synced
// fail or ctx ends. After any trouble it looks at all keys anew, so that no
// deletion is missed, and calls synced again.
func (k *bucket) watch(ctx context.Context, prefix string, fn func(change) error, synced func() error) error {
	w := watcher{fn: fn, synced: synced, bucket: k, filter: k.prefix + prefix + ">", known: make(map[string]bool)}
	return k.bus.follow(ctx, k.stream, follower{
		start: func() jetstream.ConsumerConfig {
			return jetstream.ConsumerConfig{FilterSubject: w.filter, DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy}
		},
		begun:   w.look,
		message: w.message,
		silence: w.quiet,
	})
}

// watcher is a watch under way.
type watcher struct {
	fn     func(change) error
	synced func() error
	bucket *bucket
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
		info, err = w.bucket.stream.Info(attempt, jetstream.WithSubjectFilter(w.filter))
		cancel()
		if err == nil {
			break
		}
		if pause(ctx, try) != nil {
			return nil // the consumer ends with ctx, too
		}
	}
	for subject := range info.State.Subjects {
		w.coming[strings.TrimPrefix(subject, w.bucket.prefix)] = true
	}
	return w.check()
}

func (w *watcher) message(r record) error {
	c := change{key: strings.TrimPrefix(r.subject, w.bucket.prefix), rev: r.seq, at: r.at}
	if tombstone(r.header) {
		delete(w.known, c.key)
	} else {
		c.value, w.known[c.key] = r.data, true
	}
	if err := w.fn(c); err != nil || !w.looking {
		return err
	}
	delete(w.coming, c.key)
	delete(w.missing, c.key)
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
		m, err := w.bucket.bus.last(ctx, w.bucket.stream, w.bucket.prefix+key)
		if err != nil {
			return nil // the consumer ends with ctx, too
		}
		if it := itemOf(m); it.value != nil {
			w.known[key] = true
			delete(w.missing, key)
			if err := w.fn(change{key, it.value, it.rev, m.Time}); err != nil {
				return err
			}
		}
	}
	return w.sync()
}

func (w *watcher) sync() error {
	for key := range w.missing {
		delete(w.known, key)
		if err := w.fn(change{key: key}); err != nil {
			return err
		}
	}
	w.looking, w.coming, w.missing = false, nil, nil
	return w.synced()
}

// errSynced ends a watch that wanted the present only.
var errSynced = errors.New("synced")

// list calls fn with every key of the bucket that begins with prefix.
func (k *bucket) list(ctx context.Context, prefix string, fn func(change) error) error {
	err := k.watch(ctx, prefix, func(c change) error {
		if c.value == nil {
			return nil
		}
		return fn(c)
	}, func() error { return errSynced })
	if errors.Is(err, errSynced) {
		return nil
	}
	return err
}
