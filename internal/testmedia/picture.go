package testmedia

import (
	"image"
	"io"
)

// Color is a colour as H.264 carries it: limited range, 16 to 235 for luma
// (ITU-R BT.601).
type Color struct{ Y, Cb, Cr uint8 }

// The colours that the counter is drawn in.
var (
	Black = Color{16, 128, 128}
	White = Color{235, 128, 128}
)

// RGB is the colour of red, green and blue, each 0 to 255.
func RGB(r, g, b int) Color {
	return Color{
		Y:  uint8(16 + (65738*r+129057*g+25064*b+128000)/256000),
		Cb: uint8(128 + (-37945*r-74494*g+112439*b)/256000),
		Cr: uint8(128 + (112439*r-94154*g-18285*b)/256000),
	}
}

// Picture is a 4:2:0 picture to draw on. Its luma is of limited range; the
// image.YCbCr inside is only a convenient holder of planes.
type Picture struct{ *image.YCbCr }

// NewPicture returns a picture with undefined contents. The sides are even.
func NewPicture(width, height int) *Picture {
	return &Picture{image.NewYCbCr(image.Rect(0, 0, width, height), image.YCbCrSubsampleRatio420)}
}

// Fill paints a rectangle. Chroma is painted in whole 2x2 blocks.
func (p *Picture) Fill(r image.Rectangle, c Color) {
	r = r.Intersect(p.Rect)
	if r.Empty() {
		return
	}
	for y := r.Min.Y; y < r.Max.Y; y++ {
		fill(p.Y[y*p.YStride+r.Min.X:y*p.YStride+r.Max.X], c.Y)
	}
	for y := r.Min.Y / 2; y < (r.Max.Y+1)/2; y++ {
		from, to := y*p.CStride+r.Min.X/2, y*p.CStride+(r.Max.X+1)/2
		fill(p.Cb[from:to], c.Cb)
		fill(p.Cr[from:to], c.Cr)
	}
}

func fill(b []byte, v byte) {
	for i := range b {
		b[i] = v
	}
}

// copyFrom makes p equal to q, which has the same size.
func (p *Picture) copyFrom(q *Picture) {
	copy(p.Y, q.Y)
	copy(p.Cb, q.Cb)
	copy(p.Cr, q.Cr)
}

// write writes the planes as ffmpeg's yuv420p.
func (p *Picture) write(w io.Writer) error {
	for _, plane := range [][]byte{p.Y, p.Cb, p.Cr} {
		if _, err := w.Write(plane); err != nil {
			return err
		}
	}
	return nil
}

// glyphs are 5x7 dots each, a row a byte, the leftmost dot in bit 4.
var glyphs = map[rune][7]byte{
	'0': {0x0e, 0x11, 0x13, 0x15, 0x19, 0x11, 0x0e},
	'1': {0x04, 0x0c, 0x04, 0x04, 0x04, 0x04, 0x0e},
	'2': {0x0e, 0x11, 0x01, 0x02, 0x04, 0x08, 0x1f},
	'3': {0x1f, 0x02, 0x04, 0x02, 0x01, 0x11, 0x0e},
	'4': {0x02, 0x06, 0x0a, 0x12, 0x1f, 0x02, 0x02},
	'5': {0x1f, 0x10, 0x1e, 0x01, 0x01, 0x11, 0x0e},
	'6': {0x06, 0x08, 0x10, 0x1e, 0x11, 0x11, 0x0e},
	'7': {0x1f, 0x01, 0x02, 0x04, 0x08, 0x08, 0x08},
	'8': {0x0e, 0x11, 0x11, 0x0e, 0x11, 0x11, 0x0e},
	'9': {0x0e, 0x11, 0x11, 0x0f, 0x01, 0x02, 0x0c},
	':': {0x00, 0x04, 0x04, 0x00, 0x04, 0x04, 0x00},
	'.': {0x00, 0x00, 0x00, 0x00, 0x00, 0x0c, 0x0c},
	'/': {0x01, 0x01, 0x02, 0x04, 0x08, 0x10, 0x10},
	'a': {0x00, 0x00, 0x0e, 0x01, 0x0f, 0x11, 0x0f},
	'd': {0x01, 0x01, 0x0d, 0x13, 0x11, 0x11, 0x0f},
	'e': {0x00, 0x00, 0x0e, 0x11, 0x1f, 0x10, 0x0e},
	'f': {0x06, 0x09, 0x08, 0x1c, 0x08, 0x08, 0x08},
	'i': {0x04, 0x00, 0x0c, 0x04, 0x04, 0x04, 0x0e},
	'm': {0x00, 0x00, 0x1a, 0x15, 0x15, 0x11, 0x11},
	'o': {0x00, 0x00, 0x0e, 0x11, 0x11, 0x11, 0x0e},
	'r': {0x00, 0x00, 0x16, 0x19, 0x10, 0x10, 0x10},
	'w': {0x00, 0x00, 0x11, 0x11, 0x15, 0x15, 0x0a},
}

// Text draws s with its top left corner at at; a dot is dot pixels wide and
// high. Runes without a glyph are blank.
func (p *Picture) Text(at image.Point, dot int, s string, c Color) {
	for _, r := range s {
		for y, row := range glyphs[r] {
			for x := range 5 {
				if row>>(4-x)&1 == 0 {
					continue
				}
				q := at.Add(image.Pt(x*dot, y*dot))
				p.Fill(image.Rectangle{q, q.Add(image.Pt(dot, dot))}, c)
			}
		}
		at.X += 6 * dot
	}
}

// TextWidth is how many pixels wide Text draws s.
func TextWidth(dot int, s string) int { return (6*len(s) - 1) * dot }
