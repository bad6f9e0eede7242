package bits_test

import (
	"testing"

	"pgregory.net/rapid"

	"weir/media/internal/bits"
)

func TestReader(t *testing.T) {
	r := bits.NewReader([]byte{0b10110011, 0x01, 0x02, 0x03, 0x04, 0b1_010_011_0, 0b0100_0000})
	for i, c := range []struct{ got, want uint32 }{
		{r.Bits(1), 1},
		{r.Bits(3), 0b011},
		{r.Bits(4), 0b0011},
		{r.Bits(32), 0x01020304},
		{r.UE(), 0}, // 1
		{r.UE(), 1}, // 010
		{r.UE(), 2}, // 011
		{r.UE(), 3}, // 00100
		{r.Bits(0), 0},
		{uint32(r.Left()), 4},
	} {
		if c.got != c.want {
			t.Errorf("read %d: %#x, want %#x", i, c.got, c.want)
		}
	}
	if r.Err() {
		t.Error("an error before the end")
	}
}

func TestReaderPastTheEnd(t *testing.T) {
	for name, read := range map[string]func(*bits.Reader){
		"bits":              func(r *bits.Reader) { r.Bits(9) },
		"skip":              func(r *bits.Reader) { r.Skip(9) },
		"skip back":         func(r *bits.Reader) { r.Skip(-1) },
		"code without end":  func(r *bits.Reader) { r.UE() },
		"signed code, same": func(r *bits.Reader) { r.SE() },
	} {
		r := bits.NewReader([]byte{0})
		read(&r)
		if !r.Err() {
			t.Errorf("%s: a read past the end went unseen", name)
		}
		if r.Bits(8); !r.Err() || r.Left() < 0 {
			t.Errorf("%s: the error does not stay", name)
		}
	}
	long := bits.NewReader([]byte{0, 0, 0, 0, 0x80, 0, 0, 0, 0})
	if long.UE(); !long.Err() {
		t.Error("a code with 32 zeros: ue(v) has 31 at most (ITU-T H.264, 9.1)")
	}
}

// TestSigned is table 9-3 of ITU-T H.264.
func TestSigned(t *testing.T) {
	for code, want := range []int32{0, 1, -1, 2, -2, 3, -3} {
		r := bits.NewReader(appendUE(nil, uint32(code)).bytes())
		if got := r.SE(); got != want {
			t.Errorf("codeNum %d is %d, want %d", code, got, want)
		}
	}
}

func TestAlign(t *testing.T) {
	r := bits.NewReader([]byte{0xff, 0x01})
	r.Align()
	r.Skip(1)
	r.Align()
	if got := r.Bits(8); got != 1 {
		t.Errorf("%#x behind the boundary, want 1", got)
	}
}

// What is written is read, for any mixture of fields.
func TestRoundTrip(t *testing.T) {
	type field struct {
		n int // bits; 0 is ue(v)
		v uint32
	}
	rapid.Check(t, func(t *rapid.T) {
		fields := rapid.SliceOf(rapid.Custom(func(t *rapid.T) field {
			n := rapid.IntRange(0, 32).Draw(t, "n")
			v := rapid.Uint32Max(1<<32-2).Draw(t, "v")
			if n > 0 {
				v &= 1<<n - 1
			}
			return field{n, v}
		})).Draw(t, "fields")
		var w writer
		for _, f := range fields {
			if f.n == 0 {
				w = appendUE(w, f.v)
			} else {
				w = appendBits(w, f.n, f.v)
			}
		}
		r := bits.NewReader(w.bytes())
		for i, f := range fields {
			var got uint32
			if f.n == 0 {
				got = r.UE()
			} else {
				got = r.Bits(f.n)
			}
			if got != f.v || r.Err() {
				t.Fatalf("field %d: %d, want %d", i, got, f.v)
			}
		}
	})
}

// writer is a string of bits, one a byte.
type writer []byte

func appendBits(w writer, n int, v uint32) writer {
	for i := n - 1; i >= 0; i-- {
		w = append(w, byte(v>>i&1))
	}
	return w
}

func appendUE(w writer, v uint32) writer {
	n := 0
	for uint64(v)+1 >= 1<<(n+1) {
		n++
	}
	w = appendBits(w, n, 0)
	w = append(w, 1)
	return appendBits(w, n, v+1-1<<n)
}

func (w writer) bytes() []byte {
	b := make([]byte, (len(w)+7)/8)
	for i, bit := range w {
		b[i/8] |= bit << (7 - i%8)
	}
	return b
}
