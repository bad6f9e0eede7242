package h264

import (
	"fmt"

	"weir/media/internal/bits"
)

// SPS is what a sequence parameter set says of the stream (ITU-T H.264,
// 7.3.2.1.1 and annex E).
type SPS struct {
	// Profile is profile_idc, Level is level_idc (31 means 3.1). Constraints
	// are the eight bits between them, constraint_set0_flag highest.
	Profile, Constraints, Level uint8
	ID                          uint8 // seq_parameter_set_id, 0 to 31
	ChromaFormat                uint8 // chroma_format_idc: 0 monochrome, 1 4:2:0, 2 4:2:2, 3 4:4:4
	LumaDepth, ChromaDepth      uint8 // bits per sample
	// Width and Height are in luma samples after cropping.
	Width, Height int
	// Interlaced: frame_mbs_only_flag is 0, pictures may be fields.
	Interlaced bool
	// FrameRate is what the VUI's timing says, two ticks a frame; the zero
	// Rate where it says nothing. Fixed is fixed_frame_rate_flag.
	FrameRate Rate
	Fixed     bool
	// Colour is the zero Colour where the VUI does not describe it.
	Colour Colour
	// RefFrames is max_num_ref_frames. Reorder is how many pictures may precede
	// one in decoding order and follow it in output order
	// (max_num_reorder_frames), -1 where nothing says so.
	RefFrames uint8
	Reorder   int8
	// Order is what slice headers are read by.
	Order Order
}

// Colour is a colour description (ITU-T H.264, tables E-3 to E-5).
type Colour struct {
	Primaries, Transfer, Matrix uint8
	FullRange                   bool
}

// VideoRange returns the value of a VIDEO-RANGE attribute (RFC 8216bis,
// 4.4.6.2): what the transfer characteristics make of it.
func (c Colour) VideoRange() string {
	switch c.Transfer {
	case 16: // SMPTE ST 2084
		return "PQ"
	case 18: // ARIB STD-B67
		return "HLG"
	}
	return "SDR"
}

// Order is how pictures are numbered, and how slice headers write it down
// (ITU-T H.264, 7.4.2.1.1).
type Order struct {
	FrameNumBits    uint8 // of frame_num
	POCType         uint8 // pic_order_cnt_type
	POCBits         uint8 // of pic_order_cnt_lsb, type 0 only
	DeltaAlwaysZero bool  // delta_pic_order_always_zero_flag, type 1 only
	SeparatePlanes  bool  // separate_colour_plane_flag
}

// Compatible tells whether a decoder that was set up for s goes on with t as
// it is: all that they say of the pictures is the same, whatever they say of
// their timing.
func (s SPS) Compatible(t SPS) bool {
	s.ID, s.FrameRate, s.Fixed = t.ID, t.FrameRate, t.Fixed
	s.Order, s.Reorder = t.Order, t.Reorder // read anew with each slice, and in the output
	return s == t
}

// Rate is a number of frames per second. The zero Rate is an unknown one.
type Rate struct{ Num, Den uint32 }

// Float returns the rate in frames per second, 0 where it is unknown.
func (r Rate) Float() float64 {
	if r.Den == 0 {
		return 0
	}
	return float64(r.Num) / float64(r.Den)
}

// maxMbs bounds a picture's sides: level 6.2 allows 1055 macroblocks, the
// square root of MaxFS * 8 (table A-1, A.3.1 item f).
const maxMbs = 1056

// ParseSPS parses an SPS NAL unit, its one-byte header included.
func ParseSPS(nal []byte) (SPS, error) {
	if TypeOf(nal) != SequenceParams {
		return SPS{}, fmt.Errorf("%w: %v is no SPS (ITU-T H.264, 7.4.1)", ErrMalformed, TypeOf(nal))
	}
	r := bits.NewReader(unescape(nal[1:]))
	s := SPS{ChromaFormat: 1, LumaDepth: 8, ChromaDepth: 8, Reorder: -1}
	s.Profile, s.Constraints, s.Level = uint8(r.Bits(8)), uint8(r.Bits(8)), uint8(r.Bits(8))
	id := r.UE()
	if id > 31 {
		return SPS{}, fmt.Errorf("%w: seq_parameter_set_id %d, at most 31 (ITU-T H.264, 7.4.2.1.1)", ErrMalformed, id)
	}
	s.ID = uint8(id)
	if hasChroma(s.Profile) {
		if err := s.chroma(&r); err != nil {
			return SPS{}, err
		}
	}
	if err := s.order(&r); err != nil {
		return SPS{}, err
	}
	if err := s.size(&r); err != nil {
		return SPS{}, err
	}
	vui := r.Flag() // vui_parameters_present_flag
	if vui {
		s.vui(&r)
	}
	if r.Err() {
		return SPS{}, fmt.Errorf("%w: SPS ends early or holds an endless Exp-Golomb code (ITU-T H.264, 7.3.2.1.1)", ErrMalformed)
	}
	if vui {
		s.restriction(&r)
	}
	if s.Order.POCType == 2 { // output order is decoding order (8.2.1.3)
		s.Reorder = 0
	}
	return s, nil
}

// hasChroma tells whether an SPS of this profile has the fields of the high
// profiles, from chroma_format_idc on (7.3.2.1.1).
func hasChroma(profile uint8) bool {
	switch profile {
	case 100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135:
		return true
	}
	return false
}

// chroma reads chroma_format_idc to the scaling lists.
func (s *SPS) chroma(r *bits.Reader) error {
	format := r.UE()
	if format > 3 {
		return fmt.Errorf("%w: chroma_format_idc %d, at most 3 (ITU-T H.264, 7.4.2.1.1)", ErrMalformed, format)
	}
	s.ChromaFormat = uint8(format)
	lists := 8
	if format == 3 {
		s.Order.SeparatePlanes = r.Flag() // separate_colour_plane_flag
		lists = 12
	}
	luma, chroma := r.UE(), r.UE()
	if luma > 6 || chroma > 6 {
		return fmt.Errorf("%w: bit depth above 14 (ITU-T H.264, 7.4.2.1.1)", ErrMalformed)
	}
	s.LumaDepth, s.ChromaDepth = uint8(luma)+8, uint8(chroma)+8
	r.Skip(1)      // qpprime_y_zero_transform_bypass_flag
	if !r.Flag() { // seq_scaling_matrix_present_flag
		return nil
	}
	for i := range lists {
		if !r.Flag() { // seq_scaling_list_present_flag
			continue
		}
		n := 16
		if i >= 6 {
			n = 64
		}
		skipScalingList(r, n)
	}
	return nil
}

// skipScalingList passes a scaling_list (7.3.2.1.1.1): it ends where the next
// scale becomes 0.
func skipScalingList(r *bits.Reader, n int) {
	scale := int32(8)
	for range n {
		scale = (scale + r.SE() + 256) & 0xff
		if scale == 0 {
			return
		}
	}
}

// order reads log2_max_frame_num_minus4 to gaps_in_frame_num_value_allowed_flag.
func (s *SPS) order(r *bits.Reader) error {
	frameNum, kind := r.UE(), r.UE() // log2_max_frame_num_minus4, pic_order_cnt_type
	if frameNum > 12 {
		return fmt.Errorf("%w: log2_max_frame_num_minus4 %d, at most 12 (ITU-T H.264, 7.4.2.1.1)", ErrMalformed, frameNum)
	}
	s.Order.FrameNumBits, s.Order.POCType = uint8(frameNum)+4, uint8(min(kind, 3))
	switch kind {
	case 0:
		lsb := r.UE() // log2_max_pic_order_cnt_lsb_minus4
		if lsb > 12 {
			return fmt.Errorf("%w: log2_max_pic_order_cnt_lsb_minus4 %d, at most 12 (ITU-T H.264, 7.4.2.1.1)", ErrMalformed, lsb)
		}
		s.Order.POCBits = uint8(lsb) + 4
	case 1:
		s.Order.DeltaAlwaysZero = r.Flag()
		r.SE() // offset_for_non_ref_pic
		r.SE() // offset_for_top_to_bottom_field
		n := r.UE()
		if n > 255 {
			return fmt.Errorf("%w: num_ref_frames_in_pic_order_cnt_cycle %d, at most 255 (ITU-T H.264, 7.4.2.1.1)", ErrMalformed, n)
		}
		for range n {
			r.SE() // offset_for_ref_frame
		}
	case 2:
	default:
		return fmt.Errorf("%w: pic_order_cnt_type %d, at most 2 (ITU-T H.264, 7.4.2.1.1)", ErrMalformed, kind)
	}
	s.RefFrames = uint8(min(r.UE(), 16)) // max_num_ref_frames
	r.Skip(1)                            // gaps_in_frame_num_value_allowed_flag
	return nil
}

// size reads pic_width_in_mbs_minus1 to the cropping (7.4.2.1.1, equations
// 7-13 to 7-22).
func (s *SPS) size(r *bits.Reader) error {
	width, height := r.UE(), r.UE()
	if width >= maxMbs || height >= maxMbs {
		return fmt.Errorf("%w: a picture of %d x %d macroblocks or more (ITU-T H.264, A.3.1)", ErrMalformed, width, height)
	}
	s.Width, s.Height = int(width+1)*16, int(height+1)*16
	unitX, unitY := 1, 1 // CropUnitX, CropUnitY
	if s.ChromaFormat == 1 || s.ChromaFormat == 2 {
		unitX = 2
	}
	if s.ChromaFormat == 1 {
		unitY = 2
	}
	if s.Order.SeparatePlanes {
		unitX, unitY = 1, 1
	}
	if !r.Flag() { // frame_mbs_only_flag
		s.Interlaced = true
		s.Height *= 2
		unitY *= 2
		r.Skip(1) // mb_adaptive_frame_field_flag
	}
	r.Skip(1)      // direct_8x8_inference_flag
	if !r.Flag() { // frame_cropping_flag
		return nil
	}
	left, right, top, bottom := int64(r.UE()), int64(r.UE()), int64(r.UE()), int64(r.UE())
	x, y := (left+right)*int64(unitX), (top+bottom)*int64(unitY)
	if x >= int64(s.Width) || y >= int64(s.Height) {
		return fmt.Errorf("%w: cropping leaves nothing of the picture (ITU-T H.264, 7.4.2.1.1)", ErrMalformed)
	}
	s.Width -= int(x)
	s.Height -= int(y)
	return nil
}

// extendedSAR is the aspect_ratio_idc with the ratio written out (table E-1).
const extendedSAR = 255

// vui reads the VUI up to its timing (E.1.1).
func (s *SPS) vui(r *bits.Reader) {
	if r.Flag() && r.Bits(8) == extendedSAR { // aspect_ratio_info_present_flag, aspect_ratio_idc
		r.Skip(32) // sar_width, sar_height
	}
	if r.Flag() { // overscan_info_present_flag
		r.Skip(1)
	}
	if r.Flag() { // video_signal_type_present_flag
		r.Skip(3) // video_format
		s.Colour.FullRange = r.Flag()
		if r.Flag() { // colour_description_present_flag
			s.Colour.Primaries, s.Colour.Transfer, s.Colour.Matrix = uint8(r.Bits(8)), uint8(r.Bits(8)), uint8(r.Bits(8))
		}
	}
	if r.Flag() { // chroma_loc_info_present_flag
		r.UE()
		r.UE()
	}
	if !r.Flag() { // timing_info_present_flag
		return
	}
	tick, scale := r.Bits(32), r.Bits(32) // num_units_in_tick, time_scale
	s.Fixed = r.Flag()                    // fixed_frame_rate_flag
	// A frame lasts two ticks (E.2.1); both numbers "shall be greater than 0".
	if tick > 0 && scale > 0 && tick <= 1<<31-1 {
		s.FrameRate = Rate{Num: scale, Den: tick * 2}
	}
}

// restriction reads the rest of the VUI for max_num_reorder_frames (E.1.1). A
// rest that is damaged says nothing.
func (s *SPS) restriction(r *bits.Reader) {
	nal := r.Flag() // nal_hrd_parameters_present_flag
	if nal {
		skipHRD(r)
	}
	vcl := r.Flag() // vcl_hrd_parameters_present_flag
	if vcl {
		skipHRD(r)
	}
	if nal || vcl {
		r.Skip(1) // low_delay_hrd_flag
	}
	r.Skip(1)      // pic_struct_present_flag
	if !r.Flag() { // bitstream_restriction_flag
		return
	}
	r.Skip(1) // motion_vectors_over_pic_boundaries_flag
	r.UE()    // max_bytes_per_pic_denom
	r.UE()    // max_bits_per_mb_denom
	r.UE()    // log2_max_mv_length_horizontal
	r.UE()    // log2_max_mv_length_vertical
	if n := r.UE(); n <= 16 && !r.Err() {
		s.Reorder = int8(n)
	}
}

// skipHRD passes hrd_parameters (E.1.2).
func skipHRD(r *bits.Reader) {
	n := r.UE()   // cpb_cnt_minus1
	r.Skip(4 + 4) // bit_rate_scale, cpb_size_scale
	for range min(n, 31) + 1 {
		r.UE() // bit_rate_value_minus1
		r.UE() // cpb_size_value_minus1
		r.Skip(1)
	}
	r.Skip(5 + 5 + 5 + 5)
}

// unescape takes the emulation_prevention_three_bytes out of a NAL unit's
// payload (7.3.1).
func unescape(p []byte) []byte {
	out := make([]byte, 0, len(p))
	zeros := 0
	for _, b := range p {
		if zeros >= 2 && b == 3 {
			zeros = 0
			continue
		}
		if b == 0 {
			zeros++
		} else {
			zeros = 0
		}
		out = append(out, b)
	}
	return out
}
