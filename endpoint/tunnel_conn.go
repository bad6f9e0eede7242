package endpoint

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"weir/rtmp/tunnel"
)

const (
	// tunnelIn and tunnelOut are how many bytes may wait in a tunnel: what a
	// socket holds in the kernel.
	tunnelIn  = 256 << 10
	tunnelOut = 256 << 10
)

// tunnelConn is the connection that the requests of a session make. What
// requests bring waits for Read, what Write brings waits for the next answer.
type tunnelConn struct {
	of     *httpTunnel
	id     string
	remote net.Addr

	// turn is held by the request that is served; order belongs to it.
	turn  chan struct{}
	order tunnel.Order

	mu      sync.Mutex
	changed chan struct{} // closed and replaced when something below changes and somebody waits
	waiting int
	in, out []byte
	ended   error // why Read ends behind what is in
	closed  bool  // by us
	// readBy and writeBy are deadlines; zero is none.
	readBy, writeBy time.Time
	by              *httpConn // that the last request came by
	known           bool      // it publishes
	expiry          *time.Timer
}

func newTunnelConn(t *httpTunnel, id string, remote net.Addr) *tunnelConn {
	c := &tunnelConn{
		of: t, id: id, remote: remote,
		turn: make(chan struct{}, 1), changed: make(chan struct{}),
	}
	c.expiry = time.AfterFunc(tunnelIdle, c.expire)
	return c
}

// Transport is what the connection is called.
func (c *tunnelConn) Transport() string { return c.of.transport }

// change wakes all who wait. It needs mu.
func (c *tunnelConn) change() {
	if c.waiting > 0 {
		close(c.changed)
		c.changed, c.waiting = make(chan struct{}), 0
	}
}

// wait waits for a change, until the deadline if there is one, and for no longer
// than ctx. It needs mu, and gives it up meanwhile.
func (c *tunnelConn) wait(ctx context.Context, deadline time.Time) error {
	changed := c.changed
	c.waiting++
	c.mu.Unlock()
	defer c.mu.Lock()
	var over <-chan time.Time
	if !deadline.IsZero() {
		timer := time.NewTimer(time.Until(deadline))
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-changed:
	case <-over: // whoever waits looks at the deadline again: it may be another
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// Read reads what requests have brought.
func (c *tunnelConn) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		switch {
		case c.closed:
			return 0, net.ErrClosed
		case !c.readBy.IsZero() && !time.Now().Before(c.readBy):
			return 0, os.ErrDeadlineExceeded
		case len(c.in) > 0:
			n := copy(p, c.in)
			c.in = c.in[:copy(c.in, c.in[n:])]
			if len(c.in) == 0 && cap(c.in) > tunnelPiece {
				c.in = nil
			}
			c.change()
			return n, nil
		case c.ended != nil:
			return 0, c.ended
		}
		if err := c.wait(context.Background(), c.readBy); err != nil {
			return 0, err
		}
	}
}

// Write leaves p for the next answers.
func (c *tunnelConn) Write(p []byte) (n int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(p) > 0 {
		switch {
		case c.closed:
			return n, net.ErrClosed
		case c.ended != nil:
			return n, io.ErrClosedPipe
		case !c.writeBy.IsZero() && !time.Now().Before(c.writeBy):
			return n, os.ErrDeadlineExceeded
		}
		if room := tunnelOut - len(c.out); room > 0 {
			k := min(room, len(p))
			c.out = append(c.out, p[:k]...)
			n, p = n+k, p[k:]
			c.change()
			continue
		}
		if err := c.wait(context.Background(), c.writeBy); err != nil {
			return n, err
		}
	}
	return n, nil
}

// CloseWrite says that no Write follows. The client learns that when it has
// fetched all and the tunnel is closed.
func (c *tunnelConn) CloseWrite() error { return nil }

// Close ends the tunnel. What was written may still be fetched, for a moment.
func (c *tunnelConn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	c.closed = true
	c.in = nil
	if len(c.out) == 0 || c.ended != nil {
		c.forget()
	} else {
		c.expiry.Reset(lingerTimeout)
	}
	c.change()
	return nil
}

// LocalAddr is where the requests arrive.
func (c *tunnelConn) LocalAddr() net.Addr { return c.of.addr }

// RemoteAddr is where the first one came from.
func (c *tunnelConn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline is SetReadDeadline and SetWriteDeadline.
func (c *tunnelConn) SetDeadline(t time.Time) error {
	_ = c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

// SetReadDeadline wakes a Read that waits.
func (c *tunnelConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	c.readBy = t
	c.change()
	return nil
}

// SetWriteDeadline wakes a Write that waits.
func (c *tunnelConn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	c.writeBy = t
	c.change()
	return nil
}

// begin waits for the turn of request n, and for those that belong before it.
// It reports false if that turn has passed.
func (c *tunnelConn) begin(ctx context.Context, n uint64) bool {
	early := time.Now().Add(tunnelEarly)
	for {
		select {
		case c.turn <- struct{}{}:
		case <-ctx.Done():
			return false
		}
		switch turn := c.order.Turn(n); {
		case turn == tunnel.Late:
			<-c.turn
			return false
		case turn != tunnel.Early || time.Now().After(early):
			return true
		}
		<-c.turn
		select {
		case <-time.After(5 * time.Millisecond): // it is rare
		case <-ctx.Done():
			return false
		}
	}
}

func (c *tunnelConn) end() { <-c.turn }

// touch notes that a request has come, and by which HTTP connection.
func (c *tunnelConn) touch(r *http.Request) {
	h, _ := r.Context().Value(httpConnKey{}).(*httpConn)
	c.mu.Lock()
	before := c.by
	c.by = h
	known := c.known
	if !c.closed {
		c.expiry.Reset(tunnelIdle)
	}
	c.mu.Unlock()
	if known {
		h.settle(true)
	}
	if h != nil && h != before {
		h.carries(c, before)
	}
}

// settle tells whether the tunnel publishes: then the HTTP connection that it
// comes by stays.
func (c *tunnelConn) settle(known bool) {
	c.mu.Lock()
	by := c.by
	c.known = known
	c.mu.Unlock()
	by.settle(known)
}

// orphan hurries a tunnel whose HTTP connection was closed.
func (c *tunnelConn) orphan() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.expiry.Reset(tunnelOrphan)
	}
}

// expire ends a tunnel whose client has vanished, or was told all.
func (c *tunnelConn) expire() {
	c.hangUp(io.EOF)
	c.mu.Lock()
	closed := c.closed
	c.mu.Unlock()
	if closed {
		c.forget()
	}
}

// errTunnelClosed ends a tunnel whose client said so. ffmpeg says nothing else:
// it drops the commands that end its publish.
var errTunnelClosed = errors.New("the client closed the tunnel")

// hangUp is the client's end of the connection.
func (c *tunnelConn) hangUp(why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended == nil {
		c.ended = why
	}
	c.change()
}

// forget makes the tunnel's id unknown.
func (c *tunnelConn) forget() {
	c.expiry.Stop()
	c.of.forget(c.id)
}

// put appends to what waits for Read, as there is room, and returns how much it
// took. What comes after the end is nobody's.
func (c *tunnelConn) put(ctx context.Context, p []byte) (n int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(p) > 0 && !c.closed && c.ended == nil {
		if room := tunnelIn - len(c.in); room > 0 {
			k := min(room, len(p))
			c.in = append(c.in, p[:k]...)
			n, p = n+k, p[k:]
			c.change()
			continue
		}
		c.expiry.Reset(tunnelIdle) // it is we who keep the client waiting
		if err := c.wait(ctx, time.Now().Add(tunnelIdle/2)); err != nil {
			return n, err
		}
	}
	return n + len(p), nil
}

// await waits for something to fetch.
func (c *tunnelConn) await(ctx context.Context, long time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	by := time.Now().Add(long)
	for len(c.out) == 0 && !c.closed && c.ended == nil && time.Now().Before(by) {
		if c.wait(ctx, by) != nil {
			return
		}
	}
}

// fetch takes what waits for the client. Of a tunnel that is closed, that is
// the last.
func (c *tunnelConn) fetch() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.out
	c.out = nil
	if c.closed {
		c.forget()
	}
	c.change()
	return out
}
