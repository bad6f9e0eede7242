package mpegts

import (
	"bytes"
	"fmt"
	"slices"

	"weir/media/h264"
)

// startCode goes before each NAL unit of a byte stream, with the zero_byte
// that the first unit and the parameter sets must have (ITU-T H.264, B.1.2).
var startCode = []byte{0, 0, 0, 1}

// delimiter is an access unit delimiter: any slice types may follow. In
// MPEG-TS "each AVC access unit shall contain an access unit delimiter NAL
// unit" (ISO/IEC 13818-1, 2.14.1).
var delimiter = []byte{0, 0, 0, 1, 0x09, 0xf0}

// prefixes returns what an access unit, and what a key frame's, begins with.
func prefixes(c *h264.Config) (plain, key []byte) {
	key = bytes.Clone(delimiter)
	for _, sets := range [...][][]byte{c.SPS, c.SPSExt, c.PPS} {
		for _, nal := range sets {
			key = append(append(key, startCode...), nal...)
		}
	}
	return delimiter, key
}

// repeatsSets tells whether every parameter set in an access unit is one of
// the Config's: then they stand in the prefix already. If any is another one,
// all stay where they are, for an SPS may take with it the PPSs before it.
func (m *Muxer) repeatsSets(au []byte) bool {
	for nal, err := range h264.Units(au, m.video.LengthSize) {
		if err != nil {
			return false
		}
		var known [][]byte
		switch h264.TypeOf(nal) {
		case h264.SequenceParams:
			known = m.video.SPS
		case h264.PictureParams:
			known = m.video.PPS
		case h264.SPSExtension:
			known = m.video.SPSExt
		default:
			continue
		}
		if !slices.ContainsFunc(known, func(k []byte) bool { return bytes.Equal(k, nal) }) {
			return false
		}
	}
	return true
}

// body is the payload of a PES packet, gathered from where it lies: one part,
// and then the NAL units of an access unit, each behind a start code instead
// of its length. Nothing is copied but into the packets.
type body struct {
	part       []byte // what comes next
	unit       []byte // the NAL unit whose start code is in part, if any
	units      []byte // what is left of the access unit
	lengthSize int
	dropSets   bool // parameter sets are left out, as delimiters are
	size       int  // what is left in all, once measured
}

// drops tells whether a NAL unit is left out: an empty one, a delimiter, a
// parameter set that is in the prefix.
func (b *body) drops(nal []byte) bool {
	switch h264.TypeOf(nal) {
	case h264.Delimiter:
		return true
	case h264.SequenceParams, h264.PictureParams, h264.SPSExtension:
		return b.dropSets
	}
	return len(nal) == 0
}

// measure checks the access unit and sets size.
func (b *body) measure() error {
	size := 0
	for p := b.units; len(p) > 0; {
		nal, n, err := h264.NextUnit(p, b.lengthSize)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrFrame, err)
		}
		if !b.drops(nal) {
			size += len(startCode) + len(nal)
		}
		p = p[n:]
	}
	if size == 0 {
		return errEmpty
	}
	b.size = len(b.part) + size
	return nil
}

// next moves to the next part; it must not be called at the end.
func (b *body) next() {
	if b.unit != nil {
		b.part, b.unit = b.unit, nil
		return
	}
	for len(b.units) > 0 {
		// measure has met every error already.
		nal, n, _ := h264.NextUnit(b.units, b.lengthSize)
		b.units = b.units[n:]
		if !b.drops(nal) {
			b.part, b.unit = startCode, nal
			return
		}
	}
}

// copy fills dst, which must not be longer than what is left.
func (b *body) copy(dst []byte) {
	b.size -= len(dst)
	for {
		n := copy(dst, b.part)
		b.part, dst = b.part[n:], dst[n:]
		if len(dst) == 0 {
			return
		}
		b.next()
	}
}

// packets appends what is left as packets of payload only; the last one is
// filled up by an adaptation field of stuffing (ISO/IEC 13818-1, 2.4.3.5).
func (b *body) packets(dst []byte, pid uint16, counter *uint8) []byte {
	high, low := byte(pid>>8), byte(pid)
	c := *counter
	for b.size >= maxPayload {
		at := len(dst)
		dst = dst[:at+PacketSize]
		packet := dst[at:]
		packet[0], packet[1], packet[2], packet[3] = syncByte, high, low, 0x10|c
		b.copy(packet[headerSize:])
		c = (c + 1) & 0x0f
	}
	if b.size > 0 {
		fill := maxPayload - b.size // the adaptation field with its length byte
		dst = append(dst, syncByte, high, low, 0x30|c, byte(fill-1))
		if fill > 1 {
			dst = append(dst, 0)
			dst = append(dst, stuffing[:fill-2]...)
		}
		at := len(dst)
		dst = dst[:at+b.size]
		b.copy(dst[at:])
		c = (c + 1) & 0x0f
	}
	*counter = c
	return dst
}
