package endpoint

import (
	"net"
	"slices"
	"sync"
	"testing"
	"time"
)

// lobby is an Admission with named connections.
type lobby struct {
	*Admission
	mu     sync.Mutex
	places map[string]*Place
	gone   []string
}

func newLobby(most, perAddress int) *lobby {
	return &lobby{Admission: NewAdmission(most, perAddress), places: make(map[string]*Place)}
}

// enter admits a connection from an address, and tells whether there was room.
func (l *lobby) enter(name, ip string) bool {
	p := l.Enter(&net.TCPAddr{IP: net.ParseIP(ip), Port: 1}, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.gone = append(l.gone, name)
	})
	l.places[name] = p
	return p != nil
}

// left waits until so many were dismissed, and returns who.
func (l *lobby) left(t *testing.T, n int) []string {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		l.mu.Lock()
		gone := slices.Sorted(slices.Values(l.gone))
		l.mu.Unlock()
		if len(gone) == n {
			return gone
		}
	}
	t.Fatalf("%v were dismissed, want %d", l.gone, n)
	return nil
}

func TestAdmission(t *testing.T) {
	t.Run("the oldest stranger goes", func(t *testing.T) {
		l := newLobby(3, 0)
		l.enter("encoder", "10.0.0.1")
		l.places["encoder"].Settle()
		l.enter("a", "10.0.0.2")
		l.enter("b", "10.0.0.3")
		if !l.enter("c", "10.0.0.4") || !slices.Equal(l.left(t, 1), []string{"a"}) {
			t.Errorf("%v went, want a", l.gone)
		}
	})
	t.Run("of the address with the most", func(t *testing.T) {
		l := newLobby(4, 0)
		l.enter("first", "10.0.0.1")
		l.enter("flood1", "10.0.0.2")
		l.enter("flood2", "10.0.0.2")
		l.enter("flood3", "10.0.0.2")
		l.enter("flood4", "10.0.0.2")
		l.enter("last", "10.0.0.3")
		if got := l.left(t, 2); !slices.Equal(got, []string{"flood1", "flood2"}) {
			t.Errorf("%v went", got)
		}
	})
	t.Run("nobody goes for one who is more", func(t *testing.T) {
		l := newLobby(2, 0)
		for _, name := range []string{"a", "b"} {
			l.enter(name, "10.0.0.1")
			l.places[name].Settle()
		}
		if l.enter("c", "10.0.0.2") {
			t.Error("there is no room")
		}
		l.places["a"].Leave()
		l.places["a"].Leave()
		if !l.enter("d", "10.0.0.2") || l.count != 2 {
			t.Errorf("%d places are taken, want 2 and d among them", l.count)
		}
	})
	t.Run("an address has its own limit", func(t *testing.T) {
		l := newLobby(10, 2)
		l.enter("a", "10.0.0.1")
		l.places["a"].Settle()
		l.enter("b", "10.0.0.1")
		l.enter("c", "10.0.0.1")
		if got := l.left(t, 1); got[0] != "b" {
			t.Errorf("%v went, want the address's oldest stranger", got)
		}
		l.places["c"].Settle()
		if l.enter("d", "10.0.0.1") || !l.enter("e", "10.0.0.2") {
			t.Error("an address that is full is, others are not")
		}
	})
	t.Run("an IPv6 network is an address", func(t *testing.T) {
		l := newLobby(10, 1)
		l.enter("a", "2001:db8::1")
		l.enter("b", "2001:db8::2:3:4:5")
		l.enter("c", "2001:db8:0:1::1")
		l.enter("d", "::ffff:10.0.0.1")
		l.enter("e", "10.0.0.1")
		if got := l.left(t, 2); !slices.Equal(got, []string{"a", "d"}) {
			t.Errorf("%v went: the /64 is one host's, and a mapped address is IPv4", got)
		}
	})
	t.Run("a stranger again", func(t *testing.T) {
		l := newLobby(2, 0)
		l.enter("a", "10.0.0.1")
		l.places["a"].Settle()
		l.enter("b", "10.0.0.2")
		l.places["a"].Unsettle()
		l.enter("c", "10.0.0.3")
		if got := l.left(t, 1); got[0] != "b" {
			t.Errorf("%v went, want b, who has waited for longer", got)
		}
		l.places["b"].Unsettle() // too late
		l.places["b"].Leave()
		if l.count != 2 {
			t.Errorf("%d places are taken, want 2", l.count)
		}
	})
	t.Run("nothing is left behind", func(t *testing.T) {
		l := newLobby(5, 3)
		for i := range 100 {
			name := string(rune('a' + i%26))
			l.enter(name, []string{"10.0.0.1", "10.0.0.2", "10.0.0.3"}[i%3])
			if i%4 == 0 && l.places[name] != nil {
				l.places[name].Settle()
				l.places[name].Leave()
			}
		}
		for _, p := range l.places {
			if p != nil {
				p.Leave()
			}
		}
		total := 0
		for _, n := range l.byPrefix {
			total += n.count
		}
		if total != l.count || total > 5 {
			t.Errorf("%d places by address, %d in all", total, l.count)
		}
	})
}
