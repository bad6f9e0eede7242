package bus

import (
	"context"
	"errors"
	"fmt"
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
	pending uint64 // how many more there are
	at      time.Time
}

// handlerError carries an error of the caller's own function through follow.
type handlerError struct{ error }

func (e handlerError) Unwrap() error { return e.error }

// follow calls fn with the messages of one stream and subject, in order and
// without holes, until fn fails or ctx ends; their error is returned. start
// says where each consumer begins; begun is told how many messages there are.
//
// A consumer is thrown away at the first sign of trouble (the connection lost,
// a missing heartbeat, a hole in its sequence) and another one made: after a
// node's return an old one was seen to answer "no responders" for good.
func (b *Bus) follow(ctx context.Context, stream jetstream.Stream, start func() jetstream.ConsumerConfig, begun func(pending uint64) error, fn func(record) error) error {
	for try := 0; ; try++ {
		began := time.Now()
		err := b.consume(ctx, stream, start(), begun, fn)
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
		if pause(ctx, try) != nil {
			return context.Cause(ctx)
		}
	}
}

// consume is the life of one consumer. It needs no acknowledgements and lives
// in its server's memory.
func (b *Bus) consume(ctx context.Context, stream jetstream.Stream, cfg jetstream.ConsumerConfig, begun func(uint64) error, fn func(record) error) error {
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
		jetstream.PullHeartbeat(time.Second))
	if err != nil {
		return fmt.Errorf("start a consumer: %w", err)
	}
	defer messages.Stop()
	if begun != nil {
		if err := begun(c.CachedInfo().NumPending); err != nil {
			return handlerError{err}
		}
	}
	for n := uint64(1); ; n++ {
		m, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return fmt.Errorf("next message: %w", err)
		}
		meta, err := m.Metadata()
		if err != nil {
			return fmt.Errorf("next message: %w", err)
		}
		if meta.Sequence.Consumer != n {
			return fmt.Errorf("message %d of the consumer came as number %d", meta.Sequence.Consumer, n)
		}
		r := record{m.Subject(), m.Headers(), m.Data(), meta.Sequence.Stream, meta.NumPending, meta.Timestamp}
		if err := fn(r); err != nil {
			return handlerError{err}
		}
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
	var missing map[string]bool // known before the trouble, not seen since
	known := make(map[string]bool)
	inSync := func() error {
		for key := range missing {
			delete(known, key)
			if err := fn(change{key: key}); err != nil {
				return err
			}
		}
		missing = nil
		return synced()
	}
	start := func() jetstream.ConsumerConfig {
		missing = make(map[string]bool, len(known))
		for key := range known {
			missing[key] = true
		}
		return jetstream.ConsumerConfig{
			FilterSubject: k.prefix + prefix + ">",
			DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy,
		}
	}
	initial := false
	begun := func(pending uint64) error {
		if initial = pending > 0; initial {
			return nil
		}
		return inSync()
	}
	return k.bus.follow(ctx, k.stream, start, begun, func(r record) error {
		c := change{key: strings.TrimPrefix(r.subject, k.prefix), rev: r.seq, at: r.at}
		if delete(missing, c.key); tombstone(r.header) {
			delete(known, c.key)
		} else {
			c.value, known[c.key] = r.data, true
		}
		if err := fn(c); err != nil {
			return err
		}
		if initial && r.pending == 0 {
			initial = false
			return inSync()
		}
		return nil
	})
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
