package h264_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"weir/media/h264"
)

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// configCases are records that x264 and ffmpeg 5.1 wrote; they seed
// FuzzConfig.
var configCases = []struct {
	name   string
	avcC   string
	want   h264.Config
	codecs string
}{
	{
		"high", "01640028ffe1001967640028acd940780227e5c04400000fa40003a9803c60c65801000668ebe3cb22c0fdf8f800",
		h264.Config{
			Profile: 100, Level: 40, LengthSize: 4,
			SPS:  [][]byte{unhex("67640028acd940780227e5c04400000fa40003a9803c60c658")},
			PPS:  [][]byte{unhex("68ebe3cb22c0")},
			High: true, ChromaFormat: 1, LumaDepth: 8, ChromaDepth: 8,
		},
		"avc1.640028",
	},
	{
		"baseline has no fields of the high profiles", "0142c01effe100186742c01ed900d83de6ac0440000003004000000c83c58b9201000568cb83cb20",
		h264.Config{
			Profile: 66, Constraints: 0xc0, Level: 30, LengthSize: 4,
			SPS: [][]byte{unhex("6742c01ed900d83de6ac0440000003004000000c83c58b92")},
			PPS: [][]byte{unhex("68cb83cb20")},
		},
		"avc1.42c01e",
	},
	{
		"high without its last fields, as some senders have it", "01640028ffe1001967640028acd940780227e5c04400000fa40003a9803c60c65801000668ebe3cb22c0",
		h264.Config{
			Profile: 100, Level: 40, LengthSize: 4,
			SPS: [][]byte{unhex("67640028acd940780227e5c04400000fa40003a9803c60c658")},
			PPS: [][]byte{unhex("68ebe3cb22c0")},
		},
		"avc1.640028",
	},
	{
		"4:4:4, with scaling lists", "01f4000dffe1001b67f4000d919b282a33c7c6e022000003000200000300601e28532c01000868ebe3c44c000440fff8f800",
		h264.Config{
			Profile: 244, Level: 13, LengthSize: 4,
			SPS:  [][]byte{unhex("67f4000d919b282a33c7c6e022000003000200000300601e28532c")},
			PPS:  [][]byte{unhex("68ebe3c44c000440")},
			High: true, ChromaFormat: 3, LumaDepth: 8, ChromaDepth: 8,
		},
		"avc1.f4000d",
	},
	{
		"parameter sets in band, lengths of 2 bytes", "014d401ffde000",
		h264.Config{Profile: 77, Constraints: 0x40, Level: 31, LengthSize: 2},
		"avc1.4d401f",
	},
	{
		"several sets, an SPS extension", "01640028fce200026764000267650100026801fdf8f80100026d01",
		h264.Config{
			Profile: 100, Level: 40, LengthSize: 1,
			SPS:  [][]byte{{0x67, 0x64}, {0x67, 0x65}},
			PPS:  [][]byte{{0x68, 1}},
			High: true, ChromaFormat: 1, LumaDepth: 8, ChromaDepth: 8,
			SPSExt: [][]byte{{0x6d, 1}},
		},
		"avc1.640028",
	},
}

var configErrors = map[string]string{
	"empty":                      "",
	"version 0":                  "00640028ffe000",
	"an Annex B stream":          "0000000167640028",
	"lengths of 3 bytes":         "01640028fee000",
	"cut before the SPS count":   "01640028ff",
	"cut in an SPS's length":     "01640028ffe100",
	"cut in an SPS":              "01640028ffe1000267",
	"cut before the PPS count":   "01640028ffe0",
	"PPS count without its sets": "01640028ffe002",
	"cut in a PPS":               "01640028ffe001000268",
	"a PPS among the SPS":        "01640028ffe10002680000",
	"an empty SPS":               "01640028ffe1000000",
	"cut in an SPS extension":    "01640028ffe000fdf8f8010002",
}

func TestConfig(t *testing.T) {
	for _, c := range configCases {
		t.Run(c.name, func(t *testing.T) {
			got, err := h264.ParseConfig(unhex(c.avcC))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, got, cmpopts.EquateEmpty()); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			if again := got.Append(nil); !bytes.Equal(again, unhex(c.avcC)) {
				t.Errorf("Append wrote %x, read was %s", again, c.avcC)
			}
			if s := got.Codecs(); s != c.codecs {
				t.Errorf("Codecs is %s, want %s", s, c.codecs)
			}
		})
	}
}

// The SPS has the word: some senders fill the record's own bytes carelessly.
func TestCodecsGoesByTheSPS(t *testing.T) {
	c := h264.Config{Profile: 66, SPS: [][]byte{{0x67, 0x64, 0x00, 0x1f, 0xac}}}
	if got := c.Codecs(); got != "avc1.64001f" {
		t.Errorf("%s, want avc1.64001f as in RFC 6381", got)
	}
}

func TestConfigErrors(t *testing.T) {
	for name, avcC := range configErrors {
		if c, err := h264.ParseConfig(unhex(avcC)); !errors.Is(err, h264.ErrMalformed) {
			t.Errorf("%s: %+v, %v; want ErrMalformed", name, c, err)
		}
	}
}

func FuzzConfig(f *testing.F) {
	for _, c := range configCases {
		f.Add(unhex(c.avcC))
	}
	for _, avcC := range configErrors {
		f.Add(unhex(avcC))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		c, err := h264.ParseConfig(in)
		if err != nil {
			if !errors.Is(err, h264.ErrMalformed) {
				t.Fatalf("%v is not ErrMalformed", err)
			}
			return
		}
		again, err := h264.ParseConfig(c.Append(nil))
		if err != nil {
			t.Fatalf("what Append wrote is not read: %v", err)
		}
		if d := cmp.Diff(c, again, cmpopts.EquateEmpty()); d != "" {
			t.Fatalf("(-read +read again):\n%s", d)
		}
		_ = c.Codecs()
	})
}
