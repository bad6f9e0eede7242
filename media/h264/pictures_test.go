package h264_test

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"

	"weir/media/h264"
)

// coder writes pictures whose slice headers are to the letter, for one SPS and
// PPS; the macroblocks are noise.
type coder struct {
	sps      spsFields
	frameNum uint32
	poc      uint32
	idrID    uint32
	rng      *rand.Rand
}

func newCoder() *coder {
	return &coder{
		sps: spsFields{profile: 77, level: 31, chroma: 1, widthMbs: 20, heightMbs: 12, frameMbsOnly: 1, pocBits: 2, frameNumBits: 1},
		rng: rand.New(rand.NewPCG(1, 2)),
	}
}

// pps is a PPS that says no more than what slice headers are read by.
func (c *coder) pps() []byte {
	var w bitString
	w.ue(0)   // pic_parameter_set_id
	w.ue(0)   // seq_parameter_set_id
	w.u(2, 0) // entropy_coding_mode_flag, bottom_field_pic_order_in_frame_present_flag
	w.u(24, 0xdb6db6)
	nal := w.nal()
	nal[0] = 0x68
	return nal
}

func (c *coder) record(lengthSize int) []byte {
	r := h264.Config{Profile: 77, Level: 31, LengthSize: lengthSize, SPS: [][]byte{c.sps.encode()}, PPS: [][]byte{c.pps()}}
	return r.Append(nil)
}

// picture codes the next picture in n slices.
func (c *coder) picture(idr bool, kind uint32, n int) (slices [][]byte) {
	if idr {
		c.frameNum, c.poc = 0, 0
		c.idrID = (c.idrID + 1) % 2
	} else {
		c.frameNum, c.poc = (c.frameNum+1)%32, (c.poc+2)%64
	}
	for i := range n {
		slices = append(slices, c.slice(idr, kind, uint32(i*240/n), -1))
	}
	return slices
}

// slice codes a slice of the picture; field is -1 for a frame, 0 or 1 for its
// top or bottom field.
func (c *coder) slice(idr bool, kind, first uint32, field int) []byte {
	var w bitString
	w.ue(first)
	w.ue(kind)
	w.ue(0) // pic_parameter_set_id
	w.u(int(c.sps.frameNumBits)+4, c.frameNum)
	if c.sps.frameMbsOnly == 0 {
		w.flag(field >= 0)
		if field >= 0 {
			w.u(1, uint32(field))
		}
	}
	if idr {
		w.ue(c.idrID)
	}
	w.u(int(c.sps.pocBits)+4, c.poc)
	for range 20 + c.rng.IntN(60) {
		w.u(8, uint32(c.rng.IntN(256)))
	}
	nal := w.nal()
	nal[0] = 0x41
	if idr {
		nal[0] = 0x65
	}
	return nal
}

// The slice types of the tests: all slices of the picture are of the type.
const (
	typeP = 5
	typeI = 7
)

// recovery is an SEI NAL unit with a recovery point behind other messages, one
// of them long and with emulation prevention.
func recovery() []byte {
	nal := []byte{0x06, 0x05, 0xff, 0x2d} // user data, 300 bytes
	for range 100 {
		nal = append(nal, 0, 0, 3, 1) // three bytes of payload
	}
	return append(nal, 0x01, 0x01, 0x12, 0x06, 0x01, 0xc4, 0x80)
}

// message frames units by lengths of size bytes, or by start codes where size
// is 0.
func message(size int, units ...[]byte) (p []byte) {
	for i, nal := range units {
		switch size {
		case 0:
			p = append(p, 0, 0, 0, 1)
			if i%2 == 1 {
				p = append(p[:len(p)-4], 0, 0, 1)
			}
		case 1:
			p = append(p, byte(len(nal)))
		case 2:
			p = binary.BigEndian.AppendUint16(p, uint16(len(nal)))
		case 3:
			p = append(p, byte(len(nal)>>16), byte(len(nal)>>8), byte(len(nal)))
		case 4:
			p = binary.BigEndian.AppendUint32(p, uint32(len(nal)))
		}
		p = append(p, nal...)
	}
	return p
}

// unitsOf takes Part.Data apart.
func unitsOf(data []byte) (units [][]byte) {
	for nal, err := range h264.Units(data, h264.PartLengthSize) {
		if err != nil {
			return append(units, []byte("damaged"))
		}
		units = append(units, nal)
	}
	return units
}

// assemble sends messages through an Assembler, with a Begin in front of those
// at which a batch begins, and returns the access units as a reader keeps them.
func assemble(a *h264.Assembler, messages [][]byte, begins ...int) (all []h264.Part, damaged int) {
	for i, p := range messages {
		if slices.Contains(begins, i) {
			for k := range all {
				all[k].Data = slices.Clone(all[k].Data) // what is given out is used by now
			}
			if open := a.Begin(); len(all) > 0 && open != nil {
				all[len(all)-1].Data = open
			}
		}
		parts, whole := a.Add(nil, p)
		if !whole {
			damaged++
		}
		for _, part := range parts {
			if part.Continues && !part.Orphan {
				all[len(all)-1] = part
			} else {
				all = append(all, part)
			}
		}
	}
	return all, damaged
}
