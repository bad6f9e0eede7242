// Package h264 knows H.264 outside of its pictures: NAL units, the decoder
// configuration that containers carry, and sequence parameter sets.
//
// Sources: ITU-T H.264 (ISO/IEC 14496-10); ISO/IEC 14496-15, clause 5, for
// the AVCDecoderConfigurationRecord and length-prefixed NAL units.
package h264

import (
	"errors"
	"fmt"
	"io"
	"iter"
)

// ErrMalformed is wrapped by every error of this package.
var ErrMalformed = errors.New("malformed H.264")

// Type is nal_unit_type (ITU-T H.264, table 7-1).
type Type uint8

// The NAL unit types with a use here.
const (
	Slice          Type = 1 // of a picture that is no IDR picture
	PartitionA     Type = 2
	IDR            Type = 5
	SEI            Type = 6
	SequenceParams Type = 7 // SPS
	PictureParams  Type = 8 // PPS
	Delimiter      Type = 9 // access unit delimiter, AUD
	EndOfSequence  Type = 10
	EndOfStream    Type = 11
	Filler         Type = 12
	SPSExtension   Type = 13
)

// String returns the short name of the field, for findings and logs.
func (t Type) String() string {
	names := [...]string{1: "slice", 2: "partition A", 3: "partition B", 4: "partition C", 5: "IDR", 6: "SEI", 7: "SPS", 8: "PPS",
		9: "AUD", 10: "end of sequence", 11: "end of stream", 12: "filler", 13: "SPS extension"}
	if int(t) < len(names) && names[t] != "" {
		return names[t]
	}
	return fmt.Sprintf("NAL unit type %d", uint8(t))
}

// TypeOf returns the type of a NAL unit, 0 (unspecified) for an empty one.
//
//	forbidden_zero_bit(1) nal_ref_idc(2) nal_unit_type(5)
func TypeOf(nal []byte) Type {
	if len(nal) == 0 {
		return 0
	}
	return Type(nal[0] & 0x1f)
}

var (
	errUnitShort  = fmt.Errorf("%w: access unit ends inside a NAL unit (ISO/IEC 14496-15, 5.3.4.2): %w", ErrMalformed, io.ErrUnexpectedEOF)
	errLengthSize = fmt.Errorf("%w: NAL unit lengths of other than 1, 2 or 4 bytes (ISO/IEC 14496-15, 5.3.3.1.2)", ErrMalformed)
)

// NextUnit reads the first NAL unit of an access unit as FLV and MP4 carry it,
// each unit behind its big-endian length of lengthSize bytes, and returns how
// many bytes it took. The NAL unit aliases p and may be empty. An empty p is
// an error.
func NextUnit(p []byte, lengthSize int) (nal []byte, n int, err error) {
	if len(p) < lengthSize {
		return nil, 0, errUnitShort
	}
	var size uint
	switch lengthSize {
	case 4:
		size = uint(p[0])<<24 | uint(p[1])<<16 | uint(p[2])<<8 | uint(p[3])
	case 2:
		size = uint(p[0])<<8 | uint(p[1])
	case 1:
		size = uint(p[0])
	default:
		return nil, 0, errLengthSize
	}
	if size > uint(len(p)-lengthSize) {
		return nil, 0, errUnitShort
	}
	n = lengthSize + int(size)
	return p[lengthSize:n:n], n, nil
}

// Units ranges over the NAL units of a length-prefixed access unit (see
// NextUnit). Damage ends it with one error; an empty access unit yields
// nothing.
func Units(p []byte, lengthSize int) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for len(p) > 0 {
			nal, n, err := NextUnit(p, lengthSize)
			if !yield(nal, err) || err != nil {
				return
			}
			p = p[n:]
		}
	}
}

// AnnexB ranges over the NAL units of a byte stream (ITU-T H.264, annex B):
// what stands between start codes 00 00 01, without trailing_zero_8bits. Bytes
// before the first start code are passed over.
func AnnexB(p []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		from := afterStartCode(p, 0)
		for from >= 0 {
			next := afterStartCode(p, from)
			end := len(p)
			if next >= 0 {
				end = next - 3
			}
			for end > from && p[end-1] == 0 {
				end--
			}
			if !yield(p[from:end:end]) {
				return
			}
			from = next
		}
	}
}

// afterStartCode returns the index behind the first start code at or after
// from, or -1.
func afterStartCode(p []byte, from int) int {
	for i := from + 2; i < len(p); {
		switch {
		case p[i] > 1:
			i += 3 // no start code can hold this byte
		case p[i] == 0:
			i++
		case p[i-1] == 0 && p[i-2] == 0:
			return i + 1
		default:
			i += 3
		}
	}
	return -1
}
