// Package ingest is where encoders come in: it listens for RTMP, groups each
// session's tags into batches and appends them to the frame log.
//
// Each connection has one goroutine that reads it, and while it publishes a
// second one that appends to the log, so that a slow log never delays reading
// before the session's buffer is full. When it is, reading stops, the encoder
// feels it as a slow network, and after Config.BusTimeout the session ends with
// a status.
//
// What a peer can cost is bounded, per connection and in all:
//
//   - before it publishes: 64 KiB messages, 10 s to connect, 10 s more to publish
//   - partial messages: twice Config.MaxMessage (package rtmp)
//   - batches that wait for the log: Config.SessionBuffer
//   - batches and partial messages of all sessions together: Config.Buffer. A
//     session below two batches may always go on, so that others that are stuck
//     cannot stop it; a larger one waits, and after Config.BusTimeout it ends.
//
// Stream keys stay out of logs, errors and metrics: in all that leaves this
// package stands the stream's name, which Auth made of what the peer sent.
package ingest

import (
	"context"
	"errors"
	"time"

	"weir/media"
	"weir/media/framelog"
)

// Log is the frame log that sessions are written to, and the registry that
// decides who may.
type Log interface {
	// Open begins a session of s at now. ErrBusy: another one is live, and is
	// to stay.
	Open(ctx context.Context, s media.Stream, now time.Time) (Session, error)
}

// Session is one session's place on the log. One goroutine at a time calls
// Append and End.
type Session interface {
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

// What Log and Session say. The wiring translates the bus' errors to them.
var (
	ErrBusy   = errors.New("the stream is already being published")
	ErrFenced = errors.New("a newer session has taken over")
)

// Request is what a peer says when it wants to publish. Name, Query and TCURL
// may hold secrets: Auth must not repeat them in an error.
type Request struct {
	App, TCURL string
	// Name is the last part of the publish URL, its query cut off.
	Name string
	// Query is the URL's query, without the question mark and not unescaped.
	Query string
	// Remote is the peer's address.
	Remote string
}

// Auth decides who may publish, and under which name viewers see it.
type Auth interface {
	// Authorize returns the stream that the peer may publish. An error refuses
	// it; one that wraps media.ErrStreamName is told to the peer, any other is
	// only logged.
	Authorize(ctx context.Context, r Request) (media.Stream, error)
}

// OpenAuth lets everybody publish: the publish name is the stream's name.
type OpenAuth struct{}

// Authorize accepts every request with a proper name.
func (OpenAuth) Authorize(_ context.Context, r Request) (media.Stream, error) {
	return media.ParseStream(r.App, r.Name)
}
