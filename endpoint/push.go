package endpoint

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	"weir/remux/flv"
	"weir/rtmp"
)

// Push is the other end: it publishes tags to an RTMP server. Its errors never
// hold the last part of the URL, which may be a stream key. One goroutine at a
// time may call its methods.
type Push struct {
	nc   net.Conn
	done chan struct{} // closed when the receiving goroutine has ended

	paced   time.Time // when the tag with the timestamp pacedAt was due
	pacedAt uint32

	mu        sync.Mutex // client and what it says; both goroutines write
	client    *rtmp.Client
	accepted  chan struct{} // closed when the server accepted or failed
	reconnect chan struct{} // closed when it asked to reconnect
	answered  bool
	asked     bool
	err       error
}

// ErrPublishURL is wrapped by Dial's errors about the URL.
var ErrPublishURL = errors.New("bad publish URL")

// target is a publish URL taken apart.
type target struct {
	address, app, tcURL, name string
	encrypted                 bool   // by RTMPE
	secure                    string // by TLS, and the host that the certificate is to name
}

// parseTarget takes apart rtmp://host[:port]/app/name[?query], or rtmpe:// or
// rtmps://. The app may have several parts. No error repeats the URL.
func parseTarget(raw string) (target, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return target{}, fmt.Errorf("%w: it cannot be parsed", ErrPublishURL)
	case u.Scheme != "rtmp" && u.Scheme != "rtmpe" && u.Scheme != "rtmps":
		return target{}, fmt.Errorf("%w: the scheme is none of rtmp, rtmps, rtmpe", ErrPublishURL)
	case u.Hostname() == "":
		return target{}, fmt.Errorf("%w: it names no host", ErrPublishURL)
	}
	path := strings.TrimPrefix(u.EscapedPath(), "/")
	cut := strings.LastIndexByte(path, '/')
	if cut < 1 || cut == len(path)-1 {
		return target{}, fmt.Errorf("%w: want rtmp://host/app/name", ErrPublishURL)
	}
	t := target{address: u.Host, app: path[:cut], name: path[cut+1:]}
	if u.Scheme == "rtmps" {
		t.secure = u.Hostname()
	}
	if u.Port() == "" {
		port := "1935"
		if t.secure != "" {
			port = "443"
		}
		t.address = net.JoinHostPort(u.Hostname(), port)
	}
	if u.RawQuery != "" {
		t.name += "?" + u.RawQuery
	}
	t.encrypted = u.Scheme == "rtmpe"
	t.tcURL = u.Scheme + "://" + u.Host + "/" + t.app
	return t, nil
}

// Dial connects to rtmp://host[:port]/app/name, or rtmpe:// for a connection
// that is encrypted by RTMPE, or rtmps:// for TLS, and publishes. It returns when
// the server has accepted; a refusal is a *rtmp.RefusedError.
func Dial(ctx context.Context, rawURL string) (*Push, error) {
	t, err := parseTarget(rawURL)
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	var dialer interface {
		DialContext(ctx context.Context, network, address string) (net.Conn, error)
	} = new(net.Dialer)
	if t.secure != "" {
		dialer = &tls.Dialer{Config: &tls.Config{ServerName: t.secure, MinVersion: tls.VersionTLS12}}
	}
	nc, err := dialer.DialContext(ctx, "tcp", t.address)
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	return publish(ctx, nc, t)
}

// publish does a publisher's part on a fresh connection, which it closes if it
// fails.
func publish(ctx context.Context, nc net.Conn, t target) (*Push, error) {
	config := rtmp.ClientConfig{App: t.app, TCURL: t.tcURL, Name: t.name}
	_, _ = rand.Read(config.Random[:]) // never fails, see crypto/rand
	if t.encrypted {
		config.Encryption = rtmp.Encrypted
		_, _ = rand.Read(config.Secret[:])
	}
	p := &Push{
		nc: nc, done: make(chan struct{}), client: rtmp.NewClient(config),
		accepted: make(chan struct{}), reconnect: make(chan struct{}),
	}
	go p.receive()
	p.mu.Lock()
	err := p.send()
	p.mu.Unlock()
	if err == nil {
		select {
		case <-p.accepted:
			p.mu.Lock()
			err = p.err
			p.mu.Unlock()
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
	}
	if err != nil {
		_ = nc.Close()
		<-p.done
		return nil, fmt.Errorf("publish: %w", err)
	}
	return p, nil
}

// WriteTag sends a tag. It blocks while the server does not read. If the
// server has refused to go on, the error is a *rtmp.RefusedError.
func (p *Push) WriteTag(t flv.Tag) error {
	if err := p.write(t); err != nil {
		return fmt.Errorf("write tag: %w", err)
	}
	return nil
}

func (p *Push) write(t flv.Tag) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return p.err
	}
	if err := p.client.WriteTag(t); err != nil {
		return err
	}
	err := p.send()
	if err == nil {
		return nil
	}
	// What the server said before it hung up tells more than that it did.
	_ = p.nc.SetReadDeadline(time.Now().Add(time.Second)) // it fails on closed connections only
	p.mu.Unlock()
	<-p.done
	p.mu.Lock()
	if refused := (*rtmp.RefusedError)(nil); errors.As(p.err, &refused) {
		return p.err
	}
	return err
}

// Pace waits until a tag with the timestamp is due: the first call sets the
// clock, later ones keep to it. A step of more than ten seconds either way
// sets it anew.
func (p *Push) Pace(ctx context.Context, timestamp uint32) error {
	const step = 10 * time.Second
	ahead := time.Duration(int32(timestamp-p.pacedAt)) * time.Millisecond
	if now := time.Now(); p.paced.IsZero() || ahead > step || ahead < -step {
		p.paced, p.pacedAt = now, timestamp
		return ctx.Err()
	}
	wait := time.Until(p.paced.Add(ahead))
	if ahead > 0 {
		p.paced, p.pacedAt = p.paced.Add(ahead), timestamp
	}
	if wait <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Reconnect is closed when the server asks to connect anew. This connection
// goes on until it is closed.
func (p *Push) Reconnect() <-chan struct{} { return p.reconnect }

// hurry is how long a server may leave unread what is being written to it, once
// the push is to end.
const hurry = 2 * time.Second

// Hurry bounds the writing of the tag that is on its way, so that a server that
// does not read holds nobody who wants to go. Any goroutine may call it.
func (p *Push) Hurry() {
	_ = p.nc.SetWriteDeadline(time.Now().Add(hurry)) // it fails on closed connections only
}

// Abandon closes the connection without ending the publish: to the server it
// is lost.
func (p *Push) Abandon() error {
	err := p.nc.Close()
	<-p.done
	return err
}

// Close ends the publish cleanly and the connection with it. It gives the
// server a few seconds to take what was written.
func (p *Push) Close() error {
	const patience = 5 * time.Second
	p.mu.Lock()
	err := p.err
	if err == nil {
		p.client.Unpublish()
		_ = p.nc.SetDeadline(time.Now().Add(patience)) // it fails on closed connections only
		err = p.send()
	}
	p.mu.Unlock()
	if w, ok := p.nc.(interface{ CloseWrite() error }); ok && err == nil {
		// Closing at once could reset what the server has not read yet.
		if err = w.CloseWrite(); err == nil {
			<-p.done
		}
	}
	closed := p.nc.Close()
	<-p.done
	if err = errors.Join(err, closed); err != nil {
		return fmt.Errorf("close publish: %w", err)
	}
	return nil
}

// send writes what the client has to say. It needs mu.
func (p *Push) send() error {
	out := p.client.Output()
	if len(out) == 0 {
		return nil
	}
	_, err := p.nc.Write(out)
	return err
}

// receive hears the server until the connection ends.
func (p *Push) receive() {
	defer close(p.done)
	buf := make([]byte, 4<<10)
	for {
		n, err := p.nc.Read(buf)
		if heard := p.hear(buf[:n]); heard != nil {
			err = heard
		}
		if err != nil {
			p.mu.Lock()
			p.err = fmt.Errorf("the server: %w", err)
			p.answer()
			p.mu.Unlock()
			return
		}
	}
}

// hear obeys what the server said.
func (p *Push) hear(b []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	events, err := p.client.Receive(time.Now(), b)
	for _, ev := range events {
		switch {
		case ev.Type == rtmp.ClientPublishing:
			p.answer()
		case ev.Type == rtmp.ClientReconnect && !p.asked:
			p.asked = true
			close(p.reconnect)
		}
	}
	if err != nil {
		return err
	}
	return p.send()
}

// answer lets Dial go on. It needs mu.
func (p *Push) answer() {
	if !p.answered {
		p.answered = true
		close(p.accepted)
	}
}
