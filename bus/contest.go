package bus

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"weir/media"
)

// What settles a contest of encoders for one stream.
const (
	// steady is how long a session may store nothing before it has no say in who
	// takes its stream: its connection may hang.
	steady = 3 * time.Second
	// freeRounds is how often in a row a stream is taken from a session that is
	// well before that holds anybody up: an encoder that moves, or is moved.
	freeRounds = 2
	// firstHold is how long a session then keeps what it took, twice as long
	// with each further round, and maxHold the most.
	firstHold = 10 * time.Second
	maxHold   = 5 * time.Minute
	// calm is how long a session must have had its stream to begin a new count.
	calm = 10 * time.Minute
)

// contestSubject is where a node is asked whether a session of its may be taken
// over.
func contestSubject(node string) string { return "weir." + nodePrefix + node + ".contest" }

// contest is a session's place in the row of those that took one stream from
// each other.
type contest struct {
	began, stored time.Time // when it began, and when a batch of its was stored last
	rounds        int       // how many before it, in a row, were taken over while they were well
}

// yield tells whether a newer session may take over at now, which round that
// would be, and how long it has to wait if it may not.
func (c contest) yield(now time.Time) (rounds int, wait time.Duration) {
	age := now.Sub(c.began)
	switch {
	case now.Sub(c.stored) > steady:
		return 0, 0
	case age >= calm:
		return 1, 0
	case c.rounds >= freeRounds:
		hold := maxHold
		if n := c.rounds - freeRounds; n < 5 {
			hold = firstHold << n
		}
		if age < hold {
			return 0, hold - age
		}
	}
	return c.rounds + 1, 0
}

// contested answers whether a session of this node may be taken over: the
// round, or "wait" and milliseconds. A session that is not known may.
func (b *Bus) contested(id []byte) []byte {
	b.mu.Lock()
	s := b.sessions[string(id)]
	b.mu.Unlock()
	if s == nil {
		return []byte("0")
	}
	rounds, wait := s.contest().yield(time.Now())
	if wait > 0 {
		return fmt.Appendf(nil, "wait %d", wait.Milliseconds())
	}
	return strconv.AppendInt(nil, int64(rounds), 10)
}

// contend asks the node of a live session whether it may be taken over, and
// returns the round of that. ErrBusy: it may not yet. A node that does not
// answer has no say.
func (b *Bus) contend(ctx context.Context, e Registration) (rounds int, err error) {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	answer, err := b.conn.Request(ctx, contestSubject(e.Node), []byte(e.Session))
	if err != nil {
		return 0, nil
	}
	if ms, wait := strings.CutPrefix(string(answer), "wait "); wait {
		return 0, fmt.Errorf("%w, by another encoder that has taken it over and keeps it for %s ms more", ErrBusy, ms)
	}
	rounds, err = strconv.Atoi(string(answer))
	if err != nil {
		return 0, nil // a later release's way to say something else
	}
	if rounds > freeRounds {
		b.log.Warn("encoders take a stream from each other: do several have its key?",
			"stream", e.Stream, "broadcast", e.Broadcast, "times", rounds)
	}
	return rounds, nil
}

// admit tells whether a session of a stream that the registry knows as e may
// begin, and which round of a contest it is.
func (b *Bus) admit(ctx context.Context, e Registration, c IfLive) (rounds int, err error) {
	if e.State != Live {
		return 0, nil
	}
	switch c {
	case Reject:
		if b.ping(ctx, nodePrefix+e.Node) == nil {
			return 0, ErrBusy
		}
	case Contend:
		return b.contend(ctx, e)
	}
	return 0, nil
}

// CheckSession tells whether OpenSession would refuse a session of s now:
// ErrBusy. It decides nothing.
func (b *Bus) CheckSession(ctx context.Context, s media.Stream, c IfLive) error {
	e, err := b.Registration(ctx, s)
	if err == nil {
		_, err = b.admit(ctx, e, c)
	}
	if err != nil {
		return fmt.Errorf("check session: %w", err)
	}
	return nil
}
