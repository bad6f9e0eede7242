package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"syscall"
)

// errPrivate is why something was not asked for.
var errPrivate = errors.New("its address is not public, and was not asked: --allow-private asks")

// reach is how far an address is from everybody: what is typed by hand may be
// anywhere, but what a stranger's playlist or redirect names must not lead into
// the user's own network.
type reach uint8

const (
	public   reach = iota
	private        // a network's own: RFC 1918, RFC 4193, RFC 6598
	loopback       // this machine
	special        // link-local, where clouds keep their secrets; multicast; what is no destination
)

// privateNets are those that netip does not know as private: carriers' shared
// space (RFC 6598), and benchmarks (RFC 2544).
var privateNets = []netip.Prefix{netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("198.18.0.0/15")}

// specialNets are no destinations, or documentation's (RFC 6890, RFC 5737, RFC 3849).
var specialNets = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("192.0.0.0/24"), netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("2001::/32"), // Teredo holds an IPv4 address, scrambled (RFC 4380)
}

// embedding are the networks whose addresses hold an IPv4 address, and where:
// NAT64 (RFC 6052, RFC 8215) and 6to4 (RFC 3056).
var embedding = []struct {
	net netip.Prefix
	at  int
}{{netip.MustParsePrefix("64:ff9b::/96"), 12}, {netip.MustParsePrefix("64:ff9b:1::/48"), 12}, {netip.MustParsePrefix("2002::/16"), 2}, {netip.MustParsePrefix("::/96"), 12}}

// reachOf sorts an address.
func reachOf(a netip.Addr) reach {
	a = a.Unmap().WithZone("")
	switch {
	case a.IsLoopback():
		return loopback
	case a.IsUnspecified() || a.IsMulticast() || a.IsLinkLocalUnicast() || within(a, specialNets):
		return special
	case a.IsPrivate() || within(a, privateNets):
		return private
	}
	for _, e := range embedding {
		if e.net.Contains(a) {
			b := a.As16()
			return reachOf(netip.AddrFrom4([4]byte(b[e.at : e.at+4])))
		}
	}
	return public
}

func within(a netip.Addr, nets []netip.Prefix) bool {
	for _, n := range nets {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

// policy decides where a check may connect to. It looks at the address that is
// dialled, not at the name: a name can lead elsewhere the second time.
type policy struct {
	all   bool
	typed reach // what was typed leads so far: nothing may lead further

	mu    sync.Mutex
	named map[netip.Addr]bool // what was typed, where it is special
	proxy map[string]bool     // host:port of the proxies in use: they decide themselves
}

// newPolicy makes the policy for what was typed. Where its name has several
// addresses, the nearest to everybody counts: the others are not dialled.
func newPolicy(ctx context.Context, u *url.URL, all bool) (*policy, error) {
	p := &policy{all: all, typed: special, named: map[netip.Addr]bool{}, proxy: map[string]bool{}}
	if all {
		return p, nil
	}
	if via, err := http.ProxyFromEnvironment(&http.Request{URL: u}); err == nil && via != nil {
		p.typed = public // the proxy resolves names, and answers for it
		if a, err := netip.ParseAddr(u.Hostname()); err == nil {
			p.typed = reachOf(a)
		}
		return p, nil
	}
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", u.Hostname())
	if err != nil {
		return nil, fmt.Errorf("check: %w", err)
	}
	for _, a := range found {
		p.typed = min(p.typed, reachOf(a))
	}
	if p.typed == special { // these, and nothing else that is near
		p.typed = public
		for _, a := range found {
			p.named[a.Unmap()] = true
		}
	}
	return p, nil
}

// via is the transport's proxy, noted so that it may be dialled.
func (p *policy) via(r *http.Request) (*url.URL, error) {
	u, err := http.ProxyFromEnvironment(r)
	if err != nil || u == nil {
		return u, err
	}
	if a, err := netip.ParseAddr(r.URL.Hostname()); err == nil && !p.allows(a) {
		return nil, errPrivate
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "socks5": "1080", "socks5h": "1080"}[u.Scheme]
	}
	if port == "" {
		port = "80"
	}
	p.mu.Lock()
	p.proxy[net.JoinHostPort(u.Hostname(), port)] = true
	p.mu.Unlock()
	return u, nil
}

// dial connects to where it may.
func (p *policy) dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: checkTimeout}
	p.mu.Lock()
	proxy := p.proxy[address]
	p.mu.Unlock()
	if !proxy {
		d.ControlContext = func(_ context.Context, _, to string, _ syscall.RawConn) error {
			if a, err := netip.ParseAddrPort(to); err != nil || !p.allows(a.Addr()) {
				return errPrivate
			}
			return nil
		}
	}
	return d.DialContext(ctx, network, address)
}

// allows tells whether an address may be dialled.
func (p *policy) allows(a netip.Addr) bool {
	if p.all {
		return true
	}
	if r := reachOf(a); r != special {
		return r <= p.typed
	}
	return p.named[a.Unmap()]
}
