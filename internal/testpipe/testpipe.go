// Package testpipe has a listener without a network, for tests in fake time and
// with peers that read nothing.
package testpipe

import (
	"net"
	"sync"
)

// Listener is a net.Listener whose connections are the ends of net.Pipe.
type Listener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// Listen returns a Listener.
func Listen() *Listener {
	return &Listener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

// Accept returns the next connection that somebody dials.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Accept.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr is the address of nobody.
func (l *Listener) Addr() net.Addr { return &net.TCPAddr{} }

// Dial connects, as soon as Accept takes it.
func (l *Listener) Dial() net.Conn {
	ours, theirs := net.Pipe()
	l.conns <- theirs
	return ours
}
