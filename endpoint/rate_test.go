package endpoint

import (
	"net"
	"testing"
	"time"
)

func TestRate(t *testing.T) {
	r, now := newRate(60), time.Unix(1_800_000_000, 0)
	a, b := &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 1}, &net.TCPAddr{IP: net.IPv4(10, 0, 0, 2), Port: 1}
	count := func(of net.Addr, tries int) (n int) {
		for range tries {
			if r.take(now, of) {
				n++
			}
		}
		return n
	}
	if n := count(a, 200); n != 60 {
		t.Errorf("%d at once, want 60", n)
	}
	if n := count(b, 10); n != 10 {
		t.Errorf("%d of another address, want 10", n)
	}
	now = now.Add(5 * time.Second)
	if n := count(a, 200); n != 5 {
		t.Errorf("%d five seconds later, want 5: what is refused costs nothing", n)
	}
	now = now.Add(time.Hour)
	if n := count(a, 200); n != 60 {
		t.Errorf("%d an hour later, want 60", n)
	}
	for i := range 3 * maxRated {
		count(&net.TCPAddr{IP: net.IPv4(11, byte(i>>16), byte(i>>8), byte(i))}, 1)
		if len(r.free) > maxRated {
			t.Fatalf("%d addresses are known", len(r.free))
		}
	}
}
