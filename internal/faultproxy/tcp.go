package faultproxy

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// TCP stands between clients and servers of any protocol, byte by byte.
type TCP struct {
	// Addr is its address, 127.0.0.1:port.
	Addr string

	targets []string
	tap     func(conn int, sent []byte)
	deaf    atomic.Bool

	running sync.WaitGroup

	mu     sync.Mutex
	conns  []net.Conn
	passes chan struct{} // closed while bytes pass
}

// StartTCP starts a proxy that lives as long as the test. A client is connected
// to the first of the targets that answers. tap, unless nil, is shown all that
// clients send before it goes on, connection by connection from 0; for as long
// as it does not return, that is held.
func StartTCP(tb testing.TB, tap func(conn int, sent []byte), targets ...string) *TCP {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p := &TCP{Addr: l.Addr().String(), targets: targets, tap: tap, passes: make(chan struct{})}
	close(p.passes)
	p.running.Go(func() { p.accept(l) })
	tb.Cleanup(func() {
		_ = l.Close()
		p.Cut()
		p.Thaw()
		p.running.Wait()
	})
	return p
}

func (p *TCP) accept(l net.Listener) {
	for n := 0; ; n++ {
		client, err := l.Accept()
		if err != nil {
			return
		}
		server := p.dial()
		if server == nil {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, client, server)
		p.mu.Unlock()
		p.running.Go(func() {
			p.copy(server, client, func(sent []byte) bool {
				if p.tap != nil {
					p.tap(n, sent)
				}
				return true
			})
		})
		p.running.Go(func() {
			p.copy(client, server, func([]byte) bool { return !p.deaf.Load() })
		})
	}
}

func (p *TCP) dial() net.Conn {
	for _, target := range p.targets {
		if server, err := net.Dial("tcp", target); err == nil {
			return server
		}
	}
	return nil
}

func (p *TCP) copy(to, from net.Conn, passes func([]byte) bool) {
	defer func() { _, _ = to.Close(), from.Close() }()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 && passes(buf[:n]) {
			<-p.gate()
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (p *TCP) gate() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.passes
}

// Freeze is a network that carries nothing any more: connections stay, and what
// is sent waits until Thaw.
func (p *TCP) Freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.passes:
		p.passes = make(chan struct{})
	default: // frozen already
	}
}

// Thaw delivers what has waited, also to servers whose clients have gone.
func (p *TCP) Thaw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.passes:
	default:
		close(p.passes)
	}
}

// Cut closes all connections.
func (p *TCP) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
}

// Deafen throws away what servers answer from now on, until Hear: requests are
// carried out, and their answers lost.
func (p *TCP) Deafen() { p.deaf.Store(true) }

// Hear cuts all connections, so that no client waits for an answer that was
// lost, and loses no more.
func (p *TCP) Hear() {
	p.Cut()
	p.deaf.Store(false)
}
