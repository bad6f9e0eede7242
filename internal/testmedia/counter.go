package testmedia

import (
	"errors"
	"image"
	"image/color"
)

// The burnt-in counter is a bar code that any row through it tells whole, so
// it survives scaling, letterboxing, re-encoding and a browser's screenshot:
//
//	   4        2     3 × 24          1
//	┌──────┐        ┌─┐  ┌──┐       ┌─┐
//	┘ start└────────┘ └──┘  └─ … ───┘ └   modules
//
// After the start, each bit is a white run and a black run of three modules
// together: white one and black two is 0, white two and black one is 1. White
// runs begin at equal distances whatever the bits, so the reader needs no idea
// of the scale. Sixteen bits are the frame number, eight its CRC, highest
// first; one white module ends the last black run.
const (
	counterBits    = 16
	checkBits      = 8
	counterModules = 4 + 2 + 3*(counterBits+checkBits) + 1
	marginModules  = 3 // black on either side
	maxCounter     = 1<<counterBits - 1

	minWidth  = 2 * (counterModules + 2*marginModules) // two pixels a module
	minHeight = 90
)

// agreeing is how many rows must tell the same number.
const agreeing = 3

// ErrNoCounter is returned by ReadCounter where no counter can be read.
var ErrNoCounter = errors.New("no frame counter in the picture")

// Counter burns the frame number n into the picture, in a strip along the top,
// and returns the strip.
func (p *Picture) Counter(n int) image.Rectangle {
	w, h := p.Rect.Dx(), p.Rect.Dy()
	module := w / (counterModules + 2*marginModules)
	width := module * (counterModules + 2*marginModules)
	strip := image.Rect(0, 0, width, h/12).Add(image.Pt((w-width)/2&^1, h/36&^1))
	p.Fill(strip, Black)
	bar := image.Rect(strip.Min.X, strip.Min.Y+h/72, strip.Min.X, strip.Max.Y-h/72)
	x := strip.Min.X + marginModules*module
	white := func(modules, period int) {
		bar.Min.X, bar.Max.X = x, x+modules*module
		p.Fill(bar, White)
		x += period * module
	}
	white(4, 6)
	code := n<<checkBits | int(crc8(n))
	for bit := counterBits + checkBits - 1; bit >= 0; bit-- {
		white(1+code>>bit&1, 3)
	}
	white(1, 1)
	return strip
}

// crc8 is the CRC with polynomial x^8+x^2+x+1 of n's sixteen bits, begun at
// 0xff so that all black is no number.
func crc8(n int) uint8 {
	crc := uint8(0xff)
	for _, b := range [2]uint8{uint8(n >> 8), uint8(n)} {
		crc ^= b
		for range 8 {
			if crc&0x80 != 0 {
				crc = crc<<1 ^ 0x07
			} else {
				crc <<= 1
			}
		}
	}
	return crc
}

// ReadCounter finds the frame counter in a picture of any size, or in a
// screenshot that holds one, and returns its number. It needs at least two
// pixels a module: the video at least 170 pixels wide.
func ReadCounter(img image.Image) (int, error) {
	votes := map[int]int{}
	var runs []int
	row := make([]uint8, img.Bounds().Dx())
	for y := img.Bounds().Min.Y; y < img.Bounds().Max.Y; y++ {
		luma(img, y, row)
		runs = appendRuns(runs[:0], row)
		n, ok := readRuns(runs)
		if !ok {
			continue
		}
		if votes[n]++; votes[n] == agreeing {
			return n, nil
		}
	}
	return 0, ErrNoCounter
}

// luma fills row with the brightness of the picture's row y.
func luma(img image.Image, y int, row []uint8) {
	r := img.Bounds()
	switch img := img.(type) {
	case *image.Gray:
		copy(row, img.Pix[img.PixOffset(r.Min.X, y):])
	case *image.YCbCr:
		copy(row, img.Y[img.YOffset(r.Min.X, y):])
	default:
		for i := range row {
			row[i] = color.GrayModel.Convert(img.At(r.Min.X+i, y)).(color.Gray).Y
		}
	}
}

// appendRuns appends the lengths of a row's runs, black and white in turn,
// black first (it may be empty). A pixel is white above half way between the
// row's darkest and brightest.
func appendRuns(runs []int, row []uint8) []int {
	low, high := uint8(255), uint8(0)
	for _, v := range row {
		low, high = min(low, v), max(high, v)
	}
	if high-low < 64 {
		return runs
	}
	threshold := low + (high-low)/2
	white, length := false, 0
	for _, v := range row {
		if v > threshold != white {
			runs = append(runs, length)
			white, length = !white, 0
		}
		length++
	}
	return append(runs, length)
}

// readRuns looks for the bar code from each white run on.
func readRuns(runs []int) (n int, ok bool) {
	const all = 2 * (1 + counterBits + checkBits)
	for i := 1; i+all < len(runs); i += 2 {
		if n, ok := readCode(runs[i : i+all]); ok {
			return n, true
		}
	}
	return 0, false
}

// readCode reads the runs of one bar code, the start's white run first.
func readCode(runs []int) (n int, ok bool) {
	start := runs[0] + runs[1] // six modules
	if runs[0] <= runs[1] || runs[0] > 4*runs[1] || start < 12 {
		return 0, false
	}
	code := 0
	for i := 2; i < len(runs); i += 2 {
		period := 2 * (runs[i] + runs[i+1]) // six modules again
		if period*10 < start*6 || period*10 > start*14 {
			return 0, false
		}
		code <<= 1
		if runs[i] > runs[i+1] {
			code |= 1
		}
	}
	n = code >> checkBits
	return n, crc8(n) == uint8(code)
}
