package ingest

import (
	"fmt"
	"log/slog"
	"time"

	"weir/media/aac"
	"weir/media/h264"
	"weir/remux/flv"
)

// facts are what a session's tags tell of it, for the line about its end.
type facts struct {
	// video and audio are as RFC 6381 has them where weir knows the codec's
	// configuration, else FLV's or the FourCC. Empty: there is no such track.
	video, audio  string
	width, height int     // pixels
	frameRate     float64 // of the SPS; 0 where it does not say
	sampleRate    int     // Hz
	channels      int
	keys          int
	lastKey       uint32
	keyInterval   time.Duration // media time between the last two key frames
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

// attrs are the facts that are known.
func (f *facts) attrs() (known []slog.Attr) {
	if f.video != "" {
		known = append(known, slog.String("video", f.video))
	}
	if f.width > 0 {
		known = append(known, slog.String("size", fmt.Sprintf("%dx%d", f.width, f.height)))
	}
	if f.frameRate > 0 {
		known = append(known, slog.Float64("fps", f.frameRate))
	}
	if f.keyInterval > 0 {
		known = append(known, slog.Duration("key_interval", f.keyInterval))
	}
	if f.audio != "" {
		known = append(known, slog.String("audio", f.audio))
	}
	if f.sampleRate > 0 {
		known = append(known, slog.Int("sample_rate", f.sampleRate), slog.Int("channels", f.channels))
	}
	return known
}
