package origin

import (
	"container/list"
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// connections bounds how many there are. One waits while none of its requests
// is being answered: it has sent none, is sending one, or has had its answer.
type connections struct {
	most int

	mu      sync.Mutex
	open    map[net.Conn]*list.Element // in waiting; nil while it is answered
	waiting *list.List                 // of net.Conn, the longest first
}

func newConnections(most int) *connections {
	return &connections{most: most, open: make(map[net.Conn]*list.Element), waiting: list.New()}
}

// connKey is a request's connection in its context.
type connKey struct{}

func (c *connections) context(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, conn)
}

// state follows a connection from its begin to its end.
func (c *connections) state(conn net.Conn, s http.ConnState) {
	switch s {
	case http.StateNew:
		if victim := c.admit(conn); victim != nil {
			if victim == conn {
				refuse(conn)
			}
			_ = victim.Close() // it is told by that
		}
	case http.StateClosed, http.StateHijacked:
		c.mu.Lock()
		defer c.mu.Unlock()
		if e := c.open[conn]; e != nil {
			c.waiting.Remove(e)
		}
		delete(c.open, conn)
	}
}

// admit takes a connection in, and returns the one that has to go for it: that
// may be itself.
func (c *connections) admit(conn net.Conn) (victim net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.open) >= c.most {
		oldest := c.waiting.Front()
		if oldest == nil {
			return conn
		}
		victim = c.waiting.Remove(oldest).(net.Conn)
		delete(c.open, victim)
	}
	c.open[conn] = c.waiting.PushBack(conn)
	return victim
}

// refuse tells a client that is one too many (RFC 9110, 15.6.4).
func refuse(conn net.Conn) {
	// What it has sent is read first: closing over it would take the answer back
	// (RFC 9293, 3.10.4). Whoever is slower than that is not told.
	_ = conn.SetDeadline(time.Now().Add(time.Millisecond))
	_, _ = conn.Read(make([]byte, 4096))
	_, _ = io.WriteString(conn, "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}

// count marks connections whose requests h answers.
func (c *connections) count(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _ := r.Context().Value(connKey{}).(net.Conn)
		if !c.begin(conn) {
			return // it had to go a moment ago
		}
		defer c.end(conn)
		h.ServeHTTP(w, r)
	})
}

func (c *connections) begin(conn net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.open[conn]
	if e != nil {
		c.waiting.Remove(e)
		c.open[conn] = nil
	}
	return ok
}

func (c *connections) end(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.open[conn]; ok && e == nil {
		c.open[conn] = c.waiting.PushBack(conn)
	}
}
