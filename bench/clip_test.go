package bench

import (
	"bytes"
	"testing"
	"time"

	"weir/media/h264"
	"weir/remux/flv"
)

func clip(t testing.TB, c ClipConfig) *Clip {
	t.Helper()
	k, err := NewClip(c)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestClip: whatever a clip is asked for, it has that many frames and, to a
// twentieth, that many bits; timestamps are in order, what is shown is each at
// a time of its own, and the loop joins itself without a seam.
func TestClip(t *testing.T) {
	for _, tt := range []struct {
		c             ClipConfig
		seconds       int
		video, audio  int
		keys          int
		compositionMS uint32 // the most that PTS is after DTS
	}{
		{ClipConfig{FPS: 30, GOP: 2 * time.Second, Video: 2_500_000, Audio: 128_000}, 8, 240, 375, 4, 100},
		{ClipConfig{FPS: 25, GOP: time.Second, Video: 500_000, Audio: 64_000}, 8, 200, 375, 8, 120},
		{ClipConfig{FPS: 60, GOP: 3 * time.Second, Video: 6_000_000, Audio: 96_000}, 24, 1440, 1125, 8, 51},
		{ClipConfig{FPS: 30, GOP: 4 * time.Second, Video: 64_000}, 4, 120, 0, 1, 100},
		{ClipConfig{FPS: 5, GOP: 10 * time.Second, Video: 100_000, Audio: 32_000}, 40, 200, 1875, 4, 600},
	} {
		k := clip(t, tt.c)
		if k.Video != tt.video || k.Audio != tt.audio || k.Length != uint32(tt.seconds*1000) {
			t.Errorf("%+v: %d pictures, %d audio frames in %d ms, want %d, %d in %d s", tt.c, k.Video, k.Audio, k.Length, tt.video, tt.audio, tt.seconds)
		}
		if want := int64((tt.c.Video + tt.c.Audio) / 8 * tt.seconds); k.Bytes < want*95/100 || k.Bytes > want*105/100 {
			t.Errorf("%+v: %d bytes, want about %d", tt.c, k.Bytes, want)
		}
		shown, keys, last, next := map[uint32]bool{}, 0, uint32(0), 0
		for i, tag := range k.Loop {
			if tag.Timestamp < last || tag.Timestamp >= k.Length {
				t.Fatalf("%+v: tag %d is stamped %d after %d, of %d", tt.c, i, tag.Timestamp, last, k.Length)
			}
			last = tag.Timestamp
			if tag.Type != flv.TagVideo {
				continue
			}
			v, err := flv.ParseVideo(tag.Data)
			if err != nil || v.Packet != flv.CodedFrames || v.CTS < 0 || uint32(v.CTS) > tt.compositionMS {
				t.Fatalf("%+v: picture %d: %+v, %v", tt.c, next, v, err)
			}
			if at := tag.Timestamp + uint32(v.CTS); shown[at] {
				t.Errorf("%+v: two pictures are shown at %d ms", tt.c, at)
			} else {
				shown[at] = true
			}
			if v.Key() {
				keys++
			}
			for n := range numbersOfAVCC(v.Body) {
				if n != next {
					t.Fatalf("%+v: picture %d says that it is %d", tt.c, next, n)
				}
			}
			next++
		}
		if keys != tt.keys || !flv.IsKeyframe(k.Loop[0]) || k.Loop[0].Timestamp != 0 {
			t.Errorf("%+v: %d key pictures, want %d, the first one at 0", tt.c, keys, tt.keys)
		}
	}
}

// numbersOfAVCC are the numbers of the pictures in a body of length-prefixed
// NAL units.
func numbersOfAVCC(b []byte) func(func(int) bool) {
	return pictureNumbers(append([]byte{0, 0, 0, 1}, b[4:]...))
}

func TestClipRefuses(t *testing.T) {
	sound := ClipConfig{FPS: 30, GOP: 2 * time.Second, Video: 2_500_000, Audio: 128_000}
	for name, change := range map[string]func(c *ClipConfig){
		"no pictures":          func(c *ClipConfig) { c.FPS = 0 },
		"121 pictures":         func(c *ClipConfig) { c.FPS = 121 },
		"a GOP of 1.5 s":       func(c *ClipConfig) { c.GOP = 1500 * time.Millisecond },
		"no GOP":               func(c *ClipConfig) { c.GOP = 0 },
		"a GOP of 11 s":        func(c *ClipConfig) { c.GOP = 11 * time.Second },
		"pictures too small":   func(c *ClipConfig) { c.Video = 30 * 199 * 8 },
		"pictures too large":   func(c *ClipConfig) { c.Video = 100_000_001 },
		"audio too small":      func(c *ClipConfig) { c.Audio = 7999 },
		"audio of an ADTS bit": func(c *ClipConfig) { c.Audio = 512_001 },
		"audio below nothing":  func(c *ClipConfig) { c.Audio = -1 },
	} {
		c := sound
		change(&c)
		if _, err := NewClip(c); err == nil {
			t.Errorf("%s: a clip was made", name)
		}
	}
}

// TestNoStartCodes: the noise holds nothing that a reader of the bitstream
// takes for a start code, and headers that parse.
func TestNoStartCodes(t *testing.T) {
	k := clip(t, ClipConfig{FPS: 30, GOP: 2 * time.Second, Video: 2_500_000, Audio: 128_000})
	for i, tag := range k.Loop {
		payload := tag.Data[9:]
		if tag.Type == flv.TagAudio {
			payload = tag.Data[2:]
		}
		if bytes.IndexByte(payload, 0) >= 0 {
			t.Fatalf("tag %d holds a zero byte", i)
		}
	}
	v, err := flv.ParseVideo(k.Headers[1].Data)
	if err != nil {
		t.Fatal(err)
	}
	c, err := h264.ParseConfig(v.Body)
	if err != nil || len(c.SPS) == 0 {
		t.Fatalf("AVCDecoderConfigurationRecord: %v", err)
	}
	if s, err := h264.ParseSPS(c.SPS[0]); err != nil || s.Width != 1280 || s.Height != 720 {
		t.Errorf("the SPS is of %dx%d, %v", s.Width, s.Height, err)
	}
}

// TestMarkers: a number comes back, and what is no marker is none.
func TestMarkers(t *testing.T) {
	for _, n := range []int{0, 1, 127, 128, 16383, 16384, 1<<21 - 1} {
		if got, ok := markerOf(appendMarker(nil, n)); !ok || got != n {
			t.Errorf("%d came back as %d, %v", n, got, ok)
		}
	}
	for _, b := range [][]byte{nil, {0x80, 0x80}, {0x80, 0x80, 0x7F}, {0, 0, 0}} {
		if n, ok := markerOf(b); ok {
			t.Errorf("% x was taken for %d", b, n)
		}
	}
}

// TestFollower: of a track that goes round in a loop of 100, what is missing,
// what came again, and what is sound.
func TestFollower(t *testing.T) {
	for _, tt := range []struct {
		name    string
		numbers []int
		want    tally
	}{
		{"in order", []int{0, 1, 2}, tally{Checked: 3}},
		{"from the middle", []int{40, 41}, tally{Checked: 2}},
		{"round", []int{98, 99, 0, 1}, tally{Checked: 4}},
		{"one is lost", []int{1, 3}, tally{Checked: 2, Lost: 1}},
		{"lost over the seam", []int{98, 1}, tally{Checked: 2, Lost: 2}},
		{"one came again", []int{1, 2, 2, 3}, tally{Checked: 4, Doubled: 1}},
		{"two changed places", []int{1, 3, 2, 4}, tally{Checked: 4, Lost: 1, Doubled: 1}},
		{"half a loop is lost, less one", []int{0, 50}, tally{Checked: 2, Lost: 49}},
	} {
		f, got := follower{n: 100}, tally{}
		for _, n := range tt.numbers {
			f.take(n, &got)
		}
		if got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

// BenchmarkAt is what the pacer does for each frame, but for the system call.
func BenchmarkAt(b *testing.B) {
	k := clip(b, ClipConfig{FPS: 30, GOP: 2 * time.Second, Video: 2_500_000, Audio: 128_000})
	cut, err := newCuts(k)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		cut.loop[i%len(cut.loop)].At(uint32(i), 1)
	}
}
