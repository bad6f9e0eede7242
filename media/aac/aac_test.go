package aac_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"weir/media/aac"
)

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

var ignoreIndex = cmpopts.IgnoreUnexported(aac.Config{})

// configCases are AudioSpecificConfigs; they seed FuzzConfig. The adts column
// is the header of a frame with 100 bytes, "" where there is none.
var configCases = []struct {
	name, asc    string
	want         aac.Config
	codecs, adts string
}{
	{
		"LC 44.1 kHz stereo", "1210",
		aac.Config{ObjectType: aac.LC, SampleRate: 44100, Channels: 2, ChannelConfig: 2, FrameLength: 1024},
		"mp4a.40.2", "fff150800d7ffc",
	},
	{
		"as ffmpeg 5.1 pads it: SBR signalled backward compatibly, as absent", "121056e500",
		aac.Config{ObjectType: aac.LC, SampleRate: 44100, Channels: 2, ChannelConfig: 2, FrameLength: 1024},
		"mp4a.40.2", "fff150800d7ffc",
	},
	{
		"LC 48 kHz 5.1", "11b0",
		aac.Config{ObjectType: aac.LC, SampleRate: 48000, Channels: 6, ChannelConfig: 6, FrameLength: 1024},
		"mp4a.40.2", "fff14d800d7ffc",
	},
	{
		"7.1 is channel configuration 7", "11b8",
		aac.Config{ObjectType: aac.LC, SampleRate: 48000, Channels: 8, ChannelConfig: 7, FrameLength: 1024},
		"mp4a.40.2", "fff14dc00d7ffc",
	},
	{
		"HE-AAC, hierarchical: SBR first, then its core", "2b118800",
		aac.Config{ObjectType: aac.LC, SampleRate: 24000, Channels: 2, ChannelConfig: 2, FrameLength: 1024, SBR: true, ExtensionRate: 48000},
		"mp4a.40.5", "fff158800d7ffc",
	},
	{
		"HE-AAC v2, hierarchical: one channel in the core", "eb098800",
		aac.Config{ObjectType: aac.LC, SampleRate: 24000, Channels: 1, ChannelConfig: 1, FrameLength: 1024, SBR: true, PS: true, ExtensionRate: 48000},
		"mp4a.40.29", "fff158400d7ffc",
	},
	{
		"HE-AAC, backward compatible", "139056e5a0",
		aac.Config{ObjectType: aac.LC, SampleRate: 22050, Channels: 2, ChannelConfig: 2, FrameLength: 1024, SBR: true, ExtensionRate: 44100},
		"mp4a.40.5", "fff15c800d7ffc",
	},
	{
		"HE-AAC v2, backward compatible", "138856e5a54880",
		aac.Config{ObjectType: aac.LC, SampleRate: 22050, Channels: 1, ChannelConfig: 1, FrameLength: 1024, SBR: true, PS: true, ExtensionRate: 44100},
		"mp4a.40.29", "fff15c400d7ffc",
	},
	{
		"rate written out, though table 1.18 has it", "1780562210",
		aac.Config{ObjectType: aac.LC, SampleRate: 44100, Channels: 2, ChannelConfig: 2, FrameLength: 1024},
		"mp4a.40.2", "fff150800d7ffc",
	},
	{
		"rate that the table does not have", "178055f010",
		aac.Config{ObjectType: aac.LC, SampleRate: 44000, Channels: 2, ChannelConfig: 2, FrameLength: 1024},
		"mp4a.40.2", "",
	},
	{
		"960 samples a frame", "1214",
		aac.Config{ObjectType: aac.LC, SampleRate: 44100, Channels: 2, ChannelConfig: 2, FrameLength: 960},
		"mp4a.40.2", "",
	},
	{
		"Main profile", "0a10",
		aac.Config{ObjectType: aac.Main, SampleRate: 44100, Channels: 2, ChannelConfig: 2, FrameLength: 1024},
		"mp4a.40.1", "fff110800d7ffc",
	},
	{
		"low delay: frames of half the length", "ba10",
		aac.Config{ObjectType: aac.ERLD, SampleRate: 44100, Channels: 2, ChannelConfig: 2, FrameLength: 512},
		"mp4a.40.23", "",
	},
	{
		"escaped object type: xHE-AAC", "f94840",
		aac.Config{ObjectType: 42, SampleRate: 44100, Channels: 2, ChannelConfig: 2, FrameLength: 1024},
		"mp4a.40.42", "",
	},
	{
		"program_config_element, comment and SBR behind it", "118004c44523044032000002686956e580",
		aac.Config{ObjectType: aac.LC, SampleRate: 48000, Channels: 6, FrameLength: 1024, SBR: true, ExtensionRate: 96000},
		"mp4a.40.5", "",
	},
	{
		"scalable core delay is passed over", "121203195b9620",
		aac.Config{ObjectType: aac.LC, SampleRate: 44100, Channels: 2, ChannelConfig: 2, FrameLength: 1024, SBR: true, ExtensionRate: 88200},
		"mp4a.40.5", "fff150800d7ffc",
	},
	{
		"SBR cut short is no SBR: the core plays", "139056e5",
		aac.Config{ObjectType: aac.LC, SampleRate: 22050, Channels: 2, ChannelConfig: 2, FrameLength: 1024},
		"mp4a.40.2", "fff15c800d7ffc",
	},
}

var configErrors = map[string]string{
	"empty":                         "",
	"one byte":                      "12",
	"object type 0":                 "0210",
	"reserved rate index 13":        "1690",
	"rate written out as 0":         "1780000010",
	"rate cut short":                "178056",
	"reserved extension rate":       "2b168800",
	"reserved channel config 8":     "1240",
	"reserved channel config 15":    "1278",
	"program_config_element cut":    "118004c445",
	"program_config without sound":  "1180000000000000000000000000",
	"comment longer than the bytes": "118004c445230440320000ff6869",
}

func TestConfig(t *testing.T) {
	for _, c := range configCases {
		t.Run(c.name, func(t *testing.T) {
			got, err := aac.ParseConfig(unhex(c.asc))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, got, ignoreIndex); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			if s := got.Codecs(); s != c.codecs {
				t.Errorf("Codecs is %s, want %s", s, c.codecs)
			}
			adts, err := got.AppendADTS(nil, 100)
			if c.adts == "" {
				if !errors.Is(err, aac.ErrADTS) || len(adts) > 0 || got.CheckADTS() == nil {
					t.Errorf("ADTS %x, %v: there is no header for it", adts, err)
				}
				return
			}
			if hex := hex.EncodeToString(adts); hex != c.adts || err != nil || got.CheckADTS() != nil {
				t.Errorf("ADTS %s, %v; want %s", hex, err, c.adts)
			}
		})
	}
}

func TestConfigErrors(t *testing.T) {
	for name, asc := range configErrors {
		if c, err := aac.ParseConfig(unhex(asc)); !errors.Is(err, aac.ErrMalformed) {
			t.Errorf("%s: %+v, %v; want ErrMalformed", name, c, err)
		}
	}
}

func TestADTSFrameSizes(t *testing.T) {
	c, err := aac.ParseConfig(unhex("1210"))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{1, 2, 255, 256, 2047, 2048, 8184} {
		frame, err := c.AppendADTS([]byte("before"), n)
		if err != nil {
			t.Fatalf("%d bytes: %v", n, err)
		}
		frame = append(frame[len("before"):], make([]byte, n)...)
		got, err := aac.ParseADTS(append(frame, 0xff))
		want := aac.ADTS{ObjectType: aac.LC, SampleRate: 44100, ChannelConfig: 2, HeaderSize: 7, FrameSize: n + 7, Blocks: 1}
		if err != nil || got != want {
			t.Errorf("%d bytes: %+v, %v; want %+v", n, got, err, want)
		}
	}
	for _, n := range []int{-1, 0, 8185, 1 << 20} {
		if b, err := c.AppendADTS([]byte("before"), n); !errors.Is(err, aac.ErrADTS) || string(b) != "before" {
			t.Errorf("%d bytes: %v, and %q; aac_frame_length has 13 bits", n, err, b)
		}
	}
}

var adtsErrors = map[string]string{
	"empty":                           "",
	"six bytes":                       "fff15080017f",
	"no syncword":                     "fef150800d7ffc",
	"layer is not 00":                 "fff350800d7ffc",
	"reserved rate":                   "fff174800d7ffc",
	"frame shorter than its header":   "fff15080001ffc",
	"CRC, frame shorter than with it": "fff05080011ffc",
	"cut short":                       "fff15080017ffc0000",
}

func TestADTSErrors(t *testing.T) {
	for name, b := range adtsErrors {
		if a, err := aac.ParseADTS(unhex(b)); !errors.Is(err, aac.ErrMalformed) {
			t.Errorf("%s: %+v, %v; want ErrMalformed", name, a, err)
		}
	}
}

func TestADTSWithCRC(t *testing.T) {
	a, err := aac.ParseADTS(unhex("fff05080017ffd0000aabb"))
	want := aac.ADTS{ObjectType: aac.LC, SampleRate: 44100, ChannelConfig: 2, HeaderSize: 9, FrameSize: 11, Blocks: 2}
	if err != nil || a != want {
		t.Errorf("%+v, %v; want %+v", a, err, want)
	}
}

// For each config that ADTS knows, its header says what the config said.
func TestADTSAgreesWithConfig(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		object := rapid.IntRange(1, 4).Draw(t, "object")
		rate := rapid.IntRange(0, 12).Draw(t, "rate")
		channels := rapid.IntRange(1, 7).Draw(t, "channels")
		asc := []byte{byte(object<<3 | rate>>1), byte(rate<<7 | channels<<3)}
		c, err := aac.ParseConfig(asc)
		if err != nil {
			t.Fatal(err)
		}
		payload := rapid.SliceOfN(rapid.Byte(), 1, 8184).Draw(t, "payload")
		frame, err := c.AppendADTS(nil, len(payload))
		if err != nil {
			t.Fatal(err)
		}
		a, err := aac.ParseADTS(append(frame, payload...))
		if err != nil {
			t.Fatal(err)
		}
		if a.ObjectType != c.ObjectType || a.SampleRate != c.SampleRate || a.ChannelConfig != c.ChannelConfig || a.FrameSize-a.HeaderSize != len(payload) {
			t.Fatalf("config %+v, header %+v", c, a)
		}
	})
}

func FuzzConfig(f *testing.F) {
	for _, c := range configCases {
		f.Add(unhex(c.asc))
	}
	for _, asc := range configErrors {
		f.Add(unhex(asc))
	}
	f.Fuzz(func(t *testing.T, asc []byte) {
		c, err := aac.ParseConfig(asc)
		if err != nil {
			if !errors.Is(err, aac.ErrMalformed) {
				t.Fatalf("%v is not ErrMalformed", err)
			}
			return
		}
		if c.SampleRate <= 0 || c.FrameLength <= 0 || c.Channels < 0 || c.SBR && c.ExtensionRate <= 0 {
			t.Fatalf("%+v out of %x: a muxer divides by these", c, asc)
		}
		_ = c.Codecs()
		if adts, err := c.AppendADTS(nil, 10); err == nil {
			if _, err := aac.ParseADTS(append(adts, make([]byte, 10)...)); err != nil {
				t.Fatalf("header %x of %+v: %v", adts, c, err)
			}
		}
	})
}

func FuzzADTS(f *testing.F) {
	f.Add(unhex("fff05080017ffd0000aabb"))
	for _, b := range adtsErrors {
		f.Add(unhex(b))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := aac.ParseADTS(b)
		if err != nil {
			if !errors.Is(err, aac.ErrMalformed) {
				t.Fatalf("%v is not ErrMalformed", err)
			}
			return
		}
		if a.HeaderSize > a.FrameSize || a.FrameSize > len(b) || !bytes.HasPrefix(b, []byte{0xff}) {
			t.Fatalf("%+v out of %d bytes", a, len(b))
		}
	})
}

func BenchmarkAppendADTS(b *testing.B) {
	c, err := aac.ParseConfig(unhex("1210"))
	if err != nil {
		b.Fatal(err)
	}
	var dst [aac.ADTSHeader]byte
	b.SetBytes(aac.ADTSHeader)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.AppendADTS(dst[:0], 300); err != nil {
			b.Fatal(err)
		}
	}
}
