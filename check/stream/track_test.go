package stream

import (
	"bytes"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"weir/media"
	"weir/media/aac"
	"weir/remux/mpegts"
)

// TestDifference: on a clock of 33 bits what is nearer counts.
func TestDifference(t *testing.T) {
	const turn = int64(1) << 33
	for _, tt := range []struct{ a, b, want int64 }{
		{0, 0, 0}, {90000, 0, 90000}, {0, 90000, -90000},
		{0, turn - 1, 1}, {turn - 1, 0, -1}, {5, turn - 5, 10},
		{turn/2 - 1, 0, turn/2 - 1}, {turn / 2, 0, -turn / 2}, {turn, 0, 0},
	} {
		if got := Difference(tt.a, tt.b); got != tt.want {
			t.Errorf("%d − %d is %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		at := rapid.Int64Range(0, turn-1).Draw(t, "clock")
		d := rapid.Int64Range(-turn/2+1, turn/2-1).Draw(t, "step")
		if got := Difference((at+d)&(turn-1), at); got != d {
			t.Fatalf("%d ticks on from %d are %d", d, at, got)
		}
	})
}

// TestKinds: stream types of ISO/IEC 13818-1, table 2-34.
func TestKinds(t *testing.T) {
	for typ, want := range map[mpegts.StreamType]media.Kind{
		0x01: media.Video, 0x02: media.Video, 0x10: media.Video, 0x1B: media.Video, 0x24: media.Video, 0x33: media.Video,
		0x03: media.Audio, 0x04: media.Audio, 0x0F: media.Audio, 0x11: media.Audio, 0x81: media.Audio, 0x87: media.Audio,
		0x15: 0, 0x05: 0, 0x06: 0, 0x86: 0, 0: 0,
	} {
		if got := kindOf(typ); got != want {
			t.Errorf("stream type 0x%02x is %v, want %v", uint8(typ), got, want)
		}
	}
}

// adts is a frame of so many bytes behind its header, AAC-LC in stereo.
func adts(rate, size int) []byte {
	asc := map[int][]byte{48000: {0x11, 0x90}, 44100: {0x12, 0x10}}[rate]
	config, err := aac.ParseConfig(asc)
	if err != nil {
		panic(err)
	}
	b, err := config.AppendADTS(nil, size)
	if err != nil {
		panic(err)
	}
	return append(b, make([]byte, size)...)
}

// TestADTS: chains of frames, cut anywhere, and what is none
// (ISO/IEC 14496-3, 1.A.2).
func TestADTS(t *testing.T) {
	chain := bytes.Repeat(adts(48000, 100), 10)
	for cut := range len(chain) {
		tr := &Track{}
		if !tr.takeADTS(chain[:cut], 90000) || !tr.takeADTS(chain[cut:], 90000+int64(cut/107)*1920) {
			t.Fatalf("frames that go on in the next packet, at byte %d, are refused", cut)
		}
		if tr.audio.samples != 10*1024 || len(tr.audio.rest) != 0 || tr.audio.rate != 48000 || tr.Codec != "mp4a.40.2" {
			t.Fatalf("cut at %d: %d samples, %d bytes left, %d Hz, %s", cut, tr.audio.samples, len(tr.audio.rest), tr.audio.rate, tr.Codec)
		}
	}
	for name, b := range map[string][]byte{
		"zeros":                      make([]byte, 200),
		"a frame, then zeros":        append(adts(48000, 100), make([]byte, 200)...),
		"a frame of less than 7":     {0xFF, 0xF1, 0x4C, 0x80, 0x00, 0xDF, 0xFC, 0, 0},
		"the 16th rate":              append([]byte{0xFF, 0xF1, 0x7C, 0x80, 0x0D, 0x7F, 0xFC}, make([]byte, 200)...),
		"a layer that is not zero":   {0xFF, 0xF7, 0x4C, 0x80, 0x0D, 0x7F, 0xFC, 0, 0},
		"a sync word of eleven bits": {0xFF, 0xE1, 0x4C, 0x80, 0x0D, 0x7F, 0xFC, 0, 0},
	} {
		if (&Track{}).takeADTS(b, 0) {
			t.Errorf("%s is taken for ADTS", name)
		}
	}
	tr := &Track{}
	if !tr.takeADTS(chain[:50], 0) || len(tr.audio.rest) != 50 {
		t.Error("half a frame does not wait for its rest")
	}
}

// TestAudioClock: the clock of samples, holes in it, and drift.
func TestAudioClock(t *testing.T) {
	const frame = 1920 // ticks of 1024 samples at 48 kHz
	feed := func(stamps ...int64) *Track {
		tr := &Track{Kind: media.Audio}
		for _, at := range stamps {
			tr.takeADTS(adts(48000, 100), at)
		}
		tr.settle()
		return tr
	}
	for _, tt := range []struct {
		name        string
		stamps      []int64
		hole, drift int64
	}{
		{"even", []int64{0, frame, 2 * frame}, 0, 0},
		{"rounded to milliseconds", []int64{0, 1890, 3870}, 0, 30},
		{"a tenth of a second is no hole", []int64{0, frame + 9000}, 0, 9000},
		{"a tick more is one", []int64{0, frame + 9001}, 9001, 0},
		{"behind the hole it counts anew", []int64{0, frame + 90000, 2*frame + 90000}, 90000, 0},
		{"two stamps that are alike", []int64{0, 0}, 0, frame},
	} {
		tr := feed(tt.stamps...)
		if tr.Hole != tt.hole || tr.drift != tt.drift || tr.Step != frame {
			t.Errorf("%s: a hole of %d, a drift of %d, steps of %d; want %d, %d, %d", tt.name, tr.Hole, tr.drift, tr.Step, tt.hole, tt.drift, frame)
		}
	}
}

// TestSettle: the length of a picture is the most common one, and a hole is
// what is longer by a tenth of a second and two pictures.
func TestSettle(t *testing.T) {
	for _, tt := range []struct {
		name       string
		steps      []int64
		step, hole int64
	}{
		{"none", nil, 0, 0},
		{"one", []int64{3600}, 3600, 0},
		{"even", []int64{3600, 3600, 3600}, 3600, 0},
		{"29.97 in milliseconds", []int64{2970, 3060, 2970, 2970, 3060}, 2970, 0},
		{"one is lost", []int64{3600, 3600, 7200, 3600}, 3600, 0},
		{"a tenth of a second longer", []int64{3600, 3600, 3600, 12600}, 3600, 0},
		{"and a tick", []int64{3600, 3600, 3600, 12601}, 3600, 9001},
		{"slow pictures: two of them longer", []int64{22500, 22500, 22500, 67500}, 22500, 0},
		{"and a tick", []int64{22500, 22500, 22500, 67501}, 22500, 45001},
		{"a tick apart they are for the decoder only", []int64{1, 1, 1, 1, 3600, 3600}, 3600, 0},
	} {
		tr := &Track{Kind: media.Video, steps: slices.Clone(tt.steps)}
		if tr.settle(); tr.Step != tt.step || tr.Hole != tt.hole {
			t.Errorf("%s: %d ticks, a hole of %d; want %d, %d", tt.name, tr.Step, tr.Hole, tt.step, tt.hole)
		}
	}
}

// TestRate: frames a second, to a thousandth.
func TestRate(t *testing.T) {
	for step, want := range map[int64]float64{0: 0, 3600: 25, 3003: 29.970, 3000: 30, 1500: 60, 90000: 1, -5: 0} {
		if got := (&Track{Step: step}).Rate(); got != want {
			t.Errorf("of %d ticks: %g, want %g", step, got, want)
		}
	}
}

// nal is a NAL unit behind a start code.
func nal(b ...byte) []byte { return append([]byte{0, 0, 0, 1}, b...) }

// TestPicture: what an access unit begins with, up to its first slice
// (ITU-T H.264, 7.4.1.2.3).
func TestPicture(t *testing.T) {
	sps := []byte{0x67, 0x4d, 0x40, 0x1e, 0xec, 0xa0, 0x50, 0x17, 0xfc, 0xb8, 0x08, 0x80, 0x00, 0x00, 0x03, 0x00, 0x80, 0x00, 0x00, 0x19, 0x07, 0x8b, 0x16, 0xcb}
	aud, pps, idr, slice, sei := nal(9, 0xF0), nal(0x68, 0xEB), nal(0x65, 0x88), nal(0x41, 0x9A), nal(6, 5, 1, 0)
	for _, tt := range []struct {
		name                   string
		data                   []byte
		key, keyed, noAUD, got bool
	}{
		{"a key picture with its sets", joined(aud, nal(sps...), pps, idr), true, true, false, true},
		{"without a delimiter", joined(nal(sps...), pps, idr), true, true, true, true},
		{"a delimiter that is not first", joined(sei, aud, nal(sps...), pps, idr), true, true, true, true},
		{"without PPS", joined(aud, nal(sps...), idr), true, false, false, true},
		{"without sets", joined(aud, sei, idr), true, false, false, true},
		{"another picture", joined(aud, slice), false, false, false, true},
		{"sets behind the slice count for nothing", joined(aud, idr, nal(sps...), pps), true, false, false, true},
		{"a partition", joined(aud, nal(0x42, 0x9A)), false, false, false, true},
		{"no slice", joined(aud, sei), false, false, false, false},
		{"start codes of three bytes", []byte{0, 0, 1, 9, 0xF0, 0, 0, 1, 0x65, 0x88}, true, false, false, true},
		{"nothing", nil, false, false, false, false},
	} {
		tr := &Track{Kind: media.Video}
		got := tr.picture(&mpegts.PES{RandomAccess: true}, tt.data)
		if got != tt.got || tr.FirstKey != tt.key || tr.Keyed != tt.keyed || (tr.noAUD > 0) != tt.noAUD {
			t.Errorf("%s: taken %v, IDR first %v, sets before it %v, no delimiter %d", tt.name, got, tr.FirstKey, tr.Keyed, tr.noAUD)
		}
	}
	tr := &Track{Kind: media.Video}
	tr.picture(&mpegts.PES{}, joined(aud, nal(sps...), pps, idr))
	if tr.Size != (Size{640, 360}) || tr.Codec != "avc1.4d401e" || tr.noFlag != 1 {
		t.Errorf("%s, %s, %d flags are missing; want 640x360, avc1.4d401e, 1", tr.Size, tr.Codec, tr.noFlag)
	}
}

// TestKeyGap: what passes between IDR pictures, where other pictures come.
func TestKeyGap(t *testing.T) {
	feed := func(step int64, kinds string) *Track {
		tr := &Track{Kind: media.Video}
		for i, k := range kinds {
			at := int64(i) * step
			if i == 0 {
				tr.lastKey = at
			} else {
				tr.steps = append(tr.steps, step)
			}
			tr.last = at
			tr.slice(&mpegts.PES{RandomAccess: true}, k == 'I', true)
			tr.Frames++
		}
		tr.settle()
		return tr
	}
	for _, tt := range []struct {
		kinds string
		step  int64
		want  int64
	}{
		{"IPPPIPPP", 3600, 4 * 3600},
		{"IPPPPPPP", 3600, 8 * 3600}, // to the end
		{"IIII", 90000, 0},           // they cannot come sooner
		{"PPPI", 3600, 3 * 3600},
		{"I", 3600, 0},
		{"IPPI", 3600, 3 * 3600},
	} {
		if got := feed(tt.step, tt.kinds).keyGap; got != tt.want {
			t.Errorf("%s: %d ticks, want %d", tt.kinds, got, tt.want)
		}
	}
}

// TestSync: where packets begin behind what is none, and how often that is
// told (ISO/IEC 13818-1, 2.4.3.2).
func TestSync(t *testing.T) {
	for _, tt := range []struct {
		name    string
		body    []byte
		packets int // that are read
		faults  bool
	}{
		{"packets", packets(3), 3, false},
		{"rubbish before", append([]byte("abc"), packets(3)...), 3, true},
		{"rubbish between", joined(packets(2), []byte("abc"), packets(2)), 4, true},
		{"rubbish behind", append(packets(2), 'x'), 2, true},
		{"the last one is cut", packets(3)[:500], 2, true},
		{"sync bytes in rubbish", joined([]byte("G.G.G"), packets(3)), 3, true},
		{"no packet", []byte("nothing of the kind"), 0, true},
		{"nothing", nil, 0, true},
	} {
		n := 0
		r := &reader{Stream: Stream{Counters: map[uint16]*counter{}, PMTs: map[uint16]bool{}}, demuxer: mpegts.NewDemuxer(), faults: map[string]int{}}
		for body := r.sync(tt.body); len(body) > 0; {
			if len(body) < mpegts.PacketSize {
				r.count("TS-SYNC")
				break
			}
			if body[0] != 0x47 {
				r.count("TS-SYNC")
				body = r.sync(body)
				continue
			}
			n++
			body = body[mpegts.PacketSize:]
		}
		if n != tt.packets && !tt.faults {
			t.Errorf("%s: %d packets, want %d", tt.name, n, tt.packets)
		}
		var got found
		Read(tt.body, true, got.fail)
		if told := len(got) > 0; told != tt.faults {
			t.Errorf("%s: %v", tt.name, got)
		}
		if count := len(got); count > 1 {
			t.Errorf("%s: told %d times: %v", tt.name, count, got)
		}
	}
}

// TestParameters: what a track is, and what it becomes, bounded.
func TestParameters(t *testing.T) {
	if got := addParams("", "a"); got != "a" {
		t.Errorf("%q", got)
	}
	if got := addParams("a", "a"); got != "a" {
		t.Errorf("the same again: %q", got)
	}
	if got := addParams("a", "b"); got != "a, then b" {
		t.Errorf("another: %q", got)
	}
	long := "a"
	for range 1000 {
		long = addParams(long, "something else")
	}
	if len(long) > 210 {
		t.Errorf("%d bytes", len(long))
	}
}

// TestMainTrack: video before audio, what has no timestamps never.
func TestMainTrack(t *testing.T) {
	v, a, d := &Track{PID: 1, Kind: media.Video}, &Track{PID: 2, Kind: media.Audio, Stamped: true}, &Track{PID: 3, Stamped: true}
	s := &Stream{Tracks: []*Track{d, a, v}}
	if s.Main() != a {
		t.Error("video without timestamps leads")
	}
	if v.Stamped = true; s.Main() != v {
		t.Error("audio leads before video")
	}
	if s.Stamped(1) != v || s.Stamped(9) != nil || s.First(media.Audio) != a {
		t.Error("tracks are not found by PID or kind")
	}
	if (&Stream{}).Main() != nil {
		t.Error("a stream without tracks has one that leads")
	}
}
