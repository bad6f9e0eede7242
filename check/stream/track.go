package stream

import (
	"fmt"

	"weir/media"
	"weir/remux/mpegts"
)

// Size is the size of a picture.
type Size struct{ Width, Height int }

// String is as in RESOLUTION.
func (s Size) String() string { return fmt.Sprintf("%dx%d", s.Width, s.Height) }

// Track is what one elementary stream of a segment shows.
type Track struct {
	PID  uint16
	Type mpegts.StreamType
	Kind media.Kind // 0: neither

	Frames           int   // PES packets of video, ADTS frames of audio
	Packets          int   // PES packets
	Stamped          bool  // some PES packet had a PTS
	last             int64 // last DTS
	MinPTS, maxPTS   int64
	firstPTS         int64 // of the first frame in the file
	Step             int64 // ticks of a frame, or of a PES packet: the median; 0: unknown
	steps            []int64
	Hole             int64 // the longest, in ticks; 0: none
	FirstKey, AnyKey bool  // H.264: the first frame is an IDR picture; some is
	Keyed            bool  // SPS and PPS come before the first IDR picture
	keyGap, lastKey  int64 // dependent: other pictures came since lastKey
	dependent        bool
	sets             bool // SPS and PPS came
	sps              []byte
	Parameters       string // codec, profile, resolution: what must not change
	Codec            string // RFC 6381
	Size             Size
	audio            audio
	drift            int64
	noAUD, noFlag    int
	noPTS            int
}

// Lead is for how long pictures are shown that come behind the first one and
// are shown before it: those of an open GOP.
func (t *Track) Lead() int64 { return t.firstPTS - t.MinPTS }

// End is where the track's last frame ends, by presentation.
func (t *Track) End() int64 { return t.maxPTS + t.Step }

// counter is the span of one PID's continuity counters.
type counter struct {
	First, Last uint8
	Payload     bool // the first packet has payload
	Free        bool // the first packet has discontinuity_indicator
}

// Stream is what a transport stream segment shows.
type Stream struct {
	Counters map[uint16]*counter
	PMTs     map[uint16]bool
	PMT      mpegts.PMT
	Tracks   []*Track
}

// First returns the first track of a kind that has timestamps, or nil.
func (s *Stream) First(k media.Kind) *Track {
	for _, t := range s.Tracks {
		if t.Kind == k && t.Stamped {
			return t
		}
	}
	return nil
}

// Main is the track that EXTINF goes by: video before audio [RFC 8216bis 3].
func (s *Stream) Main() *Track {
	if t := s.First(media.Video); t != nil {
		return t
	}
	return s.First(media.Audio)
}

// Stamped returns the track of a PID that has timestamps, or nil.
func (s *Stream) Stamped(pid uint16) *Track {
	for _, t := range s.Tracks {
		if t.PID == pid && t.Stamped {
			return t
		}
	}
	return nil
}
