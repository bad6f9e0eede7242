package origin

import (
	"fmt"
	"net"
	"testing"
)

// fakeConn is an address and no more.
type fakeConn struct {
	net.Conn
	addr net.Addr
	name string
}

func (c *fakeConn) RemoteAddr() net.Addr { return c.addr }

// Who goes when there is one more than may be. A step is an address with what
// its new connection does: "a" waits, "A" is answered; goes names who left, by
// its address and how many the address had before, for the last step.
func TestWhoGoes(t *testing.T) {
	address := map[byte]string{'a': "192.0.2.1", 'b': "192.0.2.2", 'c': "2001:db8::1", 'd': "2001:db8::ffff:2", 'e': "2001:db8:0:1::1"}
	for _, tt := range []struct {
		what   string
		limits Limits
		steps  string
		goes   string
	}{
		{"there is room", Limits{Connections: 4}, "aaaa", ""},
		{"of the address with the most, the longest there", Limits{Connections: 4}, "baaab", "a0"},
		{"of one address, the longest there", Limits{Connections: 3}, "aaaa", "a0"},
		{"who is answered stays", Limits{Connections: 4}, "AaaaB", "a1"},
		{"a newcomer among its own that are answered", Limits{Connections: 3}, "AAAa", "a3"},
		{"an address that keeps all answers to itself", Limits{Connections: 4}, "AAAAb", "a0"},
		{"one of each, all answered", Limits{Connections: 3}, "ABCe", "e0"},
		{"one of each, who waits longest", Limits{Connections: 3}, "AbaCe", "b0"},
		{"more than an address may have", Limits{Connections: 9, PerAddress: 2}, "aba" + "a", "a0"},
		{"more than an address may have, all answered", Limits{Connections: 9, PerAddress: 2}, "AAba", "a2"},
		{"an IPv6 network is one address", Limits{Connections: 9, PerAddress: 2}, "cdc", "c0"},
		{"another network is another", Limits{Connections: 9, PerAddress: 2}, "cde", ""},
	} {
		t.Run(tt.what, func(t *testing.T) {
			c := newConnections(tt.limits)
			had := map[byte]int{}
			goes := ""
			for _, step := range []byte(tt.steps) {
				who := step | 0x20
				n := &fakeConn{addr: &net.TCPAddr{IP: net.ParseIP(address[who])}, name: fmt.Sprintf("%c%d", who, had[who])}
				had[who]++
				goes = ""
				if victim := c.admit(n); victim != nil {
					goes = victim.(*fakeConn).name
				}
				if step != who && goes != n.name {
					c.begin(n)
				}
			}
			if goes != tt.goes {
				t.Errorf("after %s %q goes, want %q", tt.steps, goes, tt.goes)
			}
			for conn := range c.open {
				c.forget(c.open[conn])
			}
			if len(c.visitors) != 0 || len(c.open) != 0 {
				t.Errorf("%d addresses and %d connections are left of none", len(c.visitors), len(c.open))
			}
		})
	}
}
