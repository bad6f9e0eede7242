// Package publishing is what a connection and whatever takes its publish say to
// each other: who publishes, what is to be read next, and how it ended.
package publishing

import "time"

// Request is what a peer says when it wants to publish. Name, Query and TCURL
// may hold secrets: whoever decides must not repeat them in an error.
type Request struct {
	App, TCURL string
	// Name is the last part of the publish URL, its query cut off.
	Name string
	// Query is the URL's query, without the question mark and not unescaped.
	Query string
	// User is who has logged in by other means; empty: nobody.
	User string
	// Remote is the peer's address.
	Remote string
	// Encoder is what the peer calls itself, in printable ASCII, and Transport
	// how it came, as in Peer.
	Encoder, Transport string
}

// Peer is who publishes.
type Peer struct {
	// Remote is its address.
	Remote string
	// Encoder is what it calls itself, in printable ASCII.
	Encoder string
	// Transport is how it came: rtmp, rtmpe and so on.
	Transport string
}

// Turn is what a connection tells its session between two reads.
type Turn struct {
	Now time.Time
	// Read is how many bytes came since the last turn, Partial how many the
	// protocol holds of messages that are not whole yet.
	Read, Partial int
	// Cut: the session is to end in front of the next tag where another one
	// can begin. That tag is then refused.
	Cut bool
}

// Plan is what a session wants of its connection.
type Plan struct {
	// Err: the session cannot go on.
	Err error
	// Full: nothing is to be read before the next Plan.
	Full bool
	// Rest is until when what arrives may stay unread.
	Rest time.Time
	// Next is when to ask again at the latest.
	Next time.Time
	// Rate is what the session receives, in bytes per second; 0 while unknown.
	Rate int
}

// Ending is why a session ended.
type Ending struct {
	// Reason is one word for logs and metrics.
	Reason string
	// Clean: the peer ended its publish. Otherwise it may come back.
	Clean bool
	// Level is that of the line in the log, as log/slog counts: 0 is Info.
	Level int
	// Rule is what the peer did not do, as logs say it; it may be empty.
	Rule string
	Err  error
	// NoPublish and NoScript are how many messages of the connection were passed
	// over: those that belonged to no publish, or to one of several, and data
	// that could not be read.
	NoPublish, NoScript int
}
