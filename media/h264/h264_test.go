package h264_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"weir/media/h264"
)

// unitCases are access units as FLV carries them; they seed FuzzUnits.
var unitCases = []struct {
	name       string
	au         string
	lengthSize int
	units      []string
	err        bool // after the units
}{
	{"two units", "\x00\x00\x00\x02\x09\xf0\x00\x00\x00\x01\x65", 4, []string{"\x09\xf0", "\x65"}, false},
	{"lengths of 2 bytes", "\x00\x02\x09\xf0\x00\x01\x65", 2, []string{"\x09\xf0", "\x65"}, false},
	{"lengths of 1 byte", "\x02\x09\xf0\x01\x65", 1, []string{"\x09\xf0", "\x65"}, false},
	{"empty access unit", "", 4, nil, false},
	{"empty unit", "\x00\x00\x00\x00\x00\x00\x00\x01\x65", 4, []string{"", "\x65"}, false},
	{"length past the end", "\x00\x00\x00\x01\x65\x00\x00\x00\x02\x41", 4, []string{"\x65"}, true},
	{"length of 4 GiB", "\xff\xff\xff\xff\x65", 4, nil, true},
	{"length cut short", "\x00\x00\x00\x01\x65\x00\x00", 4, []string{"\x65"}, true},
	{"lengths of 3 bytes do not exist", "\x00\x00\x01\x65", 3, nil, true},
	{"lengths of 0 bytes do not exist", "\x65", 0, nil, true},
}

func TestUnits(t *testing.T) {
	for _, c := range unitCases {
		t.Run(c.name, func(t *testing.T) {
			var units []string
			var failed bool
			for nal, err := range h264.Units([]byte(c.au), c.lengthSize) {
				if err != nil {
					if !errors.Is(err, h264.ErrMalformed) || failed {
						t.Errorf("%v: want one ErrMalformed", err)
					}
					failed = true
					continue
				}
				units = append(units, string(nal))
			}
			if !slices.Equal(units, c.units) || failed != c.err {
				t.Errorf("units %q, error %v; want %q, %v", units, failed, c.units, c.err)
			}
		})
	}
	for range h264.Units([]byte(unitCases[0].au), 4) {
		break // a loop that is left must not be called again: the runtime would panic
	}
}

func TestTypes(t *testing.T) {
	if got := h264.TypeOf([]byte{0x65, 1}); got != h264.IDR {
		t.Errorf("0x65 is %v: nal_ref_idc is no part of the type", got)
	}
	if got := h264.TypeOf(nil); got != 0 {
		t.Errorf("an empty unit is %v", got)
	}
	for typ, want := range map[h264.Type]string{h264.SequenceParams: "SPS", 0: "NAL unit type 0", 31: "NAL unit type 31"} {
		if typ.String() != want {
			t.Errorf("%q, want %q", typ, want)
		}
	}
}

func TestAnnexB(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     []string
	}{
		{"nothing", "", nil},
		{"no start code", "\x65\x88\x00\x00", nil},
		{"long and short start codes", "\x00\x00\x00\x01\x09\xf0\x00\x00\x01\x65\x88", []string{"\x09\xf0", "\x65\x88"}},
		{"bytes in front", "junk\x00\x00\x01\x41", []string{"\x41"}},
		{"trailing zeros are no part of a unit", "\x00\x00\x01\x65\x88\x00\x00\x00\x00\x01\x41\x00\x00", []string{"\x65\x88", "\x41"}},
		{"start code with nothing behind it", "\x00\x00\x01\x65\x00\x00\x01", []string{"\x65", ""}},
		{"a start code's bytes apart", "\x00\x00\x01\x65\x00\x01\x00\x02\x01", []string{"\x65\x00\x01\x00\x02\x01"}},
	} {
		var got []string
		for nal := range h264.AnnexB([]byte(c.in)) {
			got = append(got, string(nal))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	for range h264.AnnexB([]byte("\x00\x00\x01\x65\x00\x00\x01\x41")) {
		break
	}
}

// A byte stream of legal NAL units gives the same units back as lengths do.
// Legal: no 00 00 00, 00 00 01 or 00 00 02 inside, no 00 at the end (ITU-T
// H.264, 7.4.1).
func TestAnnexBAgreesWithLengths(t *testing.T) {
	legal := rapid.Custom(func(t *rapid.T) []byte {
		nal := append([]byte{0x41}, rapid.SliceOf(rapid.ByteRange(0, 4)).Draw(t, "nal")...)
		for _, bad := range [][]byte{{0, 0, 0}, {0, 0, 1}, {0, 0, 2}} {
			nal = bytes.ReplaceAll(nal, bad, []byte{0, 3})
		}
		return append(nal, 0x80)
	})
	rapid.Check(t, func(t *rapid.T) {
		var stream, au []byte
		for _, nal := range rapid.SliceOf(legal).Draw(t, "nals") {
			stream = append(append(stream, 0, 0, 1), nal...)
			au = append(binary.BigEndian.AppendUint32(au, uint32(len(nal))), nal...)
		}
		var a, b [][]byte
		for nal := range h264.AnnexB(stream) {
			a = append(a, nal)
		}
		for nal, err := range h264.Units(au, 4) {
			if err != nil {
				t.Fatal(err)
			}
			b = append(b, nal)
		}
		if !slices.EqualFunc(a, b, bytes.Equal) {
			t.Fatalf("by start codes %x, by lengths %x", a, b)
		}
	})
}

func FuzzUnits(f *testing.F) {
	for _, c := range unitCases {
		f.Add([]byte(c.au), c.lengthSize)
	}
	f.Fuzz(func(t *testing.T, au []byte, lengthSize int) {
		total := 0
		for nal, err := range h264.Units(au, lengthSize) {
			if err != nil {
				if !errors.Is(err, h264.ErrMalformed) {
					t.Fatalf("%v is not ErrMalformed", err)
				}
				return
			}
			total += lengthSize + len(nal)
		}
		if total != len(au) {
			t.Fatalf("units of %d bytes out of %d without an error", total, len(au))
		}
	})
}

func FuzzAnnexB(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x01\x09\xf0\x00\x00\x01\x65\x88\x00"))
	f.Fuzz(func(t *testing.T, in []byte) {
		n := 0
		for nal := range h264.AnnexB(in) {
			if bytes.Contains(nal, []byte{0, 0, 1}) || len(nal) > 0 && nal[len(nal)-1] == 0 {
				t.Fatalf("unit %x holds a start code or ends with a zero", nal)
			}
			n++
		}
		if want := bytes.Count(in, []byte{0, 0, 1}); n != want {
			t.Fatalf("%d units, %d start codes", n, want)
		}
	})
}
