// Package endpoint is RTMP on sockets: it accepts connections, bounds what each
// may cost, and hands what a peer publishes to a Publisher. The protocol itself
// is package rtmp; what becomes of the tags is the Publisher's.
//
// A transport is a net.Listener: TCP, TLS and tunnels alike give connections
// that bytes are read from. All of a Server's listeners share its limits.
//
// Each connection has one goroutine. It asks its sessions once a turn what to
// do next (Session.Plan), and stops reading while one is full: the encoder
// feels that as a slow network. Nearly always there is one session; an encoder
// that sends a stream in several bit rates has one for each.
//
// What a stranger can cost is bounded: 64 KiB messages, 128 KiB of partial
// ones, Config.ConnectTimeout to connect, and Config.PublishTimeout more to
// publish.
//
// Stream keys stay out of logs, errors and metrics: in all that leaves this
// package stands the stream's name, which Auth made of what the peer sent.
package endpoint

import (
	"context"
	"time"

	"weir/media/publishing"
	"weir/remux/flv"
)

// What connections and sessions say to each other, see package publishing.
type (
	// Request is what a peer says when it wants to publish.
	Request = publishing.Request
	// Peer is who publishes.
	Peer = publishing.Peer
	// Turn is what a session is told at each turn.
	Turn = publishing.Turn
	// Plan is what it answers.
	Plan = publishing.Plan
	// Ending is how it ends.
	Ending = publishing.Ending
)

// Auth decides who may publish, and under which name viewers see it.
type Auth interface {
	// Authorize returns what the peer may publish. An error refuses it; a Refusal
	// and what wraps media.ErrStreamName is told to the peer, any other error is
	// only logged.
	Authorize(ctx context.Context, r Request) (publishing.Grant, error)
	// Release tells that what was granted is over, or never began. It is called
	// once for each grant, and does not block.
	Release(g publishing.Grant)
}

// Publisher takes what peers publish.
type Publisher interface {
	// Publish begins a session of the stream that was granted, within the bounds
	// of the grant. ctx bounds the beginning only. wake makes the connection ask
	// for a Plan at once; any goroutine may call it. An error refuses the publish;
	// a Refusal is told to the peer, any other is a fault of ours.
	Publish(ctx context.Context, g publishing.Grant, p Peer, wake func()) (Session, error)
}

// Session is one publish. One goroutine at a time calls its methods. An error
// ends it, with what the error says if it is a Refusal; the connection then
// calls End all the same.
type Session interface {
	// Tag takes a tag that arrived at the time given, and copies its data. full
	// asks for a Plan before the next one.
	Tag(arrived time.Time, t flv.Tag) (full bool, err error)
	// Plan says what the connection is to do next.
	Plan(t Turn) Plan
	// End ends the session: what was received reaches the log or is given up
	// when ctx is done.
	End(ctx context.Context, why Ending)
}

// Refusal is an error that a peer, or the network, is to blame for, or an
// operator's will: not a fault of ours.
type Refusal interface {
	error
	// Reason is one word for logs and metrics.
	Reason() string
	// Status is what the peer is told: a code as in NetStream.Publish.BadName
	// and a sentence. Without a code it is told nothing.
	Status() (code, text string)
}
