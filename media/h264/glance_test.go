package h264_test

import (
	"bytes"
	"testing"

	"weir/media/h264"
)

func TestLook(t *testing.T) {
	c := newCoder()
	sps, pps := c.sps.encode(), c.pps()
	idr, inter := c.picture(true, typeI, 2), c.picture(false, typeP, 2)
	aud, sei := []byte{0x09, 0xf0}, append([]byte{0x06, 0x05, 0xff, 0xff, 0x10}, bytes.Repeat([]byte{0x55}, 600)...)
	for _, tt := range []struct {
		name string
		in   []byte
		size int
		flag bool
		want bool
	}{
		{"an IDR picture", message(4, idr...), 4, false, true},
		{"behind everything that may lead up to it", message(4, aud, sps, pps, sei, idr[0]), 4, false, true},
		{"an IDR slice that goes on with a picture", message(4, idr[1]), 4, true, false},
		{"a picture that is flagged and none", message(4, inter...), 4, true, false},
		{"an intra picture that is flagged", message(4, c.picture(false, typeI, 1)...), 4, true, true},
		{"an intra picture that is not", message(4, c.picture(false, typeI, 1)...), 4, false, false},
		{"a recovery point", message(4, recovery(), inter[0]), 4, false, true},
		{"parameter sets that stand alone lead up to one", message(4, sps, pps), 4, false, true},
		{"SEI that stands alone does not", message(4, sei), 4, false, false},
		{"start codes", message(0, aud, sps, pps, sei, idr[0]), 4, false, true},
		{"start codes and no key frame", message(0, aud, inter[0]), 4, true, false},
		{"3-byte start codes", message(0, aud, idr[0])[6:], 4, false, true},
		{"one length for a byte stream", message(4, message(0, aud, sps, idr[0])), 4, false, true},
		{"the first start code gave way to a length", message(4, message(0, aud, sps, idr[0])[4:]), 4, false, true},
		{"lengths of 2 bytes, 4 declared", message(2, sps, pps, idr[0]), 4, false, true},
		{"noise is what its flag says", []byte{0xaa}, 4, true, true},
		{"noise is what its flag says", []byte{0xaa}, 4, false, false},
		{"nothing", nil, 4, false, false},
	} {
		if g := h264.Look(tt.in, tt.size); g.RandomAccess(tt.flag) != tt.want {
			t.Errorf("%s: %+v, want random access %v", tt.name, g, tt.want)
		}
	}
}

// A glance's work is bounded, whatever a hostile message holds: behind the
// bound nothing is found any more.
func TestLookIsBounded(t *testing.T) {
	idr := message(4, newCoder().picture(true, typeI, 1)...)
	for name, p := range map[string][]byte{
		"units without a byte": make([]byte, 4000),
		"units of one byte":    bytes.Repeat([]byte{0, 0, 0, 1, 0x0c}, 100),
		"start codes":          bytes.Repeat([]byte{0, 0, 1}, 4000),
		"a long SEI unit":      append([]byte{0, 0, 1, 0x06}, bytes.Repeat([]byte{0x05, 0x01, 0x33}, 4000)...),
	} {
		if g := h264.Look(append(p, idr...), 4); g.Picture {
			t.Errorf("%s: a glance has looked behind all of it", name)
		}
	}
}
