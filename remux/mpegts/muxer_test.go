package mpegts_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"slices"
	"testing"

	"weir/media"
	"weir/media/aac"
	"weir/media/h264"
	"weir/media/mp3"
	"weir/remux/mpegts"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// Each frame of the clip is in the stream once, its bytes and times exact, over
// segments that follow on each other.
func TestClip(t *testing.T) {
	clip := readClip(t)
	for name, s := range map[string]stream{
		"audio and video": clip,
		"video only":      clip.only(media.Video),
		"audio only":      clip.only(media.Audio),
	} {
		t.Run(name, func(t *testing.T) {
			m := newMuxer(t, s.cfg, mpegts.Continuity{})
			var ts []byte
			for _, frames := range s.segments() {
				segment := mux(t, m, frames)
				if segment[0] != 0x47 || segment[188] != 0x47 || len(segment)%188 != 0 {
					t.Fatalf("a segment of %d bytes that is no run of packets", len(segment))
				}
				if pat, pmt := pid(segment), pid(segment[188:]); pat != 0 || pmt != 0x1000 {
					t.Errorf("a segment begins with PIDs %#x and %#x, want PAT and PMT", pat, pmt)
				}
				ts = append(ts, segment...)
			}
			pcrPID := uint16(videoPID)
			if s.cfg.Video == nil {
				pcrPID = audioPID
			}
			units, jumps := take(t, ts, pcrPID)
			if jumps != 0 {
				t.Errorf("%d discontinuities in a stream without one", jumps)
			}
			sameFrames(t, s.cfg, s.frames, units, expect(t, s.cfg))
		})
	}
}

func pid(packet []byte) uint16 { return uint16(packet[1]&0x1f)<<8 | uint16(packet[2]) }

// A worker dies at any segment's end; the next one has the Continuity only,
// by way of JSON, and goes on with the same bytes.
func TestContinuityIsAllTheState(t *testing.T) {
	clip := readClip(t)
	for _, s := range []stream{clip, clip.only(media.Video), clip.only(media.Audio)} {
		one := newMuxer(t, s.cfg, mpegts.Continuity{})
		next := mpegts.Continuity{}
		for i, frames := range s.segments() {
			want := mux(t, one, frames)
			text, err := json.Marshal(next)
			if err != nil {
				t.Fatal(err)
			}
			var read mpegts.Continuity
			if err := json.Unmarshal(text, &read); err != nil {
				t.Fatal(err)
			}
			other := newMuxer(t, s.cfg, read)
			if got := mux(t, other, frames); !bytes.Equal(got, want) {
				t.Fatalf("segment %d by a new muxer: %s", i, firstDifference(got, want))
			}
			next = other.Continuity()
			if next != one.Continuity() {
				t.Fatalf("after segment %d: %+v and %+v", i, next, one.Continuity())
			}
		}
	}
}

// The bytes themselves: whoever changes them changes what a redo after a crash
// writes, and must mean to. `go test ./remux/mpegts -update` rewrites.
func TestGolden(t *testing.T) {
	s := readClip(t)
	m := newMuxer(t, s.cfg, mpegts.Continuity{PAT: 3, PMT: 15, Video: 7, Audio: 14})
	got := mux(t, m, s.segments()[0])
	const name = "testdata/segment.ts"
	if *update {
		if err := os.WriteFile(name, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("not %s: %s", name, firstDifference(got, want))
	}
}

// idr and inter are pictures of size bytes.
func idr(size int) []byte   { return append([]byte{0x65}, bytes.Repeat([]byte{0x5a}, size-1)...) }
func inter(size int) []byte { return append([]byte{0x41}, bytes.Repeat([]byte{0xa5}, size-1)...) }

// config is a small stream: parameter sets of a few bytes, AAC 48 kHz.
func config(t testing.TB) mpegts.Config {
	t.Helper()
	a, err := aac.ParseConfig([]byte{0x11, 0x90})
	if err != nil {
		t.Fatal(err)
	}
	return mpegts.Config{
		Video: &h264.Config{LengthSize: 4, SPS: [][]byte{{0x67, 0x64, 0, 0x1f}}, PPS: [][]byte{{0x68, 0xee}}},
		AAC:   &a,
	}
}

// Stuffing is right for every size of the last packet, behind every header:
// with and without PCR, DTS, and in audio.
func TestEverySize(t *testing.T) {
	cfg := config(t)
	for size := 1; size <= 700; size++ {
		m := newMuxer(t, cfg, mpegts.Continuity{})
		frames := []media.Frame{
			{Kind: media.Video, Key: true, DTS: offset, PTS: offset, Data: avcc(idr(size))},
			{Kind: media.Video, DTS: offset + 3000, PTS: offset + 6000, Data: avcc(inter(size))},
			{Kind: media.Video, DTS: offset + 3000, PTS: offset + 6000, Data: avcc(inter(size))}, // time stands still: no PCR
			{Kind: media.Audio, DTS: offset, PTS: offset, Data: bytes.Repeat([]byte{1}, size)},
		}
		ts := mux(t, m, frames)
		units, _ := take(t, ts, videoPID)
		sameFrames(t, cfg, frames, units, expect(t, cfg))
		for p := ts; len(p) > 0; p = p[188:] {
			// Video pads by adaptation fields alone, or PES_packet_length 0
			// would make the padding part of the picture.
			if _, err := mpegts.ParsePacket(p[:188]); err != nil {
				t.Fatalf("size %d: %v", size, err)
			}
		}
	}
}

func TestLengthSizes(t *testing.T) {
	for size, au := range map[int][]byte{
		1: {3, 0x65, 1, 2},
		2: {0, 3, 0x65, 1, 2},
		4: {0, 0, 0, 3, 0x65, 1, 2},
	} {
		cfg := config(t)
		cfg.Video.LengthSize = size
		frames := []media.Frame{{Kind: media.Video, Key: true, DTS: offset, PTS: offset, Data: au}}
		units, _ := take(t, mux(t, newMuxer(t, cfg, mpegts.Continuity{}), frames), videoPID)
		want := []byte{0, 0, 0, 1, 9, 0xf0, 0, 0, 0, 1, 0x67, 0x64, 0, 0x1f, 0, 0, 0, 1, 0x68, 0xee, 0, 0, 0, 1, 0x65, 1, 2}
		if len(units) != 1 || !bytes.Equal(units[0].data, want) {
			t.Errorf("lengths of %d bytes: %+v, want %x", size, units, want)
		}
	}
}

// What stands first in an access unit, and what is left out of it.
func TestParameterSets(t *testing.T) {
	cfg := config(t)
	cfg.Video.SPSExt = [][]byte{{0x6d, 1}}
	sps, ext, pps := cfg.Video.SPS[0], cfg.Video.SPSExt[0], cfg.Video.PPS[0]
	aud, ourAUD, sei, picture := []byte{9, 0x10}, []byte{9, 0xf0}, []byte{6, 5, 1}, []byte{0x65, 1}
	otherSPS, otherPPS := []byte{0x67, 0x42, 0, 0x1e}, []byte{0x68, 0xff}
	for _, c := range []struct {
		name  string
		key   bool
		units [][]byte
		want  [][]byte
	}{
		{"a key frame gets them", true, [][]byte{picture}, [][]byte{ourAUD, sps, ext, pps, picture}},
		{"another frame does not", false, [][]byte{picture}, [][]byte{ourAUD, picture}},
		{"an AUD of the encoder's goes, SEI stays in its place", false, [][]byte{aud, sei, picture}, [][]byte{ourAUD, sei, picture}},
		{"repeated in band: written once", true, [][]byte{aud, sps, pps, sei, picture}, [][]byte{ourAUD, sps, ext, pps, sei, picture}},
		{"another PPS in band stays, and so does all that it may need", true, [][]byte{sps, otherPPS, picture}, [][]byte{ourAUD, sps, ext, pps, sps, otherPPS, picture}},
		{"another SPS takes the PPSs with it: the repeated one is needed", true, [][]byte{otherSPS, pps, picture}, [][]byte{ourAUD, sps, ext, pps, otherSPS, pps, picture}},
		{"in band between key frames they stay", false, [][]byte{sps, pps, picture}, [][]byte{ourAUD, sps, pps, picture}},
		{"empty units go", false, [][]byte{{}, picture, {}}, [][]byte{ourAUD, picture}},
		{"what ends a sequence stays", false, [][]byte{picture, {10}}, [][]byte{ourAUD, picture, {10}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMuxer(t, cfg, mpegts.Continuity{})
			units, _ := take(t, mux(t, m, []media.Frame{{Kind: media.Video, Key: c.key, DTS: offset, PTS: offset, Data: avcc(c.units...)}}), videoPID)
			var got [][]byte
			for nal := range h264.AnnexB(units[0].data) {
				got = append(got, nal)
			}
			if !slices.EqualFunc(got, c.want, bytes.Equal) {
				t.Errorf("%x, want %x", got, c.want)
			}
		})
	}
}

// Streams that send parameter sets in band alone.
func TestNoParameterSets(t *testing.T) {
	cfg := config(t)
	cfg.Video.SPS, cfg.Video.PPS = nil, nil
	frames := []media.Frame{{Kind: media.Video, Key: true, DTS: offset, PTS: offset, Data: avcc([]byte{0x67, 1}, []byte{0x68, 2}, []byte{0x65, 3})}}
	units, _ := take(t, mux(t, newMuxer(t, cfg, mpegts.Continuity{}), frames), videoPID)
	sameFrames(t, cfg, frames, units, expect(t, cfg))
}

// A frame that cannot be written leaves no trace, and the error says why.
func TestUnfitFrames(t *testing.T) {
	clip := readClip(t)
	key := clip.frames[0].Data
	for name, f := range map[string]media.Frame{
		"no kind":                      {},
		"access unit cut short":        {Kind: media.Video, Key: true, Data: key[:len(key)-1]},
		"damaged length in the middle": {Kind: media.Video, Data: avcc(inter(9), inter(9))[:20]},
		"empty access unit":            {Kind: media.Video},
		"access unit of an AUD alone":  {Kind: media.Video, Key: true, Data: avcc([]byte{9, 0xf0})},
		"empty audio frame":            {Kind: media.Audio},
		"audio frame beyond 13 bits":   {Kind: media.Audio, Data: make([]byte, 8185)},
	} {
		want := mux(t, newMuxer(t, clip.cfg, mpegts.Continuity{}), clip.frames)
		m := newMuxer(t, clip.cfg, mpegts.Continuity{})
		got := m.AppendTables(nil)
		for i := range clip.frames {
			before := len(got)
			f.DTS, f.PTS = clip.frames[i].DTS, clip.frames[i].PTS
			var err error
			if got, err = m.AppendFrame(got, &f); !errors.Is(err, mpegts.ErrFrame) || len(got) != before {
				t.Fatalf("%s: %v, %d bytes more", name, err, len(got)-before)
			}
			if got, err = m.AppendFrame(got, &clip.frames[i]); err != nil {
				t.Fatal(err)
			}
		}
		if got = m.Flush(got); !bytes.Equal(got, want) {
			t.Errorf("%s: it changed the stream: %s", name, firstDifference(got, want))
		}
	}
	for _, only := range []media.Kind{media.Video, media.Audio} {
		m := newMuxer(t, clip.only(only).cfg, mpegts.Continuity{})
		for i := range clip.frames[:10] {
			if _, err := m.AppendFrame(nil, &clip.frames[i]); (err == nil) != (clip.frames[i].Kind == only) {
				t.Errorf("%v in a stream of %v only: %v", clip.frames[i].Kind, only, err)
			}
		}
	}
}

func TestNewMuxerRefuses(t *testing.T) {
	low, err := aac.ParseConfig([]byte{0x12, 0x14}) // 960 samples
	if err != nil {
		t.Fatal(err)
	}
	cfg := config(t)
	for name, c := range map[string]struct {
		cfg  mpegts.Config
		next mpegts.Continuity
	}{
		"no track":            {},
		"AAC and MP3":         {cfg: mpegts.Config{AAC: cfg.AAC, MP3: new(mp3.Config)}},
		"AAC without ADTS":    {cfg: mpegts.Config{AAC: &low}},
		"no length size":      {cfg: mpegts.Config{Video: &h264.Config{}}},
		"a counter beyond 15": {cfg: cfg, next: mpegts.Continuity{Audio: 16}},
	} {
		if _, err := mpegts.NewMuxer(c.cfg, c.next); err == nil {
			t.Errorf("%s: a muxer that would fail, or lie, later", name)
		}
	}
}

// A player that goes on over a discontinuity must see that the PMT is another.
func TestTablesOfEachSetOfTracks(t *testing.T) {
	cfg := config(t)
	mpeg1 := mp3.Config{Version: mp3.MPEG1, Layer: 3, SampleRate: 44100, Channels: 2}
	mpeg2 := mp3.Config{Version: mp3.MPEG2, Layer: 3, SampleRate: 22050, Channels: 1}
	versions := map[uint8]bool{}
	for _, c := range []struct {
		cfg mpegts.Config
		pcr uint16
		es  []mpegts.ElementaryStream
	}{
		{mpegts.Config{Video: cfg.Video}, videoPID, []mpegts.ElementaryStream{{PID: videoPID, Type: mpegts.StreamH264}}},
		{mpegts.Config{AAC: cfg.AAC}, audioPID, []mpegts.ElementaryStream{{PID: audioPID, Type: mpegts.StreamAAC}}},
		{cfg, videoPID, []mpegts.ElementaryStream{{PID: videoPID, Type: mpegts.StreamH264}, {PID: audioPID, Type: mpegts.StreamAAC}}},
		{mpegts.Config{MP3: &mpeg1}, audioPID, []mpegts.ElementaryStream{{PID: audioPID, Type: mpegts.StreamMPEG1Audio}}},
		{mpegts.Config{MP3: &mpeg2}, audioPID, []mpegts.ElementaryStream{{PID: audioPID, Type: mpegts.StreamMPEG2Audio}}},
		{mpegts.Config{Video: cfg.Video, MP3: &mpeg1}, videoPID, []mpegts.ElementaryStream{{PID: videoPID, Type: mpegts.StreamH264}, {PID: audioPID, Type: mpegts.StreamMPEG1Audio}}},
		{mpegts.Config{Video: cfg.Video, MP3: &mpeg2}, videoPID, []mpegts.ElementaryStream{{PID: videoPID, Type: mpegts.StreamH264}, {PID: audioPID, Type: mpegts.StreamMPEG2Audio}}},
	} {
		tables := newMuxer(t, c.cfg, mpegts.Continuity{}).AppendTables(nil)
		if len(tables) != 2*188 {
			t.Fatalf("tables of %d bytes", len(tables))
		}
		for e := range mpegts.Demux(tables) {
			switch e.Type {
			case mpegts.EventPAT:
				if !slices.Equal(e.PAT.Programs, []mpegts.Program{{Number: 1, PMT: 0x1000}}) {
					t.Errorf("PAT %+v", e.PAT)
				}
			case mpegts.EventPMT:
				if e.PMT.PCR != c.pcr || !slices.Equal(e.PMT.Streams, c.es) || versions[e.PMT.Version] {
					t.Errorf("PMT %+v, want PCR on %#x, streams %v, a version of its own", e.PMT, c.pcr, c.es)
				}
				versions[e.PMT.Version] = true
			default:
				t.Errorf("event %+v", e)
			}
		}
	}
	if len(versions) != 7 {
		t.Errorf("PMT versions %v, want seven", versions)
	}
}

// A moment of sound, less than the time between two clock references, in a
// stream whose pictures carry the clock: a decoder needs one all the same.
func TestEverySegmentHasAClock(t *testing.T) {
	clip := readClip(t)
	sound := clip.only(media.Audio).frames[:2]
	m := newMuxer(t, clip.cfg, mpegts.Continuity{PCR: sound[0].PTS - mpegts.Lead})
	clocks := 0
	for e := range mpegts.Demux(mux(t, m, sound)) {
		switch e.Type {
		case mpegts.EventPCR:
			clocks++
			if e.PID != videoPID || e.PCR <= sound[0].PTS-mpegts.Lead {
				t.Errorf("a PCR of %d on PID %#x: want one that is later than the last, on the pictures' PID", e.PCR, e.PID)
			}
		case mpegts.EventFault:
			t.Error(e.Err)
		}
	}
	if clocks != 1 {
		t.Errorf("%d clock references, want one", clocks)
	}
}
