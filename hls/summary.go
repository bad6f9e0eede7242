package hls

import (
	"time"

	"weir/media"
)

// Summary is what an operator wants to know of a State.
type Summary struct {
	Phase    Phase
	Segments uint64
	// Until is the wall clock at which the last listed segment ends.
	Until time.Time
	// Bitrate is the mean of the live window, in bits per second.
	Bitrate int64
	// Wished is the duration of a segment as it was asked for, Mean that of the
	// live window's segments, Target the target duration; 0 before the first.
	Wished, Mean, Target time.Duration
	// VideoCodec and AudioCodec are as in RFC 6381; empty without that track.
	VideoCodec, AudioCodec string
	Width, Height          int
	FrameRate              float64 // pictures per second
	SampleRate, Channels   int
	LostFrames             uint64
	// Drops says why some of them, and parts of others, are in no segment.
	Drops media.Drops
}

// Summarize reads a State for people. An unreadable one gives the zero
// Summary: a newer release may have written it.
func Summarize(blob []byte) Summary {
	s, err := ParseState(blob)
	if err != nil {
		return Summary{}
	}
	sum := Summary{Wished: time.Duration(s.SegmentMS) * time.Millisecond, Target: time.Duration(s.Target) * time.Second, Phase: s.Phase, Segments: s.Next(), FrameRate: float64(s.FrameRate) / 1000, LostFrames: s.LostFrames, Drops: s.Drops}
	if s.WallEndMS > 0 {
		sum.Until = time.UnixMilli(s.WallEndMS).UTC()
	}
	var bytes, millis int64
	for _, e := range s.Entries[len(s.Entries)-s.Window():] {
		bytes, millis = bytes+e.Bytes, millis+e.DurationMS
	}
	if millis > 0 {
		sum.Bitrate = bytes * 8000 / millis
		sum.Mean = time.Duration(millis/int64(s.Window())) * time.Millisecond
	}
	t, err := parseTracks(s.Tracks)
	if err != nil {
		return sum
	}
	if t.Video != nil {
		sum.VideoCodec = t.Video.String()
		sum.Width, sum.Height = pictureSize(t.Video)
	}
	if t.Audio != nil {
		sum.AudioCodec = t.Audio.String()
		sum.SampleRate, sum.Channels = soundForm(t.Audio)
	}
	return sum
}

// soundForm returns a track's rate in Hz and its channels.
func soundForm(c media.Codec) (rate, channels int) {
	switch c := c.(type) {
	case *media.AAC:
		return c.Config.SampleRate, c.Config.Channels
	case *media.MP3:
		return c.Config.SampleRate, c.Config.Channels
	}
	return 0, 0
}
