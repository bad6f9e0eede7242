package ingest

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"weir/media"
	"weir/remux/flv"
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
	// budgetPoll is how often a session looks whether others have freed memory.
	budgetPoll = 50 * time.Millisecond
)

// conn is one connection. All of it belongs to the goroutine that runs serve,
// but for what is told otherwise.
type conn struct {
	server *Server
	cfg    *Config
	nc     net.Conn
	rtmp   *rtmp.Server
	log    *slog.Logger
	wake   chan struct{} // something was ordered; any goroutine may signal it

	drainBy atomic.Pointer[time.Time] // nil: no drain. Set by any goroutine

	began    time.Time // since when the peer owes the next step
	told     bool      // connect has come
	lastRead time.Time
	napped   time.Time   // since when what is read next may have waited in the kernel; zero: it has not
	more     bool        // the last read filled the buffer
	timer    *time.Timer // for naps
	atKey    bool        // to be cut at the next key frame
	asked    bool        // the peer was asked to reconnect
	mute     bool        // the peer does not take what we write any more

	mu      sync.Mutex // for session's readers in other goroutines
	session *session   // nil: nothing is published
}

// errHolding: what a publish was allowed, nothing else is.
var errHolding = errors.New("large messages begin while something is published")

func newConn(s *Server, nc net.Conn) *conn {
	c := &conn{server: s, cfg: &s.cfg, nc: nc, wake: make(chan struct{}, 1)}
	c.timer = time.NewTimer(0)
	c.timer.Stop()
	c.log = s.cfg.Logger.With("remote", nc.RemoteAddr().String())
	return c
}

// current returns the session. Any goroutine may call it.
func (c *conn) current() *session {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.session
}

func (c *conn) setSession(s *session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.session = s
}

// drain asks the connection to end by then. Any goroutine may call it.
func (c *conn) drain(by time.Time) {
	c.drainBy.Store(&by)
	c.poke()
}

// poke makes the reading goroutine look at its orders. Any goroutine may call
// it. It wakes a Read by its deadline; read sets that before it looks.
func (c *conn) poke() {
	signal(c.wake)
	_ = c.nc.SetReadDeadline(time.Unix(1, 0)) // it fails on closed connections only
}

// serve runs the connection until it ends. It stays for as long as its session
// needs to reach the log, or life ends.
func (c *conn) serve(life context.Context) {
	config := rtmp.ServerConfig{MaxMessage: c.cfg.MaxMessage}
	_, _ = rand.Read(config.Random[:]) // never fails, see crypto/rand
	c.rtmp = rtmp.NewServer(config)
	c.began = time.Now()
	e := c.run(life)
	if e.code != "" {
		c.refuse(e)
	}
	c.endSession(life, e)
	if e.code != "" {
		c.linger()
	}
	_ = c.nc.Close()
}

// run reads the connection until something ends it.
func (c *conn) run(life context.Context) *ending {
	buf := make([]byte, strangerBuffer)
	for {
		if c.session != nil && len(buf) < readBuffer {
			buf = make([]byte, readBuffer)
		}
		if e := c.orders(time.Now()); e != nil {
			return e
		}
		if e := c.wait(life); e != nil {
			return e
		}
		n, err := c.read(buf)
		if n > 0 {
			if e := c.receive(life, buf[:n]); e != nil {
				return e
			}
		}
		c.more = n == len(buf)
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return lostConnection(c.session != nil, err)
		}
	}
}

// read reads once, until the peer's or the open batch's time has come.
func (c *conn) read(buf []byte) (int, error) {
	now, deadline := time.Now(), c.deadline()
	if c.session != nil {
		// A batch that is due already waits for the one in flight.
		due := c.session.due()
		if !due.IsZero() && !due.After(now) {
			due = now.Add(c.cfg.Batch)
		}
		if !due.IsZero() && due.Before(deadline) {
			deadline = due
		}
	}
	if err := c.nc.SetReadDeadline(deadline); err != nil {
		return 0, err
	}
	select {
	case <-c.wake: // poke may have come before the deadline was set
		return 0, nil
	default:
	}
	n, err := c.nc.Read(buf)
	if time.Since(now) > time.Millisecond {
		c.napped = time.Time{} // nothing had waited: it came while we did
	}
	return n, err
}

// deadline is when the peer's next step is due.
func (c *conn) deadline() time.Time {
	var d time.Time
	switch {
	case c.session != nil:
		d = c.lastRead.Add(c.cfg.IdleTimeout)
	case c.told:
		d = c.began.Add(c.cfg.PublishTimeout)
	default:
		d = c.began.Add(c.cfg.ConnectTimeout)
	}
	if by := c.drainBy.Load(); by != nil && by.Before(d) {
		d = *by
	}
	return d
}

// orders looks at everything that may end the connection but the peer's bytes.
func (c *conn) orders(now time.Time) *ending {
	if s := c.session; s != nil {
		if err := s.failure(); err != nil {
			return failedSession(err)
		}
		s.received(now, 0, c.rtmp.Partial()) // a batch may have become due
	}
	if by := c.drainBy.Load(); by != nil {
		if e := c.obeyDrain(now, *by); e != nil {
			return e
		}
	}
	if now.Before(c.deadline()) {
		return nil
	}
	switch {
	case c.session != nil:
		return idle
	case c.told:
		return noPublish
	case c.rtmp.HandshakeDone():
		return noConnect
	}
	return noHandshake
}

// obeyDrain asks the peer to go to another node, if it understands that, or
// else waits for a key frame to cut it at.
func (c *conn) obeyDrain(now, by time.Time) *ending {
	if c.session == nil || !now.Before(by) {
		return drained
	}
	if c.asked || c.atKey {
		return nil
	}
	c.asked = c.rtmp.RequestReconnect("This server is going down.", "")
	c.atKey = !c.asked
	return c.flush()
}

// wait waits while the session's buffer is full, and then until what the peer
// sends is worth a read.
func (c *conn) wait(life context.Context) *ending {
	c.napped = time.Time{}
	s := c.session
	if s == nil {
		return nil
	}
	if s.full() {
		return c.stall(life, s)
	}
	now := time.Now()
	if nap := c.nap(s, now); nap > time.Millisecond {
		c.napped = now.Truncate(napGrid)
		c.timer.Reset(nap)
		select {
		case <-c.timer.C:
		case <-c.wake:
			c.timer.Stop()
			signal(c.wake) // for read
		}
	}
	return nil
}

// nap is how long not to read: what comes meanwhile waits in the kernel, and
// one read gets all of it. Measured over 50 live streams of 78 tags a second in
// a process of their own, it takes ingest's CPU time per tag from 18–20 µs to
// 11–13, the kernel's part included.
func (c *conn) nap(s *session, now time.Time) time.Duration {
	rate := s.bytesPerSecond()
	if c.more || rate == 0 { // there is more to read, or it is not known how much comes
		return 0
	}
	nap := min(c.cfg.Batch, readAhead*time.Second/time.Duration(rate))
	if due := s.due(); due.After(now) {
		nap = min(nap, due.Sub(now))
	}
	return now.Add(nap).Truncate(napGrid).Sub(now)
}

// stall stops reading until the log has taken something.
func (c *conn) stall(life context.Context, s *session) *ending {
	began := time.Now()
	limit := time.NewTimer(c.cfg.BusTimeout)
	defer limit.Stop()
	defer func() {
		c.lastRead = time.Now() // the silence was ours
		c.cfg.Metrics.stalled.Add(time.Since(began).Seconds())
	}()
	for s.full() {
		select {
		case <-s.room:
		case <-time.After(budgetPoll):
		case <-limit.C:
			return logTimeout
		case <-life.Done():
			return drained
		case <-c.wake:
			if e := c.orders(time.Now()); e != nil && e != idle {
				return e
			}
		}
	}
	return nil
}

// receive gives bytes to the protocol, and does what comes out of it.
func (c *conn) receive(life context.Context, p []byte) *ending {
	now := time.Now()
	c.lastRead = now
	c.cfg.Metrics.received.Add(float64(len(p)))
	arrived := now
	if !c.napped.IsZero() {
		arrived = c.napped // a frame waits for --batch, the nap included
	}
	events, broken := c.rtmp.Receive(now, p)
	for i := range events {
		if e := c.handle(life, arrived, &events[i]); e != nil {
			return e
		}
	}
	if broken != nil {
		return brokenRule(broken)
	}
	partial := c.rtmp.Partial()
	if c.session != nil {
		c.session.received(now, len(p), partial)
	} else if partial > strangerPartial {
		return brokenRule(errHolding)
	}
	return c.flush()
}

func (c *conn) handle(life context.Context, arrived time.Time, ev *rtmp.Event) *ending {
	switch ev.Type {
	case rtmp.EventConnect:
		c.told, c.began = true, arrived
	case rtmp.EventPublish:
		return c.publish(life, ev)
	case rtmp.EventTag:
		return c.tag(arrived, ev.StreamID, ev.Tag)
	case rtmp.EventUnpublish:
		if c.session != nil && c.session.streamID == ev.StreamID {
			c.endSession(life, unpublished)
			c.began = time.Now()
		}
	}
	return nil
}

// tag adds a tag to the session. Those of another publish, which a newer one
// on this connection has replaced, are passed over.
func (c *conn) tag(arrived time.Time, streamID uint32, t flv.Tag) *ending {
	s := c.session
	if s == nil || s.streamID != streamID {
		return nil
	}
	if c.atKey && s.opensKey(t) {
		return drained
	}
	if err := s.add(arrived, t); err != nil {
		return brokenRule(err)
	}
	return nil
}

// publish begins a session. A publish on a connection that publishes already,
// as Wirecast does it, takes the place of the one before.
func (c *conn) publish(life context.Context, ev *rtmp.Event) *ending {
	ctx, cancel := context.WithTimeout(life, c.cfg.PublishTimeout)
	defer cancel()
	stream, err := c.cfg.Auth.Authorize(ctx, Request{
		App: ev.App, TCURL: ev.TCURL, Name: ev.Name, Query: ev.Query, Remote: c.nc.RemoteAddr().String(),
	})
	if err != nil {
		return refusedPublish(ev.StreamID, media.Stream{}, err)
	}
	if old := c.session; old != nil {
		e := republished
		if old.stream != stream {
			e = unpublished
		}
		c.endSession(life, e)
	}
	if c.drainBy.Load() != nil {
		return drained
	}
	log, err := c.cfg.Log.Open(ctx, stream, time.Now())
	if err != nil {
		return refusedPublish(ev.StreamID, stream, err)
	}
	c.setSession(newSession(life, &session{
		stream: stream, remote: c.nc.RemoteAddr().String(), streamID: ev.StreamID, since: time.Now(),
		log: log, metrics: c.cfg.Metrics, notify: c.poke,
		limits: limits{
			least: 2 * c.cfg.MaxMessage, most: c.cfg.SessionBuffer, always: 2 * batchSize,
			all: c.cfg.Buffer, used: &c.server.used,
		},
	}, BatcherConfig{Interval: c.cfg.Batch, MaxTag: c.cfg.MaxMessage}))
	c.lastRead, c.more = time.Now(), false
	c.cfg.Metrics.sessions.Inc()
	c.log.Info("publish began", "stream", stream.String(), "broadcast", log.Broadcast())
	c.rtmp.Accept(ev.StreamID)
	return nil
}

// endSession ends the session, if there is one, for the reason given.
func (c *conn) endSession(life context.Context, why *ending) {
	s := c.session
	if s == nil {
		c.report(why, media.Stream{})
		return
	}
	c.setSession(nil)
	flush := c.cfg.BusTimeout
	if why == logTimeout {
		flush = 0 // it has waited already
	}
	lost, err := s.finish(life, why.clean, flush)
	c.cfg.Metrics.sessions.Dec()
	c.cfg.Metrics.ended.WithLabelValues(why.reason).Inc()
	c.cfg.Metrics.lost.Add(float64(lost))
	if err != nil && !errors.Is(err, ErrFenced) || lost > 0 && why == logTimeout {
		c.log.Error("the frame log did not take a session's end", "stream", s.stream.String(), "lost_bytes", lost, "err", err)
	}
	c.report(why, s.stream)
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
	}
	if err == nil {
		return nil
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return lostConnection(c.session != nil, err)
	}
	// The peer has hung up. What it sent before that still waits to be read:
	// frames, and the unpublish that tells a clean end from a lost connection.
	c.mute = true
	return nil
}

// refuse tells the peer why the connection ends. It may not hear it.
func (c *conn) refuse(e *ending) {
	id := e.streamID
	if id == 0 && c.session != nil {
		id = c.session.streamID
	}
	c.rtmp.Refuse(id, e.code, e.text)
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
