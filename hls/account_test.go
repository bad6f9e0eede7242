package hls

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"testing"

	"weir/internal/synthetic"
	"weir/media"
	"weir/media/framelog"
	"weir/media/h264"
	"weir/remux/flv"
)

// An encoder that comes back with another picture size: what is declared
// covers all segments, so that a player that joins early or late is right.
func TestMultivariantCoversAllSessions(t *testing.T) {
	for _, order := range [][2][]byte{{synthetic.AVC720, synthetic.AVC360}, {synthetic.AVC360, synthetic.AVC720}} {
		rec := new(synthetic.Log)
		for i, avc := range order {
			s := synthetic.New(10)
			s.AVC, s.FPS = avc, 30+30*i
			rec.Session(t, s.Tags(), framelog.End|framelog.Lost)
		}
		out := cutAll(t, newCutter(t, settings), rec.Batches)
		list := out.state.Multivariant("source/live.m3u8")
		for _, want := range []string{`CODECS="avc1.4d401f,avc1.64001e,mp4a.40.2"`, "RESOLUTION=1280x720", "FRAME-RATE=60.000"} {
			if !bytes.Contains(list, []byte(want)) {
				t.Errorf("the multivariant lacks %s:\n%s", want, list)
			}
		}
	}
}

// VIDEO-RANGE is what the parameter sets say of the transfer characteristics, that
// of the widest pictures; nothing where they do not say (RFC 8216bis, 4.4.6.2).
func TestVideoRange(t *testing.T) {
	// 64x64 by x264 with transfer=smpte2084, arib-std-b67, bt709.
	record := func(transfer string) []byte {
		return unhex(t, "0142c00affe100196742c00ada109b016a12"+transfer+"1280000003008000001e0789135001000468ce0fc8")
	}
	pq, hlg, sdr := record("20"), record("24"), record("02")
	for _, tt := range []struct {
		records [][]byte
		want    string
	}{
		{[][]byte{synthetic.AVC720}, ""},
		{[][]byte{sdr}, ",VIDEO-RANGE=SDR"},
		{[][]byte{hlg}, ",VIDEO-RANGE=HLG"},
		{[][]byte{pq}, ",VIDEO-RANGE=PQ"},
		{[][]byte{synthetic.AVC720, sdr, pq, hlg}, ",VIDEO-RANGE=PQ"},
	} {
		rec := new(synthetic.Log)
		for _, r := range tt.records {
			s := synthetic.New(3)
			s.AVC = r
			rec.Session(t, s.Tags(), framelog.End|framelog.Lost)
		}
		out := cutAll(t, newCutter(t, settings), rec.Batches)
		list := out.state.Multivariant("source/live.m3u8")
		if got := bytes.Contains(list, []byte("VIDEO-RANGE")); got != (tt.want != "") || !bytes.Contains(list, []byte(tt.want)) {
			t.Errorf("want %q in\n%s", tt.want, list)
		}
		var again State
		if again.declared(list); again.VideoRange != out.state.VideoRange {
			t.Errorf("%q is read back as %q", out.state.VideoRange, again.VideoRange)
		}
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The frame rate is that of the pictures, whatever else the segment holds.
func TestFrameRate(t *testing.T) {
	for _, tt := range []struct{ pictures, millis, want int64 }{
		{119, 3967, 30000}, // between the first and the last of 120, to the millisecond
		{119, 3971, 29970},
		{95, 3962, 23976},
		{95, 3958, 24000},
		{59, 983, 60000},
		{1, 1000, 1000}, // a slide show
		{30, 2069, 14500},
	} {
		if got := frameRate(tt.pictures, tt.millis*media.Clock/1000); got != tt.want {
			t.Errorf("%d pictures in %d ms: %d, want %d", tt.pictures, tt.millis, got, tt.want)
		}
	}
	early := synthetic.New(10)
	tags := early.Tags()
	for i := range tags { // two seconds of sound before the first picture
		if tags[i].Type == flv.TagVideo {
			tags[i].Timestamp += 2000
		}
	}
	rec := new(synthetic.Log)
	rec.Session(t, tags, framelog.Final)
	out := cutAll(t, newCutter(t, settings), rec.Batches)
	if got := out.state.FrameRate; got != 30000 {
		t.Errorf("with sound first, the rate is %d, want 30000", got)
	}
}

// A segment that is begun anew for a track that came late does not forget, or
// count twice, what was lost.
func TestLossesSurviveALateTrack(t *testing.T) {
	s := synthetic.New(10)
	s.AudioLate = 0.6
	tags := s.Tags()
	// Before the codec configuration: two pictures that nobody can decode.
	junk := flv.Tag{Type: flv.TagVideo, Data: []byte{0x27, 1, 0, 0, 0, 0, 0, 0, 1, 0x41}}
	rec := new(synthetic.Log)
	rec.Session(t, append([]flv.Tag{junk, junk}, tags...), framelog.Final)
	out := cutAll(t, newCutter(t, settings), rec.Batches)
	if got := out.state.LostFrames; got != 2 {
		t.Errorf("%d frames are counted as lost, want the 2 before the configuration", got)
	}
}

// A configuration may leave the parameter sets to the stream (ISO/IEC
// 14496-15, 5.3.3.1), and so may an encoder that sends no configuration at all.
func TestParameterSetsInBand(t *testing.T) {
	config, err := h264.ParseConfig(synthetic.AVC720)
	if err != nil {
		t.Fatal(err)
	}
	for name, record := range map[string][]byte{"no sets in the record": {1, 0x4d, 0x40, 0x1f, 0xff, 0xe0, 0}, "no record": nil} {
		s := synthetic.New(10)
		s.AVC = record
		tags := s.Tags()
		if record == nil {
			tags = slices.DeleteFunc(tags, func(t flv.Tag) bool { return t.Type == flv.TagVideo && t.Data[1] == 0 })
		}
		for i, t := range tags {
			if flv.IsKeyframe(t) {
				body := slices.Clone(t.Data[:5])
				for _, nal := range [][]byte{config.SPS[0], config.PPS[0]} {
					body = append(binary.BigEndian.AppendUint32(body, uint32(len(nal))), nal...)
				}
				tags[i].Data = append(body, t.Data[5:]...)
			}
		}
		rec := new(synthetic.Log)
		rec.Session(t, tags, framelog.Final)
		out := cutAll(t, newCutter(t, settings), rec.Batches)
		if len(out.entries) != 3 || out.state.LostFrames > 0 || out.state.Width != 1280 || out.state.Breaks > 0 {
			t.Errorf("%s: %d segments, %d frames lost, width %d; want 3, none, 1280", name, len(out.entries), out.state.LostFrames, out.state.Width)
		}
	}
}
