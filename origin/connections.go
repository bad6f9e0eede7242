package origin

import (
	"cmp"
	"container/list"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// Limits bound the connections of a Serve.
type Limits struct {
	// Connections is how many there are at once. 0 is DefaultConnections.
	Connections int
	// PerAddress is how many of them one address may have, or one IPv6 /64
	// network. 0 is as many: a proxy has the connections of all its viewers.
	PerAddress int
}

// greedy: an address that has more than this part of all connections gives up
// one that is being answered, where there is no other.
const greedy = 4

// connections bounds how many there are, in all and of one address. One waits
// while none of its requests is being answered: it has sent none, is sending
// one, or has had its answer. Where one more comes than there is room for, the
// address that has the most loses the one that has waited the longest.
type connections struct {
	most, perAddress int

	mu       sync.Mutex
	open     map[net.Conn]*connection
	visitors map[netip.Prefix]*visitor
}

// visitor is an address with its connections, the longest there first.
type visitor struct{ waiting, answered list.List }

func (v *visitor) count() int { return v.waiting.Len() + v.answered.Len() }

// connection has its place in one of its visitor's lists.
type connection struct {
	net.Conn
	prefix netip.Prefix
	of     *visitor
	since  time.Time // in its list
	place  *list.Element
	busy   bool // is being answered
}

// move puts c at the end of one of its visitor's lists.
func (c *connection) move(busy bool) {
	c.leave()
	c.busy, c.since = busy, time.Now()
	c.place = c.list().PushBack(c)
}

func (c *connection) list() *list.List {
	if c.busy {
		return &c.of.answered
	}
	return &c.of.waiting
}

func (c *connection) leave() {
	if c.place != nil {
		c.list().Remove(c.place)
		c.place = nil
	}
}

func newConnections(l Limits) *connections {
	most := cmp.Or(l.Connections, DefaultConnections)
	return &connections{most: most, perAddress: cmp.Or(l.PerAddress, most), open: make(map[net.Conn]*connection), visitors: make(map[netip.Prefix]*visitor)}
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
			sever(victim) // it is told by that
		}
	case http.StateClosed, http.StateHijacked:
		c.mu.Lock()
		defer c.mu.Unlock()
		c.forget(c.open[conn])
	}
}

// admit takes a connection in, and returns the one that has to go for it: that
// may be itself.
func (c *connections) admit(conn net.Conn) (victim net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	prefix := prefixOf(conn.RemoteAddr())
	v := c.visitors[prefix]
	if v == nil {
		v = new(visitor)
		c.visitors[prefix] = v
	}
	n := &connection{Conn: conn, prefix: prefix, of: v}
	c.open[conn] = n
	n.move(false)
	var goes *connection
	switch {
	case v.count() > c.perAddress:
		goes = first(&v.waiting)
	case len(c.open) > c.most:
		goes = c.leastWelcome(n)
	}
	if goes == nil {
		return nil
	}
	c.forget(goes)
	return goes.Conn
}

// leastWelcome returns who goes for the newcomer n: of the address with the most
// connections the one that has waited the longest, or where that address has
// too many, and is another's, the one that is being answered for the longest.
// Else it is the oldest that waits, of whomever: n at the latest.
func (c *connections) leastWelcome(n *connection) *connection {
	var most *visitor
	var oldest *connection
	for _, v := range c.visitors {
		if w := first(&v.waiting); w != nil && (oldest == nil || w.since.Before(oldest.since)) {
			oldest = w
		}
		if most == nil || v.count() > most.count() {
			most = v
		}
	}
	if w := first(&most.waiting); w != nil && most.count() > 1 {
		return w
	}
	if most != n.of && most.count() > max(c.most/greedy, n.of.count()) {
		return first(&most.answered)
	}
	return oldest
}

func first(l *list.List) *connection {
	if l.Len() == 0 {
		return nil
	}
	return l.Front().Value.(*connection)
}

// forget gives a connection's place back. c.mu is held.
func (c *connections) forget(n *connection) {
	if n == nil {
		return
	}
	n.leave()
	delete(c.open, n.Conn)
	if n.of.count() == 0 {
		delete(c.visitors, n.prefix)
	}
}

// sever ends a connection at once: net/http waits for that before it accepts
// another one. Close of a tls.Conn says so to the client before, and waits for
// whoever writes to it.
func sever(conn net.Conn) {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	_ = conn.Close()
}

// severAll ends all connections.
func (c *connections) severAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.open {
		sever(conn)
	}
}

// refuse tells a client that is one too many (RFC 9110, 15.6.4). One that has to
// shake hands first is not told.
func refuse(conn net.Conn) {
	if _, secure := conn.(*tls.Conn); secure {
		return
	}
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
	n := c.open[conn]
	if n != nil {
		n.move(true)
	}
	return n != nil
}

func (c *connections) end(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := c.open[conn]; n != nil {
		n.move(false)
	}
}

// prefixOf is what counts as one address: an IPv4 address, or the /64 network
// of an IPv6 one, all of which one host may have [RFC 4291, 2.5.4]. Addresses
// that are no IP are one.
func prefixOf(remote net.Addr) netip.Prefix {
	at, ok := remote.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	addr := at.AddrPort().Addr().Unmap().WithZone("")
	bits := 32
	if addr.Is6() {
		bits = 64
	}
	p, _ := addr.Prefix(bits) // it fails for the zero Addr only, which is one, too
	return p
}
