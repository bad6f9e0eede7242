package h264

import "weir/media/internal/bits"

// PPS is what a picture parameter set says that slice headers are read by
// (ITU-T H.264, 7.3.2.2).
type PPS struct {
	ID  uint8 // pic_parameter_set_id
	SPS uint8 // seq_parameter_set_id
	// FieldOrder is bottom_field_pic_order_in_frame_present_flag.
	FieldOrder bool
}

// ParsePPS parses the beginning of a PPS NAL unit.
func ParsePPS(nal []byte) (PPS, bool) {
	var head [headBytes]byte
	if TypeOf(nal) != PictureParams {
		return PPS{}, false
	}
	r := bits.NewReader(unescapeHead(&head, nal[1:]))
	id, sps := r.UE(), r.UE()
	r.Skip(1) // entropy_coding_mode_flag
	p := PPS{ID: uint8(id), SPS: uint8(sps), FieldOrder: r.Flag()}
	return p, !r.Err() && id <= 255 && sps <= 31
}

// headBytes is as much of a NAL unit as holds what is read of a slice header:
// eight Exp-Golomb codes and two numbers take 20 bytes at most in any stream
// that a decoder takes, and their emulation prevention a few more.
const headBytes = 40

// unescapeHead is unescape for a NAL unit's beginning, without allocating.
func unescapeHead(head *[headBytes]byte, p []byte) []byte {
	n, zeros := 0, 0
	for _, b := range p[:min(len(p), headBytes)] {
		if zeros >= 2 && b == 3 {
			zeros = 0
			continue
		}
		if zeros++; b != 0 {
			zeros = 0
		}
		head[n] = b
		n++
	}
	return head[:n]
}

// slice is the part of a slice header that tells pictures apart (ITU-T H.264,
// 7.3.3 and 7.4.1.2.4).
type slice struct {
	first uint32 // first_mb_in_slice
	kind  uint32 // slice_type modulo 5
	idr   bool
	ref   bool // nal_ref_idc is not 0
	// known tells that the parameter sets were there by which the rest is read.
	known         bool
	pps, frameNum uint32
	field, bottom bool
	idrID         uint32
	pocLSB        uint32
	delta         [2]int32 // delta_pic_order_cnt_bottom, or delta_pic_order_cnt
}

// The slice types without inter prediction (table 7-6).
const (
	sliceI  = 2
	sliceSI = 4
)

// parseSlice reads the header of a slice, an IDR slice or a partition A. What
// is damaged reads as zeros: it is compared with others, no more.
func parseSlice(nal []byte, in *sets) slice {
	var head [headBytes]byte
	r := bits.NewReader(unescapeHead(&head, nal[1:]))
	s := slice{idr: TypeOf(nal) == IDR, ref: nal[0]&0x60 != 0}
	s.first = r.UE()
	s.kind = r.UE() % 5
	s.pps = r.UE()
	if r.Err() {
		s.first = 1 // no beginning of a picture
		return s
	}
	sps, pps, ok := in.of(s.pps)
	if !ok {
		return s
	}
	s.known = true
	s.order(&r, sps, pps)
	return s
}

// order reads from colour_plane_id to the picture order count.
func (s *slice) order(r *bits.Reader, sps *SPS, pps PPS) {
	o := &sps.Order
	if o.SeparatePlanes {
		r.Skip(2) // colour_plane_id
	}
	s.frameNum = r.Bits(int(o.FrameNumBits))
	if sps.Interlaced {
		if s.field = r.Flag(); s.field {
			s.bottom = r.Flag()
		}
	}
	if s.idr {
		s.idrID = r.UE()
	}
	switch {
	case o.POCType == 0:
		s.pocLSB = r.Bits(int(o.POCBits))
		if pps.FieldOrder && !s.field {
			s.delta[0] = r.SE()
		}
	case o.POCType == 1 && !o.DeltaAlwaysZero:
		s.delta[0] = r.SE()
		if pps.FieldOrder && !s.field {
			s.delta[1] = r.SE()
		}
	}
}

// differs tells whether s is of another picture than t: the conditions of
// 7.4.1.2.4, as far as the headers could be read.
func (s *slice) differs(t *slice) bool {
	if s.idr != t.idr || s.ref != t.ref || s.pps != t.pps {
		return true
	}
	if !s.known || !t.known {
		return false
	}
	return s.frameNum != t.frameNum || s.field != t.field || s.bottom != t.bottom ||
		s.idrID != t.idrID || s.pocLSB != t.pocLSB || s.delta != t.delta
}

// pairs tells whether s is of the second field of the frame that t is of the
// first of (3.30, complementary field pair): containers carry the two
// together.
func (s *slice) pairs(t *slice) bool {
	return s.known && t.known && s.field && t.field && s.bottom != t.bottom && s.frameNum == t.frameNum && !s.idr
}

// intra tells whether the slice needs no other picture.
func (s *slice) intra() bool { return s.kind == sliceI || s.kind == sliceSI }
