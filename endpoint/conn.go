package endpoint

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"

	"weir/rtmp"
)

const (
	// readBuffer is what a connection that publishes reads at once,
	// strangerBuffer what one does before.
	readBuffer     = 64 << 10
	strangerBuffer = 4 << 10
	// strangerPartial is how many bytes of partial messages a connection may
	// hold that publishes nothing: those of its last publish may be left.
	strangerPartial = 128 << 10
	// strangerTalk is how many bytes a connection may send before it has ever
	// published, an encoder needs a few thousand, and strangerTail how many
	// between two publishes: what was on its way when one ended is passed over.
	strangerTalk = 256 << 10
	strangerTail = 16 << 20
	// readAhead is how much may wait in the kernel before a connection reads
	// it, on average. It is well below the smallest receive window, so that
	// the peer never waits for us.
	readAhead = 32 << 10
	// napGrid is where naps end: sessions that wake together share the cost of
	// waking.
	napGrid = 25 * time.Millisecond
	// writeTimeout bounds the answers of a connection. They are small.
	writeTimeout = 10 * time.Second
	// lingerTimeout is how long a connection that was told why it ends stays
	// open for the peer to read that, and to hang up first.
	lingerTimeout = time.Second
	// fullPoll is how often a full session is asked again without being woken:
	// others may have freed the memory that it waits for.
	fullPoll = 50 * time.Millisecond
)

// errLargeMessage refuses what only a publish may send.
var errLargeMessage = errors.New("a connection that publishes nothing sends small messages only")

// errTalk ends a connection that sends and sends, and publishes nothing.
var errTalk = errors.New("a connection publishes within its first 256 KiB, and within 16 MiB of its last publish")

// conn is one connection. All of it belongs to the goroutine that runs serve,
// but for what is told otherwise.
type conn struct {
	server *Server
	cfg    *Config
	nc     net.Conn
	// records are those of TLS, below nc; nil: there are none.
	records *records
	place   *Place
	rtmp    *rtmp.Server
	wake    chan struct{} // somebody asks for a turn; any goroutine may signal it

	drainBy atomic.Pointer[time.Time] // nil: no drain. Set by any goroutine

	began  time.Time // since when the peer owes the next step
	told   bool      // connect has come
	napped time.Time // since when what is read next may have waited in the kernel; zero: it has not
	timer  *time.Timer
	more   bool // the last read filled the buffer
	atKey  bool // to be cut at the next key frame
	asked  bool // the peer was asked to reconnect
	mute   bool // the peer does not take what we write any more
	known  bool // it has sent media: it is no stranger
	talk   int  // bytes that may come before it publishes

	sessions []published // in the order they began
	stray    int         // tags of publishes that have no session any more
	// passed is what sessions that ended were told of, toldPassed that the log was.
	passed     rtmp.Dropped
	toldPassed bool
}

func newConn(s *Server, nc net.Conn) *conn {
	c := &conn{server: s, cfg: &s.cfg, nc: nc, records: recordsOf(nc), wake: make(chan struct{}, 1), talk: strangerTalk}
	c.timer = time.NewTimer(0)
	c.timer.Stop()
	return c
}

// drain asks the connection to end by then. Any goroutine may call it.
func (c *conn) drain(by time.Time) {
	c.drainBy.Store(&by)
	c.poke()
}

// dismiss ends the connection in favour of another. Any goroutine may call it.
func (c *conn) dismiss() {
	sever(c.nc)
	c.server.crowded()
}

// poke gives the connection a turn at once. Any goroutine may call it. It wakes
// a Read by its deadline; read sets that before it looks.
func (c *conn) poke() {
	c.signal()
	_ = c.nc.SetReadDeadline(time.Unix(1, 0)) // it fails on closed connections only
}

func (c *conn) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// serve runs the connection until it ends. It stays for as long as its session
// needs to end, or life ends.
func (c *conn) serve(life context.Context) {
	config := rtmp.ServerConfig{MaxMessage: c.cfg.MaxMessage, MaxEvents: maxEvents, Login: c.cfg.Login}
	_, _ = rand.Read(config.Random[:]) // never fails, see crypto/rand
	_, _ = rand.Read(config.Secret[:])
	c.rtmp = rtmp.NewServer(config)
	c.began = time.Now()
	e := c.run(life)
	if e.code != "" {
		c.refuse(e)
	}
	if len(c.sessions) == 0 {
		c.report(e)
	}
	for len(c.sessions) > 0 {
		c.endSession(life, 0, e)
	}
	if e.linger {
		_ = c.flush()
	}
	if e.code != "" || e.linger {
		c.linger()
	}
	_ = c.nc.Close()
}

// run reads the connection until something ends it.
func (c *conn) run(life context.Context) *ending {
	buf := make([]byte, strangerBuffer)
	for {
		if len(c.sessions) > 0 && len(buf) < readBuffer {
			buf = make([]byte, readBuffer)
		}
		until, e := c.turn(life)
		if e != nil {
			return e
		}
		n, err := c.read(buf, until)
		c.more = n == len(buf) || c.records != nil && c.records.full
		if n > 0 {
			if e := c.receive(life, buf[:n]); e != nil {
				return e
			}
		}
		switch {
		case err == nil, errors.Is(err, os.ErrDeadlineExceeded):
		case errors.Is(err, errTunnelClosed) && len(c.sessions) > 0:
			return unpublished
		default:
			return lostConnection(len(c.sessions) > 0, err)
		}
	}
}

// turn obeys whoever may end the connection, and waits while the session takes
// nothing, or for more to come. It returns when the next turn is due at the
// latest.
func (c *conn) turn(life context.Context) (until time.Time, e *ending) {
	c.napped = time.Time{}
	now := time.Now()
	if e := c.obeyDrain(now); e != nil {
		return until, e
	}
	var p Plan
	if len(c.sessions) > 0 {
		if p, e = c.plan(life, now); e != nil {
			return until, e
		}
	}
	if len(c.sessions) == 0 {
		until = c.strangerDeadline()
		if !now.Before(until) {
			return until, c.overdue()
		}
	} else {
		until = p.Next
		c.nap(p)
	}
	if by := c.drainBy.Load(); by != nil && by.Before(until) {
		until = *by
	}
	return until, nil
}

// strangerDeadline is when the next step of a peer that does not publish is due.
func (c *conn) strangerDeadline() time.Time {
	if c.told {
		return c.began.Add(c.cfg.PublishTimeout)
	}
	return c.began.Add(c.cfg.ConnectTimeout)
}

// overdue says which step a peer that does not publish has not made in time.
func (c *conn) overdue() *ending {
	switch {
	case c.told:
		return noPublish
	case c.rtmp.HandshakeDone():
		return noConnect
	}
	return noHandshake
}

// obeyDrain asks the peer to go to another node, if it understands that, or
// else waits for a key frame to cut it at.
func (c *conn) obeyDrain(now time.Time) *ending {
	by := c.drainBy.Load()
	switch {
	case by == nil:
		return nil
	case len(c.sessions) == 0 || !now.Before(*by):
		return drained
	case c.asked || c.atKey:
		return nil
	}
	c.asked = c.rtmp.RequestReconnect("This server is going down.", "")
	c.atKey = !c.asked
	return c.flush()
}

// plan asks the sessions what to do next, again and again while one is full.
// There may be none left then.
func (c *conn) plan(life context.Context, now time.Time) (Plan, *ending) {
	for {
		p, e := c.planAll(life, now)
		if e != nil || !p.Full {
			return p, e
		}
		c.timer.Reset(fullPoll)
		select {
		case <-c.wake:
			c.timer.Stop()
		case <-c.timer.C:
		case <-life.Done():
			return p, drained
		}
		now = time.Now()
		if e := c.obeyDrain(now); e != nil {
			return p, e
		}
	}
}

// planAll asks each session once. One that ends is the connection's end where
// it is the only one.
func (c *conn) planAll(life context.Context, now time.Time) (all Plan, e *ending) {
	partial := c.rtmp.Partial()
	for i := 0; i < len(c.sessions); {
		s := &c.sessions[i]
		p := s.Plan(Turn{Now: now, Read: s.read, Partial: partial, Cut: c.atKey})
		s.read = 0
		if p.Err != nil {
			if e := c.failed(life, i, p.Err, "The server could not store the stream in time."); e != nil {
				return all, e
			}
			continue
		}
		if i++; i == 1 {
			all = p
			partial = 0 // it is the first one's to account for
			continue
		}
		all.Full = all.Full || p.Full
		all.Rate += p.Rate
		all.Rest, all.Next = earlier(all.Rest, p.Rest), earlier(all.Next, p.Next)
	}
	return all, nil
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// nap lets what comes wait in the kernel for a while: one read gets all of it.
// Measured over 50 live streams of 78 tags a second in a process of their own,
// it takes ingest's CPU time per tag from 18–20 µs to 11–13, the kernel's part
// included.
func (c *conn) nap(p Plan) {
	if c.more || p.Rate == 0 { // there is more to read, or it is not known how much comes
		return
	}
	now := time.Now()
	rest := min(p.Rest.Sub(now), readAhead*time.Second/time.Duration(p.Rate))
	nap := now.Add(rest).Truncate(napGrid).Sub(now)
	if nap <= time.Millisecond {
		return
	}
	c.napped = now.Truncate(napGrid)
	c.timer.Reset(nap)
	select {
	case <-c.timer.C:
	case <-c.wake:
		c.timer.Stop()
		c.signal() // for read
	}
}

// read reads once, for at most until the time given.
func (c *conn) read(buf []byte, until time.Time) (int, error) {
	if err := c.nc.SetReadDeadline(until); err != nil {
		return 0, err
	}
	select {
	case <-c.wake: // poke may have come before the deadline was set
		return 0, nil
	default:
	}
	began := time.Now()
	n, err := c.nc.Read(buf)
	for err == nil && n < len(buf) && c.records != nil && c.records.another() {
		var more int
		more, err = c.nc.Read(buf[n:])
		n += more
	}
	if time.Since(began) > time.Millisecond {
		c.napped = time.Time{} // nothing had waited: it came while we did
	}
	return n, err
}

// flush writes what the protocol has to say.
func (c *conn) flush() *ending {
	out := c.rtmp.Output()
	if len(out) == 0 || c.mute {
		return nil
	}
	err := c.nc.SetWriteDeadline(time.Now().Add(writeTimeout))
	if err == nil {
		_, err = c.nc.Write(out)
		_ = c.nc.SetWriteDeadline(time.Time{}) // TLS writes by itself, too: see Secure
	}
	if err == nil {
		return nil
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return lostConnection(len(c.sessions) > 0, err)
	}
	// The peer has hung up. What it sent before that still waits to be read:
	// frames, and the unpublish that tells a clean end from a lost connection.
	c.mute = true
	return nil
}

// refuse tells the peer why the connection ends. It may not hear it.
func (c *conn) refuse(e *ending) {
	if e.streamID != 0 || len(c.sessions) == 0 {
		c.rtmp.Refuse(e.streamID, e.code, e.text)
	}
	for _, s := range c.sessions {
		c.rtmp.Refuse(s.id, e.code, e.text)
	}
	_ = c.flush()
}

// linger lets the peer read a status before the connection is gone: closing a
// socket with unread bytes resets it, and the status with it.
func (c *conn) linger() {
	if w, ok := c.nc.(interface{ CloseWrite() error }); ok && w.CloseWrite() != nil {
		return
	}
	if c.nc.SetReadDeadline(time.Now().Add(lingerTimeout)) == nil {
		_, _ = io.Copy(io.Discard, c.nc) // until it hangs up or the time is over
	}
}
