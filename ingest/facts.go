package ingest

import (
	"bytes"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"time"

	"weir/media/aac"
	"weir/media/h264"
	"weir/media/health"
	"weir/media/mp3"
	"weir/remux/flv"
	"weir/rtmp/amf"
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
	encoder       string // of the metadata
	pictures      int
	from, to      uint32 // timestamps of the first and the last picture
	keys          int
	lastKey       uint32
	keyInterval   time.Duration // media time between the last two key frames
	declared      float64       // pictures a second, by the metadata
	headers       [2][]byte     // the last sequence header of each track
}

// frame is what health wants to know of a tag.
type frame struct {
	track    health.Track
	is       bool // it holds a frame
	key      bool
	changed  bool // it is another sequence header than the last
	declares bool // it is metadata
}

// note looks at what a tag says. Of nearly all that is one byte.
func (f *facts) note(t flv.Tag) (of frame) {
	switch t.Type {
	case flv.TagVideo:
		if v, err := flv.ParseVideo(t.Data); err == nil && v.Track == 0 {
			f.noteVideo(t.Timestamp, v)
			of = frame{track: health.Video, is: v.Packet == flv.CodedFrames, key: v.Key()}
			of.changed = v.Packet == flv.SequenceHeader && f.another(health.Video, v.Body)
		}
	case flv.TagAudio:
		if a, err := flv.ParseAudio(t.Data); err == nil && a.Track == 0 {
			f.noteAudio(a)
			of = frame{track: health.Audio, is: a.Packet == flv.CodedFrames}
			of.changed = a.Packet == flv.SequenceHeader && f.another(health.Audio, a.Body)
		}
	case flv.TagScript:
		if bytes.HasPrefix(t.Data, metadataPrefix) {
			f.noteMetadata(t.Data[len(metadataPrefix):])
			of.declares = true
		}
	}
	return of
}

// another tells whether a sequence header takes the place of another one.
func (f *facts) another(t health.Track, header []byte) bool {
	was := f.headers[t]
	if len(header) > maxHeader || bytes.Equal(was, header) {
		return false
	}
	f.headers[t] = append(was[:0], header...)
	return len(was) > 0
}

// maxHeader is the longest sequence header that is compared, in bytes.
const maxHeader = 4 << 10

// maxEncoder is the longest name of an encoder that is kept, in bytes.
const maxEncoder = 80

// noteMetadata keeps the encoder's name, in printable ASCII: it ends in logs.
func (f *facts) noteMetadata(body []byte) {
	v, _, err := amf.Decode(body)
	if err != nil {
		return
	}
	if rate, ok := amf.PropertiesOf(v).Get("framerate").(amf.Number); ok && rate > 0 && rate < 1000 {
		f.declared = float64(rate)
	}
	name, _ := amf.PropertiesOf(v).Get("encoder").(amf.String)
	printable := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, string(name[:min(len(name), maxEncoder)]))
	if printable != "" {
		f.encoder = printable
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
	if v.Packet == flv.CodedFrames {
		if f.pictures == 0 {
			f.from = timestamp
		}
		f.pictures, f.to = f.pictures+1, timestamp
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
		if a.Codec != flv.MP3 && a.Codec != flv.MP3At8kHz {
			return
		}
		if h, err := mp3.ParseHeader(a.Body); err == nil {
			f.audio, f.sampleRate, f.channels = h.Codecs(), h.SampleRate, h.Channels
		}
	}
}

// fps is the frame rate by the timestamps, or what the SPS says where those
// tell nothing, to a hundredth.
func (f *facts) fps() float64 {
	rate := f.frameRate
	if ms := int32(f.to - f.from); f.pictures > 20 && ms > 0 {
		rate = float64(f.pictures-1) * 1000 / float64(ms)
	}
	return math.Round(rate*100) / 100
}

// attrs are the facts that are known.
func (f *facts) attrs() (known []slog.Attr) {
	if f.encoder != "" {
		known = append(known, slog.String("encoder", f.encoder))
	}
	if f.video != "" {
		known = append(known, slog.String("video", f.video))
	}
	if f.width > 0 {
		known = append(known, slog.String("size", fmt.Sprintf("%dx%d", f.width, f.height)))
	}
	if fps := f.fps(); fps > 0 {
		known = append(known, slog.Float64("fps", fps))
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
