// Package inputs makes what encoders send: films as they should come, and the
// ways in which they come all the same. It sends them through ingest and the
// cutter as a server would, without a world, and looks at what viewers get.
//
// A case that somebody has met is a line of a table here; a kind of case is a
// Fault, which the property tests and the torture put together at random.
package inputs

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"slices"
	"time"

	"weir/internal/synthetic"
	"weir/media"
	"weir/media/h264"
	"weir/remux/flv"
)

// Tag is a tag on its way.
type Tag struct {
	flv.Tag
	// At is when it comes, Shown when what it holds was captured and is to be
	// shown; both since the session's begin.
	At, Shown time.Duration
	// Kind is what it holds frames of, 0 where it is a header or the like. Key:
	// decoding can start with it.
	Kind media.Kind
	Key  bool
}

// Input is what one session sends, in its order.
type Input []Tag

// Sound configurations: AAC-LC 48 kHz stereo and 44.1 kHz mono.
var (
	Stereo48 = unhex("1190")
	Mono44   = unhex("1208")
)

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// Film is a show as a sound encoder sends it: each frame comes when it was
// captured, stamped with when that was.
type Film struct {
	Seconds float64
	FPS     int
	GOP     int // pictures
	BFrames int // between two others
	Slices  int // of a picture, in one message
	AVC     []byte
	ASC     []byte // nil: no sound
	// Rate and Samples are what ASC says, of a frame.
	Rate, Samples int
	NoPictures    bool
	Seed          uint64
}

// New returns a film with 30 pictures a second, a key frame every 2 s, and sound.
func New(seconds float64) Film {
	return Film{Seconds: seconds, FPS: 30, GOP: 60, Slices: 1, AVC: synthetic.AVC720, ASC: Stereo48, Rate: 48000, Samples: 1024}
}

// Input is what the encoder sends.
func (f Film) Input() Input {
	var headers, frames Input
	if !f.NoPictures {
		headers = append(headers, VideoHeader(f.AVC, 0))
		frames = f.pictures()
	}
	if f.ASC != nil {
		headers = append(headers, AudioHeader(f.ASC, 0))
		frames = append(frames, f.sounds()...)
	}
	frames.sort()
	return append(headers, frames...)
}

// sort puts tags into the order in which they come.
func (in Input) sort() {
	slices.SortStableFunc(in, func(a, b Tag) int { return int(a.At - b.At) })
}

// VideoHeader and AudioHeader are sequence headers that come at at.
func VideoHeader(record []byte, at time.Duration) Tag {
	return Tag{Tag: flv.Tag{Type: flv.TagVideo, Timestamp: millis(at), Data: append([]byte{0x17, 0, 0, 0, 0}, record...)}, At: at, Shown: at}
}

// AudioHeader is an AAC sequence header.
func AudioHeader(asc []byte, at time.Duration) Tag {
	return Tag{Tag: flv.Tag{Type: flv.TagAudio, Timestamp: millis(at), Data: append([]byte{0xaf, 0}, asc...)}, At: at, Shown: at}
}

func millis(d time.Duration) uint32 { return uint32((d + time.Millisecond/2) / time.Millisecond) }

func (f Film) sounds() (all Input) {
	rng := rand.New(rand.NewPCG(2, f.Seed))
	for n := 0; ; n++ {
		at := time.Duration(n) * time.Duration(f.Samples) * time.Second / time.Duration(f.Rate)
		if at.Seconds() >= f.Seconds {
			return all
		}
		data := append([]byte{0xaf, 1}, noise(rng, 200+rng.IntN(100))...)
		all = append(all, Tag{Tag: flv.Tag{Type: flv.TagAudio, Timestamp: millis(at), Data: data}, At: at, Shown: at, Kind: media.Audio})
	}
}

// noise returns bytes that never look like a start code.
func noise(rng *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32()) | 1
	}
	return b
}

func (f Film) pictures() (all Input) {
	c := coder{rng: rand.New(rand.NewPCG(1, f.Seed)), order: orderOf(f.AVC)}
	step := time.Second / time.Duration(f.FPS)
	delay := time.Duration(0)
	if f.BFrames > 0 {
		delay = step
	}
	for n := range int(f.Seconds * float64(f.FPS)) {
		in := n % f.GOP // I P B B P B B …; the last ones of a group refer to no next one
		shown, kind := in, uint32(sliceP)
		switch group := f.BFrames + 1; {
		case in == 0:
			kind = sliceI
		case f.BFrames == 0 || (in-1)/group*group+group >= f.GOP:
		case (in-1)%group == 0:
			shown = in + f.BFrames
		default:
			shown, kind = in-1, sliceB
		}
		at := time.Duration(n) * time.Second / time.Duration(f.FPS)
		pts := time.Duration(n-in+shown)*time.Second/time.Duration(f.FPS) + delay
		data := []byte{0x27, 1, 0, 0, 0}
		if in == 0 {
			data[0] = 0x17
		}
		for i := range max(1, f.Slices) {
			data = appendUnit(data, c.slice(kind, uint32(i), uint32(shown)))
		}
		c.next(kind)
		putComposition(data, int32(millis(pts))-int32(millis(at)))
		all = append(all, Tag{Tag: flv.Tag{Type: flv.TagVideo, Timestamp: millis(at), Data: data}, At: at, Shown: pts, Kind: media.Video, Key: in == 0})
	}
	return all
}

func appendUnit(dst, nal []byte) []byte {
	return append(binary.BigEndian.AppendUint32(dst, uint32(len(nal))), nal...)
}

// putComposition writes a composition offset, in ms, into an AVC body.
func putComposition(data []byte, ms int32) {
	data[2], data[3], data[4] = byte(ms>>16), byte(ms>>8), byte(ms)
}

// The slice types (ITU-T H.264, table 7-6) of pictures that have one only.
const (
	sliceP = 5
	sliceB = 6
	sliceI = 7
)

// coder writes slices whose headers are as they should be (7.3.3); what follows
// is noise.
type coder struct {
	rng      *rand.Rand
	order    h264.Order
	frameNum uint32
	gops     uint32
}

func orderOf(record []byte) h264.Order {
	c, err := h264.ReadConfig(record)
	if err != nil {
		panic(err)
	}
	sps, err := c.Active()
	if err != nil {
		panic(err)
	}
	return sps.Order
}

// slice is slice i of a picture that is the shown-th of its group.
func (c *coder) slice(kind, i, shown uint32) []byte {
	if kind == sliceI && i == 0 {
		c.frameNum = 0
	}
	var w bits
	w.ue(i) // first_mb_in_slice
	w.ue(kind)
	w.ue(0) // pic_parameter_set_id
	w.u(int(c.order.FrameNumBits), c.frameNum)
	if kind == sliceI {
		w.ue(c.gops % 2) // idr_pic_id
	}
	if c.order.POCType == 0 {
		w.u(int(c.order.POCBits), 2*shown)
	}
	head := byte(0x41)
	switch kind {
	case sliceI:
		head = 0x65
	case sliceB:
		head = 0x01
	}
	return append(append([]byte{head}, w.bytes()...), noise(c.rng, 60+c.rng.IntN(60))...)
}

// next goes on to the picture behind one of a kind.
func (c *coder) next(kind uint32) {
	switch kind {
	case sliceI:
		c.gops++
		c.frameNum = 1
	case sliceP:
		c.frameNum++
	}
}

// bits writes bits, the most significant first.
type bits struct {
	b    []byte
	used int
}

func (w *bits) u(width int, v uint32) {
	for i := width - 1; i >= 0; i-- {
		if w.used%8 == 0 {
			w.b = append(w.b, 0)
		}
		w.b[len(w.b)-1] |= byte(v>>i&1) << (7 - w.used%8)
		w.used++
	}
}

func (w *bits) ue(v uint32) {
	width := 0
	for v+1 >= 2<<width {
		width++
	}
	w.u(2*width+1, v+1)
}

func (w *bits) bytes() []byte {
	for w.used%8 != 0 {
		w.u(1, 1)
	}
	return w.b
}

// Units are the slices of a message with pictures, behind lengths of 4 bytes.
func Units(data []byte) (all [][]byte) {
	for nal, err := range h264.Units(data[5:], h264.PartLengthSize) {
		if err != nil {
			return all
		}
		all = append(all, nal)
	}
	return all
}
