package hls

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"weir/internal/synthetic"
	"weir/media/framelog"
	"weir/remux/flv"
)

var settings = Settings{Segment: 4 * time.Second, Window: 60 * time.Second}

var shortSegments = Settings{Segment: time.Second, Window: 6 * time.Second}

// output is what a broadcast leaves behind.
type output struct {
	names    []string
	bodies   [][]byte
	entries  []Entry
	runs     [][]Entry
	state    State
	maxState int // bytes
}

// cutAll pushes a whole log through one Cutter.
func cutAll(t testing.TB, s *Cutter, batches []*framelog.Batch) output {
	t.Helper()
	var out output
	for _, b := range batches {
		out.take(s.Push(b)...)
	}
	out.state = *s.State()
	return out
}

func (o *output) take(cuts ...*Cut) {
	for _, c := range cuts {
		o.takeOne(c)
	}
}

func (o *output) takeOne(c *Cut) {
	if c.Segment != nil {
		o.names = append(o.names, c.Segment.Name)
		o.bodies = append(o.bodies, bytes.Clone(c.Segment.Body))
		o.entries = append(o.entries, c.Segment.Entry)
	}
	if c.Runs != nil {
		o.runs = append(o.runs, c.Runs...)
	}
	o.maxState = max(o.maxState, len(c.State.Encode()))
}

func newCutter(t testing.TB, set Settings) *Cutter {
	t.Helper()
	s, err := New(set)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (o *output) durations() []int64 {
	var d []int64
	for _, e := range o.entries {
		d = append(d, e.DurationMS)
	}
	return d
}

func TestBoundaries(t *testing.T) {
	with := func(s synthetic.Show, change func(*synthetic.Show)) synthetic.Show { change(&s); return s }
	for _, tt := range []struct {
		name      string
		show      synthetic.Show
		durations []int64 // ms
		target    int
		dependent bool
	}{
		{"every second key frame at 4 s", synthetic.New(10), []int64{4000, 4000, 2000}, 4, false},
		{"a GOP of 10 s makes the target duration", with(synthetic.New(25), func(s *synthetic.Show) { s.GOP = 10 }), []int64{10000, 10000, 5000}, 10, false},
		{"a GOP of 3 s: the grid decides", with(synthetic.New(18), func(s *synthetic.Show) { s.GOP = 3 }), []int64{6000, 3000, 3000, 6000}, 6, false},
		{"key frames that are no IDR pictures are cut at, and said not to be independent", with(synthetic.New(8), func(s *synthetic.Show) { s.OpenGOPs = true }), []int64{4000, 4000}, 4, true},
		{"OBS as it is: a key frame each 250 pictures", with(synthetic.New(25), func(s *synthetic.Show) { s.GOP = 250. / 30 }), []int64{8333, 8334, 8333}, 8, false},
		{"video only", with(synthetic.New(8), func(s *synthetic.Show) { s.Audio = false }), []int64{4000, 4000}, 4, false},
		{"a start at an odd time changes nothing", with(synthetic.New(8), func(s *synthetic.Show) { s.Start = 3_000_000_000 }), []int64{4000, 4000}, 4, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out := cutAll(t, newCutter(t, settings), synthetic.Record(t, tt.show).Batches)
			got := out.durations()
			// Audio may end a frame after the video.
			last := len(got) - 1
			if len(got) != len(tt.durations) || !slices.Equal(got[:last], tt.durations[:last]) || got[last] < tt.durations[last] || got[last] > tt.durations[last]+50 {
				t.Errorf("durations %v ms, want %v", got, tt.durations)
			}
			if out.state.Target != tt.target || out.state.Dependent != tt.dependent {
				t.Errorf("target duration %d, dependent %v; want %d, %v", out.state.Target, out.state.Dependent, tt.target, tt.dependent)
			}
			if out.state.LostFrames != 0 {
				t.Errorf("%d frames lost, want none", out.state.LostFrames)
			}
			if out.state.Phase != Ending {
				t.Errorf("phase %s after the end, want %s", out.state.Phase, Ending)
			}
		})
	}
}

// The target duration is the longest segment's, rounded to the nearest second
// (RFC 8216, 4.3.3.1): players begin three of them behind.
func TestTargetDuration(t *testing.T) {
	for _, tt := range []struct {
		segment  time.Duration
		gop      int // pictures, of 1/fps·stretch
		fps      int
		stretch  float64
		want     int
		longest  int64 // ms
		segments int
	}{
		{4 * time.Second, 120, 30, 1.001, 4, 4004, 5},     // a camera of 29.97 pictures a second
		{4 * time.Second, 60, 30, 1.001, 4, 4004, 5},      // the same, with a key frame each 2 s
		{2 * time.Second, 125, 50, 0.994, 3, 2485, 8},     // 2.485 s: rounds down, and the next may not, by a jitter of 15 ms
		{1500 * time.Millisecond, 15, 30, 1, 2, 1500, 14}, // half a second rounds up
		{1400 * time.Millisecond, 7, 10, 1, 1, 1400, 15},  // and less does not
		{500 * time.Millisecond, 4, 10, 1, 1, 800, 40},    // never 0
		{12 * time.Second, 130, 10, 1, 12, 12499, 2},      // a group of pictures of 13 s is cut
	} {
		s := synthetic.New(20)
		s.FPS, s.GOP, s.PictureLen, s.Audio = tt.fps, float64(tt.gop)/float64(tt.fps), 40, false
		tags := s.Tags()
		for i := range tags {
			tags[i].Timestamp = uint32(float64(tags[i].Timestamp)*tt.stretch + 0.5)
		}
		log := new(synthetic.Log)
		log.Session(t, tags, framelog.Final)
		out := cutAll(t, newCutter(t, Settings{Segment: tt.segment, Window: time.Minute}), log.Batches)
		if out.state.Target != tt.want || slices.Max(out.durations()) > tt.longest+1 || len(out.entries) != tt.segments {
			t.Errorf("segments of %v, groups of %d pictures at %d/s: target duration %d, durations %v; want %d, at most %d ms, %d segments",
				tt.segment, tt.gop, tt.fps, out.state.Target, out.durations(), tt.want, tt.longest, tt.segments)
		}
	}
}

// A broadcast that began with the rules of before keeps them.
func TestTargetDurationOfVersion1(t *testing.T) {
	s := newState(settings, TS)
	s.Version, s.Muxer = 1, 1
	if got := s.targetFor(4004); got != 5 {
		t.Errorf("target duration %d, want the 5 that the release before would have said", got)
	}
}

func TestAudioOnlyIsCutBySecondsOfSound(t *testing.T) {
	s := synthetic.New(20)
	s.Video = false
	out := cutAll(t, newCutter(t, settings), synthetic.Record(t, s).Batches)
	for i, e := range out.entries[:len(out.entries)-1] {
		if e.DurationMS < 3000 || e.DurationMS > 5000 {
			t.Errorf("segment %d lasts %d ms, want about 4000", i, e.DurationMS)
		}
	}
	if out.state.Dependent {
		t.Error("segments of audio depend on each other: every audio frame decodes alone")
	}
}

// A GOP longer than the longest target duration is cut at a message boundary,
// and the playlist no longer says that segments are independent.
func TestEndlessGOP(t *testing.T) {
	s := synthetic.New(40)
	s.GOP = 60
	out := cutAll(t, newCutter(t, settings), synthetic.Record(t, s).Batches)
	for i, e := range out.entries {
		if e.DurationMS > 12499 {
			t.Errorf("segment %d lasts %d ms, which rounds to more than the target duration of %d s", i, e.DurationMS, out.state.Target)
		}
	}
	if len(out.entries) != 4 || !out.state.Dependent {
		t.Errorf("%d segments, dependent %v; want 4, true", len(out.entries), out.state.Dependent)
	}
	if bytes.Contains(out.state.LivePlaylist(), []byte("INDEPENDENT")) {
		t.Error("the playlist says that segments are independent")
	}
}

// Whatever the log holds, no segment is listed as longer than the target
// duration allows (RFC 8216, 4.3.3.1), and the State can be read again.
func TestNoSegmentOutlastsTheTarget(t *testing.T) {
	slow := synthetic.New(30)
	slow.FPS, slow.GOP, slow.Audio = 1, 1, false
	for _, tt := range []struct {
		name string
		tags func() []flv.Tag
		join bool // all of it in one batch
	}{
		{"half a minute in one batch", synthetic.New(30).Tags, true},
		{"a hole, and one picture more", func() []flv.Tag {
			tags := slow.Tags()
			rng := rand.New(rand.NewPCG(1, 1))
			last := tags[len(tags)-1].Timestamp
			for n := range uint32(3) { // each wait is longer than the target
				tags = append(tags, flv.Tag{Type: flv.TagVideo, Timestamp: last + 8000*(n+1), Data: synthetic.Picture(rng, false, 400)})
			}
			return tags
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			log := &synthetic.Log{}
			log.Session(t, tt.tags(), framelog.End|framelog.Final)
			if tt.join {
				all := log.Batches[0]
				for _, b := range log.Batches[1 : len(log.Batches)-1] {
					all.Tags = append(all.Tags, b.Tags[b.Prelude:]...)
				}
				log.Batches = []*framelog.Batch{all, log.Batches[len(log.Batches)-1]}
			}
			out := cutAll(t, newCutter(t, Settings{Segment: time.Second, Window: 10 * time.Second}), log.Batches)
			for i, e := range out.entries {
				if (e.DurationMS+500)/1000 > int64(out.state.Target) {
					t.Errorf("segment %d lasts %d ms, the target duration is %d s", i, e.DurationMS, out.state.Target)
				}
			}
			if _, err := ParseState(out.state.Encode()); err != nil {
				t.Errorf("nobody can go on from the State: %v", err)
			}
		})
	}
}

// Stop after any batch, restore the State of the last boundary, replay the
// log from its position: the same bytes and the same State.
func TestRestoreAnywhere(t *testing.T) {
	rec := new(synthetic.Log)
	a := synthetic.New(9)
	a.ChangeAt, a.ChangeTo = 4, synthetic.AVC360
	rec.Session(t, a.Tags(), framelog.End|framelog.Lost)
	b := synthetic.New(7)
	b.Start, b.Seed, b.AudioLate = 77, 1, 1.2
	rec.Session(t, b.Tags(), 0) // taken over: ends by the fence of the next
	c := synthetic.New(5)
	c.Seed, c.GOP = 2, 30
	rec.Session(t, c.Tags(), 0)
	d := synthetic.New(30) // a GOP that is cut inside of pictures
	d.Seed, d.GOP, d.Slices = 3, 16, 3
	rec.Session(t, d.Tags(), framelog.Final)

	set := Settings{Segment: 2 * time.Second, Window: 6 * time.Second}
	want := cutAll(t, newCutter(t, set), rec.Batches)
	if len(want.names) < 8 {
		t.Fatalf("%d segments, want a show worth stopping", len(want.names))
	}
	for stop := 0; stop < len(rec.Batches); stop += 3 {
		blob := newCutter(t, set).State().Encode()
		var got output
		first := newCutter(t, set)
		for _, x := range rec.Batches[:stop] {
			for _, cut := range first.Push(x) {
				got.take(cut)
				blob = cut.State.Encode()
			}
		}
		state, err := ParseState(blob)
		if err != nil {
			t.Fatalf("stopped at batch %d: %v", stop, err)
		}
		second, err := Restore(state)
		if err != nil {
			t.Fatalf("stopped at batch %d: %v", stop, err)
		}
		for _, x := range rec.Batches {
			if x.Seq > state.Position {
				got.take(second.Push(x)...)
			}
		}
		if !slices.Equal(got.names, want.names) {
			t.Fatalf("stopped at batch %d: segments %v, want %v", stop, got.names, want.names)
		}
		for i := range want.bodies {
			if !bytes.Equal(got.bodies[i], want.bodies[i]) {
				t.Fatalf("stopped at batch %d: segment %d has other bytes", stop, i)
			}
		}
		if g, w := second.State().Encode(), want.state.Encode(); !bytes.Equal(g, w) {
			t.Fatalf("stopped at batch %d: last state\n%s\nwant\n%s", stop, g, w)
		}
	}
}

// An encoder whose clock stands still gets segments that end, too.
func TestClockThatStandsStill(t *testing.T) {
	s := synthetic.New(2)
	s.Audio = false
	rec := new(synthetic.Log)
	rec.Session(t, s.Tags(), 0)
	const room = 4 << 20
	frame := flv.AppendTag(nil, flv.Tag{Type: flv.TagVideo, Timestamp: 2000, Data: synthetic.Picture(rand.New(rand.NewPCG(1, 1)), false, 64<<10)})
	for range 2 * room / len(frame) {
		rec.Add(&framelog.Batch{Tags: frame})
	}
	rec.Add(&framelog.Batch{Header: framelog.Header{Flags: framelog.Final}})
	c := newCutter(t, settings)
	if c.room != maxSegmentBytes {
		t.Errorf("segments of %d bytes, want %d at most", c.room, maxSegmentBytes)
	}
	c.room = room
	out := cutAll(t, c, rec.Batches)
	if len(out.entries) != 3 {
		t.Errorf("%d segments, want 3", len(out.entries))
	}
	for i, b := range out.bodies {
		if len(b) > room*21/20 { // MPEG-TS is a little larger than what it holds
			t.Errorf("segment %d has %d kB, want at most %d", i, len(b)>>10, room>>10)
		}
	}
}

func TestDiscontinuities(t *testing.T) {
	flags := func(o output) string {
		s := ""
		for _, e := range o.entries {
			if e.Flags&Discontinuity != 0 {
				s += "D"
			} else {
				s += "."
			}
		}
		return s
	}
	repeated := synthetic.New(12)
	repeated.ChangeAt, repeated.ChangeTo = 0, synthetic.AVC720
	changed := synthetic.New(12)
	changed.ChangeAt, changed.ChangeTo = 6, synthetic.AVC360
	late := synthetic.New(12)
	late.AudioLate = 1.5
	later := synthetic.New(12)
	later.AudioLate = 5
	for _, tt := range []struct {
		name string
		show synthetic.Show
		want string
		lost bool
	}{
		{"headers repeated before each key frame change nothing", repeated, "...", false},
		{"another resolution cuts at its key frame", changed, "..D.", false},
		{"audio that comes 1.5 s late is in the first segment", late, "...", false},
		{"audio that comes 5 s late is left out: no player would take it", later, "...", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out := cutAll(t, newCutter(t, settings), synthetic.Record(t, tt.show).Batches)
			if got := flags(out); got != tt.want {
				t.Errorf("discontinuities %s, want %s (durations %v)", got, tt.want, out.durations())
			}
			if lost := out.state.LostFrames > 0; lost != tt.lost {
				t.Errorf("%d frames lost, want some: %v", out.state.LostFrames, tt.lost)
			}
		})
	}
}

func TestReconnectContinuesTheBroadcast(t *testing.T) {
	rec := new(synthetic.Log)
	rec.Session(t, synthetic.New(6).Tags(), framelog.End|framelog.Lost)
	second := synthetic.New(6)
	second.Start = 5000
	rec.Session(t, second.Tags(), framelog.Final)
	out := cutAll(t, newCutter(t, settings), rec.Batches)
	breaks := 0
	for i, e := range out.entries {
		if want := fmt.Sprintf("%08d.ts", i); out.names[i] != want {
			t.Errorf("segment %d is called %s, want %s", i, out.names[i], want)
		}
		if e.Flags&Discontinuity != 0 {
			breaks++
			if e.WallMS != synthetic.Wall.Add(time.Minute).UnixMilli() {
				t.Errorf("the second session begins at %v, want its ingest's wall clock %v", time.UnixMilli(e.WallMS).UTC(), synthetic.Wall.Add(time.Minute))
			}
		}
	}
	if breaks != 1 {
		t.Errorf("%d discontinuities, want one: %v", breaks, out.entries)
	}
}

// A zombie's batches, of an epoch that is over, change nothing.
func TestZombieBatches(t *testing.T) {
	rec := synthetic.Record(t, synthetic.New(10))
	want := cutAll(t, newCutter(t, settings), rec.Batches)
	var mixed []*framelog.Batch
	for i, b := range rec.Batches {
		mixed = append(mixed, b)
		if i > 0 && i%5 == 0 {
			z := *rec.Batches[0]
			z.Epoch, z.Seq = 0, b.Seq+1
			mixed = append(mixed, &z)
		}
	}
	got := cutAll(t, newCutter(t, settings), mixed)
	for i := range want.bodies {
		if !bytes.Equal(got.bodies[i], want.bodies[i]) {
			t.Fatalf("segment %d has other bytes", i)
		}
	}
}

// The registry may have forgotten a broadcast whose log has aged out: its end
// then comes with no epoch, and ends it all the same.
func TestEndOfAForgottenBroadcast(t *testing.T) {
	rec := synthetic.Record(t, synthetic.New(10))
	last := rec.Batches[len(rec.Batches)-1]
	last.Epoch = 0
	out := cutAll(t, newCutter(t, settings), rec.Batches)
	if out.state.Phase != Ending || out.state.Epoch != 1 {
		t.Errorf("phase %s, epoch %d; want %s, 1", out.state.Phase, out.state.Epoch, Ending)
	}
}

// 24 hours of State stay under 16 kB, whatever the settings: the window is
// full long before.
func TestStateStaysSmall(t *testing.T) {
	for _, set := range []Settings{settings, {Segment: time.Second, Window: MaxWindowSegments * time.Second}} {
		t.Run(fmt.Sprint(set), func(t *testing.T) {
			// Many short sessions: entries with a discontinuity each.
			s := newCutter(t, set)
			source := synthetic.New(set.Segment.Seconds() + 0.1)
			source.FPS, source.PictureLen, source.GOP = 2, 20, set.Segment.Seconds()
			tags, r := source.Tags(), new(synthetic.Log)
			var largest int
			for range MaxWindowSegments + 2*RunLength {
				r.Batches = r.Batches[:0]
				r.Session(t, tags, framelog.End|framelog.Lost)
				for _, b := range r.Batches {
					for _, cut := range s.Push(b) {
						largest = max(largest, len(cut.State.Encode()))
					}
				}
			}
			if largest > 16<<10 {
				t.Errorf("the largest state has %d bytes, want at most 16 kB", largest)
			}
			t.Logf("largest state %d bytes, %d segments", largest, s.State().Next())
		})
	}
}
