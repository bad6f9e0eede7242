package endpoint

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"weir/rtmp/tunnel"
)

const (
	// tunnelIdle is how long a tunnel may be without a request: its client polls
	// twice a second at least, or sends.
	tunnelIdle = 30 * time.Second
	// tunnelOrphan is the same where the HTTP connection of its last request was
	// closed: the client is gone, or a proxy opens another one.
	tunnelOrphan = 5 * time.Second
	// tunnelHold is how long an answer to idle waits for something to bring:
	// librtmp asks again at once, thousands of times a second.
	tunnelHold = 100 * time.Millisecond
	// tunnelEarly is how long a request waits for those that belong before it.
	tunnelEarly = 3 * time.Second
	// tunnelBody is how long a client may take for each piece of a body.
	tunnelBody = 10 * time.Second
	// tunnelPiece is how much of a body is held outside of its tunnel.
	tunnelPiece = 16 << 10
)

// httpTunnel makes connections of HTTP requests, as RTMPT has it: it is the
// http.Handler of the requests, and the net.Listener of the connections.
type httpTunnel struct {
	elsewhere http.Handler
	addr      net.Addr
	transport string
	accepted  chan *tunnelConn
	closed    chan struct{}

	mu       sync.Mutex
	stopped  bool
	sessions map[string]*tunnelConn
}

// newTunnel returns a tunnel without sessions. addr is where its HTTP requests
// arrive, transport what its connections are called: rtmpt or rtmpts, and
// elsewhere answers requests of sessions that are not held here.
func newTunnel(addr net.Addr, transport string, elsewhere http.Handler) *httpTunnel {
	return &httpTunnel{
		elsewhere: elsewhere, addr: addr, transport: transport,
		accepted: make(chan *tunnelConn), closed: make(chan struct{}),
		sessions: make(map[string]*tunnelConn),
	}
}

// Accept waits for the next tunnel.
func (t *httpTunnel) Accept() (net.Conn, error) {
	select {
	case c := <-t.accepted:
		return c, nil
	case <-t.closed:
		return nil, net.ErrClosed
	}
}

// Close stops opening tunnels. Those that are open go on.
func (t *httpTunnel) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.stopped {
		t.stopped = true
		close(t.closed)
	}
	return nil
}

// Addr is where the HTTP requests arrive.
func (t *httpTunnel) Addr() net.Addr { return t.addr }

// ServeHTTP answers one request.
func (t *httpTunnel) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q, ok := tunnel.ParsePath(r.URL.Path)
	switch {
	case !ok || q.Command == tunnel.Ident:
		http.NotFound(w, r)
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "This is RTMPT: requests are POST.", http.StatusMethodNotAllowed)
	case q.Command == tunnel.Open:
		t.open(w, r)
	default:
		c := t.find(q.Session)
		if c == nil {
			t.elsewhere.ServeHTTP(w, r)
			return
		}
		c.serve(w, r, q)
	}
}

func (t *httpTunnel) find(id string) *tunnelConn {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.sessions[id]
}

// open begins a tunnel. Its id is all that a client proves itself by.
func (t *httpTunnel) open(w http.ResponseWriter, r *http.Request) {
	var random [16]byte
	_, _ = rand.Read(random[:]) // never fails, see crypto/rand
	c := newTunnelConn(t, hex.EncodeToString(random[:]), remoteAddr(r))
	t.mu.Lock()
	t.sessions[c.id] = c
	t.mu.Unlock()
	select {
	case t.accepted <- c:
	case <-t.closed:
		c.forget()
		http.Error(w, "The server is going down.", http.StatusServiceUnavailable)
		return
	}
	c.touch(r)
	answer(w, tunnel.AppendOpened(nil, c.id))
}

func (t *httpTunnel) forget(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.sessions, id)
}

// answer writes the body of an answer.
func answer(w http.ResponseWriter, body []byte) {
	h := w.Header()
	h.Set("Content-Type", tunnel.ContentType)
	h.Set("Cache-Control", "no-cache")
	// librtmp and ffmpeg do not read bodies in chunks.
	h.Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // a client that has gone is missed soon
}

// remoteAddr is the address of the peer of a request.
func remoteAddr(r *http.Request) net.Addr {
	if a, err := net.ResolveTCPAddr("tcp", r.RemoteAddr); err == nil { // numbers, nothing is looked up
		return a
	}
	return &net.TCPAddr{}
}

// httpConn is an HTTP connection, and the tunnels whose last request came by it.
type httpConn struct {
	place *Place // nil: there was no room

	mu      sync.Mutex
	gone    bool
	tunnels map[*tunnelConn]struct{}
}

type httpConnKey struct{}

func (h *httpConn) settle(known bool) {
	switch {
	case h == nil || h.place == nil:
	case known:
		h.place.Settle()
	default:
		h.place.Unsettle()
	}
}

// carries notes that a tunnel's last request came by the connection, in place
// of the one before.
func (h *httpConn) carries(c *tunnelConn, before *httpConn) {
	if before != nil && before != h {
		before.mu.Lock()
		delete(before.tunnels, c)
		before.mu.Unlock()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.gone {
		h.tunnels[c] = struct{}{}
	}
}

// close hurries the tunnels that the connection carried.
func (h *httpConn) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.place != nil {
		h.place.Leave()
	}
	h.gone = true
	for c := range h.tunnels {
		c.orphan()
	}
	clear(h.tunnels)
}

// ServeTunnel serves the tunnels in the HTTP requests that arrive on ln, which
// it closes, as Serve does connections. The transport is rtmpt, or rtmpts where
// ln speaks TLS. Config.MaxConnections bounds the HTTP connections
// by themselves, and so does MaxPerAddress: one that carries a publish stays,
// the others are strangers.
func (s *Server) ServeTunnel(ctx context.Context, ln net.Listener, transport string) error {
	t := newTunnel(ln.Addr(), transport, s.cfg.Elsewhere)
	var open sync.Map // net.Conn to *httpConn
	server := &http.Server{
		Handler:           t,
		ReadHeaderTimeout: s.cfg.ConnectTimeout,
		IdleTimeout:       tunnelIdle,
		MaxHeaderBytes:    8 << 10,
		ErrorLog:          slog.NewLogLogger(s.cfg.Logger.Handler(), slog.LevelDebug),
		ConnContext: func(ctx context.Context, nc net.Conn) context.Context {
			h := &httpConn{tunnels: make(map[*tunnelConn]struct{})}
			open.Store(nc, h)
			h.place = s.tunnelling.Enter(nc.RemoteAddr(), func() { sever(nc) })
			if h.place == nil {
				sever(nc)
				s.crowded()
			}
			return context.WithValue(ctx, httpConnKey{}, h)
		},
		ConnState: func(nc net.Conn, state http.ConnState) {
			switch state {
			case http.StateActive: // the first bytes of a request have come
				acknowledge(nc)
			case http.StateClosed:
				if h, ok := open.LoadAndDelete(nc); ok {
					h.(*httpConn).close()
				}
			}
		},
	}
	listening, stop := context.WithCancel(ctx)
	defer stop()
	failed := make(chan error, 1)
	go func() {
		failed <- server.Serve(ln)
		stop()
	}()
	err := s.Serve(listening, t)
	// What tunnels have to say at their end, their clients fetch with one more
	// request.
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), lingerTimeout)
	defer cancel()
	severed := context.AfterFunc(grace, func() {
		open.Range(func(nc, _ any) bool { sever(nc.(net.Conn)); return true })
	})
	_ = server.Shutdown(grace)
	_ = server.Close()
	severed()
	if e := <-failed; ctx.Err() == nil && !errors.Is(e, http.ErrServerClosed) {
		return fmt.Errorf("serve tunnels: %w", e)
	}
	return err
}

// serve answers one request of the tunnel.
func (c *tunnelConn) serve(w http.ResponseWriter, r *http.Request, q tunnel.Request) {
	c.touch(r)
	if !c.begin(r.Context(), q.Number) {
		// Its turn has passed, or comes never.
		http.Error(w, "This request's place in its session is gone.", http.StatusConflict)
		return
	}
	defer c.end()
	if c.order.Turn(q.Number) == tunnel.Repeated {
		_, _ = io.Copy(io.Discard, io.LimitReader(r.Body, tunnelPiece))
		answer(w, c.order.Again())
		return
	}
	skip := c.order.Begin(q.Number)
	switch q.Command {
	case tunnel.Send:
		if err := c.take(w, r, skip); err != nil {
			// It may come again, and goes on where it broke off.
			http.Error(w, "The request broke off.", http.StatusBadRequest)
			return
		}
	case tunnel.Idle:
		c.await(r.Context(), tunnelHold)
	case tunnel.Close:
		c.hangUp(errTunnelClosed)
		answer(w, tunnel.Closed)
		return
	}
	answer(w, c.order.Answer(c.fetch()))
	c.touch(r)
}

// take puts a body into the tunnel, but for what has gone in before.
func (c *tunnelConn) take(w http.ResponseWriter, r *http.Request, skip int) error {
	control := http.NewResponseController(w)
	if _, err := io.CopyN(io.Discard, r.Body, int64(skip)); err != nil {
		return err
	}
	buf := tunnelBuffers.Get().(*[tunnelPiece]byte)
	defer tunnelBuffers.Put(buf)
	for {
		if err := control.SetReadDeadline(time.Now().Add(tunnelBody)); err != nil {
			return err
		}
		n, err := r.Body.Read(buf[:])
		taken, e := c.put(r.Context(), buf[:n])
		c.order.Took(taken)
		if e != nil {
			return e
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

var tunnelBuffers = sync.Pool{New: func() any { return new([tunnelPiece]byte) }}
