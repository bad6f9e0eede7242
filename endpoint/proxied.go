package endpoint

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	proxyproto "github.com/pires/go-proxyproto"
)

const (
	// proxyTimeout is how long a proxy has for its header: it sends that first.
	proxyTimeout = 5 * time.Second
	// maxProxied is how many connections may wait for it.
	maxProxied = 1024
)

// Proxied is a listener whose connections come through proxies that say who
// connects (PROXY protocol, versions 1 and 2): one of these networks is a proxy,
// and must say so; from anywhere else what comes is what it is, and a header is
// none. No proxy that is slow holds up the others.
func Proxied(ln net.Listener, trusted []netip.Prefix) net.Listener {
	p := &proxied{
		Listener: ln, trusted: trusted,
		ready: make(chan net.Conn), failed: make(chan error), closed: make(chan struct{}),
		waiting: make(chan struct{}, maxProxied),
	}
	p.running.Go(p.accept)
	return p
}

type proxied struct {
	net.Listener
	trusted []netip.Prefix
	ready   chan net.Conn
	failed  chan error
	waiting chan struct{} // a place for each that waits
	closed  chan struct{}
	once    sync.Once
	running sync.WaitGroup
}

// Accept returns the next connection, with the address of whom the proxy names.
func (p *proxied) Accept() (net.Conn, error) {
	select {
	case nc := <-p.ready:
		return nc, nil
	case err := <-p.failed:
		return nil, err
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// Close ends the listener, and what still waits for a header.
func (p *proxied) Close() error {
	p.once.Do(func() { close(p.closed) })
	err := p.Listener.Close()
	p.running.Wait()
	return err
}

func (p *proxied) accept() {
	for {
		nc, err := p.Listener.Accept()
		switch {
		case err == nil && !p.trusts(nc.RemoteAddr()):
			p.give(nc)
		case err == nil:
			select {
			case p.waiting <- struct{}{}:
				p.running.Go(func() { p.introduce(nc) })
			default:
				_ = nc.Close()
			}
		case errors.Is(err, net.ErrClosed):
			return
		default: // who accepts waits a little, and tells
			select {
			case p.failed <- err:
			case <-p.closed:
				return
			}
		}
	}
}

// trusts tells whether an address is a proxy's.
func (p *proxied) trusts(remote net.Addr) bool {
	at, ok := remote.(*net.TCPAddr)
	if !ok {
		return false
	}
	addr := at.AddrPort().Addr().Unmap()
	for _, prefix := range p.trusted {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// introduce reads what a proxy says of a connection, and passes it on.
func (p *proxied) introduce(nc net.Conn) {
	defer func() { <-p.waiting }()
	c := proxyproto.NewConn(nc, proxyproto.WithPolicy(proxyproto.REQUIRE), proxyproto.SetReadHeaderTimeout(proxyTimeout))
	read := make(chan struct{})
	p.running.Go(func() {
		select {
		case <-p.closed:
			_ = nc.Close()
		case <-read:
		}
	})
	header := c.ProxyHeader() // nil where there is none, or none of use
	close(read)
	if header == nil {
		_ = c.Close()
		return
	}
	p.give(c)
}

func (p *proxied) give(nc net.Conn) {
	select {
	case p.ready <- nc:
	case <-p.closed:
		_ = nc.Close()
	}
}
