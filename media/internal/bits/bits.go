// Package bits reads the bit fields of codec headers, most significant bit
// first.
package bits

// Reader reads bits from a slice. A read past the end yields zeros and makes
// Err true for good, so that a parser may read a whole structure and ask once.
type Reader struct {
	p    []byte
	at   int // in bits
	fail bool
}

// NewReader returns a Reader of p.
func NewReader(p []byte) Reader { return Reader{p: p} }

// Err tells whether a read went past the end or met an Exp-Golomb code of
// more than 32 bits.
func (r *Reader) Err() bool { return r.fail }

// Left returns how many bits are left.
func (r *Reader) Left() int { return len(r.p)*8 - r.at }

// Skip passes n bits.
func (r *Reader) Skip(n int) {
	if n < 0 || n > r.Left() {
		r.at, r.fail = len(r.p)*8, true
		return
	}
	r.at += n
}

// Align passes the bits up to the next byte boundary of the slice.
func (r *Reader) Align() { r.at = (r.at + 7) &^ 7 }

// Bits reads n bits, at most 32.
func (r *Reader) Bits(n int) uint32 {
	if n > r.Left() {
		r.at, r.fail = len(r.p)*8, true
		return 0
	}
	var v uint32
	for n > 0 {
		have := 8 - r.at&7
		take := min(have, n)
		b := uint32(r.p[r.at>>3]) >> (have - take) & (1<<take - 1)
		v = v<<take | b
		r.at += take
		n -= take
	}
	return v
}

// Flag reads one bit.
func (r *Reader) Flag() bool { return r.Bits(1) == 1 }

// UE reads an unsigned Exp-Golomb code, ue(v) (ITU-T H.264, 9.1).
func (r *Reader) UE() uint32 {
	zeros := 0
	for !r.Flag() {
		if zeros++; zeros > 31 || r.fail {
			r.fail = true
			return 0
		}
	}
	return 1<<zeros - 1 + r.Bits(zeros)
}

// SE reads a signed Exp-Golomb code, se(v) (ITU-T H.264, 9.1.1).
func (r *Reader) SE() int32 {
	k := r.UE()
	if k&1 == 1 {
		return int32(k/2 + 1)
	}
	return -int32(k / 2)
}
