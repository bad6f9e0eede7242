package h264_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"weir/media/h264"
)

// spsCases are SPSs that x264 wrote, with what ffprobe 5.1 says of them; they
// seed FuzzSPS.
var spsCases = []struct {
	name, nal string
	want      h264.SPS
}{
	{
		"High 1920x1080, cropped from 1088, NTSC film rate", "67640028acd940780227e5c04400000fa40003a9803c60c658",
		h264.SPS{Profile: 100, Level: 40, ChromaFormat: 1, LumaDepth: 8, ChromaDepth: 8, Width: 1920, Height: 1080, FrameRate: h264.Rate{Num: 60000, Den: 2002}, RefFrames: 4, Reorder: 2, Order: h264.Order{FrameNumBits: 4, POCBits: 6}},
	},
	{
		"Baseline 854x478, cropped on both sides, emulation prevention in the timing", "6742c01ed900d83de6ac0440000003004000000c83c58b92",
		h264.SPS{Profile: 66, Constraints: 0xc0, Level: 30, ChromaFormat: 1, LumaDepth: 8, ChromaDepth: 8, Width: 854, Height: 478, FrameRate: h264.Rate{Num: 50, Den: 2}, RefFrames: 3, Order: h264.Order{FrameNumBits: 4, POCType: 2}},
	},
	{
		"High 1080i: the map counts field pairs", "67640028acd94078044fde0220000003002000000643e2c5b2c0",
		h264.SPS{Profile: 100, Level: 40, ChromaFormat: 1, LumaDepth: 8, ChromaDepth: 8, Width: 1920, Height: 1080, Interlaced: true, FrameRate: h264.Rate{Num: 50, Den: 2}, RefFrames: 4, Reorder: 2, Order: h264.Order{FrameNumBits: 4, POCBits: 6}},
	},
	{
		"High 4:2:2 10 bit: chroma is cropped by whole lines", "677a001fb6cd940a02fea2f011000003000100000300640f183196",
		h264.SPS{Profile: 122, Level: 31, ChromaFormat: 2, LumaDepth: 10, ChromaDepth: 10, Width: 638, Height: 358, FrameRate: h264.Rate{Num: 100, Den: 2}, RefFrames: 4, Reorder: 2, Order: h264.Order{FrameNumBits: 4, POCBits: 6}},
	},
	{
		"High 4:4:4 with a scaling matrix in the PPS", "67f4000d919b282a33c7c6e022000003000200000300601e28532c",
		h264.SPS{Profile: 244, Level: 13, ChromaFormat: 3, LumaDepth: 8, ChromaDepth: 8, Width: 322, Height: 180, FrameRate: h264.Rate{Num: 48, Den: 2}, RefFrames: 4, Reorder: 2, Order: h264.Order{FrameNumBits: 4, POCBits: 6}},
	},
	{
		"Main with aspect ratio, overscan, colours and chroma location before the timing", "674d400beca39fcf3ffe011200c96a0202036e000003000200000300f01e28532c",
		h264.SPS{Profile: 77, Constraints: 0x40, Level: 11, ChromaFormat: 1, LumaDepth: 8, ChromaDepth: 8, Width: 100, Height: 100, FrameRate: h264.Rate{Num: 120, Den: 2}, Colour: h264.Colour{Primaries: 1, Transfer: 1, Matrix: 1}, RefFrames: 4, Reorder: 2, Order: h264.Order{FrameNumBits: 4, POCBits: 6}},
	},
}

func TestSPS(t *testing.T) {
	for _, c := range spsCases {
		t.Run(c.name, func(t *testing.T) {
			got, err := h264.ParseSPS(unhex(c.nal))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// What a decoder was set up for is all but when pictures are shown, and how
// slice headers number them.
func TestSPSCompatible(t *testing.T) {
	a, err := h264.ParseSPS(unhex(spsCases[0].nal))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*h264.SPS)
		want   bool
	}{
		"nothing":      {func(*h264.SPS) {}, true},
		"frame rate":   {func(s *h264.SPS) { s.FrameRate = h264.Rate{Num: 50, Den: 2} }, true},
		"id":           {func(s *h264.SPS) { s.ID = 3 }, true},
		"frame_num":    {func(s *h264.SPS) { s.Order.FrameNumBits = 9 }, true},
		"size":         {func(s *h264.SPS) { s.Width = 1280 }, false},
		"level":        {func(s *h264.SPS) { s.Level++ }, false},
		"reference":    {func(s *h264.SPS) { s.RefFrames++ }, false},
		"transfer":     {func(s *h264.SPS) { s.Colour.Transfer = 16 }, false},
		"bit depth":    {func(s *h264.SPS) { s.LumaDepth = 10 }, false},
		"field coding": {func(s *h264.SPS) { s.Interlaced = true }, false},
	} {
		b := a
		c.change(&b)
		if a.Compatible(b) != c.want || b.Compatible(a) != c.want {
			t.Errorf("another %s: compatible %v, want %v", name, !c.want, c.want)
		}
	}
}

func TestVideoRange(t *testing.T) {
	for transfer, want := range map[uint8]string{0: "SDR", 1: "SDR", 14: "SDR", 16: "PQ", 18: "HLG"} {
		if got := (h264.Colour{Transfer: transfer}).VideoRange(); got != want {
			t.Errorf("transfer characteristics %d: %s, want %s (RFC 8216bis, 4.4.6.2)", transfer, got, want)
		}
	}
}

func TestRate(t *testing.T) {
	if got := (h264.Rate{Num: 60000, Den: 2002}).Float(); got < 29.97 || got > 29.98 {
		t.Errorf("60000/2002 is %v", got)
	}
	if got := (h264.Rate{}).Float(); got != 0 {
		t.Errorf("an unknown rate is %v", got)
	}
}

// An SPS cut anywhere before its timing's end is an error, not half a truth.
func TestSPSShort(t *testing.T) {
	whole := unhex(spsCases[0].nal)
	for n := range len(whole) - 4 { // the VUI's rest behind the timing is not read
		if s, err := h264.ParseSPS(whole[:n]); !errors.Is(err, h264.ErrMalformed) {
			t.Errorf("%d of %d bytes: %+v, %v", n, len(whole), s, err)
		}
	}
}

func TestSPSErrors(t *testing.T) {
	valid := spsFields{profile: 100, chroma: 1, widthMbs: 20, heightMbs: 12, frameMbsOnly: 1}
	for name, change := range map[string]func(*spsFields){
		"seq_parameter_set_id 32":        func(f *spsFields) { f.id = 32 },
		"chroma_format_idc 4":            func(f *spsFields) { f.chroma = 4 },
		"frame_num of 17 bits":           func(f *spsFields) { f.frameNumBits = 13 },
		"pic_order_cnt_lsb of 17 bits":   func(f *spsFields) { f.pocBits = 13 },
		"bit depth 15":                   func(f *spsFields) { f.lumaDepth = 7 },
		"pic_order_cnt_type 3":           func(f *spsFields) { f.pocType = 3 },
		"a cycle of 256 frames":          func(f *spsFields) { f.pocType, f.pocCycle = 1, make([]int32, 256) },
		"wider than any level allows":    func(f *spsFields) { f.widthMbs = 1057 },
		"4 G macroblocks high":           func(f *spsFields) { f.heightMbs = 1<<32 - 1 },
		"cropped to nothing":             func(f *spsFields) { f.crop = [4]uint32{80, 80, 0, 0} },
		"cropped by more than there is":  func(f *spsFields) { f.crop = [4]uint32{0, 0, 1<<32 - 2, 1<<32 - 2} },
		"a scaling list without its end": func(f *spsFields) { f.scaling, f.cutScaling = []int{0}, true },
	} {
		f := valid
		change(&f)
		if s, err := h264.ParseSPS(f.encode()); !errors.Is(err, h264.ErrMalformed) {
			t.Errorf("%s: %+v, %v; want ErrMalformed", name, s, err)
		}
	}
	if _, err := h264.ParseSPS([]byte{0x68, 1, 2, 3, 4}); !errors.Is(err, h264.ErrMalformed) {
		t.Errorf("a PPS: %v", err)
	}
	if _, err := h264.ParseSPS(nil); !errors.Is(err, h264.ErrMalformed) {
		t.Errorf("nothing: %v", err)
	}
}

// What an encoder of the syntax writes (7.3.2.1.1, E.1.1) is read, over the
// whole of it.
func TestSPSRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := drawSPS(t)
		got, err := h264.ParseSPS(f.encode())
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(f.want(), got); d != "" {
			t.Fatalf("(-written +read):\n%s", d)
		}
	})
}

func FuzzSPS(f *testing.F) {
	for _, c := range spsCases {
		f.Add(unhex(c.nal))
	}
	f.Add(spsFields{profile: 100, chroma: 3, scaling: []int{0, 7, 11}, widthMbs: 1, heightMbs: 1, pocType: 1, pocCycle: []int32{1, -1}}.encode())
	f.Fuzz(func(t *testing.T, nal []byte) {
		s, err := h264.ParseSPS(nal)
		if err != nil {
			if !errors.Is(err, h264.ErrMalformed) {
				t.Fatalf("%v is not ErrMalformed", err)
			}
			return
		}
		if s.Width < 1 || s.Height < 1 || s.Width > 1056*16 || s.Height > 2*1056*16 || s.ChromaFormat > 3 {
			t.Fatalf("%+v", s)
		}
		_ = s.FrameRate.Float()
	})
}
