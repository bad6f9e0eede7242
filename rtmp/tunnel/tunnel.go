// Package tunnel is RTMP in HTTP requests, without sockets: RTMPT, and by what
// is around and within it RTMPTS and RTMPTE.
//
// A tunnel is a session of many requests, on one HTTP connection or on several.
// Each is a POST whose path says what it is:
//
//	/fcs/ident2       which address to use? Nobody needs the answer: 404
//	/open/1           begin a session. The answer is its id and a newline
//	/send/ID/NUMBER   the body is RTMP's next bytes
//	/idle/ID/NUMBER   nothing to send; is there anything to receive?
//	/close/ID/NUMBER  the end. The answer is one zero byte
//
// The answer to send and idle is a byte that tells how long to wait before the
// next idle, and RTMP's next bytes in the other direction. The number counts
// the requests of a session.
//
// There is no specification by Adobe. Sources: J. Bauch's description for Red5,
// and what ffmpeg and librtmp were measured to do.
package tunnel

import (
	"strconv"
	"strings"
)

// ContentType is that of all requests and answers.
const ContentType = "application/x-fcs"

// Command is what a request is for.
type Command uint8

// The commands.
const (
	Ident Command = iota + 1
	Open
	Send
	Idle
	Close
)

// Request is what a request's path says.
type Request struct {
	Command Command
	// Session is the session's id; empty for Ident and Open.
	Session string
	// Number counts the session's requests, from whatever the client begins with.
	Number uint64
}

// maxID is the longest id that is looked at, in bytes. Ours are shorter.
const maxID = 64

// ParsePath reads the path of a request. It reports false for what is none of
// a tunnel's.
func ParsePath(path string) (Request, bool) {
	switch path {
	case "/fcs/ident", "/fcs/ident2":
		return Request{Command: Ident}, true
	}
	verb, rest, ok := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if !ok || !strings.HasPrefix(path, "/") {
		return Request{}, false
	}
	if verb == "open" {
		// Clients send 1; nothing depends on it.
		return Request{Command: Open}, rest != "" && !strings.Contains(rest, "/")
	}
	id, number, ok := strings.Cut(rest, "/")
	n, err := strconv.ParseUint(number, 10, 64)
	if !ok || err != nil || id == "" || len(id) > maxID {
		return Request{}, false
	}
	r := Request{Session: id, Number: n}
	switch verb {
	case "send":
		r.Command = Send
	case "idle":
		r.Command = Idle
	case "close":
		r.Command = Close
	default:
		return Request{}, false
	}
	return r, true
}

// AppendOpened appends the answer to open: the session's id.
func AppendOpened(dst []byte, id string) []byte {
	return append(append(dst, id...), '\n')
}

// Closed is the answer to close.
var Closed = []byte{0}

// intervals are what a client is told to wait before its next idle, in units of
// about 16 ms, in steps of emptyAnswers that had nothing for it.
var intervals = [...]byte{0x01, 0x03, 0x05, 0x09, 0x11, 0x21}

const emptyAnswers = 4

// Turn is where a request stands in its session's order.
type Turn uint8

// The turns.
const (
	// Next is the request that is due.
	Next Turn = iota
	// Early: requests that belong before it have not come yet. They are on the
	// way on another connection, or lost.
	Early
	// Repeated is the last request again: a proxy or client that lost the answer
	// sends it anew.
	Repeated
	// Late is a request from before that.
	Late
)

// Order keeps the requests of one session in order. Its zero value is that of a
// session without requests.
type Order struct {
	begun bool
	// next is the number that is due, and taken how many bytes of its body, or
	// of that of the one before when that is done, have gone in.
	next  uint64
	taken int
	// answer is that to the request before next.
	answer []byte
	empty  int
}

// Turn tells where request n stands. The first is always Next.
func (o *Order) Turn(n uint64) Turn {
	switch {
	case !o.begun || n == o.next:
		return Next
	case n > o.next:
		return Early
	case n+1 == o.next:
		return Repeated
	}
	return Late
}

// Begin makes n the request that is due, and returns how many bytes of its body
// have gone in already: one that broke off comes again as a whole.
func (o *Order) Begin(n uint64) (taken int) {
	if !o.begun || n != o.next {
		o.begun, o.next, o.taken = true, n, 0
	}
	return o.taken
}

// Took counts bytes of the body of the request that is due.
func (o *Order) Took(n int) { o.taken += n }

// maxKept is the longest answer that is kept for a request that comes again.
const maxKept = 64 << 10

// Answer ends the request that is due. It returns the body of the answer, which
// brings out, valid until the next Answer.
func (o *Order) Answer(out []byte) []byte {
	if len(out) > 0 {
		o.empty = 0
	}
	interval := intervals[min(o.empty/emptyAnswers, len(intervals)-1)]
	o.empty++
	if cap(o.answer) > maxKept {
		o.answer = nil
	}
	o.answer = append(append(o.answer[:0], interval), out...)
	o.next++
	o.taken = 0
	return o.answer
}

// Again is the answer to a request that is Repeated.
func (o *Order) Again() []byte { return o.answer }
