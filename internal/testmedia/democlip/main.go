// Democlip draws and encodes the clip that weir demo pushes: water running
// over a weir at dusk, a timecode and a frame number for people, the bar code
// of package testmedia for tests. It loops without a seam: the waves' periods,
// the video and the audio all divide its length.
//
//	go run ./internal/testmedia/democlip cmd/weir/demo/clip.flv
package main

import (
	"fmt"
	"image"
	"log"
	"math"
	"os"
	"strconv"

	"weir/internal/testmedia"
)

// What the clip is. 24 s are 720 pictures and, at 48 kHz, 1125 AAC frames of
// 1024 samples exactly: both tracks end together, and a loop may add 24000 ms
// to every timestamp.
const (
	width, height = 640, 360
	fps           = 30
	seconds       = 24
	frames        = seconds * fps
	gop           = 2 * fps
	sampleRate    = 48000
	audioFrames   = seconds * sampleRate / 1024
)

// tone plucks one note of a pentatonic scale each second, with its fifth.
const tone = "0.25*exp(-3*mod(t,1))*(sin(2*PI*t*220*pow(2,mod(5*floor(t),12)/12))+0.4*sin(2*PI*t*330*pow(2,mod(5*floor(t),12)/12)))"

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: democlip FILE.flv")
	}
	args := append([]string{"-v", "error", "-y"}, testmedia.RawVideo(width, height, fps)...)
	args = append(args, "-f", "lavfi", "-i", "aevalsrc='"+tone+"':c=stereo:s="+strconv.Itoa(sampleRate)+":d="+strconv.Itoa(seconds),
		"-c:v", "libx264", "-profile:v", "high", "-preset", "veryslow", "-crf", "27", "-bf", "2", "-threads", "1",
		"-g", strconv.Itoa(gop), "-keyint_min", strconv.Itoa(gop), "-sc_threshold", "0",
		"-c:a", "aac", "-b:a", "64k", "-frames:a", strconv.Itoa(audioFrames), "-bitexact", os.Args[1])
	if err := testmedia.Encode(args, frames, newScene().draw); err != nil {
		log.Fatal(err)
	}
}

// scene is the clip: what stays, and the picture being drawn.
type scene struct {
	sky, now *testmedia.Picture
}

// wave is one layer of water: its top edge is a sum of two sines that both
// come round once in the clip, or a whole number of times.
type wave struct {
	level, swell float64 // pixels: mean height of the edge, amplitude
	long, short  float64 // waves in the picture's width
	turns        float64 // periods in the clip
	color        testmedia.Color
}

var waves = []wave{
	{206, 8, 1, 3, 3, testmedia.RGB(28, 66, 112)},
	{232, 9, 1.5, 4, 5, testmedia.RGB(22, 92, 134)},
	{262, 10, 1, 5, 7, testmedia.RGB(24, 122, 150)},
	{296, 11, 2, 5, 9, testmedia.RGB(40, 156, 166)},
	{330, 9, 1.5, 6, 12, testmedia.RGB(112, 198, 192)},
}

func newScene() *scene {
	s := &scene{sky: testmedia.NewPicture(width, height), now: testmedia.NewPicture(width, height)}
	for y := 0; y < height; y += 2 {
		d := min(y, 220)
		s.sky.Fill(image.Rect(0, y, width, y+2), testmedia.RGB(24+d*196/220, 28+d*96/220, 62+d*50/220))
	}
	disc(s.sky, image.Pt(width*3/4, 170), 42, testmedia.RGB(252, 214, 150))
	s.sky.Text(image.Pt(40, 68), 10, "weir", testmedia.RGB(236, 240, 244))
	s.sky.Text(image.Pt(42, 150), 3, "demo", testmedia.RGB(236, 200, 170))
	return s
}

// disc paints a filled circle.
func disc(p *testmedia.Picture, at image.Point, radius int, c testmedia.Color) {
	for y := -radius; y < radius; y++ {
		half := int(math.Sqrt(float64(radius*radius - y*y)))
		p.Fill(image.Rect(at.X-half, at.Y+y, at.X+half, at.Y+y+1), c)
	}
}

// draw draws frame n. The picture is valid until the next call.
func (s *scene) draw(n int) *testmedia.Picture {
	p := s.now
	copy(p.Y, s.sky.Y)
	copy(p.Cb, s.sky.Cb)
	copy(p.Cr, s.sky.Cr)
	for _, w := range waves {
		w.draw(p, n)
	}
	shadow, light := testmedia.RGB(10, 44, 66), testmedia.RGB(246, 250, 250)
	code := fmt.Sprintf("%02d:%02d.%02d", n/fps/60, n/fps%60, n%fps)
	frame := fmt.Sprintf("frame %03d", n)
	for _, l := range []struct {
		at  image.Point
		dot int
		s   string
	}{
		{image.Pt((width-testmedia.TextWidth(8, code))/2, 226), 8, code},
		{image.Pt((width-testmedia.TextWidth(4, frame))/2, 300), 4, frame},
	} {
		p.Text(l.at.Add(image.Pt(l.dot/2, l.dot/2)), l.dot, l.s, shadow)
		p.Text(l.at, l.dot, l.s, light)
	}
	p.Counter(n)
	return p
}

// draw paints the wave's water, down to the picture's lower edge.
func (w wave) draw(p *testmedia.Picture, n int) {
	phase := 2 * math.Pi * float64(n) / frames
	for x := 0; x < width; x += 2 {
		at := 2 * math.Pi * float64(x) / width
		edge := w.level + w.swell*math.Sin(w.long*at+w.turns*phase) + w.swell/3*math.Sin(w.short*at-2*w.turns*phase)
		p.Fill(image.Rect(x, int(edge), x+2, height), w.color)
	}
}
