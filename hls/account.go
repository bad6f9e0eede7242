package hls

import (
	"slices"
	"time"

	"weir/media"
)

// account sums up what the playlists say of the whole.
func (c *Cutter) account(e *Entry) {
	o, st := &c.open, &c.state
	if st.Target == 0 {
		st.Target = st.targetFor(e.DurationMS)
	}
	st.Dependent = st.Dependent || o.dependent
	st.Bytes += e.Bytes
	st.DurationMS += e.DurationMS
	bits := e.Bytes * 8000 / e.DurationMS
	st.Peak = max(st.Peak, st.peakWith(e))
	if st.Peak == 0 {
		st.Peak = bits
	}
	// What is declared changes only where it must: players read it once.
	switch mean := st.Bytes * 8000 / st.DurationMS; {
	case st.Bandwidth == 0:
		st.Bandwidth, st.Average = bits*3/2, mean
	case st.Peak > st.Bandwidth:
		st.Bandwidth, st.Average = st.Peak*5/4, mean
	}
	st.declare(o)
}

// targetJitter is how much longer than the first segment those that follow may
// be, for their key frames are as far apart by the encoder's clock only.
const targetJitter = 50

// targetFor returns the target duration in seconds of a broadcast whose first
// segment lasts so long. RFC 8216, 4.3.3.1 rounds to the nearest integer, and
// players begin three target durations behind: a second too much costs every
// viewer three.
func (s *State) targetFor(firstMS int64) int {
	wish, first := (s.SegmentMS+500)/1000, (firstMS+targetJitter+500)/1000
	if s.Muxer == 1 {
		wish, first = (s.SegmentMS+999)/1000, (firstMS+999)/1000
	}
	return int(min(max(wish, first, 1), int64(MaxTarget/time.Second)))
}

// peakWith returns the highest bit rate of the runs of segments that end with
// the next one, e. RFC 8216, 4.3.4.2: the peak segment bit rate is "the
// largest bit rate of any contiguous set of segments whose total duration is
// between 0.5 and 1.5 times the target duration". 0 where there is no such run.
func (s *State) peakWith(e *Entry) int64 {
	var peak int64
	target := 1000 * int64(s.Target)
	bytes, millis := e.Bytes, e.DurationMS
	for i := len(s.Entries); 2*millis <= 3*target; {
		if 2*millis >= target {
			peak = max(peak, bytes*8000/millis)
		}
		if i--; i < 0 {
			break
		}
		bytes, millis = bytes+s.Entries[i].Bytes, millis+s.Entries[i].DurationMS
	}
	return peak
}

// maxCodecs is how many codecs a broadcast may declare: more than any has.
const maxCodecs = 8

// declare notes what the multivariant playlists say of the pictures and the
// sound: of all segments, as an encoder may come back with others. RFC 8216,
// 4.3.4.2: CODECS "MUST include all codec ids in the rendition"; RESOLUTION is
// the one "at which to display all the video", FRAME-RATE the highest.
func (s *State) declare(o *segment) {
	for _, c := range []media.Codec{o.tracks.Video, o.force.Audio} {
		if c == nil {
			continue
		}
		s.declareCodec(c.String())
		if w, h := pictureSize(c); w*h > s.Width*s.Height {
			s.Width, s.Height = w, h
		}
		if r := videoRange(c); s.whole() && slices.Index(videoRanges[:], r) > slices.Index(videoRanges[:], s.VideoRange) {
			s.VideoRange = r
		}
	}
	n, span := int64(o.fresh-1), o.shown[1]-o.shown[0]
	if n <= 0 || span <= 0 {
		return
	}
	// A twentieth is jitter of the stamps, and no other rate.
	if rate := frameRate(n, span); rate*20 > s.FrameRate*21 {
		s.FrameRate = rate
	}
}

// pictureSize is the size of a track's pictures in pixels; 0 where there are
// none, or where nothing tells.
func pictureSize(c media.Codec) (width, height int) {
	switch c := c.(type) {
	case *media.AVC:
		return c.Size()
	}
	return 0, 0
}

// videoRanges are the values of VIDEO-RANGE, the widest last; none is that of
// pictures that say nothing of it (RFC 8216bis, 4.4.6.2).
var videoRanges = [...]string{"", "SDR", "HLG", "PQ"}

// videoRange is the VIDEO-RANGE of a track's pictures by their parameter sets.
func videoRange(c media.Codec) string {
	avc, ok := c.(*media.AVC)
	if !ok {
		return ""
	}
	sps, err := avc.Config.Active()
	if err != nil || sps.Colour.Transfer == 0 || sps.Colour.Transfer == 2 { // unspecified
		return ""
	}
	return sps.Colour.VideoRange()
}

// usualRates are what encoders send, in thousandths of a picture per second.
var usualRates = [...]int64{10000, 12500, 15000, 20000, 23976, 24000, 25000, 29970, 30000, 48000, 50000, 59940, 60000, 120000}

// frameRate is the rate of n pictures, each shown until the next, in span
// ticks: the usual one where rounding to milliseconds hides it.
func frameRate(n, span int64) int64 {
	for _, rate := range usualRates {
		if off := span - n*1000*media.Clock/rate; off >= -media.Clock/1000 && off <= media.Clock/1000 {
			return rate
		}
	}
	return (n*1000*media.Clock + span/2) / span
}

func (s *State) declareCodec(codec string) {
	if at, found := slices.BinarySearch(s.Codecs, codec); !found && len(s.Codecs) < maxCodecs {
		s.Codecs = slices.Insert(slices.Clone(s.Codecs), at, codec) // avc1 sorts before mp4a
	}
}
