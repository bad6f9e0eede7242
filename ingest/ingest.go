// Package ingest makes a publish into batches on the frame log: it groups each
// session's tags and appends them, says when its connection is to stop reading,
// and how the session ends.
//
// A session has a goroutine of its own that appends to the log, so that a slow
// log never delays its connection before the session's buffer is full. When it
// is, the connection stops reading, the encoder feels it as a slow network, and
// after Config.BusTimeout the session ends with a status.
//
// What a session can cost is bounded, by itself and in all:
//
//   - batches that wait for the log: Config.SessionBuffer
//   - batches and partial messages of all sessions together: Config.Buffer. A
//     session below two batches may always go on, so that others that are stuck
//     cannot stop it; a larger one waits, and after Config.BusTimeout it ends.
package ingest

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"weir/media/framelog"
	"weir/media/publishing"
)

// Log is the frame log that sessions are written to, and the registry that
// decides who may.
type Log interface {
	// Check tells whether Open would refuse a session of the grant's stream now,
	// as far as that is known. It decides nothing.
	Check(ctx context.Context, g publishing.Grant) error
	// Open begins a session of the grant's stream at now. ErrBusy: another one is
	// live, and is to stay. ErrTooMany: so are as many of the grant's owner as may
	// be.
	Open(ctx context.Context, g publishing.Grant, now time.Time) (Writer, error)
}

// Writer is one session's place on the log. One goroutine at a time calls
// Append and End.
type Writer interface {
	// Append blocks until b is stored exactly once, and fills in its Session,
	// Epoch, Number, LastKey and Seq. ErrFenced: a newer session took over.
	Append(ctx context.Context, b *framelog.Batch) error
	// End ends the session. Clean: the broadcast ends with it. Otherwise the
	// connection was lost, and the encoder has the reconnect window to come
	// back. ErrFenced: that was decided by somebody else already.
	End(ctx context.Context, clean bool) error
	// Kicked is closed when the session is to end: an operator said so, or
	// another node, whose session took over.
	Kicked() <-chan struct{}
	// Broadcast is the id of the broadcast that the session is part of.
	Broadcast() string
}

// What Log and Writer say. The wiring translates the bus' errors to them.
var (
	ErrBusy    = errors.New("the stream is already being published")
	ErrFenced  = errors.New("a newer session has taken over")
	ErrTooMany = errors.New("as many streams as the owner may have are live already")
)

// The defaults of Config.
const (
	DefaultBatch       = 250 * time.Millisecond
	DefaultMaxMessage  = 8 << 20
	DefaultBuffer      = 512 << 20
	DefaultIdleTimeout = 30 * time.Second
	DefaultBusTimeout  = 30 * time.Second
	DefaultMaxSpeed    = 8
)

// Config configures a Publisher. Log must be set; zero fields otherwise mean
// the defaults.
type Config struct {
	Log Log
	// Logger gets one line for each session's begin and end. Default
	// slog.Default.
	Logger *slog.Logger
	// Metrics are counted by this publisher only. Default: unregistered ones.
	Metrics *Metrics

	// Batch is how long tags wait to be sent in one batch. Default DefaultBatch.
	Batch time.Duration
	// MaxMessage is the largest tag, in bytes. Default DefaultMaxMessage.
	MaxMessage int
	// SessionBuffer is the most bytes of one session that wait for the log;
	// at least twice MaxMessage. In that bound a session holds ten seconds of
	// its stream, and twice MaxMessage in any case. Default 64 MiB.
	SessionBuffer int
	// Buffer is the most memory of all sessions' batches and partial messages.
	// Default DefaultBuffer.
	Buffer int64
	// MaxSpeed is how many times as fast as the clock media may come, after two
	// minutes in advance. Default 0: any; DefaultMaxSpeed is what the command uses.
	MaxSpeed int
	// IdleTimeout is how long a publishing peer may be silent. Default
	// DefaultIdleTimeout.
	IdleTimeout time.Duration
	// BusTimeout is how long a session with a full buffer waits for the log,
	// and how long the last batches of a lost one do. Default
	// DefaultBusTimeout.
	BusTimeout time.Duration
}

func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Metrics == nil {
		c.Metrics = NewMetrics(nil)
	}
	orDefault(&c.MaxMessage, DefaultMaxMessage)
	orDefault(&c.SessionBuffer, 64<<20)
	orDefault(&c.Buffer, DefaultBuffer)
	orDefault(&c.Batch, DefaultBatch)
	orDefault(&c.IdleTimeout, DefaultIdleTimeout)
	orDefault(&c.BusTimeout, DefaultBusTimeout)
	c.SessionBuffer = max(c.SessionBuffer, 2*c.MaxMessage)
	return c
}

func orDefault[T int | int64 | time.Duration](v *T, otherwise T) {
	if *v <= 0 {
		*v = otherwise
	}
}

// Publisher begins sessions.
type Publisher struct {
	cfg  Config
	used atomic.Int64 // memory of all sessions' batches

	mu   sync.Mutex
	live map[string]*Session // by the stream's name; the newest of each
}

// NewPublisher returns a Publisher without sessions.
func NewPublisher(cfg Config) *Publisher {
	return &Publisher{cfg: cfg.withDefaults(), live: make(map[string]*Session)}
}

// What connections and sessions say to each other, see package publishing.
type (
	// Peer is who publishes.
	Peer = publishing.Peer
	// Turn is what a session is told at each turn.
	Turn = publishing.Turn
	// Plan is what it answers.
	Plan = publishing.Plan
	// Ending is how it ends.
	Ending = publishing.Ending
)

// Publish begins a session of the stream that was granted, which the caller must
// End. It ends by itself when the grant does. ctx bounds the beginning only. wake is called, by any goroutine, when Plan has something
// new to say.
//
// The session opens its place on the log with its first media. Until then it
// exists for nobody else: it has no name in the registry, takes no stream from
// the session that publishes it, and gives no worker anything to do.
func (p *Publisher) Publish(ctx context.Context, g publishing.Grant, peer Peer, wake func()) (*Session, error) {
	if err := p.cfg.Log.Check(ctx, g); err != nil {
		return nil, notOpened(err)
	}
	p.cfg.Metrics.sessions.Inc()
	return newSession(context.WithoutCancel(ctx), p, g, peer, time.Now(), wake), nil
}
