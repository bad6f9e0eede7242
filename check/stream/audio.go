package stream

import (
	"fmt"

	"weir/media"
	"weir/media/aac"
)

// audio follows the ADTS frames of one track: its clock counts samples.
type audio struct {
	rate    int
	samples int64  // of the whole frames so far
	first   int64  // PTS of the first
	base    int64  // samples before the last hole
	rest    []byte // the beginning of a frame
	drift   int64  // the largest distance between stamps and samples, in ticks
	hole    int64
}

// end is where the last frame ends.
func (a *audio) end() int64 { return a.first + (a.samples-a.base)*media.Clock/int64(a.rate) }

// frameTicks is the time of one frame of 1024 samples.
func (a *audio) frameTicks() int64 { return 1024 * media.Clock / int64(a.rate) }

// takeADTS takes in the payload of a PES packet; pts is that of the first
// frame that begins in it. It tells whether the payload was a chain of ADTS
// frames. A frame may go on in the next PES packet.
func (t *Track) takeADTS(p []byte, pts int64) bool {
	a := &t.audio
	carried := len(a.rest)
	if carried > 0 {
		p = append(a.rest, p...)
	}
	pos, stamped := 0, false
	for pos < len(p) {
		f, err := aac.ParseADTS(p[pos:])
		if err != nil {
			if goesOn(p[pos:]) {
				break
			}
			a.rest = nil
			return false
		}
		t.takeConfig(f)
		if !stamped && pos >= carried {
			t.stamp(pts)
			stamped = true
		}
		a.samples += int64(f.Blocks) * 1024
		pos += f.FrameSize
	}
	a.rest = append(a.rest[:0], p[pos:]...)
	return true
}

// goesOn tells whether p is the beginning of an ADTS frame that is longer
// (ISO/IEC 14496-3, 1.A.2.2.1: syncword, layer, aac_frame_length).
func goesOn(p []byte) bool {
	if len(p) < aac.ADTSHeader {
		return true // the next bytes tell
	}
	size := int(p[3]&3)<<11 | int(p[4])<<3 | int(p[5]>>5)
	return p[0] == 0xFF && p[1]&0xF6 == 0xF0 && size > len(p)
}

// takeConfig notes what the stream is.
func (t *Track) takeConfig(f aac.ADTS) {
	if t.audio.rate == f.SampleRate && t.Codec != "" {
		return
	}
	t.audio.rate = f.SampleRate
	t.Codec = fmt.Sprintf("mp4a.40.%d", f.ObjectType)
	t.Parameters = addParams(t.Parameters, fmt.Sprintf("%s %d Hz, channel configuration %d", t.Codec, f.SampleRate, f.ChannelConfig))
}

// stamp compares a timestamp with the clock of samples.
func (t *Track) stamp(pts int64) {
	a := &t.audio
	if a.rate == 0 {
		return
	}
	if a.samples == 0 && a.base == 0 {
		a.first = pts
		return
	}
	d := pts - a.end()
	if d > media.Clock/10 { // a hole: count anew behind it
		a.hole = max(a.hole, d)
		a.first, a.base = pts, a.samples
		return
	}
	a.drift = max(a.drift, abs(d))
}
