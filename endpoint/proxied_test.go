package endpoint

import (
	"bytes"
	"net"
	"net/netip"
	"testing"
	"time"

	proxyproto "github.com/pires/go-proxyproto"
)

// listenProxied starts a Server behind proxies of these networks.
func listenProxied(t *testing.T, trusted ...string) *station {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var networks []netip.Prefix
	for _, n := range trusted {
		networks = append(networks, netip.MustParsePrefix(n))
	}
	s := serve(t, Proxied(ln, networks), Config{})
	s.addr = ln.Addr().String()
	return s
}

// header is what a proxy sends first for a client at 203.0.113.9, or 2001:db8::9.
func header(t *testing.T, version byte, v6, local bool) []byte {
	t.Helper()
	source, to := &net.TCPAddr{IP: net.IPv4(203, 0, 113, 9), Port: 4711}, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1935}
	if v6 {
		source.IP, to.IP = net.ParseIP("2001:db8::9"), net.ParseIP("2001:db8::1")
	}
	h := proxyproto.HeaderProxyFromAddrs(version, source, to)
	if local {
		h.Command = proxyproto.LOCAL
	}
	b, err := h.Format()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestProxied publishes through a proxy: who connects is whom it names, and only
// a proxy that is trusted may name anybody.
func TestProxied(t *testing.T) {
	for _, tt := range []struct {
		name    string
		trusted string
		first   []byte
		remote  string // empty: nothing is published
	}{
		{"version 1", "127.0.0.0/8", []byte("PROXY TCP4 203.0.113.9 192.0.2.1 4711 1935\r\n"), "203.0.113.9:4711"},
		{"version 2", "127.0.0.0/8", header(t, 2, false, false), "203.0.113.9:4711"},
		{"version 2, IPv6", "127.0.0.0/8", header(t, 2, true, false), "[2001:db8::9]:4711"},
		{"of the proxy itself", "127.0.0.0/8", header(t, 2, false, true), "127.0.0.1"},
		{"unknown", "127.0.0.0/8", []byte("PROXY UNKNOWN\r\n"), "127.0.0.1"},
		{"a proxy that says nothing", "127.0.0.0/8", nil, ""},
		{"a proxy that says nonsense", "127.0.0.0/8", []byte("PROXY TCP4 x\r\n"), ""},
		{"from elsewhere", "10.0.0.0/8", nil, "127.0.0.1"},
		{"from elsewhere, with a header", "10.0.0.0/8", []byte("PROXY TCP4 203.0.113.9 192.0.2.1 4711 1935\r\n"), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := listenProxied(t, tt.trusted)
			nc, err := net.Dial("tcp", s.addr)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := nc.Write(tt.first); err != nil {
				t.Fatal(err)
			}
			p, err := publish(t.Context(), nc, target{app: "live", tcURL: "rtmp://h/live", name: "alice"})
			if tt.remote == "" {
				if err == nil {
					_ = p.Abandon()
					t.Fatal("it may publish")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			tags := show()
			send(t, p, tags...)
			if err := p.Close(); err != nil {
				t.Fatal(err)
			}
			x := s.to.ended(t, 0)
			remote := x.peer.Remote
			if tt.remote == "127.0.0.1" {
				remote, _, _ = net.SplitHostPort(remote)
			}
			if remote != tt.remote || !bytes.Equal(run(x.tags...), run(tags...)) {
				t.Errorf("%d tags of %s, want %d of %s", len(x.tags), remote, len(tags), tt.remote)
			}
		})
	}
}

// TestProxiedSlowly holds connections open that say nothing: others come in, and
// the listener ends without waiting for them.
func TestProxiedSlowly(t *testing.T) {
	s := listenProxied(t, "127.0.0.0/8")
	for range 50 {
		nc, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
	}
	nc, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = nc.Write(header(t, 2, false, false))
	p, err := publish(t.Context(), nc, target{app: "live", tcURL: "rtmp://h/live", name: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > DefaultDrain {
		t.Errorf("the end took %v", took)
	}
}
