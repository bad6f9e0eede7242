package aac_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"weir/internal/external"
	"weir/media/aac"
)

func parse(t *testing.T, asc []byte) aac.Config {
	t.Helper()
	c, err := aac.ParseConfig(asc)
	if err != nil {
		t.Fatalf("parse the config %x: %v", asc, err)
	}
	return c
}

// The bits, written out by hand from ISO/IEC 14496-3, 4.4.2.
func TestSilenceBits(t *testing.T) {
	for _, c := range []struct{ name, asc, want string }{
		// 000 0000 | 22 zero bits | 111
		{"mono: a single_channel_element and the end", "1208", "00000007"},
		// 001 0000 0 | 44 zero bits | 111: 55 bits
		{"stereo: a channel_pair_element of two streams of its own", "1210", "2000000000000e"},
	} {
		got, err := parse(t, unhex(c.asc)).AppendSilence([]byte{0xaa})
		if err != nil || hex.EncodeToString(got) != "aa"+c.want {
			t.Errorf("%s: %x, %v; want %s behind what was there", c.name, got, err, c.want)
		}
	}
}

func TestSilenceWhereThereIsNone(t *testing.T) {
	for _, c := range []struct{ name, asc string }{
		{"low delay has another frame", "b98c00"},
		{"22.2 channels have no layout here", "11e8"},
	} {
		config, err := aac.ParseConfig(unhex(c.asc))
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if got, err := config.AppendSilence(nil); !errors.Is(err, aac.ErrADTS) || len(got) != 0 {
			t.Errorf("%s: %x, %v; want nothing, and ErrADTS", c.name, got, err)
		}
	}
}

func TestSilenceAllocatesNothing(t *testing.T) {
	config, buf := parse(t, unhex("11b8")), make([]byte, 0, 64)
	if n := testing.AllocsPerRun(100, func() { _, _ = config.AppendSilence(buf) }); n != 0 {
		t.Errorf("a silent frame costs %v allocations", n)
	}
}

// A decoder plays the silent frames of each channel count and rate as silence
// of the right length, between frames of a real encoder that are heard.
func TestSilenceIsHeardAsSilence(t *testing.T) {
	for _, layout := range []string{"mono", "stereo", "3.0", "4.0", "5.0", "5.1", "7.1(wide)", "quad", "2.1"} {
		t.Run(layout, func(t *testing.T) {
			t.Parallel()
			for _, rate := range []int{8000, 22050, 44100, 48000, 96000} {
				between(t, layout, rate)
			}
		})
	}
}

func between(t *testing.T, layout string, rate int) {
	t.Helper()
	asc, tone := encode(t, layout, rate)
	config := parse(t, asc)
	silence, err := config.AppendSilence(nil)
	if err != nil {
		t.Fatalf("%s, %d Hz: %v", layout, rate, err)
	}
	const n = 10
	frames := append(append(append([][]byte{}, tone[:n]...), repeated(silence, n)...), tone[n:2*n]...)
	samples := decode(t, asc, frames, config.Channels)
	length := config.FrameLength * config.Channels
	if got := len(samples) / length; got < 3*n-2 || got > 3*n+1 {
		t.Fatalf("%s, %d Hz: %d frames decoded to %d", layout, rate, 3*n, got)
	}
	if loud := peak(samples[4*length : (n-1)*length]); loud < 0.05 {
		t.Fatalf("%s, %d Hz: the tone's peak is %g: this test hears nothing", layout, rate, loud)
	}
	// The first silent frame holds the overlap with the tone; the decoder may
	// leave out its first frame.
	if loud := peak(samples[(n+1)*length : (2*n-2)*length]); loud != 0 {
		t.Errorf("%s, %d Hz: the silence has a peak of %g", layout, rate, loud)
	}
	if loud := peak(samples[(2*n+2)*length:]); loud < 0.05 {
		t.Errorf("%s, %d Hz: behind the silence the tone's peak is %g", layout, rate, loud)
	}
}

// HE-AAC plays at twice the core's rate, with PS in stereo from one channel.
func TestSilenceOfExtendedAAC(t *testing.T) {
	for _, c := range []struct {
		name, asc string
		channels  int
	}{
		{"HE-AAC", "2b118800", 2},
		{"HE-AAC v2", "eb098800", 2},
		{"HE-AAC, backward compatible", "139056e5a0", 2},
	} {
		config := parse(t, unhex(c.asc))
		silence, err := config.AppendSilence(nil)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		samples := decode(t, unhex(c.asc), repeated(silence, 20), c.channels)
		if got := len(samples) / (2 * config.FrameLength * c.channels); got < 18 || got > 21 || peak(samples) != 0 {
			t.Errorf("%s: 20 silent frames decode to %d frames with a peak of %g", c.name, got, peak(samples))
		}
	}
}

func repeated(frame []byte, n int) (all [][]byte) {
	for range n {
		all = append(all, frame)
	}
	return all
}

func peak(samples []float32) (p float64) {
	for _, s := range samples {
		p = max(p, math.Abs(float64(s)))
	}
	return p
}

// encode has ffmpeg make a tone and returns its AudioSpecificConfig and frames.
func encode(t *testing.T, layout string, rate int) (asc []byte, frames [][]byte) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "tone.flv")
	source := fmt.Sprintf("sine=frequency=500:sample_rate=%d:duration=%d", rate, 1+30*1024/rate)
	ffmpeg(t, "-f", "lavfi", "-i", source, "-af", "volume=12dB,aformat=channel_layouts="+layout, "-ar", fmt.Sprint(rate),
		"-c:a", "aac", "-flvflags", "no_duration_filesize", "-f", "flv", "-y", name)
	file, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for p := file[13:]; len(p) >= 15; {
		size := int(p[1])<<16 | int(p[2])<<8 | int(p[3])
		body := p[11 : 11+size]
		switch {
		case p[0] != 8:
		case body[1] == 0:
			asc = bytes.Clone(body[2:])
		default:
			frames = append(frames, bytes.Clone(body[2:]))
		}
		p = p[15+size:]
	}
	if len(frames) < 24 || asc == nil {
		t.Fatalf("%s, %d Hz: ffmpeg made %d frames", layout, rate, len(frames))
	}
	return asc, frames[2:] // behind the priming
}

// decode has ffmpeg decode frames and returns the samples, interleaved.
func decode(t *testing.T, asc []byte, frames [][]byte, channels int) (samples []float32) {
	t.Helper()
	b := []byte("FLV\x01\x04\x00\x00\x00\x09\x00\x00\x00\x00")
	tag := func(ts int, kind byte, body []byte) {
		n := len(body) + 2
		b = append(b, 8, byte(n>>16), byte(n>>8), byte(n), byte(ts>>16), byte(ts>>8), byte(ts), 0, 0, 0, 0, 0xaf, kind)
		b = append(b, body...)
		b = binary.BigEndian.AppendUint32(b, uint32(n+11))
	}
	tag(0, 0, asc)
	for i, f := range frames {
		tag(i*20, 1, f)
	}
	name := filepath.Join(t.TempDir(), "in.flv")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	pcm := ffmpeg(t, "-i", name, "-f", "f32le", "-")
	samples = make([]float32, len(pcm)/4)
	for i := range samples {
		samples[i] = math.Float32frombits(binary.LittleEndian.Uint32(pcm[4*i:]))
	}
	if len(samples)%channels != 0 {
		t.Fatalf("%d samples of %d channels", len(samples), channels)
	}
	return samples
}

func ffmpeg(t *testing.T, args ...string) []byte {
	t.Helper()
	external.Need(t, "ffmpeg")
	cmd := exec.Command("ffmpeg", append([]string{"-v", "error", "-nostdin"}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("ffmpeg %v: %v\n%s", args, err, stderr.Bytes())
	}
	return out
}

// FuzzSilence: whatever configuration is taken, its silence is a raw_data_block that
// ends as it should, is short, and is a frame that ADTS has a form for if the
// configuration has one.
func FuzzSilence(f *testing.F) {
	for _, asc := range []string{"1208", "1210", "11b8", "2b118800", "118004c844002000c40d4c61766335392e33372e31303056e500", "11e8", "b98c00"} {
		f.Add(unhex(asc))
	}
	f.Fuzz(func(t *testing.T, asc []byte) {
		c, err := aac.ParseConfig(asc)
		if err != nil {
			return
		}
		frame, err := c.AppendSilence([]byte{0xaa})
		switch {
		case err != nil && (!errors.Is(err, aac.ErrADTS) || len(frame) != 1):
			t.Fatalf("%x: %x, %v", asc, frame, err)
		case err != nil:
			return
		case frame[0] != 0xaa || len(frame) < 4 || len(frame) > 1+512:
			t.Fatalf("%x: silence of %d bytes", asc, len(frame)-1)
		}
		// id_syn_ele ID_END, and zeros up to the byte's end.
		last := frame[len(frame)-1]
		tail := uint16(frame[len(frame)-2])<<8 | uint16(last)
		for tail&1 == 0 && tail != 0 {
			tail >>= 1
		}
		if tail&7 != 7 {
			t.Fatalf("%x: silence %x has no end", asc, frame[1:])
		}
	})
}
