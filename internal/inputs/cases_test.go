package inputs

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/hls"
	"weir/internal/synthetic"
	"weir/media"
	"weir/remux/flv"
)

var twoSeconds = hls.Settings{Segment: 2 * time.Second, Window: time.Minute}

const (
	second = time.Second
	ms     = time.Millisecond
)

// pce51 is the AudioSpecificConfig that ffmpeg 5.1 writes for 5.1(side): an ADTS
// header has no form for it.
var pce51 = unhex("118004c844002000c40d4c61766335392e33372e31303056e500")

// want is what is to become of an input. The zero want: every frame is there once,
// in its order, in sync, and nothing was dropped.
type want struct {
	video, audio bool // the show has no such track
	again        bool // pictures stand in for some that were not sent
	silence      bool // and silence for sound
	breaks       int
	// lost are how many pictures and sounds may be missing; dropped, where it is
	// set, is the reason under which all of them are counted.
	lost    [2]int
	dropped media.DropReason
	apart   time.Duration // 0: 25 ms
	but     []string      // rules of weir check that the input itself breaks
	check   func(t *testing.T, p *Packaged)
}

// inputCase is one input that somebody has met.
type inputCase struct {
	name     string
	sessions []Input
	want
}

// one is an input of one session.
func one(in Input, faults ...Fault) []Input { return []Input{in.After(faults...)} }

func film(seconds float64, change ...func(*Film)) Input {
	f := New(seconds)
	for _, c := range change {
		c(&f)
	}
	return f.Input()
}

func bframes(f *Film) { f.BFrames = 2 }
func slices4(f *Film) { f.Slices = 4 }
func noSound(f *Film) { f.ASC = nil }
func noVideo(f *Film) { f.NoPictures = true }
func mono(f *Film)    { f.ASC, f.Rate, f.Seed = Mono44, 44100, 7 }
func small(f *Film)   { f.AVC, f.Seed = synthetic.AVC360, 7 }
func rate(hz int, asc string) func(*Film) {
	return func(f *Film) { f.Rate, f.ASC = hz, unhex(asc) }
}

var (
	video = Of(media.Video)
	sound = Of(media.Audio)
)

// keys are the key pictures.
func keys(t *Tag) bool { return t.Kind == media.Video && t.Key }

// reported are the inputs that were rebuilt from public reports.
func reported() []inputCase {
	rng := rand.New(rand.NewPCG(7, 7))
	return []inputCase{
		{"AAC channels told by a program_config_element", one(film(8, func(f *Film) { f.ASC = pce51 })),
			want{audio: true, lost: [2]int{0, 375}, dropped: media.DropUnfit}},
		{"sound announced and never sent", one(film(8), Lost(sound)), want{audio: true, check: func(t *testing.T, p *Packaged) {
			if index, _ := p.Playlists(); strings.Contains(index, "mp4a") {
				t.Errorf("a sound is declared that no segment holds: %s", index)
			}
		}}},
		{"key frames flagged as inter frames", one(film(8), Flagged(video, 2)), want{}},
		{"a message for each slice", one(film(8, slices4), OneUnitAMessage), want{check: slicesOfEach(4)}},
		{"start codes in place of lengths", one(film(8), AnnexB(video)), want{}},
		{"zero bytes behind the last unit", one(film(8), Behind(video, 3)), want{}},
		{"the size changes in band", one(film(8), Replaced(media.Video, 4*second, film(8, small)), withoutHeadersFrom(4*second), InFront(Which(keys).Between(4*second, 0), Sets(synthetic.AVC360)...)),
			want{breaks: 1, check: func(t *testing.T, p *Packaged) {
				if index, _ := p.Playlists(); !strings.Contains(index, "RESOLUTION=1280x720") {
					t.Errorf("want the larger resolution in %s", index)
				}
			}}},
		{"pictures come back with a clock of their own", one(film(20), Lost(video.Between(6*second, 12*second)), Stamped(video.Between(12*second, 0), func(t *Tag) uint32 { return t.Timestamp - 12000 })),
			want{again: true, apart: 300 * ms}},
		{"the same, four times as fast, with B pictures", one(film(20, bframes), Lost(video.Between(6*second, 12*second)), Stamped(video.Between(12*second, 0), func(t *Tag) uint32 { return t.Timestamp - 12000 }), Faster(4)),
			want{again: true, apart: 300 * ms}},
		{"timestamps are PTS", one(film(8, bframes), AsPTS(video)), want{apart: 5 * ms}},
		{"sound in blocks of 8 with one stamp", one(film(8, rate(44100, "1210")), InBlocks(sound, 8)), want{apart: 200 * ms, check: evenSound(44100)}},
		{"sound in pairs with one stamp, 8 kHz", one(film(8, rate(8000, "1588")), InBlocks(sound, 2)), want{apart: 270 * ms, check: evenSound(8000)}},
		{"sound stamped up to 55 ms off, 16 kHz", one(film(8, rate(16000, "1408")), Jitter(sound, 55*ms, rng)), want{apart: 150 * ms, check: evenSound(16000)}},
		{"sound stamped up to 150 ms off", one(film(8, rate(44100, "1210")), Jitter(sound, 150*ms, rng)), want{apart: 250 * ms, check: evenSound(44100)}},
		{"sound is sent 4 s late", one(film(20), SentLate(sound, 4*second)), want{}},
		{"pictures are sent 4 s late", one(film(20), SentLate(video, 4*second)), want{}},
		{"the sound changes in the middle of a group", one(film(8), Replaced(media.Audio, 4700*ms, film(8, mono))), want{breaks: 1, again: true, check: soundHeaders(4700 * ms)}},
		{"the sound changes behind a boundary", one(film(8), Replaced(media.Audio, 4120*ms, film(8, mono))), want{breaks: 1, again: true, check: soundHeaders(4120 * ms)}},
		{"headers differ in padding only", one(film(8), paddedHeaders), want{}},
		{"both stop for 14 s, the clock goes on", one(film(34), Lost(Which(Both).Between(6*second, 20*second))), want{check: func(t *testing.T, p *Packaged) {
			end := p.Entries[len(p.Entries)-1]
			if got := end.WallMS + end.DurationMS - synthetic.Wall.UnixMilli(); got < 32000 || got > 36000 {
				t.Errorf("the show ends %d ms behind its start by its dates, want 34 s", got)
			}
		}}},
		{"sound begins 6 s late, header and all", one(lateSound(6*second, false)), want{audio: true, lost: [2]int{0, 656}, dropped: media.DropUnlisted}},
		{"sound begins 6 s late, with the header at the start", one(lateSound(6*second, true)), want{silence: true}},
		{"sound pauses for 7 s", one(film(20), Lost(sound.Between(6*second, 13*second))), want{silence: true}},
		{"pictures pause for 8 s", one(film(20), Lost(video.Between(6*second, 14*second))), want{again: true}},
	}
}

// kinds are further inputs of the kinds that were met.
func kinds() []inputCase {
	restart := func(by uint32) func(*Tag) uint32 { return func(t *Tag) uint32 { return t.Timestamp - by } }
	nano := func(t *Tag) uint32 { return uint32(t.Shown.Nanoseconds()) }
	zero := func(*Tag) uint32 { return 0 }
	return []inputCase{
		{"a muted microphone, again and again", one(film(30), Lost(sound.Between(4*second, 4500*ms)), Lost(sound.Between(8*second, 12*second)), Lost(sound.Between(15*second, 15200*ms)), Lost(sound.Between(20*second, 29*second))),
			want{silence: true, apart: 150 * ms}},
		{"the sound comes back with a new clock", one(film(20), Lost(sound.Between(6*second, 12*second)), Stamped(sound.Between(12*second, 0), restart(12000))), want{silence: true, apart: 300 * ms}},
		{"both come back with clocks of their own", one(film(30), Lost(Which(Both).Between(6*second, 12*second)), Stamped(sound.Between(12*second, 0), restart(12000)), Stamped(video.Between(12*second, 0), restart(7000))), want{apart: 300 * ms}},
		{"pictures come back ahead by an hour", one(film(20), Lost(video.Between(6*second, 9*second)), Jump(video.Between(9*second, 0), time.Hour)), want{again: true, apart: 300 * ms}},
		{"pictures stamped 0", one(film(12), Stamped(video, zero)), want{apart: 300 * ms}},
		{"sound stamped 0", one(film(12), Stamped(sound, zero)), want{apart: 300 * ms}},
		{"everything stamped 0", one(film(12), Stamped(Both, zero)), want{apart: 300 * ms}},
		{"pictures in nanoseconds", one(film(12), Stamped(video, nano)), want{apart: 300 * ms}},
		{"sound in nanoseconds", one(film(12), Stamped(sound, nano)), want{apart: 300 * ms}},
		{"negative composition offsets", one(film(12, bframes), Offset(video, -100*ms)), want{apart: 130 * ms}},
		{"PTS as DTS, one picture a batch", one(film(12, bframes), AsPTS(video), SentLate(video, 50*ms)), want{apart: 60 * ms}},
		{"start codes in slices", one(film(8, slices4), AnnexB(video)), want{check: slicesOfEach(4)}},
		{"one length for several units", one(film(8, slices4), CodesInside(video)), want{check: slicesOfEach(4)}},
		{"units without a byte", one(film(8), EmptyUnits(video)), want{}},
		{"delimiters and sets in front of each picture", one(film(8), InFront(video, append([][]byte{{9, 0xf0}}, Sets(synthetic.AVC720)...)...)), want{}},
		{"every picture is flagged as a key frame", one(film(8), Flagged(video, 1)), want{}},
		{"every picture is flagged as disposable", one(film(8), Flagged(video, 3)), want{}},
		{"parameter sets in band only", one(film(8), WithoutHeaders(flv.TagVideo), InFront(keys, Sets(synthetic.AVC720)...)), want{}},
		{"the same, a message for each unit", one(film(8), WithoutHeaders(flv.TagVideo), InFront(keys, Sets(synthetic.AVC720)...), OneUnitAMessage), want{}},
		{"the size changes by a header", one(film(12), Replaced(media.Video, 4*second, film(12, small))), want{breaks: 1}},
		{"the size changes there and back", one(film(16), Replaced(media.Video, 4*second, film(16, small)), Replaced(media.Video, 8*second, film(16, func(f *Film) { f.Seed = 9 }))), want{breaks: 2}},
		{"the sound becomes HE-AAC", one(film(12), Replaced(media.Audio, 5*second, film(12, func(f *Film) { f.ASC, f.Rate, f.Seed = unhex("2b118800"), 24000, 8 }))), want{breaks: 1, again: true, apart: 60 * ms}},
		{"HE-AAC", one(film(12, rate(24000, "2b118800"))), want{apart: 60 * ms}},
		{"7.1", one(film(8, rate(48000, "11b8"))), want{}},
		{"7.1 that pauses", one(film(20, rate(48000, "11b8")), Lost(sound.Between(6*second, 13*second))), want{silence: true}},
		{"sound only that pauses", one(film(20, noVideo), Lost(sound.Between(6*second, 9*second))), want{video: true, breaks: 1}},
		{"pictures only that pause", one(film(20, noSound), Lost(video.Between(6*second, 9*second))), want{audio: true, breaks: 1, again: true}},
		{"pictures come 5 s late", one(film(20), Lost(video.Between(0, 6*second))), want{}},
		{"one picture in 20 s", one(film(50), Lost(func(t *Tag) bool { return t.Kind == media.Video && (t.At%(20*second) != 0) })), want{again: true}},
		{"no sound for a minute", one(film(76), Lost(sound.Between(10*second, 70*second))), want{silence: true}},
		{"an encoder that comes back without sound, then with", []Input{film(8), film(8, noSound, func(f *Film) { f.Seed = 5 }), film(8, func(f *Film) { f.Seed = 6 })}, want{breaks: 2, silence: true}},
		{"an encoder that comes back without pictures, then with", []Input{film(8), film(8, noVideo, func(f *Film) { f.Seed = 5 }), film(8, func(f *Film) { f.Seed = 6 })}, want{breaks: 2, again: true}},
		{"it comes back with other sound and smaller", []Input{film(8), film(8, mono, small)}, want{breaks: 1}},
		{"32 bits wrap", one(film(12), Jump(Both, -6*second)), want{}},
		{"sound on another base", one(film(12), Jump(sound, 1000*second)), want{}},
		{"data of which nobody knows", one(film(8), Inserted(Junk(0, 8*second)...)), want{dropped: media.DropCodec}},
	}
}

func TestKindsOfInputs(t *testing.T) {
	for _, c := range kinds() {
		t.Run(c.name, c.run)
	}
}

// withoutHeadersFrom leaves out the pictures' sequence headers from from on.
func withoutHeadersFrom(from time.Duration) Fault {
	return Lost(func(t *Tag) bool { return t.Type == flv.TagVideo && t.At >= from && flv.IsSequenceHeader(t.Tag) })
}

// paddedHeaders repeats the headers in front of each key frame, in turn with bytes
// behind them that say nothing.
func paddedHeaders(in Input) (out Input) {
	n := 0
	for _, t := range in {
		if t.Key {
			v, a := VideoHeader(synthetic.AVC720, t.At), AudioHeader(Stereo48, t.At)
			if n++; n%2 == 0 {
				v.Data, a.Data = append(v.Data, 0), append(a.Data, 0x56, 0xe5, 0)
			}
			out = append(out, v, a)
		}
		out = append(out, t)
	}
	return out
}

func lateSound(by time.Duration, announced bool) Input {
	in := film(20).After(Lost(sound.Between(0, by)))
	if announced {
		return in
	}
	return in.After(WithoutHeaders(flv.TagAudio), Inserted(AudioHeader(Stereo48, by)))
}

func slicesOfEach(n int) func(*testing.T, *Packaged) {
	return func(t *testing.T, p *Packaged) {
		for _, f := range p.Of(media.Video) {
			if len(f.Units) != n {
				t.Fatalf("a picture of %d slices, want %d", len(f.Units), n)
			}
		}
	}
}

// evenSound: frames follow each other as their samples do.
func evenSound(hz int64) func(*testing.T, *Packaged) {
	return func(t *testing.T, p *Packaged) {
		all, frame := p.Of(media.Audio), 1024*media.Clock/hz
		for i := 1; i < len(all); i++ {
			if step := all[i].PTS - all[i-1].PTS; step < frame-media.Clock/100 || step > frame+media.Clock/100 {
				t.Fatalf("sound %d comes %d ms behind the one before, a frame lasts %d", i, step/90, frame/90)
			}
		}
	}
}

// soundHeaders: each frame is behind an ADTS header of the configuration that was
// in force when it was sent, and no segment has two.
func soundHeaders(from time.Duration) func(*testing.T, *Packaged) {
	return func(t *testing.T, p *Packaged) {
		by := map[string]string{}
		for _, x := range film(8).After(Replaced(media.Audio, from, film(8, mono))) {
			if x.Kind == media.Audio {
				by[string(x.Data[2:])] = "48000 Hz, 2"
				if x.At >= from {
					by[string(x.Data[2:])] = "44100 Hz, 1"
				}
			}
		}
		in := map[int]string{}
		for _, f := range p.Of(media.Audio) {
			if h := by[string(f.Data)]; h != f.Header {
				t.Fatalf("segment %d: a sound of %q behind a header of %q", f.Segment, h, f.Header)
			}
			if h := in[f.Segment]; h != "" && h != f.Header {
				t.Fatalf("segment %d holds sound of %q and of %q", f.Segment, h, f.Header)
			}
			in[f.Segment] = f.Header
		}
	}
}

func TestReportedInputs(t *testing.T) {
	for _, c := range reported() {
		t.Run(c.name, c.run)
	}
}

// run sends the case, and again with a worker that is killed all the time.
func (c *inputCase) run(t *testing.T) {
	batches := Log(t, 5*second, c.sessions...)
	p := Cut(t, twoSeconds, batches, nil)
	p.Sound(t, c.but...)
	c.counted(t, p)
	c.inSync(t, p)
	if c.check != nil {
		c.check(t, p)
	}
	n := 0
	again := Cut(t, twoSeconds, batches, func() bool { n++; return n%31 == 0 && n < 1000 })
	if !slices.EqualFunc(p.Bodies, again.Bodies, slices.Equal) {
		t.Error("a worker that is killed makes other bytes")
	}
	if t.Failed() {
		_, list := p.Playlists()
		t.Log(list)
	}
}

// counted: every frame is there, or counted.
func (c *inputCase) counted(t *testing.T, p *Packaged) {
	t.Helper()
	a := p.Account(c.sessions...)
	lost := [2]int{len(a.Missing[media.Video]), len(a.Missing[media.Audio])}
	if lost != c.lost || a.Unknown+a.Disordered > 0 || (a.Silent > 0) != c.silence || (a.Again[media.Video] > 0) != c.again || a.Again[media.Audio] > 0 {
		t.Errorf("lost %v, unknown %d, disordered %d, silent %d, again %v of %v; want lost %v, silence %v, pictures again %v",
			lost, a.Unknown, a.Disordered, a.Silent, a.Again, a.Sent, c.lost, c.silence, c.again)
	}
	sum := uint64(lost[0] + lost[1])
	if p.Dropped.Sum() < sum || c.dropped > 0 && p.Dropped[c.dropped] < max(sum, 1) || c.dropped == 0 && sum == 0 && p.Dropped.Sum() > 0 {
		t.Errorf("dropped %v, want the %d that are missing as %v", p.Dropped, sum, c.dropped)
	}
	if k := p.State.Kinds; k.Video == c.video || k.Audio == c.audio {
		t.Errorf("the show has %+v", k)
	}
	breaks := 0
	for _, e := range p.Entries {
		if e.Flags&hls.Discontinuity != 0 {
			breaks++
		}
	}
	if breaks != c.breaks {
		t.Errorf("%d discontinuities, want %d", breaks, c.breaks)
	}
}

func (c *inputCase) inSync(t *testing.T, p *Packaged) {
	t.Helper()
	most := c.apart
	if most == 0 {
		most = 25 * ms
	}
	if w := Worst(p.Apart(c.sessions...)); w.By.Abs() > most {
		t.Errorf("the picture of %v is %v off its sound, want %v at most", w.Shown, w.By, most)
	}
}

func TestFilm(t *testing.T) {
	for _, c := range []inputCase{
		{"as it is", one(film(8)), want{apart: 2 * ms}},
		{"B pictures", one(film(8, bframes)), want{apart: 2 * ms}},
		{"slices", one(film(8, slices4)), want{apart: 2 * ms, check: slicesOfEach(4)}},
		{"no sound", one(film(8, noSound)), want{audio: true}},
		{"no pictures", one(film(8, noVideo)), want{video: true}},
		{"two sessions", []Input{film(8), film(8, func(f *Film) { f.Seed = 5 })}, want{breaks: 1, apart: 2 * ms}},
	} {
		t.Run(c.name, c.run)
	}
}
