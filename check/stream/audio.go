package stream

import (
	"fmt"

	"weir/media"
	"weir/media/aac"
	"weir/media/mp3"
	"weir/remux/mpegts"
)

// audio follows the frames of one track: its clock counts samples.
type audio struct {
	rate    int    // Hz
	frame   int64  // samples of a frame
	samples int64  // of the whole frames so far
	first   int64  // PTS of the first
	base    int64  // samples before the last hole
	rest    []byte // the beginning of a frame
	last    int64  // the last PTS, and the samples in front of it
	before  int64
	drift   int64 // the largest distance between stamps and samples, in ticks
	hole    int64
}

// end is where the last frame ends.
func (a *audio) end() int64 { return a.first + (a.samples-a.base)*media.Clock/int64(a.rate) }

// stampedEnd is where the last frame ends by the last timestamp: the samples
// before it may be paced otherwise.
func (a *audio) stampedEnd() int64 {
	return a.last + (a.samples-a.before)*media.Clock/int64(a.rate)
}

// frameTicks is the time of one frame.
func (a *audio) frameTicks() int64 { return a.frame * media.Clock / int64(a.rate) }

// chainRule is the rule of what a track's PES packets hold.
func chainRule(t mpegts.StreamType) string {
	if t == mpegts.StreamAAC {
		return "TS-ADTS"
	}
	return "TS-MPEG-AUDIO"
}

// takeADTS takes in the payload of a PES packet; pts is that of the first
// frame that begins in it. It tells whether the payload was a chain of ADTS
// frames. A frame may go on in the next PES packet.
func (t *Track) takeADTS(p []byte, pts int64) bool {
	return t.takeFrames(p, pts, func(p []byte) (size, blocks int, ok bool) {
		f, err := aac.ParseADTS(p)
		if err != nil {
			return 0, 0, false
		}
		if t.differs(f.SampleRate) {
			t.takeConfig(fmt.Sprintf("mp4a.40.%d", f.ObjectType), f.SampleRate, 1024, fmt.Sprintf("channel configuration %d", f.ChannelConfig))
		}
		return f.FrameSize, f.Blocks, true
	}, goesOn)
}

// takeMP3 is takeADTS for MPEG audio.
func (t *Track) takeMP3(p []byte, pts int64) bool {
	return t.takeFrames(p, pts, func(p []byte) (size, blocks int, ok bool) {
		h, err := mp3.ParseFrame(p)
		if err != nil {
			return 0, 0, false
		}
		if t.differs(h.SampleRate) {
			t.takeConfig(h.Codecs(), h.SampleRate, int64(h.FrameLength()), fmt.Sprintf("%d channels", h.Channels))
		}
		return h.Size, 1, true
	}, func(p []byte) bool {
		if len(p) < mp3.HeaderSize {
			return true
		}
		h, err := mp3.ParseHeader(p)
		return err == nil && h.Size > len(p)
	})
}

// takeFrames takes in the frames of a payload. frame reads the one that p begins
// with, goesOn tells whether p is the beginning of one that is longer.
func (t *Track) takeFrames(p []byte, pts int64, frame func(p []byte) (size, blocks int, ok bool), goesOn func(p []byte) bool) bool {
	a := &t.audio
	carried := len(a.rest)
	if carried > 0 {
		p = append(a.rest, p...)
	}
	pos, stamped := 0, false
	for pos < len(p) {
		size, blocks, ok := frame(p[pos:])
		if !ok {
			if goesOn(p[pos:]) {
				break
			}
			a.rest = nil
			return false
		}
		if !stamped && pos >= carried {
			t.stamp(pts)
			stamped = true
		}
		a.samples += int64(blocks) * a.frame
		pos += size
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

// differs tells whether a frame at rate Hz is not as those before it.
func (t *Track) differs(rate int) bool { return t.audio.rate != rate || t.Codec == "" }

// takeConfig notes what the stream is: frames of so many samples at rate Hz.
func (t *Track) takeConfig(codec string, rate int, frame int64, channels string) {
	t.audio.rate, t.audio.frame, t.Codec = rate, frame, codec
	t.Parameters = addParams(t.Parameters, fmt.Sprintf("%s %d Hz, %s", codec, rate, channels))
}

// stamp compares a timestamp with the clock of samples.
func (t *Track) stamp(pts int64) {
	a := &t.audio
	if a.rate == 0 {
		return
	}
	a.last, a.before = pts, a.samples
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
