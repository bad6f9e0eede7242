// Package faultproxy stands between a client and a server of a test, of HTTP or
// of any protocol on TCP, and does what networks and overloaded servers do: it
// is late, it says 503, it breaks connections in the middle of a body, it loses
// answers, it is gone.
package faultproxy

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
	"time"
)

// Fault handles a request in the server's place. It may let forward do so, for
// the whole answer or into a ResponseWriter of its own.
type Fault func(w http.ResponseWriter, r *http.Request, forward http.Handler)

// Proxy is a running proxy.
type Proxy struct {
	// URL is its address, http://127.0.0.1:port, which stays when the proxy
	// is down.
	URL string

	address string
	forward http.Handler

	running sync.WaitGroup // of the server and its requests

	mu       sync.Mutex
	down     context.CancelFunc
	fault    Fault
	requests []Request
	accepted int
}

// Request is what the proxy remembers of a request.
type Request struct {
	Method, Path string
	// Status of the answer, 0 where there was none.
	Status int
	At     time.Time
}

// Start starts a proxy to the server at the target URL, without a fault, that
// lives as long as the test.
func Start(tb testing.TB, target string) *Proxy {
	tb.Helper()
	u, err := url.Parse(target)
	if err != nil {
		tb.Fatal(err)
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}
	tb.Cleanup(transport.CloseIdleConnections)
	p := &Proxy{address: "127.0.0.1:0", forward: &httputil.ReverseProxy{
		// The Host stays the client's: requests are signed with it.
		Rewrite:      func(r *httputil.ProxyRequest) { r.SetURL(u); r.Out.Host = r.In.Host },
		Transport:    transport,
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
		ErrorLog:     slog.NewLogLogger(slog.DiscardHandler, 0), // faults are meant
	}}
	if err := p.Up(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(p.Down)
	return p
}

// Set replaces the fault; nil is none.
func (p *Proxy) Set(f Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = f
}

// Up makes the proxy listen again after Down, on the same address.
func (p *Proxy) Up() error {
	l, err := net.Listen("tcp", p.address)
	if err != nil {
		return fmt.Errorf("start fault proxy: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	server := &http.Server{
		Handler:     p,
		ErrorLog:    slog.NewLogLogger(slog.DiscardHandler, 0),
		ConnState:   p.count,
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.address = l.Addr().String()
	p.URL = "http://" + p.address
	p.down = func() {
		cancel()
		_ = server.Close()
	}
	p.running.Go(func() { _ = server.Serve(l) }) // says that it was closed
	return nil
}

// Down refuses new connections, breaks the ones there are, and waits for their
// requests to end.
func (p *Proxy) Down() {
	p.mu.Lock()
	down := p.down
	p.mu.Unlock()
	down()
	p.running.Wait()
}

// Requests returns what was asked so far, in the order of the answers.
func (p *Proxy) Requests() []Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Request(nil), p.requests...)
}

// Connections tells how many connections clients have made.
func (p *Proxy) Connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.accepted
}

func (p *Proxy) count(_ net.Conn, state http.ConnState) {
	if state == http.StateNew {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.accepted++
	}
}

// ServeHTTP handles one request by the fault of the moment.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.running.Add(1)
	defer p.running.Done()
	p.mu.Lock()
	fault := p.fault
	p.mu.Unlock()
	answer := &recorder{ResponseWriter: w}
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.requests = append(p.requests, Request{r.Method, r.URL.Path, answer.status, time.Now()})
	}()
	if fault == nil {
		p.forward.ServeHTTP(answer, r)
		return
	}
	fault(answer, r, p.forward)
}

// recorder remembers the status.
type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// First applies a fault to the first n requests and none to the others.
func First(n int, f Fault) Fault {
	var mu sync.Mutex
	return func(w http.ResponseWriter, r *http.Request, forward http.Handler) {
		mu.Lock()
		n--
		apply := n >= 0
		mu.Unlock()
		if !apply {
			forward.ServeHTTP(w, r)
			return
		}
		f(w, r, forward)
	}
}

// On applies a fault to the requests of one method.
func On(method string, f Fault) Fault {
	return func(w http.ResponseWriter, r *http.Request, forward http.Handler) {
		if r.Method != method {
			forward.ServeHTTP(w, r)
			return
		}
		f(w, r, forward)
	}
}

// Refuse answers with an error of S3 (API Reference, "Error responses") and
// does not bother the server.
func Refuse(status int, code string) Fault {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		if r.Method != http.MethodHead {
			_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code><Message>refused by the fault proxy</Message></Error>", code)
		}
	}
}

// Delay is late with the request by d, or by less where the client gives up.
func Delay(d time.Duration) Fault {
	return func(w http.ResponseWriter, r *http.Request, forward http.Handler) {
		select {
		case <-time.After(d):
			forward.ServeHTTP(w, r)
		case <-r.Context().Done():
		}
	}
}

// CutRequest reads n bytes of the request's body and breaks the connection.
func CutRequest(n int64) Fault {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		_, _ = io.CopyN(io.Discard, r.Body, n)
		reset(w)
	}
}

// CutAnswer breaks the connection after n bytes of the answer's body.
func CutAnswer(n int) Fault {
	return func(w http.ResponseWriter, r *http.Request, forward http.Handler) {
		whole := httptest.NewRecorder()
		forward.ServeHTTP(whole, r)
		for name, values := range whole.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(whole.Code)
		body := whole.Body.Bytes()
		_, _ = w.Write(body[:min(n, len(body))])
		if len(body) > n {
			_ = http.NewResponseController(w).Flush()
			reset(w)
		}
	}
}

// LoseAnswer lets the server do what was asked, and breaks the connection in
// the answer's place.
func LoseAnswer() Fault {
	return func(w http.ResponseWriter, r *http.Request, forward http.Handler) {
		forward.ServeHTTP(httptest.NewRecorder(), r)
		reset(w)
	}
}

// Hold lets the server do what was asked and keeps the answer until release is
// closed. held is closed when the server is done.
func Hold(held chan<- struct{}, release <-chan struct{}) Fault {
	return func(w http.ResponseWriter, r *http.Request, forward http.Handler) {
		whole := httptest.NewRecorder()
		forward.ServeHTTP(whole, r)
		close(held)
		<-release
		for name, values := range whole.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(whole.Code)
		_, _ = w.Write(whole.Body.Bytes())
	}
}

// reset breaks the connection with a TCP reset, whatever was written to it.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // ends it as well, if more politely
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
