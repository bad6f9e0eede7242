package mp3

import (
	"bytes"
	"errors"
	"math"
	"os/exec"
	"testing"

	"weir/internal/external"
)

// The headers are as encoders write them; sizes and durations are those of
// ISO/IEC 11172-3, 2.4.3.1 and ISO/IEC 13818-3, 2.4.3.1.
var headers = []struct {
	name   string
	header []byte
	want   Header
	frame  int // samples
	codecs string
}{
	{"128 kbit/s, 44.1 kHz", []byte{0xff, 0xfb, 0x90, 0x64}, Header{Config{MPEG1, 3, 44100, 2}, 128000, 417}, 1152, "mp4a.40.34"},
	{"the same, padded", []byte{0xff, 0xfb, 0x92, 0x64}, Header{Config{MPEG1, 3, 44100, 2}, 128000, 418}, 1152, "mp4a.40.34"},
	{"with a CRC", []byte{0xff, 0xfa, 0x90, 0x64}, Header{Config{MPEG1, 3, 44100, 2}, 128000, 417}, 1152, "mp4a.40.34"},
	{"320 kbit/s, 48 kHz", []byte{0xff, 0xfb, 0xe4, 0x00}, Header{Config{MPEG1, 3, 48000, 2}, 320000, 960}, 1152, "mp4a.40.34"},
	{"one channel, 32 kHz", []byte{0xff, 0xfb, 0x18, 0xc4}, Header{Config{MPEG1, 3, 32000, 1}, 32000, 144}, 1152, "mp4a.40.34"},
	{"two languages", []byte{0xff, 0xfb, 0x90, 0x84}, Header{Config{MPEG1, 3, 44100, 2}, 128000, 417}, 1152, "mp4a.40.34"},
	{"MPEG-2, 22.05 kHz", []byte{0xff, 0xf3, 0x80, 0xc4}, Header{Config{MPEG2, 3, 22050, 1}, 64000, 208}, 576, "mp4a.40.34"},
	{"MPEG-2, 16 kHz", []byte{0xff, 0xf3, 0x48, 0xc4}, Header{Config{MPEG2, 3, 16000, 1}, 32000, 144}, 576, "mp4a.40.34"},
	{"MPEG-2.5, 11.025 kHz", []byte{0xff, 0xe3, 0x40, 0xc4}, Header{Config{MPEG25, 3, 11025, 1}, 32000, 208}, 576, "mp4a.40.34"},
	{"MPEG-2.5, 8 kHz", []byte{0xff, 0xe3, 0x18, 0xc4}, Header{Config{MPEG25, 3, 8000, 1}, 8000, 72}, 576, "mp4a.40.34"},
	{"layer II, 192 kbit/s", []byte{0xff, 0xfd, 0xa4, 0x00}, Header{Config{MPEG1, 2, 48000, 2}, 192000, 576}, 1152, "mp4a.40.33"},
	{"layer II of MPEG-2", []byte{0xff, 0xf5, 0x84, 0x00}, Header{Config{MPEG2, 2, 24000, 2}, 64000, 384}, 1152, "mp4a.40.33"},
	{"layer I, 384 kbit/s, padded", []byte{0xff, 0xff, 0xc2, 0x00}, Header{Config{MPEG1, 1, 44100, 2}, 384000, 420}, 384, "mp4a.40.32"},
}

func TestParseHeader(t *testing.T) {
	for _, tt := range headers {
		got, err := ParseHeader(tt.header)
		if err != nil || got != tt.want || got.FrameLength() != tt.frame || got.Codecs() != tt.codecs {
			t.Errorf("%s: %+v of %d samples, %s, %v; want %+v of %d, %s", tt.name, got, got.FrameLength(), got.Codecs(), err, tt.want, tt.frame, tt.codecs)
		}
		if _, err := ParseFrame(append(tt.header[:4:4], make([]byte, tt.want.Size-5)...)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: a frame that lacks a byte: %v", tt.name, err)
		}
	}
	for name, p := range map[string][]byte{
		"three bytes":              {0xff, 0xfb, 0x90},
		"no syncword":              {0xff, 0x1b, 0x90, 0x64},
		"a reserved version":       {0xff, 0xeb, 0x90, 0x64},
		"a reserved layer: ADTS":   {0xff, 0xf9, 0x90, 0x64},
		"bit rate 15":              {0xff, 0xfb, 0xf0, 0x64},
		"free format":              {0xff, 0xfb, 0x00, 0x64},
		"a reserved sampling rate": {0xff, 0xfb, 0x9c, 0x64},
		"an ID3 tag":               []byte("ID3\x04"),
	} {
		if h, err := ParseHeader(p); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %+v, %v", name, h, err)
		}
	}
}

// What lies in front of a frame is passed over, what looks like a header is
// none.
func TestFind(t *testing.T) {
	frame := headers[0].want.AppendSilence(nil)
	other := Config{MPEG2, 3, 22050, 1}.AppendSilence(nil)
	for _, tt := range []struct {
		name string
		p    []byte
		want int
	}{
		{"a frame", frame, 0},
		{"two", append(bytes.Clone(frame), frame...), 0},
		{"behind an ID3 tag", append([]byte("ID3 and so on"), frame...), 13},
		{"behind a syncword", append([]byte{0xff, 0xfb, 0x90, 0x64, 0xff}, frame...), 5},
		{"one of another kind behind it", append(bytes.Clone(frame), other...), len(frame)},
		{"one that is cut", frame[:len(frame)-1], -1},
		{"nothing", nil, -1},
		{"rubbish", bytes.Repeat([]byte{0xff}, 1000), -1},
	} {
		if got := Find(tt.p); got != tt.want {
			t.Errorf("%s: found at %d, want %d", tt.name, got, tt.want)
		}
	}
}

// Silence is what ffmpeg decodes, of each form: as many samples as there are,
// none of them heard.
func TestSilence(t *testing.T) {
	for _, tt := range headers {
		frame := tt.want.AppendSilence([]byte("x"))[1:]
		h, err := ParseFrame(frame)
		if err != nil || h.Config != tt.want.Config || h.Size != len(frame) {
			t.Errorf("%s: %d bytes are %+v, %v", tt.name, len(frame), h, err)
		}
	}
	if testing.Short() {
		return
	}
	external.Need(t, "ffmpeg")
	for i, tt := range headers {
		if i%3 > 0 { // a process each
			continue
		}
		const n = 12
		cmd := exec.Command("ffmpeg", "-v", "error", "-f", "mp3", "-i", "-", "-f", "s16le", "-")
		cmd.Stdin = bytes.NewReader(bytes.Repeat(tt.want.AppendSilence(nil), n))
		var complaints bytes.Buffer
		cmd.Stderr = &complaints
		pcm, err := cmd.Output()
		if err != nil || complaints.Len() > 0 {
			t.Errorf("%s: %v %s", tt.name, err, &complaints)
		}
		if got, want := len(pcm), n*tt.frame*tt.want.Channels*2; math.Abs(float64(got-want)) > float64(want/n) {
			t.Errorf("%s: %d bytes of sound, want %d", tt.name, got, want)
		}
		if len(bytes.Trim(pcm, "\x00")) > 0 {
			t.Errorf("%s: something is heard", tt.name)
		}
	}
}

// FuzzFrame: whatever comes, a frame is within what it was found in, and is
// the one that Find finds.
func FuzzFrame(f *testing.F) {
	for _, tt := range headers {
		f.Add(tt.want.AppendSilence(nil))
		f.Add(append(tt.header[:4:4], make([]byte, tt.want.Size)...))
	}
	f.Add([]byte("ID3\xff\xfb\x90\x64"))
	f.Fuzz(func(t *testing.T, p []byte) {
		h, err := ParseFrame(p)
		if err == nil && (h.Size < HeaderSize || h.Size > len(p) || h.SampleRate < 8000 || h.FrameLength() > 1152) {
			t.Fatalf("%+v of %d bytes", h, len(p))
		}
		if err == nil && h.Size == len(p) && Find(p) != 0 {
			t.Fatalf("a frame is found at %d", Find(p))
		}
		if at := Find(p); at >= 0 {
			h, err := ParseFrame(p[at:])
			if err != nil {
				t.Fatalf("what was found at %d: %v", at, err)
			}
			again, err := ParseFrame(h.AppendSilence(nil))
			if err != nil || again.Config != h.Config {
				t.Fatalf("silence of %+v is %+v, %v", h, again, err)
			}
		}
	})
}
