package mpegts_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"slices"
	"testing"

	"weir/media"
	"weir/media/aac"
	"weir/media/h264"
	"weir/remux/flv"
	"weir/remux/mpegts"
)

const clipFile = "../../testdata/clips/high-bframes-aac44.flv"

// offset is where the tests' timelines begin: far enough from 0 for the PCR.
const offset = 10 * media.Clock

// stream is what a Muxer is made of and for.
type stream struct {
	cfg    mpegts.Config
	frames []media.Frame
}

// readClip demuxes the clip: video on its millisecond stamps, audio on its
// sample clock.
func readClip(t testing.TB) stream {
	t.Helper()
	f, err := os.Open(clipFile)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var s stream
	var samples int64
	r := flv.NewReader(f, 0)
	for {
		tag, err := r.Next()
		if errors.Is(err, io.EOF) {
			return s
		}
		if err != nil {
			t.Fatal(err)
		}
		tag.Data = bytes.Clone(tag.Data)
		dts := offset + int64(tag.Timestamp)*90
		switch tag.Type {
		case flv.TagVideo:
			v, err := flv.ParseVideo(tag.Data)
			if err != nil {
				t.Fatal(err)
			}
			if v.Packet == flv.SequenceHeader {
				c, err := h264.ParseConfig(v.Body)
				if err != nil {
					t.Fatal(err)
				}
				s.cfg.Video = &c
			} else if v.Packet == flv.CodedFrames {
				s.frames = append(s.frames, media.Frame{Kind: media.Video, Key: v.Key(), DTS: dts, PTS: dts + int64(v.CTS)*90, Data: v.Body})
			}
		case flv.TagAudio:
			a, err := flv.ParseAudio(tag.Data)
			if err != nil {
				t.Fatal(err)
			}
			if a.Packet == flv.SequenceHeader {
				c, err := aac.ParseConfig(a.Body)
				if err != nil {
					t.Fatal(err)
				}
				s.cfg.AAC = &c
			} else if a.Packet == flv.CodedFrames {
				pts := offset + 44*90 + samples*media.Clock/44100
				samples += 1024
				s.frames = append(s.frames, media.Frame{Kind: media.Audio, DTS: pts, PTS: pts, Data: a.Body})
			}
		}
	}
}

// only returns the stream with one kind of frames, and its Config.
func (s stream) only(k media.Kind) stream {
	out := stream{cfg: s.cfg}
	if k == media.Video {
		out.cfg.AAC = nil
	} else {
		out.cfg.Video = nil
	}
	for _, f := range s.frames {
		if f.Kind == k {
			out.frames = append(out.frames, f)
		}
	}
	return out
}

// segments cuts the frames before each key frame but the first.
func (s stream) segments() (out [][]media.Frame) {
	from := 0
	for i, f := range s.frames {
		if f.Key && slices.ContainsFunc(s.frames[from:i], func(f media.Frame) bool { return f.Kind == media.Video }) {
			out = append(out, s.frames[from:i])
			from = i
		}
	}
	return append(out, s.frames[from:])
}

// mux makes one segment.
func mux(t fataler, m *mpegts.Muxer, frames []media.Frame) []byte {
	t.Helper()
	ts := m.AppendTables(nil)
	for i := range frames {
		var err error
		if ts, err = m.AppendFrame(ts, &frames[i]); err != nil {
			t.Fatalf("frame %d: %v", i, err)
		}
	}
	return m.Flush(ts)
}

func newMuxer(t fataler, cfg mpegts.Config, next mpegts.Continuity) *mpegts.Muxer {
	t.Helper()
	m, err := mpegts.NewMuxer(cfg, next)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return m
}

// accessUnit is what a frame must look like in the stream, put together the
// simple way: for a picture AUD, parameter sets, and the units of the frame
// without what these repeat. They repeat it only where they have all of the
// frame's: another SPS may replace the one that a PPS refers to, and the PPS
// must then come again behind it (ITU-T H.264, 7.4.1.2.1).
func accessUnit(t fataler, cfg mpegts.Config, f *media.Frame) []byte {
	t.Helper()
	if f.Kind == media.Audio {
		b, err := cfg.AAC.AppendADTS(nil, len(f.Data))
		if err != nil {
			t.Fatalf("frame of %d bytes: %v", len(f.Data), err)
		}
		return append(b, f.Data...)
	}
	start := []byte{0, 0, 0, 1}
	out := []byte{0, 0, 0, 1, 9, 0xf0}
	sets := slices.Concat(cfg.Video.SPS, cfg.Video.SPSExt, cfg.Video.PPS)
	if f.Key {
		for _, nal := range sets {
			out = append(append(out, start...), nal...)
		}
	}
	isSet := func(nal []byte) bool {
		switch h264.TypeOf(nal) {
		case h264.SequenceParams, h264.SPSExtension, h264.PictureParams:
			return true
		}
		return false
	}
	var units [][]byte
	repeats := f.Key
	for p := f.Data; len(p) > 0; {
		n := int(binary.BigEndian.Uint32(p))
		nal := p[4 : 4+n]
		p = p[4+n:]
		units = append(units, nal)
		known := slices.ContainsFunc(sets, func(s []byte) bool { return bytes.Equal(s, nal) })
		repeats = repeats && (known || !isSet(nal))
	}
	for _, nal := range units {
		if len(nal) > 0 && h264.TypeOf(nal) != h264.Delimiter && !(repeats && isSet(nal)) {
			out = append(append(out, start...), nal...)
		}
	}
	return out
}

// avcc puts NAL units behind lengths of four bytes.
func avcc(nals ...[]byte) []byte {
	var au []byte
	for _, nal := range nals {
		au = append(binary.BigEndian.AppendUint32(au, uint32(len(nal))), nal...)
	}
	return au
}
