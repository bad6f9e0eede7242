package testmedia

import (
	"errors"
	"image"
	"image/color"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/media"
)

// small is quick to make: 25 frames a second, so that every timestamp is a
// whole millisecond.
var small = Spec{Seconds: 4, Video: true, Audio: true, Width: 320, Height: 180, FPS: 25, GOP: 50, BFrames: 2}

// TestMP4 holds the files to what Spec promises, as ffmpeg sees them.
func TestMP4(t *testing.T) {
	for _, tt := range []struct {
		name                string
		spec                Spec
		video, audio, keys  int
		profile, resolution string
	}{
		{"H.264 High with B-frames and AAC", small, 100, 174, 2, "High", "320,180"},
		{"audio only", Spec{Seconds: 3, Audio: true, SampleRate: 48000}, 0, 142, 0, "LC", ""},
		{"video only", Spec{Seconds: 2, Video: true, Width: 320, Height: 180}, 60, 0, 1, "High", "320,180"},
		{"10 s GOP", Spec{Seconds: 20, Video: true, Width: 320, Height: 180, FPS: 10, GOP: 100}, 200, 0, 2, "High", "320,180"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := MP4(t, tt.spec)
			if again := MP4(t, tt.spec); again != file {
				t.Errorf("made again as %s, was %s: the cache does not hold", again, file)
			}
			packets := Probe(t, file)
			video, audio := ofKind(packets, media.Video), ofKind(packets, media.Audio)
			if len(video) != tt.video || len(audio) != tt.audio {
				t.Errorf("%d video and %d audio frames, want %d and %d", len(video), len(audio), tt.video, tt.audio)
			}
			keys, delayed := 0, 0
			for _, p := range video {
				if p.Key {
					keys++
				}
				if p.PTS != p.DTS {
					delayed++
				}
			}
			if keys != tt.keys {
				t.Errorf("%d key frames, want %d", keys, tt.keys)
			}
			if (delayed > 0) != (tt.spec.BFrames > 0) {
				t.Errorf("%d frames with PTS != DTS, with %d B-frames asked for", delayed, tt.spec.BFrames)
			}
			out := string(run(t, "ffprobe", "-v", "error", "-show_entries", "stream=profile,width,height", "-of", "csv=p=0", file))
			if !strings.Contains(out, tt.profile) || !strings.Contains(out, tt.resolution) {
				t.Errorf("ffprobe says %q, want %s %s", out, tt.profile, tt.resolution)
			}
		})
	}
}

// TestSpec: what cannot be made is refused.
func TestSpec(t *testing.T) {
	for name, s := range map[string]Spec{
		"nothing":   {Seconds: 1},
		"no length": {Video: true},
		"too long":  {Seconds: 3601, Audio: true},
		"odd":       {Seconds: 1, Video: true, Width: 321, Height: 180},
		"too small": {Seconds: 1, Video: true, Width: 160, Height: 90},
		"uncounted": {Seconds: 600, Video: true, FPS: 120},
	} {
		if _, err := s.complete(); err == nil {
			t.Errorf("%s: %+v is accepted", name, s)
		}
	}
}

// TestContainers: the same frames through other containers compare as the
// same; each way is one that a test of the pipeline takes.
func TestContainers(t *testing.T) {
	file := MP4(t, small)
	want := Probe(t, file)
	if err := SameFrames(want, want); err != nil {
		t.Errorf("a file differs from itself: %v", err)
	}
	for _, name := range []string{"out.flv", "out.ts", "out.m3u8"} {
		t.Run(name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), name)
			run(t, "ffmpeg", "-v", "error", "-i", file, "-c", "copy", "-hls_list_size", "0", "-y", out)
			if err := SameFrames(want, Probe(t, out)); err != nil {
				t.Error(err)
			}
			if a, b := FrameMD5(t, file), FrameMD5(t, out); !slices.Equal(a, b) {
				t.Errorf("%d pictures decode from %s, %d from the MP4, or not to the same pixels", len(b), name, len(a))
			}
		})
	}
}

// TestRounding: 30 frames a second do not fit into whole milliseconds, and
// that is no difference.
func TestRounding(t *testing.T) {
	s := small
	s.FPS, s.GOP = 30, 60
	if err := SameFrames(Probe(t, MP4(t, s)), Probe(t, FLV(t, s))); err != nil {
		t.Error(err)
	}
}

// TestSameFrames: each kind of harm is found and named.
func TestSameFrames(t *testing.T) {
	var want []Packet
	for i := range 100 {
		at := time.Duration(i) * 40 * time.Millisecond
		want = append(want, Packet{Kind: media.Video, DTS: at, PTS: at + 80*time.Millisecond, MD5: "v" + strings.Repeat("x", i)})
		want = append(want, Packet{Kind: media.Audio, DTS: at, PTS: at, MD5: "a" + strings.Repeat("x", i)})
	}
	const ms = time.Millisecond
	each := func(change func(i int, p *Packet)) func([]Packet) []Packet {
		return func(p []Packet) []Packet {
			for i := range p {
				change(i, &p[i])
			}
			return p
		}
	}
	for _, tt := range []struct {
		name   string
		change func([]Packet) []Packet
		want   string // part of the error; "" is none
	}{
		{"one offset", each(func(_ int, p *Packet) { p.DTS += 1400 * ms; p.PTS += 1400 * ms }), ""},
		{"tracks interleaved otherwise", func(p []Packet) []Packet {
			return append(ofKind(p, media.Audio), ofKind(p, media.Video)...)
		}, ""},
		{"audio on its sample clock", each(func(i int, p *Packet) {
			if p.Kind == media.Audio {
				p.PTS += time.Duration(i%3-1) * ms
			}
		}), ""},
		{"missing", func(p []Packet) []Packet { return slices.Delete(p, 20, 22) }, "1 of 100 video frames missing: [\"frame 10"},
		{"missing at the end", func(p []Packet) []Packet { return p[:198] }, "1 of 100 audio frames missing: [\"frame 99"},
		{"doubled", func(p []Packet) []Packet { return slices.Insert(p, 20, p[0]) }, "1 of 100 video frames doubled: [\"at 10"},
		{"changed", each(func(i int, p *Packet) {
			if i == 3 {
				p.MD5 = "other"
			}
		}), "1 of 100 audio frames of other bytes"},
		{"out of order", func(p []Packet) []Packet { p[0], p[2] = p[2], p[0]; return p }, "1 of 100 video frames out of order"},
		{"a jump of a millisecond", each(func(i int, p *Packet) {
			if i >= 100 {
				p.DTS += ms
				p.PTS += ms
			}
		}), "video timestamps are shifted by 0s to 1ms"},
		{"DTS made up", each(func(_ int, p *Packet) {
			if p.Kind == media.Video {
				p.DTS = p.PTS
			}
		}), "video timestamps are shifted by 0s to 80ms"},
		{"out of sync", each(func(_ int, p *Packet) {
			if p.Kind == media.Audio {
				p.PTS += 2 * ms
			}
		}), "audio timestamps are shifted by 2ms to 2ms, want 0s"},
		{"nothing arrived", func([]Packet) []Packet { return nil }, "100 of 100 video frames missing"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := SameFrames(want, tt.change(slices.Clone(want)))
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("%v, want no difference", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("%v, want it to say %q", err, tt.want)
			}
		})
	}
}

// TestCounters: every picture of an encoded file tells its number, in order.
func TestCounters(t *testing.T) {
	for i, n := range Counters(t, MP4(t, small)) {
		if n != i {
			t.Fatalf("picture %d says %d", i, n)
		}
	}
}

// TestReadCounter: numbers are read at any scale, inside of larger pictures,
// and never out of pictures that hold none.
func TestReadCounter(t *testing.T) {
	for _, n := range []int{0, 1, 2, 255, 256, 719, 1799, 43690, 65535} {
		p := NewPicture(640, 360)
		p.Fill(p.Rect, RGB(90, 120, 150))
		p.Counter(n)
		for _, width := range []int{200, 320, 333, 640, 1000, 1920} {
			got, err := ReadCounter(scaled(p, width, image.Rectangle{}))
			if err != nil || got != n {
				t.Errorf("%d in a picture %d pixels wide reads as %d, %v", n, width, got, err)
			}
		}
		page := image.Rect(0, 0, 1280, 900)
		if got, err := ReadCounter(scaled(p, 700, page)); err != nil || got != n {
			t.Errorf("%d in a page's screenshot reads as %d, %v", n, got, err)
		}
	}
	blank := NewPicture(640, 360)
	blank.Fill(blank.Rect, White)
	if n, err := ReadCounter(blank); !errors.Is(err, ErrNoCounter) {
		t.Errorf("a blank picture reads as %d, %v", n, err)
	}
}

// scaled is the picture at another width, in RGB, without smoothing; where
// page is not empty, inside of a white page.
func scaled(p *Picture, width int, page image.Rectangle) image.Image {
	height := p.Rect.Dy() * width / p.Rect.Dx()
	at := image.Pt(0, 0)
	if page.Empty() {
		page = image.Rect(0, 0, width, height)
	} else {
		at = image.Pt((page.Dx()-width)/2, 61)
	}
	img := image.NewRGBA(page)
	for i := range img.Pix {
		img.Pix[i] = 0xff
	}
	for y := range height {
		for x := range width {
			v := p.Y[p.YOffset(x*p.Rect.Dx()/width, y*p.Rect.Dx()/width)]
			img.SetRGBA(at.X+x, at.Y+y, color.RGBA{v, v, v, 0xff})
		}
	}
	return img
}

// TestNoFalseCounter: noise is no counter. 24 runs at equal distances and a
// CRC of eight bits, on three rows, do not come by chance.
func TestNoFalseCounter(t *testing.T) {
	img := image.NewGray(image.Rect(0, 0, 1280, 720))
	seed := uint32(7)
	for i := range img.Pix {
		seed = seed*1664525 + 1013904223
		img.Pix[i] = byte(seed >> 31 * 255)
	}
	if n, err := ReadCounter(img); err == nil {
		t.Errorf("noise reads as %d", n)
	}
}

// TestNanoseconds: time bases that do not divide a second round to the
// nearest, below zero as above.
func TestNanoseconds(t *testing.T) {
	for _, tt := range []struct {
		n    int64
		base [2]int64
		want time.Duration
	}{
		{3, [2]int64{1, 90000}, 33333},
		{6, [2]int64{1, 90000}, 66667},
		{-6, [2]int64{1, 90000}, -66667},
		{-1024, [2]int64{1, 44100}, -23219955},
		{1 << 40, [2]int64{1, 90000}, 12216795864177778},
	} {
		if got := nanoseconds(tt.n, tt.base); got != tt.want {
			t.Errorf("%d at %v is %d ns, want %d", tt.n, tt.base, got, tt.want)
		}
	}
}

// TestEncodeError: what ffmpeg complains of is in the error.
func TestEncodeError(t *testing.T) {
	err := Encode([]string{"-v", "error", "-i", "no-such-file", "-f", "null", "-"}, 0, nil)
	if err == nil || !strings.Contains(err.Error(), "no-such-file") {
		t.Errorf("%v, want it to name the file", err)
	}
}
