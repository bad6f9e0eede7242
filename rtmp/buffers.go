package rtmp

import "math/bits"

// maxFree is how many bytes of buffers a connection keeps for messages to
// come, so that one burst does not hold memory for as long as it lives.
const maxFree = 2 << 20

// minClass and maxClass are the powers of two that buffers are sized by: 64
// bytes, and the 16 MiB that no message reaches [RTMP 5.3.1.2.1].
const (
	minClass = 6
	maxClass = 24
)

// buffers lends memory to the messages that come in pieces. A message in an
// event must stay as it is until the next Receive, so each has a buffer of its
// own, and recycle takes back those of the last Receive. In a steady stream
// nothing is allocated.
type buffers struct {
	free [maxClass + 1][][]byte
	held int
	lent [][]byte
}

// append appends piece to dst, a buffer for a message of the given length that
// begins as nil. Memory grows with the bytes that arrived; the length only
// chooses among buffers that exist.
func (b *buffers) append(dst, piece []byte, length int) []byte {
	need := len(dst) + len(piece)
	if need > cap(dst) {
		grown := b.take(length)
		if grown == nil {
			grown = make([]byte, 0, 1<<class(max(need, 2*cap(dst))))
		}
		grown = append(grown, dst...)
		b.give(dst)
		dst = grown
	}
	return append(dst, piece...)
}

// class returns the exponent of the smallest buffer for n bytes.
func class(n int) int { return max(bits.Len(uint(n-1)), minClass) }

// take returns the smallest free buffer for n bytes, or nil.
func (b *buffers) take(n int) []byte {
	for c := class(n); c <= maxClass; c++ {
		if last := len(b.free[c]) - 1; last >= 0 {
			buf := b.free[c][last]
			b.free[c] = b.free[c][:last]
			b.held -= cap(buf)
			return buf[:0]
		}
	}
	return nil
}

// give keeps a buffer for messages to come.
func (b *buffers) give(buf []byte) {
	if cap(buf) == 0 || b.held+cap(buf) > maxFree {
		return
	}
	c := class(cap(buf))
	b.free[c] = append(b.free[c], buf)
	b.held += cap(buf)
}

// lend marks a buffer as part of what this Receive returns.
func (b *buffers) lend(buf []byte) {
	if buf != nil {
		b.lent = append(b.lent, buf)
	}
}

// recycle takes back all that was lent.
func (b *buffers) recycle() {
	for i, buf := range b.lent {
		b.give(buf)
		b.lent[i] = nil
	}
	b.lent = b.lent[:0]
}
