package tunnel

import (
	"bytes"
	"strings"
	"testing"
)

// paths are what clients ask for, and what is none of theirs. They also seed
// the fuzzer.
var paths = []struct {
	path string
	want Request
	ok   bool
}{
	{"/fcs/ident2", Request{Command: Ident}, true},
	{"/fcs/ident", Request{Command: Ident}, true},
	{"/open/1", Request{Command: Open}, true},
	{"/open/", Request{}, false},
	{"/open", Request{}, false},
	{"/open/1/2", Request{}, false},
	{"/send/9575bd01e0f97a5d/0", Request{Send, "9575bd01e0f97a5d", 0}, true},
	{"/idle/a/18446744073709551615", Request{Idle, "a", 1<<64 - 1}, true},
	{"/close/a/7", Request{Close, "a", 7}, true},
	{"/close/a/-7", Request{}, false},
	{"/send/a/18446744073709551616", Request{}, false},
	{"/send/a/", Request{}, false},
	{"/send/a", Request{}, false},
	{"/send//1", Request{}, false},
	{"/send/a/1/", Request{}, false},
	{"/send/" + strings.Repeat("a", 65) + "/1", Request{}, false},
	{"/recv/a/1", Request{}, false},
	{"send/a/1", Request{}, false},
	{"/", Request{}, false},
	{"", Request{}, false},
}

func TestParsePath(t *testing.T) {
	for _, c := range paths {
		got, ok := ParsePath(c.path)
		if ok != c.ok || ok && got != c.want {
			t.Errorf("%q: %+v, %t; want %+v, %t", c.path, got, ok, c.want, c.ok)
		}
	}
}

func FuzzParsePath(f *testing.F) {
	for _, c := range paths {
		f.Add(c.path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		r, ok := ParsePath(path)
		if !ok {
			return
		}
		if r.Command < Ident || r.Command > Close || len(r.Session) > maxID || strings.Contains(r.Session, "/") {
			t.Fatalf("%q: %+v", path, r)
		}
		if (r.Session == "") != (r.Command == Ident || r.Command == Open) {
			t.Fatalf("%q: %+v", path, r)
		}
	})
}

// TestOrder: requests go in in their order, whatever comes first or twice.
func TestOrder(t *testing.T) {
	var o Order
	want := func(n uint64, turn Turn) {
		t.Helper()
		if got := o.Turn(n); got != turn {
			t.Fatalf("request %d: turn %d, want %d", n, got, turn)
		}
	}
	want(3, Next) // whatever the first one's number is
	if o.Begin(3) != 0 {
		t.Fatal("the first request has begun before")
	}
	o.Took(100)
	// It breaks off, and comes again.
	want(3, Next)
	if got := o.Begin(3); got != 100 {
		t.Fatalf("%d bytes have gone in, want 100", got)
	}
	first := bytes.Clone(o.Answer([]byte("out")))
	want(3, Repeated)
	want(4, Next)
	want(6, Early)
	want(2, Late)
	if !bytes.Equal(o.Again(), first) {
		t.Errorf("again %q, first %q", o.Again(), first)
	}
	// One that is lost for good is passed over.
	if o.Begin(6) != 0 {
		t.Error("nothing of this one has gone in")
	}
	o.Answer(nil)
	want(7, Next)
	want(4, Late)
}

// TestInterval: a client that gets nothing is to ask less often, up to about
// half a second, and at once again when there was something.
func TestInterval(t *testing.T) {
	var o Order
	var last byte
	for i := range 100 {
		got := o.Answer(nil)
		if len(got) != 1 || got[0] < last || got[0] > 0x21 {
			t.Fatalf("answer %d is %x after %x", i, got, last)
		}
		last = got[0]
	}
	if last != 0x21 {
		t.Errorf("the longest interval is %#x", last)
	}
	if got := o.Answer([]byte{7}); !bytes.Equal(got, []byte{1, 7}) {
		t.Errorf("got %x", got)
	}
}

func TestOpened(t *testing.T) {
	if got := AppendOpened(nil, "id"); string(got) != "id\n" {
		t.Errorf("got %q", got)
	}
}

// FuzzOrder plays a network that repeats, breaks off and reorders requests: the
// bytes that go in are the client's, each once and in order.
func FuzzOrder(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3}, uint64(0))
	f.Add([]byte{2, 2, 0, 1, 1, 7}, uint64(1<<64-3))
	f.Fuzz(func(t *testing.T, script []byte, first uint64) {
		var o Order
		first = first%1_000_000 + 10 // the numbers of a session do not wrap
		const size = 10              // of each body
		var taken []int              // how often each request's bytes went in
		done := 0
		for _, op := range script {
			ahead := int(op>>4) % 4
			n := first + uint64(done) + uint64(ahead) - uint64(op>>6)
			turn := o.Turn(n)
			if len(taken) == 0 {
				n, turn = first, o.Turn(first)
				taken = append(taken, 0)
			}
			switch {
			case turn == Next:
				if n != first+uint64(done) {
					t.Fatalf("request %d is next, want %d", n, first+uint64(done))
				}
				skip := o.Begin(n)
				if skip != taken[done] {
					t.Fatalf("%d bytes have gone in, want %d", skip, taken[done])
				}
				if op&1 == 1 { // it breaks off
					k := min(int(op>>1)%size, size-skip)
					o.Took(k)
					taken[done] += k
					continue
				}
				o.Took(size - skip)
				if got := o.Answer(script[:int(op)%len(script)]); len(got) < 1 || got[0] < 1 || got[0] > 0x21 {
					t.Fatalf("answer %x", got)
				}
				done++
				taken = append(taken, 0)
			case turn == Repeated && n+1 != first+uint64(done):
				t.Fatalf("request %d is repeated after %d", n, done)
			case turn == Early && ahead == 0:
				t.Fatalf("request %d is early", n)
			}
		}
	})
}
