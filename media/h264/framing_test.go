package h264_test

import (
	"bytes"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"weir/media/h264"
)

// splitCases are messages as encoders frame them, rightly and wrongly; they
// seed FuzzSplit.
func splitCases() []splitCase {
	c := newCoder()
	sps, pps, idr := c.sps.encode(), c.pps(), c.picture(true, typeI, 1)[0]
	p := c.picture(false, typeP, 2)
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	zeros := func(n int) []byte { return make([]byte, n) }
	two := [][]byte{p[0], p[1]}
	all := [][]byte{sps, pps, idr}
	return []splitCase{
		{"lengths of 4 bytes", message(4, all...), 4, all, true},
		{"lengths of 2 bytes", message(2, all...), 2, all, true},
		{"lengths of 3 bytes, which the record must not say", message(3, all...), 3, all, true},
		{"start codes in place of lengths", message(0, all...), 4, all, true},
		{"start codes, lengths of 2 bytes declared", message(0, all...), 2, all, true},
		{"start codes behind leading zeros", join(zeros(3), message(0, all...)), 4, all, true},
		{"one length for a byte stream", message(4, message(0, all...)), 4, all, true},
		{"a length in place of the first start code only", message(4, message(0, all...)[4:]), 4, all, true},
		{"a length in front of each start code", message(4, message(0, sps), message(0, pps), message(0, idr)), 4, all, true},
		{"zero bytes behind the last unit: 1", join(message(4, two...), zeros(1)), 4, two, true},
		{"3", join(message(4, two...), zeros(3)), 4, two, true},
		{"9", join(message(4, two...), zeros(9)), 4, two, true},
		{"zero bytes behind a byte stream", join(message(0, two...), zeros(5)), 4, two, true},
		{"units without a byte in them", message(4, nil, p[0], nil, nil, p[1], nil), 4, two, true},
		{"lengths of 2 bytes declared, 4 sent", message(4, append(all, make([]byte, 0))...), 2, all, true},
		{"lengths of 4 bytes declared, 2 sent", message(2, two...), 4, two, true},
		{"lengths of 4 bytes declared, 3 sent", message(3, two...), 4, two, true},
		{"nothing declared", message(4, two...), 0, two, true},
		{"the last unit is cut short", join(message(4, p[0]), []byte{0, 0, 9, 9, 0x41, 1}), 4, [][]byte{p[0]}, false},
		{"no unit at all", []byte{0xde, 0xad, 0xbe, 0xef, 1}, 4, nil, false},
		{"nothing", nil, 4, nil, true},
		{"zeros", zeros(7), 4, nil, true},
	}
}

type splitCase struct {
	name  string
	in    []byte
	size  int
	units [][]byte
	whole bool
}

func TestSplit(t *testing.T) {
	for _, c := range splitCases() {
		t.Run(c.name, func(t *testing.T) {
			units, whole := h264.Split(nil, c.in, c.size)
			if !slices.EqualFunc(units, c.units, bytes.Equal) || whole != c.whole {
				t.Errorf("units %x, whole %v; want %x, %v", units, whole, c.units, c.whole)
			}
		})
	}
}

// A 3-byte start code reads as a length of 256 to 511 bytes: start codes are
// found all the same, and lengths that look like one are lengths.
func TestSplitTellsLengthsFromStartCodes(t *testing.T) {
	for _, size := range []int{0x141, 0x165, 0x167} {
		nal := append([]byte{0x41, 0x9a}, bytes.Repeat([]byte{0x55}, size-2)...)
		for _, units := range [][][]byte{{nal}, {nal, nal}, {nal, {0x41, 0xe0, 0x77}}} {
			if got, whole := h264.Split(nil, message(4, units...), 4); !whole || !slices.EqualFunc(got, units, bytes.Equal) {
				t.Errorf("%d units of %d bytes behind lengths: %d units, whole %v", len(units), size, len(got), whole)
			}
		}
		long := append([]byte{0x65, 0x88}, bytes.Repeat([]byte{0x77}, 1000)...)
		stream := append(append([]byte{0, 0, 1}, long...), append([]byte{0, 0, 1}, nal...)...)
		if got, whole := h264.Split(nil, stream, 4); !whole || len(got) != 2 || !bytes.Equal(got[0], long) {
			t.Errorf("3-byte start codes: %d units, whole %v; want 2", len(got), whole)
		}
	}
}

// However a message is framed, its units are the same.
func TestSplitAnyFraming(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newCoder()
		var units [][]byte
		for range rapid.IntRange(1, 6).Draw(t, "pictures") {
			units = append(units, c.picture(rapid.Bool().Draw(t, "idr"), typeI, rapid.IntRange(1, 3).Draw(t, "slices"))...)
		}
		declared := rapid.SampledFrom([]int{4, 2, 1}).Draw(t, "declared")
		sent := rapid.SampledFrom([]int{0, declared}).Draw(t, "sent")
		p := message(sent, units...)
		if declared > 1 {
			p = append(p, make([]byte, rapid.IntRange(0, 8).Draw(t, "zeros"))...)
		}
		got, whole := h264.Split(nil, p, declared)
		if !whole || !slices.EqualFunc(got, units, bytes.Equal) {
			t.Fatalf("%d units of %d, whole %v", len(got), len(units), whole)
		}
	})
}

func FuzzSplit(f *testing.F) {
	for _, c := range splitCases() {
		f.Add(c.in, c.size)
	}
	f.Fuzz(func(t *testing.T, p []byte, size int) {
		before := bytes.Clone(p)
		units, _ := h264.Split(nil, p, size)
		total := 0
		for _, nal := range units {
			if len(nal) == 0 {
				t.Fatal("an empty unit")
			}
			total += len(nal)
		}
		if total > len(p) || !bytes.Equal(p, before) {
			t.Fatalf("%d bytes of units out of %d", total, len(p))
		}
		_ = h264.Look(p, size)
	})
}
