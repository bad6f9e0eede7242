package framelog

import (
	"errors"
	"testing"
	"time"
)

var headers = []struct {
	name string
	h    Header
	wire string
}{
	{"the first batch of a session", Header{Session: "7f3k", Epoch: 1, Number: 1, Flags: Begin | Key, Prelude: 538, Wall: time.UnixMilli(1795226260914).UTC()}, "1 7f3k 1 1 bk 538 0 1795226260914"},
	{"a key batch", Header{Session: "7f3k", Epoch: 2, Number: 42, Flags: Key, Prelude: 91, LastKey: 1001}, "1 7f3k 2 42 k 91 1001"},
	{"one between", Header{Session: "7f3k", Epoch: 2, Number: 43, LastKey: 1042}, "1 7f3k 2 43 - 0 1042"},
	{"a part of one", Header{Session: "s", Epoch: 1, Number: 9, Flags: Key | More}, "1 s 1 9 km 0 0"},
	{"a fence", Header{Session: "s", Epoch: 3, Flags: Fence}, "1 s 3 0 f 0 0"},
	{"a lost session", Header{Session: "s", Epoch: 3, Number: 7, Flags: End | Lost, LastKey: 18446744073709551615}, "1 s 3 7 el 0 18446744073709551615"},
	{"the broadcast's end", Header{Session: "s", Epoch: 3, Number: 8, Flags: Final}, "1 s 3 8 x 0 0"},
}

func TestHeader(t *testing.T) {
	for _, tt := range headers {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.h.String(); got != tt.wire {
				t.Errorf("wrote %q, want %q", got, tt.wire)
			}
			if got, err := ParseHeader(tt.wire); err != nil || got != tt.h {
				t.Errorf("read %+v, %v; want %+v", got, err, tt.h)
			}
			if got, err := ParseHeader(tt.wire + " later fields"); err != nil || tt.h.Flags&Begin == 0 && got != tt.h {
				t.Errorf("with fields of a later release: %+v, %v; want them ignored", got, err)
			}
		})
	}
}

func TestBadHeaders(t *testing.T) {
	for _, tt := range []struct {
		wire string
		want error
	}{
		{"", ErrHeader}, {"x", ErrHeader}, {"1", ErrHeader}, {"2 s 1 1 k 0 0", ErrVersion},
		{"1  1 1 k 0 0", ErrHeader}, // no session
		{"1 s -1 1 k 0 0", ErrHeader},
		{"1 s 1 1  0 0", ErrHeader},   // no flags
		{"1 s 1 1 kk 0 0", ErrHeader}, // doubled
		{"1 s 1 1 kb 0 0", ErrHeader}, // out of order
		{"1 s 1 1 z 0 0", ErrHeader},
		{"1 s 1 1 k -5 0", ErrHeader},
		{"1 s 1 1 k 99999999999 0", ErrHeader},
		{"1 s 1 1 bk 0 0", ErrHeader}, // no wall clock
		{"1 s 1 1 bk 0 0 noon", ErrHeader},
	} {
		if h, err := ParseHeader(tt.wire); !errors.Is(err, tt.want) {
			t.Errorf("%q: %+v, %v; want %v", tt.wire, h, err, tt.want)
		}
	}
}

// FuzzParseHeader: what is read is written as it was, up to later fields.
func FuzzParseHeader(f *testing.F) {
	for _, tt := range headers {
		f.Add(tt.wire)
	}
	f.Fuzz(func(t *testing.T, wire string) {
		h, err := ParseHeader(wire)
		if err != nil {
			return
		}
		again, err := ParseHeader(h.String())
		if err != nil || again != h {
			t.Fatalf("%q: %+v reads back as %+v, %v", wire, h, again, err)
		}
	})
}

func BenchmarkHeader(b *testing.B) {
	h := headers[1].h
	b.ReportAllocs()
	for b.Loop() {
		_ = h.String()
	}
}
