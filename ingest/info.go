package ingest

import (
	"time"

	"weir/media"
	"weir/media/aac"
	"weir/media/h264"
	"weir/remux/flv"
)

// SessionInfo is what a running session looks like from outside.
type SessionInfo struct {
	Stream    media.Stream
	Broadcast string
	Remote    string
	// Since is when the publish was accepted.
	Since time.Time
	// Bytes came off the socket since then; BitRate is bits per second over
	// the last second, 0 in the first.
	Bytes   int64
	BitRate int
	// Batches are stored in the log; Buffered bytes wait to be.
	Batches  int64
	Buffered int
	// VideoCodec and AudioCodec are as RFC 6381 has them where weir knows the
	// codec's configuration, else FLV's or the FourCC. Empty: no such track
	// yet.
	VideoCodec, AudioCodec string
	// Width and Height are in pixels, 0 while unknown.
	Width, Height int
	// FrameRate is what the SPS says, in pictures per second, 0 where it does
	// not; SampleRate is in Hz.
	FrameRate  float64
	SampleRate int
	Channels   int
	// KeyInterval is the media time between the last two key frames, 0 before
	// the second.
	KeyInterval time.Duration
}

// facts are what a session's tags tell of it.
type facts struct {
	batches       int64
	video, audio  string
	width, height int
	frameRate     float64
	sampleRate    int
	channels      int
	keys          int
	lastKey       uint32
	keyInterval   time.Duration
}

// note looks at what a tag says. Of nearly all that is one byte.
func (f *facts) note(t flv.Tag) {
	switch t.Type {
	case flv.TagVideo:
		if v, err := flv.ParseVideo(t.Data); err == nil && v.Track == 0 {
			f.noteVideo(t.Timestamp, v)
		}
	case flv.TagAudio:
		if a, err := flv.ParseAudio(t.Data); err == nil && a.Track == 0 {
			f.noteAudio(a)
		}
	}
}

func (f *facts) noteVideo(timestamp uint32, v flv.Video) {
	switch {
	case v.Packet == flv.SequenceHeader:
		f.video = v.Codec.String()
		if v.Codec == flv.AVC {
			f.noteAVC(v.Body)
		}
	case v.Packet != flv.CodedFrames:
		return
	case f.video == "":
		f.video = v.Codec.String()
	}
	if v.Key() {
		if f.keys++; f.keys > 1 {
			f.keyInterval = time.Duration(int32(timestamp-f.lastKey)) * time.Millisecond
		}
		f.lastKey = timestamp
	}
}

func (f *facts) noteAVC(record []byte) {
	c, err := h264.ParseConfig(record)
	if err != nil {
		return // for readers to judge
	}
	f.video = c.Codecs()
	if len(c.SPS) == 0 {
		return
	}
	if sps, err := h264.ParseSPS(c.SPS[0]); err == nil {
		f.width, f.height, f.frameRate = sps.Width, sps.Height, sps.FrameRate.Float()
	}
}

func (f *facts) noteAudio(a flv.Audio) {
	switch {
	case a.Packet == flv.SequenceHeader:
		f.audio = a.Codec.String()
		if a.Codec != flv.AAC {
			return
		}
		if c, err := aac.ParseConfig(a.Body); err == nil {
			f.audio, f.sampleRate, f.channels = c.Codecs(), c.SampleRate, c.Channels
		}
	case a.Packet == flv.CodedFrames && f.audio == "":
		f.audio = a.Codec.String()
	}
}

// info is the session's state of this moment.
func (s *session) info() SessionInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := &s.facts
	return SessionInfo{
		Stream: s.stream, Broadcast: s.log.Broadcast(), Remote: s.remote, Since: s.since,
		Bytes: s.rate.total, BitRate: 8 * s.rate.perSecond,
		Batches: f.batches, Buffered: s.batcher.Queued() + s.inFlight,
		VideoCodec: f.video, AudioCodec: f.audio,
		Width: f.width, Height: f.height, FrameRate: f.frameRate, SampleRate: f.sampleRate, Channels: f.channels,
		KeyInterval: f.keyInterval,
	}
}
