package media

import (
	"encoding/json"
	"testing"
)

// tag is one frame as an encoder stamps it.
type tag struct {
	kind Kind
	ts   uint32
	cts  int32
}

func v(ts uint32) tag           { return tag{kind: Video, ts: ts} }
func vc(ts uint32, c int32) tag { return tag{kind: Video, ts: ts, cts: c} }
func a(ts uint32) tag           { return tag{kind: Audio, ts: ts} }

const ms = Clock / 1000

func (t *Timeline) placeTag(x tag) (dts, pts int64) {
	if x.kind == Video {
		return t.PlaceVideo(x.ts, x.cts)
	}
	p := t.PlaceAudio(x.ts, 1024, 48000)
	return p, p
}

func TestTimeline(t *testing.T) {
	const start = SessionLead / ms // the first frame's place, in ms
	for _, c := range []struct {
		name string
		in   []tag
		want []int64 // DTS in ms
	}{
		{"starts at zero", []tag{v(0), v(33), v(67)}, []int64{start, start + 33, start + 67}},
		{"a start at 100 s is a start", []tag{v(100000), v(100040)}, []int64{start, start + 40}},
		{"32 bits wrap", []tag{v(0xffffffe0), v(0x08)}, []int64{start, start + 40}},
		{"the wrap lies between the tracks", []tag{v(0xffffffe0), a(0x08)}, []int64{start, start + 40}},
		{"audio may begin before video", []tag{v(500), a(460)}, []int64{start, start - 40}},
		{"tracks on different clocks are aligned by arrival", []tag{v(0), v(40), a(5000000), v(80)}, []int64{start, start + 40, start + 40, start + 80}},
		{"a gap of 3 s is kept", []tag{v(0), v(40), v(3040)}, []int64{start, start + 40, start + 3040}},
		{"a jump of 100 s is taken out, of both tracks alike", []tag{v(0), a(0), v(40), v(100040), a(100200), v(100080)},
			[]int64{start, start, start + 40, start + 80, start + 240, start + 120}},
		{"a clock that restarts goes on", []tag{v(60000), v(60040), v(0), v(40)}, []int64{start, start + 40, start + 80, start + 120}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var tl Timeline
			for i, x := range c.in {
				if dts, _ := tl.placeTag(x); dts != c.want[i]*ms {
					t.Errorf("frame %d (%s %d): DTS %.3f ms, want %d", i, x.kind, x.ts, float64(dts)/ms, c.want[i])
				}
			}
		})
	}
}

// How long the last picture is shown is known from those before it: a hole in
// the media is no picture's duration, and a slide show is believed in time.
func TestLastPictureLasts(t *testing.T) {
	for _, c := range []struct {
		name string
		in   []uint32
		want int64 // ms
	}{
		{"25 pictures a second", []uint32{0, 40, 80}, 40},
		{"two a second", []uint32{0, 500, 1000}, 500},
		{"after a hole of 8 s", []uint32{0, 40, 8040}, 500},
		{"one every 6 s", []uint32{0, 6000, 12000, 18000, 24000, 30000}, 6000},
	} {
		t.Run(c.name, func(t *testing.T) {
			var tl Timeline
			var last int64
			for _, ts := range c.in {
				last, _ = tl.PlaceVideo(ts, 0)
			}
			if got := tl.now() - last; got != c.want*ms {
				t.Errorf("the last picture lasts %d ms, want %d", got/ms, c.want)
			}
		})
	}
}

func TestTimelineComposition(t *testing.T) {
	var tl Timeline
	for i, c := range []struct {
		in       tag
		dts, pts int64 // ms after the session's start
		why      string
	}{
		{vc(0, 80), 0, 80, "an ordinary offset is kept"},
		{vc(40, -20), 20, 20, "a negative one: decode earlier, show on time"},
		{vc(80, 1<<23-1), 80, 80, "an absurd one counts as none"},
		{vc(120, -(1 << 23)), 120, 120, "and so does an absurd negative one"},
	} {
		dts, pts := tl.placeTag(c.in)
		if dts != SessionLead+c.dts*ms || pts != SessionLead+c.pts*ms {
			t.Errorf("frame %d: DTS %d PTS %d, want %d %d: %s", i, dts-SessionLead, pts-SessionLead, c.dts*ms, c.pts*ms, c.why)
		}
	}
}

// The audio clock counts samples: 44.1 kHz stamps rounded to milliseconds
// come out evenly spaced, and never more than a millisecond from the stamp.
func TestAudioClockCountsSamples(t *testing.T) {
	var tl Timeline
	var last int64
	for n := range int64(200000) {
		ts := uint32((n*1024*1000 + 22050) / 44100)
		pts := tl.PlaceAudio(ts, 1024, 44100)
		if d := pts - SessionLead - int64(ts)*ms; d > ms || d < -ms {
			t.Fatalf("frame %d: %d ticks from its stamp, want at most %d", n, d, ms)
		}
		if step := pts - last; n > 0 && step != 2089 && step != 2090 {
			t.Fatalf("frame %d: %d ticks after the one before, want 2089 or 2090", n, step)
		}
		last = pts
	}
}

// An encoder whose audio runs 0.1 % fast is followed: the sound stays with
// the picture for hours.
func TestAudioClockFollowsDrift(t *testing.T) {
	var tl Timeline
	for n := range int64(500000) {
		ts := uint32(n * 1024 * 1001 / 48000)
		pts := tl.PlaceAudio(ts, 1024, 48000)
		if d := pts - SessionLead - int64(ts)*ms; d > 20*ms || d < -20*ms {
			t.Fatalf("frame %d: %d ms from its stamp, want at most 20", n, d/ms)
		}
	}
}

func TestAudioGapIsKept(t *testing.T) {
	var tl Timeline
	tl.PlaceAudio(0, 1024, 48000)
	if got := tl.PlaceAudio(500, 1024, 48000); got != SessionLead+500*ms {
		t.Errorf("after half a second of silence: %d, want the stamp's place", got-SessionLead)
	}
}

// GStreamer 1.22 stamps the AAC priming frame, of -23 ms, with 0.
func TestAudioStampThatWasClamped(t *testing.T) {
	var tl Timeline
	for i, c := range []struct {
		ts   uint32
		want int64
	}{{0, 0}, {0, 1}, {23, 1024 * Clock / 44100}, {46, 2048 * Clock / 44100}} {
		if got := tl.PlaceAudio(c.ts, 1024, 44100) - SessionLead; got != c.want {
			t.Errorf("frame %d, stamp %d: %d, want %d", i, c.ts, got, c.want)
		}
	}
}

func TestSessionsFollowEachOther(t *testing.T) {
	var tl Timeline
	tl.PlaceVideo(0, 0)
	tl.PlaceVideo(40, 0)
	tl.PlaceAudio(900, 1024, 48000)
	end := tl.now()
	tl.BeginSession()
	if dts, _ := tl.PlaceVideo(7, 0); dts != end+SessionLead {
		t.Errorf("the second session begins at %d, want %d after the first's end", dts-end, SessionLead)
	}
	if pts := tl.PlaceAudio(0, 1024, 48000); pts != end+SessionLead-7*ms {
		t.Errorf("its audio: %d, want 7 ms before its video", pts-end-SessionLead)
	}
}

// FuzzTimeline: whatever comes, DTS increases strictly per track, PTS is
// never before DTS nor absurdly after, and a restored copy goes on the same.
func FuzzTimeline(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 40, 0, 0, 255, 255, 255, 240, 200, 2, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, p []byte) {
		var tl Timeline
		last := map[Kind]int64{Video: -1 << 62, Audio: -1 << 62}
		for ; len(p) >= 6; p = p[6:] {
			x := tag{kind: Video, ts: uint32(p[1])<<24 | uint32(p[2])<<16 | uint32(p[3])<<8 | uint32(p[4]), cts: int32(int8(p[5])) << 12}
			switch p[0] % 8 {
			case 0:
				tl.BeginSession()
			case 1, 2, 3:
				x.kind = Audio
			}
			blob, err := json.Marshal(tl)
			if err != nil {
				t.Fatal(err)
			}
			var restored Timeline
			if err := json.Unmarshal(blob, &restored); err != nil {
				t.Fatal(err)
			}
			dts, pts := tl.placeTag(x)
			if d, _ := restored.placeTag(x); d != dts || restored != tl {
				t.Fatalf("restored from %s: DTS %d, want %d", blob, d, dts)
			}
			if dts <= last[x.kind] {
				t.Fatalf("%s %d: DTS %d after %d", x.kind, x.ts, dts, last[x.kind])
			}
			if pts < dts || pts-dts > maxComposition+MaxStepBack+1 {
				t.Fatalf("%s %d cts %d: DTS %d PTS %d", x.kind, x.ts, x.cts, dts, pts)
			}
			last[x.kind] = dts
		}
	})
}

// What was skipped is not skipped twice: the frame behind it may be lost, too,
// before it is placed.
func TestSkip(t *testing.T) {
	var tl Timeline
	tl.PlaceVideo(0, 0)
	tl.PlaceAudio(0, 1024, 48000)
	for _, ts := range []uint32{30000, 30040, 60000, 90000} {
		tl.Skip(ts)
	}
	if dts, _ := tl.PlaceVideo(90000, 0); dts != SessionLead+90000*ms {
		t.Errorf("video at %d ms, want 90000", (dts-SessionLead)/ms)
	}
	if pts := tl.PlaceAudio(90010, 1024, 48000); pts != SessionLead+90010*ms {
		t.Errorf("audio at %d ms, want 90010", (pts-SessionLead)/ms)
	}
}

// What is just about too long for one track to be believed, and not for the
// other, leaves both together, whichever comes first.
func TestJumpThatOnlyOneTrackBelieves(t *testing.T) {
	for _, c := range []struct {
		name string
		in   []tag // the last two are behind it
	}{
		{"the long one first", []tag{v(0), a(0), v(200), a(180), v(10300), a(10120)}},
		{"the short one first", []tag{v(0), a(0), v(200), a(180), a(10120), v(10300)}},
	} {
		var tl Timeline
		at := make(map[Kind]int64)
		for _, x := range c.in {
			dts, _ := tl.placeTag(x)
			at[x.kind] = dts / ms
		}
		if apart := at[Video] - at[Audio]; apart < 0 || apart > 300 {
			t.Errorf("%s: %d ms apart, want 180, and no more than a picture off", c.name, apart)
		}
	}
}
