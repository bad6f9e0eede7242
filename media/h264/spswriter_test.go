package h264_test

import (
	"slices"

	"pgregory.net/rapid"

	"weir/media/h264"
)

// spsFields are the fields of an SPS (ITU-T H.264, 7.3.2.1.1), as a test
// writes them.
type spsFields struct {
	profile, constraints, level uint32
	id                          uint32
	chroma                      uint32
	separatePlanes              uint32
	lumaDepth, chromaDepth      uint32 // minus 8
	scaling                     []int  // the lists that are there
	cutScaling                  bool   // and nothing behind them
	pocType                     uint32
	pocCycle                    []int32
	widthMbs, heightMbs         uint32
	frameMbsOnly                uint32
	crop                        [4]uint32 // left, right, top, bottom
	vui                         bool
	aspect                      uint32
	tick, scale, fixed          uint32
	colour                      h264.Colour
	hrd                         int    // sets of hrd_parameters, 0 to 2
	reorder                     int    // -1: no bitstream restriction
	frameNumBits, pocBits       uint32 // minus 4
	refFrames                   uint32
	deltaAlwaysZero             uint32
}

var highProfiles = []uint32{100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135}

func drawSPS(t *rapid.T) spsFields {
	u := func(name string, most uint32) uint32 { return rapid.Uint32Max(most).Draw(t, name) }
	f := spsFields{
		profile:      rapid.SampledFrom(append([]uint32{66, 77, 88}, highProfiles...)).Draw(t, "profile"),
		constraints:  u("constraints", 255),
		level:        u("level", 255),
		id:           u("id", 31),
		pocType:      u("pocType", 2),
		pocCycle:     rapid.SliceOfN(rapid.Int32Range(-1<<30, 1<<30), 0, 255).Draw(t, "pocCycle"),
		widthMbs:     1 + u("widthMbs", 1055),
		heightMbs:    1 + u("heightMbs", 1055),
		frameMbsOnly: u("frameMbsOnly", 1),
		vui:          rapid.Bool().Draw(t, "vui"),
		aspect:       u("aspect", 255),
		tick:         u("tick", 1<<31-1),
		scale:        u("scale", 1<<32-1),
		fixed:        u("fixed", 1),
		chroma:       1,
		colour: h264.Colour{
			Primaries: uint8(u("primaries", 255)), Transfer: uint8(u("transfer", 255)), Matrix: uint8(u("matrix", 255)), FullRange: rapid.Bool().Draw(t, "fullRange"),
		},
		hrd:             rapid.IntRange(0, 2).Draw(t, "hrd"),
		reorder:         rapid.IntRange(-1, 16).Draw(t, "reorder"),
		frameNumBits:    u("frameNumBits", 12),
		pocBits:         u("pocBits", 12),
		refFrames:       u("refFrames", 16),
		deltaAlwaysZero: u("deltaAlwaysZero", 1),
	}
	if slices.Contains(highProfiles, f.profile) {
		f.chroma, f.lumaDepth, f.chromaDepth = u("chroma", 3), u("lumaDepth", 6), u("chromaDepth", 6)
		if f.chroma == 3 {
			f.separatePlanes = u("separatePlanes", 1)
		}
		f.scaling = rapid.SliceOfDistinct(rapid.IntRange(0, 11), rapid.ID[int]).Draw(t, "scaling")
	}
	for i := range f.crop {
		f.crop[i] = u("crop", 1)
	}
	return f
}

// want is what a reader must say of f.
func (f spsFields) want() h264.SPS {
	cropX := []int{1, 2, 2, 1}[f.chroma]
	cropY := []int{1, 2, 1, 1}[f.chroma] * int(2-f.frameMbsOnly)
	s := h264.SPS{
		Profile: uint8(f.profile), Constraints: uint8(f.constraints), Level: uint8(f.level), ID: uint8(f.id),
		ChromaFormat: uint8(f.chroma), LumaDepth: uint8(f.lumaDepth) + 8, ChromaDepth: uint8(f.chromaDepth) + 8,
		Width:      int(f.widthMbs)*16 - cropX*int(f.crop[0]+f.crop[1]),
		Height:     int(f.heightMbs)*16*int(2-f.frameMbsOnly) - cropY*int(f.crop[2]+f.crop[3]),
		Interlaced: f.frameMbsOnly == 0,
		RefFrames:  uint8(f.refFrames), Reorder: -1,
		Order: h264.Order{FrameNumBits: uint8(f.frameNumBits) + 4, POCType: uint8(f.pocType), SeparatePlanes: f.separatePlanes == 1},
	}
	switch f.pocType {
	case 0:
		s.Order.POCBits = uint8(f.pocBits) + 4
	case 1:
		s.Order.DeltaAlwaysZero = f.deltaAlwaysZero == 1
	}
	if f.vui {
		s.Fixed, s.Colour, s.Reorder = f.fixed == 1, f.colour, int8(f.reorder)
		if f.tick > 0 && f.scale > 0 {
			s.FrameRate = h264.Rate{Num: f.scale, Den: 2 * f.tick}
		}
	}
	if f.pocType == 2 {
		s.Reorder = 0
	}
	return s
}

// bitString is a string of bits, one a byte.
type bitString []byte

func (w *bitString) u(n int, v uint32) {
	for i := n - 1; i >= 0; i-- {
		*w = append(*w, byte(v>>i&1))
	}
}

func (w *bitString) ue(v uint32) {
	n := 0
	for uint64(v)+1 >= 1<<(n+1) {
		n++
	}
	w.u(n, 0)
	w.u(1, 1)
	w.u(n, v+1-1<<n)
}

func (w *bitString) se(v int32) {
	if v > 0 {
		w.ue(uint32(2*v - 1))
	} else {
		w.ue(uint32(-2 * int64(v)))
	}
}

func (f spsFields) encode() []byte {
	var w bitString
	w.u(8, f.profile)
	w.u(8, f.constraints)
	w.u(8, f.level)
	w.ue(f.id)
	if slices.Contains(highProfiles, f.profile) {
		w.ue(f.chroma)
		if f.chroma == 3 {
			w.u(1, f.separatePlanes)
		}
		w.ue(f.lumaDepth)
		w.ue(f.chromaDepth)
		w.u(1, 1) // qpprime_y_zero_transform_bypass_flag
		f.scalingLists(&w)
		if f.cutScaling {
			return w.nal()
		}
	}
	w.ue(f.frameNumBits)
	w.ue(f.pocType)
	switch f.pocType {
	case 0:
		w.ue(f.pocBits)
	case 1:
		w.u(1, f.deltaAlwaysZero)
		w.se(-3)
		w.se(1 << 30)
		w.ue(uint32(len(f.pocCycle)))
		for _, offset := range f.pocCycle {
			w.se(offset)
		}
	}
	w.ue(f.refFrames)
	w.u(1, 0)
	w.ue(f.widthMbs - 1)
	w.ue(f.heightMbs - 1)
	w.u(1, f.frameMbsOnly)
	if f.frameMbsOnly == 0 {
		w.u(1, 1)
	}
	w.u(1, 1) // direct_8x8_inference_flag
	w.u(1, 1) // frame_cropping_flag
	for _, c := range f.crop {
		w.ue(c)
	}
	f.vuiParameters(&w)
	return w.nal()
}

// scalingLists writes the lists that f has: of 16 or 64 scales, the even ones
// cut off by a next scale of 0.
func (f spsFields) scalingLists(w *bitString) {
	if f.scaling == nil {
		w.u(1, 0)
		return
	}
	w.u(1, 1)
	n := 8
	if f.chroma == 3 {
		n = 12
	}
	for i := range n {
		if !slices.Contains(f.scaling, i) {
			w.u(1, 0)
			continue
		}
		w.u(1, 1)
		size := 16
		if i >= 6 {
			size = 64
		}
		for j := range size {
			if i%2 == 0 && j == 3 {
				w.se(-8 - 3) // 8 + 1 + 1 + 1 - 11 = 0
				break
			}
			w.se(1)
		}
		if f.cutScaling {
			*w = (*w)[:len(*w)-12]
			return
		}
	}
}

func (f spsFields) vuiParameters(w *bitString) {
	if !f.vui {
		w.u(1, 0)
		return
	}
	w.u(1, 1)
	w.u(1, 1) // aspect_ratio_info_present_flag
	w.u(8, f.aspect)
	if f.aspect == 255 {
		w.u(32, 0x00030002)
	}
	w.u(2, 0b10) // overscan_info_present_flag, overscan_appropriate_flag
	w.u(1, 1)    // video_signal_type_present_flag
	w.u(3, 5)
	w.flag(f.colour.FullRange)
	w.u(1, 1) // colour_description_present_flag
	w.u(24, uint32(f.colour.Primaries)<<16|uint32(f.colour.Transfer)<<8|uint32(f.colour.Matrix))
	w.u(1, 1) // chroma_loc_info_present_flag
	w.ue(2)
	w.ue(2)
	w.u(1, 1) // timing_info_present_flag
	w.u(32, f.tick)
	w.u(32, f.scale)
	w.u(1, f.fixed)
	for i := range 2 { // nal_hrd_parameters, vcl_hrd_parameters
		w.flag(i < f.hrd)
		if i < f.hrd {
			w.ue(1)
			w.u(8, 0x11)
			for range 2 {
				w.ue(99999)
				w.ue(12345)
				w.u(1, 1)
			}
			w.u(20, 0xfffff)
		}
	}
	if f.hrd > 0 {
		w.u(1, 0) // low_delay_hrd_flag
	}
	w.u(1, 1) // pic_struct_present_flag
	w.flag(f.reorder >= 0)
	if f.reorder >= 0 {
		w.u(1, 1)
		for _, v := range []uint32{0, 0, 11, 11, uint32(f.reorder), 16} {
			w.ue(v)
		}
	}
}

func (w *bitString) flag(v bool) {
	if v {
		w.u(1, 1)
	} else {
		w.u(1, 0)
	}
}

// nal is the NAL unit of an SPS with these bits: stop bit, emulation
// prevention (7.3.1).
func (w *bitString) nal() []byte {
	bits := append(slices.Clone(*w), 1)
	nal := []byte{0x67}
	zeros := 0
	for i := 0; i < len(bits); i += 8 {
		var b byte
		for j := range 8 {
			if i+j < len(bits) {
				b |= bits[i+j] << (7 - j)
			}
		}
		if zeros == 2 && b <= 3 {
			nal, zeros = append(nal, 3), 0
		}
		nal = append(nal, b)
		if b == 0 {
			zeros++
		} else {
			zeros = 0
		}
	}
	return nal
}
