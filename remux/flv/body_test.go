package flv_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"weir/remux/flv"
)

// videoCases pin what each form of a video body means; they seed FuzzVideo.
var videoCases = []struct {
	name          string
	body          string
	want          flv.Video
	key, sequence bool
}{
	{"AVC sequence header", "\x17\x00\x00\x00\x00avcC", flv.Video{FrameType: flv.FrameKey, Codec: flv.AVC, Packet: flv.SequenceHeader, Body: []byte("avcC")}, false, true},
	{"AVC key frame", "\x17\x01\x00\x00\x42nalu", flv.Video{FrameType: flv.FrameKey, Codec: flv.AVC, Packet: flv.CodedFrames, CTS: 66, Body: []byte("nalu")}, true, false},
	{"AVC inter frame", "\x27\x01\x00\x00\x00nalu", flv.Video{FrameType: flv.FrameInter, Codec: flv.AVC, Packet: flv.CodedFrames, Body: []byte("nalu")}, false, false},
	{"composition time is signed", "\x27\x01\xff\xff\xdfn", flv.Video{FrameType: flv.FrameInter, Codec: flv.AVC, Packet: flv.CodedFrames, CTS: -33, Body: []byte("n")}, false, false},
	{"least composition time", "\x27\x01\x80\x00\x00n", flv.Video{FrameType: flv.FrameInter, Codec: flv.AVC, Packet: flv.CodedFrames, CTS: -1 << 23, Body: []byte("n")}, false, false},
	{"AVC end of sequence", "\x17\x02\x00\x00\x00", flv.Video{FrameType: flv.FrameKey, Codec: flv.AVC, Packet: flv.EndOfSequence}, false, false},
	{"AVC end of sequence without its empty rest", "\x17\x02", flv.Video{FrameType: flv.FrameKey, Codec: flv.AVC, Packet: flv.EndOfSequence}, false, false},
	{"command frame", "\x57\x00", flv.Video{FrameType: flv.FrameCommand, Codec: flv.AVC, Packet: flv.Command, Body: []byte{0}}, false, false},
	{"another legacy codec", "\x12data", flv.Video{FrameType: flv.FrameKey, Codec: flv.H263, Packet: flv.CodedFrames, Body: []byte("data")}, true, false},

	{"HEVC sequence start", "\x90hvc1hvcC", flv.Video{FrameType: flv.FrameKey, Codec: flv.HEVC, Packet: flv.SequenceHeader, Body: []byte("hvcC")}, false, true},
	{"HEVC key frame with composition time", "\x91hvc1\x00\x00\x21nalu", flv.Video{FrameType: flv.FrameKey, Codec: flv.HEVC, Packet: flv.CodedFrames, CTS: 33, Body: []byte("nalu")}, true, false},
	{"HEVC inter frame without", "\xa3hvc1nalu", flv.Video{FrameType: flv.FrameInter, Codec: flv.HEVC, Packet: flv.CodedFrames, Body: []byte("nalu")}, false, false},
	{"HEVC end of sequence", "\x92hvc1", flv.Video{FrameType: flv.FrameKey, Codec: flv.HEVC, Packet: flv.EndOfSequence}, false, false},
	{"metadata without a track of its own", "\x94hvc1amf0", flv.Video{FrameType: flv.FrameKey, Codec: flv.HEVC, Packet: flv.Metadata, Body: []byte("amf0")}, false, false},
	{"AV1 frames have no composition time", "\x91av01obu", flv.Video{FrameType: flv.FrameKey, Codec: flv.AV1, Packet: flv.CodedFrames, Body: []byte("obu")}, true, false},
	{"AV1 in MPEG-2 TS form", "\x95av01desc", flv.Video{FrameType: flv.FrameKey, Codec: flv.AV1, Packet: flv.MPEG2TSSequenceStart, Body: []byte("desc")}, false, true},
	{"enhanced AVC is AVC", "\x91avc1\x00\x00\x01nalu", flv.Video{FrameType: flv.FrameKey, Codec: flv.AVC, Packet: flv.CodedFrames, CTS: 1, Body: []byte("nalu")}, true, false},
	{"enhanced command has no FourCC", "\xd1\x00", flv.Video{FrameType: flv.FrameCommand, Packet: flv.Command, Body: []byte{0}}, false, false},
	{"enhanced metadata of frame type command has one", "\xd4hvc1amf0", flv.Video{FrameType: flv.FrameCommand, Codec: flv.HEVC, Packet: flv.Metadata, Body: []byte("amf0")}, false, false},
	{"nanosecond offset before the packet", "\x97\x02\x00\x01\x00\x03hvc1nalu", flv.Video{FrameType: flv.FrameKey, Codec: flv.HEVC, Packet: flv.CodedFrames, Body: []byte("nalu")}, true, false},
	{"two ModEx, the second with a 16-bit size", "\x97\x00x\x07\xff\x00\x00y\x00hvc1hvcC", flv.Video{FrameType: flv.FrameKey, Codec: flv.HEVC, Packet: flv.SequenceHeader, Body: []byte("hvcC")}, false, true},
	{"one track, not the default one", "\x96\x03avc1\x01nalu", flv.Video{FrameType: flv.FrameKey, Codec: flv.AVC, Packet: flv.CodedFrames, Track: 1, Body: []byte("nalu")}, false, false},
	{"sequence header of another track", "\x96\x00av01\x02av1C", flv.Video{FrameType: flv.FrameKey, Codec: flv.AV1, Packet: flv.SequenceHeader, Track: 2, Body: []byte("av1C")}, false, true},
	{"many tracks of one codec", "\x96\x13hvc1\x00\x00\x00\x02ab\x01\x00\x00\x01c", flv.Video{FrameType: flv.FrameKey, Codec: flv.HEVC, Packet: flv.CodedFrames, Body: []byte("ab")}, true, false},
	{"many tracks of many codecs", "\x96\x23hvc1\x00\x00\x00\x01aav01\x01\x00\x00\x01b", flv.Video{FrameType: flv.FrameKey, Codec: flv.HEVC, Packet: flv.CodedFrames, Body: []byte("a")}, true, false},
}

var videoErrors = map[string]string{
	"empty":                        "",
	"AVC without its packet type":  "\x17",
	"AVC cut in composition time":  "\x17\x01\x00\x00",
	"unknown AVCPacketType":        "\x17\x03\x00\x00\x00",
	"enhanced without FourCC":      "\x91hvc",
	"cut in the composition time":  "\x91hvc1\x00\x00",
	"unknown packet type":          "\x98hvc1",
	"ModEx without its size":       "\x97",
	"ModEx cut in its 16-bit size": "\x97\xff\x00",
	"ModEx without packet type":    "\x97\x02\x00\x00\x00",
	"multitrack without type":      "\x96",
	"unknown multitrack type":      "\x96\x33hvc1\x00",
	"multitrack without track id":  "\x96\x03hvc1",
	"track without its size":       "\x96\x13hvc1\x00\x00\x00",
	"track longer than the body":   "\x96\x13hvc1\x00\x00\x00\x03ab",
	"multitrack in multitrack":     "\x96\x06hvc1\x00",
}

func TestParseVideo(t *testing.T) {
	for _, c := range videoCases {
		t.Run(c.name, func(t *testing.T) {
			got, err := flv.ParseVideo([]byte(c.body))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, got, cmpopts.EquateEmpty()); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			tag := flv.Tag{Type: flv.TagVideo, Data: []byte(c.body)}
			if got := flv.IsKeyframe(tag); got != c.key {
				t.Errorf("IsKeyframe is %v: readers join at coded key frames of track 0 only", got)
			}
			if got := flv.IsSequenceHeader(tag); got != c.sequence {
				t.Errorf("IsSequenceHeader is %v", got)
			}
		})
	}
}

// audioCases pin what each form of an audio body means; they seed FuzzAudio.
var audioCases = []struct {
	name     string
	body     string
	want     flv.Audio
	sequence bool
}{
	{"zero length is silence", "", flv.Audio{Packet: flv.Silence}, false},
	{"AAC sequence header", "\xaf\x00\x12\x10", flv.Audio{Codec: flv.AAC, Packet: flv.SequenceHeader, Body: []byte{0x12, 0x10}}, true},
	{"AAC frame", "\xaf\x01raw", flv.Audio{Codec: flv.AAC, Packet: flv.CodedFrames, Body: []byte("raw")}, false},
	{"AAC frame without a byte", "\xaf\x01", flv.Audio{Codec: flv.AAC, Packet: flv.Silence}, false},
	{"MP3", "\x2fmp3", flv.Audio{Codec: flv.MP3, Packet: flv.CodedFrames, Body: []byte("mp3")}, false},
	{"MP3 without a byte", "\x2f", flv.Audio{Codec: flv.MP3, Packet: flv.Silence}, false},
	{"Opus sequence start", "\x90OpusOpusHead", flv.Audio{Codec: flv.Opus, Packet: flv.SequenceHeader, Body: []byte("OpusHead")}, true},
	{"FLAC frame", "\x91fLaCdata", flv.Audio{Codec: flv.FLAC, Packet: flv.CodedFrames, Body: []byte("data")}, false},
	{"end of sequence", "\x92fLaC", flv.Audio{Codec: flv.FLAC, Packet: flv.EndOfSequence}, false},
	{"channel order", "\x94Opus\x01\x02\x00\x00\x00\x03", flv.Audio{Codec: flv.Opus, Packet: flv.MultichannelConfig, Body: []byte{1, 2, 0, 0, 0, 3}}, false},
	{"enhanced AAC is AAC", "\x90mp4a\x12\x10", flv.Audio{Codec: flv.AAC, Packet: flv.SequenceHeader, Body: []byte{0x12, 0x10}}, true},
	{"enhanced MP3 is MP3", "\x91.mp3x", flv.Audio{Codec: flv.MP3, Packet: flv.CodedFrames, Body: []byte("x")}, false},
	{"OBS's VOD track", "\x95\x01mp4a\x01raw", flv.Audio{Codec: flv.AAC, Packet: flv.CodedFrames, Track: 1, Body: []byte("raw")}, false},
}

var audioErrors = map[string]string{
	"AAC without its packet type": "\xaf",
	"unknown AACPacketType":       "\xaf\x02",
	"enhanced without FourCC":     "\x91mp4",
	"unknown packet type":         "\x93mp4a",
	"ModEx without its size":      "\x97",
	"multitrack without type":     "\x95",
}

func TestParseAudio(t *testing.T) {
	for _, c := range audioCases {
		t.Run(c.name, func(t *testing.T) {
			got, err := flv.ParseAudio([]byte(c.body))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, got, cmpopts.EquateEmpty()); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			tag := flv.Tag{Type: flv.TagAudio, Data: []byte(c.body)}
			if flv.IsKeyframe(tag) {
				t.Error("IsKeyframe of audio: a segment would begin at each frame")
			}
			if got := flv.IsSequenceHeader(tag); got != c.sequence {
				t.Errorf("IsSequenceHeader is %v", got)
			}
		})
	}
}

func TestParseErrors(t *testing.T) {
	for name, body := range videoErrors {
		if v, err := flv.ParseVideo([]byte(body)); !errors.Is(err, flv.ErrMalformed) {
			t.Errorf("video, %s: %+v, %v; want ErrMalformed", name, v, err)
		}
		tag := flv.Tag{Type: flv.TagVideo, Data: []byte(body)}
		if flv.IsKeyframe(tag) || flv.IsSequenceHeader(tag) {
			t.Errorf("video, %s: a malformed body is taken for something", name)
		}
	}
	for name, body := range audioErrors {
		if a, err := flv.ParseAudio([]byte(body)); !errors.Is(err, flv.ErrMalformed) {
			t.Errorf("audio, %s: %+v, %v; want ErrMalformed", name, a, err)
		}
	}
	script := flv.Tag{Type: flv.TagScript, Data: []byte("\x17\x01\x00\x00\x00n")}
	if flv.IsKeyframe(script) || flv.IsSequenceHeader(script) {
		t.Error("a script tag is taken for media")
	}
}

// The batcher looks at every tag; it must not pay for the look.
func TestLooksAllocateNothing(t *testing.T) {
	bodies := []string{"\x17\x01\x00\x00\x00n", "\x91hvc1\x00\x00\x00n", "\x97\xff\x00", ""}
	for _, body := range bodies {
		video := flv.Tag{Type: flv.TagVideo, Data: []byte(body)}
		audio := flv.Tag{Type: flv.TagAudio, Data: []byte(body)}
		n := testing.AllocsPerRun(10, func() {
			flv.IsKeyframe(video)
			flv.IsSequenceHeader(video)
			flv.IsSequenceHeader(audio)
		})
		if n != 0 {
			t.Errorf("%x: %v allocations, also where the body is malformed", body, n)
		}
	}
}

// An operator reads these in "unsupported codec hvc1"; a peer chooses them.
func TestNames(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{flv.HEVC.String(), "hvc1"},
		{flv.AVC.String(), "avc1"},
		{flv.VP6.String(), "VP6"},
		{flv.VideoCodec(9).String(), "codec 9"},
		{flv.VideoCodec('h'<<24 | 'v'<<16 | '\n'<<8 | '1').String(), "codec 0x68760a31"},
		{flv.Opus.String(), "Opus"},
		{flv.AAC.String(), "mp4a"},
		{flv.MP3.String(), "mp3"},
		{flv.TagVideo.String(), "video"},
		{flv.TagType(7).String(), "type 7"},
		{flv.SequenceHeader.String(), "sequence header"},
		{flv.Silence.String(), "silence"},
		{flv.PacketType(99).String(), "packet type 99"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
}

func FuzzVideo(f *testing.F) {
	for _, c := range videoCases {
		f.Add([]byte(c.body))
	}
	for _, body := range videoErrors {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		v, err := flv.ParseVideo(body)
		if err != nil {
			if !errors.Is(err, flv.ErrMalformed) {
				t.Fatalf("%v is not ErrMalformed", err)
			}
			return
		}
		if v.Packet == 0 || len(v.Body) > len(body) || v.CTS < -1<<23 || v.CTS >= 1<<23 {
			t.Fatalf("%+v out of %x", v, body)
		}
		_ = v.Codec.String()
	})
}

func FuzzAudio(f *testing.F) {
	for _, c := range audioCases {
		f.Add([]byte(c.body))
	}
	for _, body := range audioErrors {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		a, err := flv.ParseAudio(body)
		if err != nil {
			if !errors.Is(err, flv.ErrMalformed) {
				t.Fatalf("%v is not ErrMalformed", err)
			}
			return
		}
		if a.Packet == 0 || a.Packet == flv.CodedFrames && len(a.Body) == 0 {
			t.Fatalf("%+v out of %x: a frame without a byte is silence", a, body)
		}
		_ = a.Codec.String()
	})
}
