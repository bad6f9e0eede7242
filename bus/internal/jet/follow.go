package jet

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A consumer holds at most this much in flight.
const (
	inFlightMessages = 64
	inFlightBytes    = 2 << 20
)

// Message is a message of a stream.
type Message struct {
	Subject string
	Header  nats.Header
	Data    []byte
	Seq     uint64
	Stored  time.Time // by the server's clock
}

// handlerError carries an error of the caller's own function through Follow.
type handlerError struct{ error }

func (e handlerError) Unwrap() error { return e.error }

// Follower is whoever follows a stream. An error of Message or Idle ends
// that.
type Follower struct {
	// Start says where each consumer begins, and on which subject, given the
	// stream as it stands. An error has it asked again.
	Start func(context.Context, *jetstream.StreamInfo) (jetstream.ConsumerConfig, error)
	// Message takes the messages, in order and without holes.
	Message func(Message) error
	// Idle is called when nothing has come for a moment behind message got of the
	// consumer, and again until it says that it need not be before the next one.
	// Optional.
	Idle func(ctx context.Context, c jetstream.Consumer, got uint64) (done bool, err error)
}

const (
	// heartbeat is the rhythm of a consumer that has nothing to deliver. One
	// that has missed two is given up.
	heartbeat = time.Second
	// moment is how long nothing comes before a follower is idle. A consumer that
	// leaves it so idleMost times in a row, and has more, is given up.
	moment   = 250 * time.Millisecond
	idleMost = 20
)

// Follow reads a stream until a function of f fails or ctx ends; their error
// is returned.
//
// A consumer is thrown away at the first sign of trouble (the connection lost,
// a missing heartbeat, a hole in its sequence) and another one made: after a
// node's return an old one was seen to answer "no responders" for good.
func (s *Stream) Follow(ctx context.Context, f Follower) error {
	var forgotten time.Time // since when NATS does not know the stream
	for try := 0; ; try++ {
		began := time.Now()
		err := s.consume(ctx, f)
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
		s.conn.log.Debug("consumer made anew", "stream", s.CachedInfo().Config.Name, "err", err)
		if time.Since(began) > time.Second {
			try = 0
		}
		switch {
		case !errors.Is(err, jetstream.ErrStreamNotFound):
			forgotten = time.Time{}
		case forgotten.IsZero():
			forgotten = time.Now()
		case time.Since(forgotten) > forgottenMost:
			s.conn.restore(ctx)
		}
		if Pause(ctx, try) != nil {
			return context.Cause(ctx)
		}
	}
}

// consume is the life of one consumer. It needs no acknowledgements and lives
// in its server's memory.
func (s *Stream) consume(ctx context.Context, f Follower) error {
	ctx, cancel := context.WithCancel(ctx)
	lost, watched := s.conn.lostSignal(), make(chan struct{})
	defer func() { cancel(); <-watched }()
	go func() {
		defer close(watched)
		select {
		case <-lost:
			cancel()
		case <-ctx.Done():
		}
	}()

	c, err := s.begin(ctx, f)
	if err != nil {
		return fmt.Errorf("make a consumer: %w", err)
	}
	defer s.conn.discard(c)
	messages, err := c.Messages(
		jetstream.PullMaxMessagesWithBytesLimit(inFlightMessages, inFlightBytes),
		jetstream.PullExpiry(30*time.Second),
		jetstream.PullHeartbeat(heartbeat))
	if err != nil {
		return fmt.Errorf("start a consumer: %w", err)
	}
	defer messages.Stop()
	for n := uint64(1); ; n++ {
		r, err := f.next(ctx, c, messages, n)
		if err != nil {
			return err
		}
		if err := f.Message(r); err != nil {
			return handlerError{err}
		}
	}
}

// begin makes a consumer.
func (s *Stream) begin(ctx context.Context, f Follower) (jetstream.Consumer, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	now, err := s.conn.js.Stream(ctx, s.CachedInfo().Config.Name) // as it is now, and may be another one
	if err != nil {
		return nil, err
	}
	cfg, err := f.Start(ctx, now.CachedInfo())
	if err != nil {
		return nil, err
	}
	cfg.AckPolicy = jetstream.AckNonePolicy
	cfg.MemoryStorage = true
	cfg.Replicas = 1
	cfg.InactiveThreshold = 30 * time.Second
	return now.CreateConsumer(ctx, cfg)
}

// next waits for the consumer's n-th message.
func (f Follower) next(ctx context.Context, c jetstream.Consumer, messages jetstream.MessagesContext, n uint64) (Message, error) {
	asking := f.Idle != nil
	for idle := 0; ; idle++ {
		wait, cancel := ctx, func() {}
		if asking {
			wait, cancel = context.WithTimeout(ctx, moment)
		}
		m, err := messages.Next(jetstream.NextContext(wait))
		cancel()
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil && asking {
			done, err := f.Idle(ctx, c, n-1)
			if err != nil {
				return Message{}, handlerError{err}
			}
			if asking = !done; asking && idle >= idleMost {
				return Message{}, errors.New("the consumer has messages, and delivers none")
			}
			continue
		}
		if err != nil {
			return Message{}, fmt.Errorf("next message: %w", err)
		}
		meta, err := m.Metadata()
		if err != nil {
			return Message{}, fmt.Errorf("next message: %w", err)
		}
		if meta.Sequence.Consumer != n {
			return Message{}, fmt.Errorf("message %d of the consumer came as number %d", meta.Sequence.Consumer, n)
		}
		return Message{m.Subject(), m.Headers(), m.Data(), meta.Sequence.Stream, meta.Timestamp}, nil
	}
}

// discard deletes a consumer that is not needed any more; if that fails the
// server does, after its threshold.
func (c *Conn) discard(consumer jetstream.Consumer) {
	if !c.Connected() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	info := consumer.CachedInfo()
	_ = c.js.DeleteConsumer(ctx, info.Stream, info.Name)
}
