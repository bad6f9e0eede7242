package testmedia

import (
	"fmt"
	"image"
)

// card is the test card: the counter for machines, a timecode for people, a
// box that moves, and a drifting grain that gives the encoder something to do,
// so that pictures have the sizes of real ones.
type card struct {
	fps         int
	ground, now *Picture
	grain       []byte // one row of random luma, twice as wide as the picture
}

func newCard(width, height, fps int) *card {
	c := &card{fps: fps, ground: NewPicture(width, height), now: NewPicture(width, height), grain: make([]byte, 2*width)}
	for y := 0; y < height; y += 2 {
		shade := 60 * y / height
		c.ground.Fill(image.Rect(0, y, width, y+2), RGB(20+shade/2, 40+shade, 70+2*shade))
	}
	bars := []Color{RGB(230, 230, 230), RGB(230, 220, 40), RGB(40, 210, 220), RGB(60, 200, 80), RGB(210, 70, 190), RGB(210, 60, 50), RGB(50, 70, 200)}
	for i, b := range bars {
		c.ground.Fill(image.Rect(i*width/len(bars)&^1, height/4&^1, (i+1)*width/len(bars)&^1, height*3/8&^1), b)
	}
	seed := uint32(1)
	for i := range c.grain {
		seed = seed*1664525 + 1013904223
		c.grain[i] = 60 + byte(seed>>24)/2
	}
	return c
}

// draw draws frame n. The picture is valid until the next call.
func (c *card) draw(n int) *Picture {
	p := c.now
	p.copyFrom(c.ground)
	w, h := p.Rect.Dx(), p.Rect.Dy()
	for y := h * 3 / 4; y < h; y++ {
		from := (n*3 + y/4*37) % w
		copy(p.Y[y*p.YStride:y*p.YStride+w], c.grain[from:])
	}
	x := n * 4 % w
	p.Fill(image.Rect(x, h*5/8, x+h/12, h*5/8+h/12), RGB(240, 240, 240))
	p.Text(image.Pt(w/16, h*13/32), h/72, timecode(n, c.fps), White)
	p.Counter(n)
	return p
}

// timecode is minutes, seconds and the frame within the second.
func timecode(n, fps int) string {
	return fmt.Sprintf("%02d:%02d.%02d", n/fps/60, n/fps%60, n%fps)
}
