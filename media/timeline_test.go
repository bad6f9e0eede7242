package media

import (
	"encoding/json"
	"slices"
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

func (x tag) stamp() Stamp {
	if x.kind == Video {
		return Stamp{Kind: Video, Timestamp: x.ts, Composition: x.cts, Reorder: -1}
	}
	return Stamp{Kind: Audio, Timestamp: x.ts, Samples: 1024, Rate: 48000}
}

func stamps(tags []tag) (all []Stamp) {
	for _, x := range tags {
		all = append(all, x.stamp())
	}
	return all
}

func (t *Timeline) placeTag(x tag) (dts, pts int64) { return t.Place(x.stamp(), nil) }

func (t *Timeline) placePicture(ts uint32) int64 {
	dts, _ := t.placeTag(v(ts))
	return dts
}

func (t *Timeline) placeSound(ts uint32, rate int) int64 {
	_, pts := t.Place(Stamp{Kind: Audio, Timestamp: ts, Samples: 1024, Rate: rate}, nil)
	return pts
}

func (t *Timeline) now() int64 { return max(t.End, t.Video.End(), t.Audio.End()) }

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
				if dts, _ := tl.Place(x.stamp(), stamps(c.in[i+1:])); dts != c.want[i]*ms {
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
				last = tl.placePicture(ts)
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
		pts := tl.placeSound(ts, 44100)
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
		pts := tl.placeSound(ts, 48000)
		if d := pts - SessionLead - int64(ts)*ms; d > 20*ms || d < -20*ms {
			t.Fatalf("frame %d: %d ms from its stamp, want at most 20", n, d/ms)
		}
	}
}

// sounds are audio frames as a batch holds them.
func sounds(rate int, stamps ...uint32) (all []Stamp) {
	for _, ts := range stamps {
		all = append(all, Stamp{Kind: Audio, Timestamp: ts, Samples: 1024, Rate: rate})
	}
	return all
}

// placeAll places frames that came in one batch, and returns their PTS, in
// ticks after the session's start.
func (t *Timeline) placeAll(all []Stamp) (pts []int64) {
	for i, s := range all {
		_, p := t.Place(s, all[i+1:])
		pts = append(pts, p-SessionLead)
	}
	return pts
}

func TestAudioGapIsKept(t *testing.T) {
	var tl Timeline
	if got := tl.placeAll(sounds(48000, 0, 500, 521, 543)); got[1] != 500*ms {
		t.Errorf("after half a second of silence: %d, want the stamp's place", got[1])
	}
}

// GStreamer 1.22 stamps the AAC priming frame, of -23 ms, with 0.
func TestAudioStampThatWasClamped(t *testing.T) {
	var tl Timeline
	want := []int64{0, 1, 1024 * Clock / 44100, 2048 * Clock / 44100}
	if got := tl.placeAll(sounds(44100, 0, 0, 23, 46)); !slices.Equal(got, want) {
		t.Errorf("%d, want %d", got, want)
	}
}

func TestSessionsFollowEachOther(t *testing.T) {
	var tl Timeline
	tl.placePicture(0)
	tl.placePicture(40)
	tl.placeSound(900, 48000)
	end := tl.now()
	tl.BeginSession()
	if dts := tl.placePicture(7); dts != end+SessionLead {
		t.Errorf("the second session begins at %d, want %d after the first's end", dts-end, SessionLead)
	}
	if pts := tl.placeSound(0, 48000); pts != end+SessionLead-7*ms {
		t.Errorf("its audio: %d, want 7 ms before its video", pts-end-SessionLead)
	}
}

// FuzzTimeline: whatever comes, DTS increases strictly per track, PTS is
// never before DTS nor absurdly after, and a restored copy goes on the same.
func FuzzTimeline(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 40, 0, 0, 255, 255, 255, 240, 200, 2, 0, 0, 0, 0, 0})
	f.Add([]byte{4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 12, 0, 0, 0, 40, 0, 20, 0, 0, 0, 20, 0, 9, 0, 0, 0, 21, 0, 4, 0, 0, 39, 16, 0, 1, 0, 0, 39, 16, 0})
	f.Fuzz(func(t *testing.T, p []byte) {
		var all []Stamp
		var begins []bool
		for ; len(p) >= 6; p = p[6:] {
			x := tag{kind: Video, ts: uint32(p[1])<<24 | uint32(p[2])<<16 | uint32(p[3])<<8 | uint32(p[4]), cts: int32(int8(p[5])) << 12}
			if p[0]%8 >= 1 && p[0]%8 <= 3 {
				x.kind = Audio
			}
			s := x.stamp()
			s.Reorder = int(p[0]>>3%4) - 1
			all, begins = append(all, s), append(begins, p[0]%8 == 0)
		}
		var tl Timeline
		last := map[Kind]int64{Video: -1 << 62, Audio: -1 << 62}
		for i, s := range all {
			if begins[i] {
				tl.BeginSession()
			}
			blob, err := json.Marshal(tl)
			if err != nil {
				t.Fatal(err)
			}
			var restored Timeline
			if err := json.Unmarshal(blob, &restored); err != nil {
				t.Fatal(err)
			}
			if i%7 == 3 && tl.Audio.Seen { // silence fills a pause, pictures are shown again
				at := tl.PlaceSilence(last[Video], 1024, 48000)
				if at <= last[Audio] {
					t.Fatalf("silence at %d behind sound at %d", at, last[Audio])
				}
				last[Audio] = at
				tl.Video.Floor = max(tl.Video.Floor, tl.Video.Out+int64(i))
				restored = tl
			}
			_ = tl.Missed(s)
			ahead := all[i+1 : min(len(all), i+1+i%5)]
			dts, pts := tl.Place(s, ahead)
			if d, _ := restored.Place(s, ahead); d != dts || restored != tl {
				t.Fatalf("restored from %s: DTS %d, want %d", blob, d, dts)
			}
			if dts <= last[s.Kind] {
				t.Fatalf("%v: DTS %d after %d", s, dts, last[s.Kind])
			}
			if pts < dts || pts-dts > maxComposition+1 {
				t.Fatalf("%v: DTS %d PTS %d", s, dts, pts)
			}
			last[s.Kind] = dts
		}
	})
}

// What was skipped is not skipped twice: the frame behind it may be lost, too,
// before it is placed.
func TestSkip(t *testing.T) {
	var tl Timeline
	tl.placePicture(0)
	tl.placeSound(0, 48000)
	for _, ts := range []uint32{30000, 30040, 60000, 90000} {
		tl.Skip(ts)
	}
	if dts := tl.placePicture(90000); dts != SessionLead+90000*ms {
		t.Errorf("video at %d ms, want 90000", (dts-SessionLead)/ms)
	}
	if pts := tl.placeSound(90010, 48000); pts != SessionLead+90010*ms {
		t.Errorf("audio at %d ms, want 90010", (pts-SessionLead)/ms)
	}
}
