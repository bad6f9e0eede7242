package endpoint

import (
	"net"
	"slices"
	"sync"
	"time"
)

// Refused is a publish that was refused, for operators: who helps a streamer
// whose encoder shows nothing. What the peer called the stream is not in it, as
// that may be a key.
type Refused struct {
	// At is when that was last, Times how often it was so: of the same peer, for
	// the same reason.
	At    time.Time
	Times int
	// Reason is one word for logs and metrics, Text what the peer was told.
	Reason, Text string
	// Remote is the peer's address without its port.
	Remote, Transport, Encoder string
}

// maxRefusals is how many are kept: a page.
const maxRefusals = 32

// Refusals keeps the publishes that were refused last, in memory. The zero value
// is ready; any goroutine may use it.
type Refusals struct {
	mu   sync.Mutex
	last []Refused // the newest first
}

// add notes a refusal. Encoders try again and again: one that is like another
// takes its place.
func (r *Refusals) add(x Refused) {
	if host, _, err := net.SplitHostPort(x.Remote); err == nil {
		x.Remote = host
	}
	x.Times = 1
	r.mu.Lock()
	defer r.mu.Unlock()
	same := func(y Refused) bool {
		y.At, y.Times = x.At, x.Times
		return x == y
	}
	if i := slices.IndexFunc(r.last, same); i >= 0 {
		x.Times += r.last[i].Times
		r.last = slices.Delete(r.last, i, i+1)
	}
	r.last = slices.Insert(r.last, 0, x)
	r.last = r.last[:min(len(r.last), maxRefusals)]
}

// Last returns them, the newest first.
func (r *Refusals) Last() []Refused {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.last)
}
