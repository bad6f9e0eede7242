package h264

import "bytes"

// maxUnits is the most NAL units that one message is taken apart into: many
// times the slices that any level allows a picture (ITU-T H.264, table A-1).
const maxUnits = 4096

// Split takes a message with coded pictures apart into NAL units, as a decoder
// would: by lengths of lengthSize bytes, as the record declares; by start
// codes where those stand in their place; by lengths of another size where
// only these come out even. Zero bytes behind a unit, units without a byte in
// them and start codes inside a unit are taken off, passed over and split at.
//
// It appends the units to dst; they alias p. whole is false where p ends
// inside a unit, or where what is left makes no unit: those in front of it are
// kept.
func Split(dst [][]byte, p []byte, lengthSize int) (units [][]byte, whole bool) {
	units, _, whole = split(dst, p, lengthSize)
	return units, whole
}

// split is Split. plain is how many bytes of p are just what is to be written:
// its units behind lengths of 4 bytes, and nothing else; -1 where p is written
// in another way.
func split(dst [][]byte, p []byte, lengthSize int) (units [][]byte, plain int, whole bool) {
	from := len(dst)
	if units, plain, whole = splitLengths(dst, p, lengthSize, false); whole {
		return units, plain, true
	}
	if startsWithCode(p) {
		units, whole = splitCodes(dst, p)
		return units, -1, whole
	}
	for _, size := range [...]int{4, 2, 3, 1} {
		if size == lengthSize {
			continue
		}
		if units, plain, whole := splitLengths(dst, p, size, true); whole && len(units) > from {
			return units, plain, true
		}
	}
	units, _, _ = splitLengths(dst, p, lengthSize, false)
	return units, -1, false
}

// splitLengths is split by lengths of size bytes. A guess must give units of
// known types.
func splitLengths(dst [][]byte, p []byte, size int, guess bool) (units [][]byte, plain int, whole bool) {
	even := size == 4
	first, end := len(dst), 0
	for at := 0; at < len(p); {
		n, fits := unitLength(p[at:], size)
		if !fits {
			whole = allZero(p[at:])
			break
		}
		at += size
		if n == 0 {
			even, whole = even && allZero(p[at:]), at == len(p)
			continue
		}
		unit := p[at : at+n : at+n]
		at += n
		if unit[0]&0x80 != 0 || guess && !known(unit[0]) { // forbidden_zero_bit
			return dst, -1, false
		}
		before := len(dst)
		dst = splitInside(dst, unit)
		even = even && len(dst) == before+1 && len(dst[before]) == n
		end, whole = at, at == len(p)
		if len(dst)-first >= maxUnits {
			return dst, -1, false
		}
	}
	if !even {
		end = -1
	}
	return dst, end, whole || len(p) == 0
}

// unitLength reads a length of size bytes, and tells whether as many bytes
// follow.
func unitLength(p []byte, size int) (n int, ok bool) {
	if size < 1 || size > 4 || len(p) < size {
		return 0, false
	}
	v := uint(0)
	for _, b := range p[:size] {
		v = v<<8 | uint(b)
	}
	return int(v), v <= uint(len(p)-size)
}

func allZero(p []byte) bool {
	for _, b := range p {
		if b != 0 {
			return false
		}
	}
	return true
}

// known tells whether a NAL unit's first byte is one of a type that the
// specification assigns (table 7-1).
func known(b byte) bool { return b&0x80 == 0 && b&0x1f >= 1 && b&0x1f <= 21 }

var startCodePrefix = []byte{0, 0, 1}

// maxLeadingZeros is how many zero bytes a start code is looked for behind.
const maxLeadingZeros = 16

// startsWithCode tells whether a byte stream begins at p: a start code behind
// leading_zero_8bits (annex B.1.1), and then a NAL unit.
func startsWithCode(p []byte) bool {
	zeros := 0
	for zeros < min(len(p), maxLeadingZeros) && p[zeros] == 0 {
		zeros++
	}
	return zeros >= 2 && zeros+1 < len(p) && p[zeros] == 1 && known(p[zeros+1])
}

// splitCodes is Split by start codes.
func splitCodes(dst [][]byte, p []byte) (units [][]byte, whole bool) {
	from := len(dst)
	for nal := range AnnexB(p) {
		if len(nal) > 0 && nal[0]&0x80 == 0 {
			dst = append(dst, nal)
		}
		if len(dst)-from >= maxUnits {
			return dst, false
		}
	}
	return dst, true
}

// splitInside appends a unit; several, where start codes stand inside it: no
// NAL unit holds one (7.4.1), but senders write one length for all that an
// encoder gave them. A start code without a NAL unit behind it is left alone.
func splitInside(dst [][]byte, unit []byte) [][]byte {
	for from := 0; ; {
		at := bytes.Index(unit[from:], startCodePrefix)
		if at < 0 || from+at+3 >= len(unit) {
			return append(dst, unit)
		}
		at += from
		if !known(unit[at+3]) {
			from = at + 3
			continue
		}
		if head := trimZeros(unit[:at]); len(head) > 0 {
			dst = append(dst, head)
		}
		unit, from = unit[at+3:], 0
	}
}

// trimZeros takes trailing_zero_8bits off a unit: none ends with a zero (7.4.1).
func trimZeros(p []byte) []byte {
	n := len(p)
	for n > 0 && p[n-1] == 0 {
		n--
	}
	return p[:n:n]
}
