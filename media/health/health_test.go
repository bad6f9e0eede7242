package health

import (
	"slices"
	"strings"
	"testing"
	"time"
)

var epoch = time.Date(2026, 11, 28, 9, 0, 0, 0, time.UTC)

// show is an encoder: 30 pictures a second, a key frame each 2 s, sound each
// 21⅓ ms. Its knobs make faults.
type show struct {
	fps      float64 // that come
	declared float64
	gop      time.Duration
	noKeys   bool
	noSound  func(at time.Duration) bool
	noVideo  func(at time.Duration) bool
	late     func(at time.Duration) time.Duration // how much later it arrives
	shift    func(t Track, at time.Duration) time.Duration
	change   func(at time.Duration) bool // in a picture's place
}

func never(time.Duration) bool { return false }

// stream feeds d of a show, and returns the report at its end.
func (s show) stream(d time.Duration) Report {
	if s.fps == 0 {
		s.fps = 30
	}
	if s.gop == 0 {
		s.gop = 2 * time.Second
	}
	if s.noSound == nil {
		s.noSound = never
	}
	if s.noVideo == nil {
		s.noVideo = never
	}
	m := New(epoch)
	m.Declare(s.declared)
	type frame struct {
		track   Track
		at      time.Duration
		key     bool
		arrives time.Duration
	}
	var frames []frame
	add := func(t Track, at time.Duration, key bool) {
		f := frame{t, at, key, at}
		if s.late != nil {
			f.arrives += s.late(at)
		}
		frames = append(frames, f)
	}
	nextKey := time.Duration(0)
	for i := 0; ; i++ {
		at := time.Duration(float64(i) / s.fps * float64(time.Second))
		if at >= d {
			break
		}
		key := at >= nextKey && !s.noKeys
		if key {
			nextKey += s.gop
		}
		if !s.noVideo(at) {
			add(Video, at, key)
		}
	}
	for at := time.Duration(0); at < d; at += time.Second * 1024 / 48000 {
		if !s.noSound(at) {
			add(Audio, at, false)
		}
	}
	slices.SortStableFunc(frames, func(a, b frame) int { return int(a.arrives - b.arrives) })
	for _, f := range frames {
		if f.arrives >= d {
			break
		}
		now, stamp := epoch.Add(f.arrives), f.at
		if s.shift != nil {
			stamp += s.shift(f.track, f.at)
		}
		if s.change != nil && f.track == Video && s.change(f.at) {
			m.Changed(now)
		}
		m.Frame(now, f.track, uint32(stamp/time.Millisecond), map[Track]int{Video: 10_000, Audio: 340}[f.track], f.key)
	}
	return m.Report(epoch.Add(d))
}

// TestFaults streams each fault of the table, and finds that one, at its level,
// and no other.
func TestFaults(t *testing.T) {
	after := func(from time.Duration) func(time.Duration) bool {
		return func(at time.Duration) bool { return at >= from }
	}
	for _, tt := range []struct {
		name  string
		show  show
		d     time.Duration
		code  string // empty: nothing is wrong
		level Level
		says  string
	}{
		{"nothing wrong", show{declared: 30}, time.Minute, "", OK, ""},
		{"nothing wrong for ten minutes", show{declared: 30}, 10 * time.Minute, "", OK, ""},
		{"nothing wrong over the wrap of 32 bits", show{declared: 30, shift: func(Track, time.Duration) time.Duration { return (1<<32 - 20_000) * time.Millisecond }}, time.Minute, "", OK, ""},
		{"pictures only", show{declared: 30, noSound: after(0)}, time.Minute, "", OK, ""},
		{"sound only", show{noVideo: after(0)}, time.Minute, "", OK, ""},
		{"a key frame each 4 s", show{gop: 4 * time.Second}, time.Minute, "", OK, ""},
		{"a pause of half a second", show{late: func(at time.Duration) time.Duration { return max(0, 500*time.Millisecond-at%(20*time.Second)) }}, time.Minute, "", OK, ""},
		{"a catch-up of what waited at the begin", show{late: func(at time.Duration) time.Duration { return max(0, 2*time.Second-at) }}, time.Minute, "", OK, ""},

		{"silence", show{noSound: after(50 * time.Second), noVideo: after(50 * time.Second)}, 54 * time.Second, "silent", Warn, "for 4 s"},
		{"long silence", show{noSound: after(40 * time.Second), noVideo: after(40 * time.Second)}, 52 * time.Second, "silent", Bad, "for 12 s"},
		{"nothing at all", show{noSound: after(0), noVideo: after(0)}, 11 * time.Second, "silent", Bad, "for 11 s"},
		{"a key frame each 8.3 s", show{gop: 8300 * time.Millisecond}, time.Minute, "keyframe_interval", Warn, "every 8.3 s"},
		{"a key frame each 20 s", show{gop: 20 * time.Second}, time.Minute, "keyframe_interval", Bad, "every 20"},
		{"no key frame", show{noKeys: true}, 12 * time.Second, "keyframe_interval", Bad, "No key frame has come for 12.0 s"},
		{"a network that is a tenth too slow", show{late: func(at time.Duration) time.Duration { return at / 9 }}, time.Minute, "slow_upload", Warn, "only 90 %"},
		{"a network that is half as fast", show{late: func(at time.Duration) time.Duration { return at }}, time.Minute, "slow_upload", Bad, "only 50 %"},
		{"an unsteady network", show{late: func(at time.Duration) time.Duration { return max(0, 1500*time.Millisecond-at%(10*time.Second)) }}, time.Minute, "jitter", Warn, "up to 1.5 s late"},
		{"a very unsteady network", show{late: func(at time.Duration) time.Duration { return max(0, 4*time.Second-at%(15*time.Second)) }}, time.Minute, "jitter", Bad, "up to 4.0 s late"},
		{"pictures left out", show{fps: 25, declared: 30}, time.Minute, "frame_rate", Warn, "25.0 pictures a second come, the encoder says that there are 30"},
		{"most pictures left out", show{fps: 10, declared: 30}, time.Minute, "frame_rate", Bad, "10.0 pictures"},
		{"sound that runs away", show{shift: func(t Track, at time.Duration) time.Duration { return time.Duration(t) * at / 120 }}, time.Minute, "drift", Warn, "0.5 s ahead of the pictures"},
		{"sound that stays behind", show{shift: func(t Track, at time.Duration) time.Duration { return -time.Duration(t) * at / 50 }}, time.Minute, "drift", Bad, "behind the pictures"},
		{"the microphone goes", show{noSound: after(57 * time.Second)}, time.Minute, "no_sound", Warn, "No sound has come for 3 s"},
		{"the camera goes", show{noVideo: after(50 * time.Second)}, time.Minute, "no_pictures", Bad, "No picture has come for 10 s"},
		{"timestamps that go back", show{shift: func(_ Track, at time.Duration) time.Duration {
			if at >= 30*time.Second {
				return -20 * time.Second
			}
			return 0
		}}, time.Minute, "timestamps", Warn, "2 times"},
		{"timestamps that jump again and again", show{shift: func(_ Track, at time.Duration) time.Duration { return at / (5 * time.Second) * 30 * time.Second }}, time.Minute, "timestamps", Bad, "times in two minutes"},
		{"another size again and again", show{change: func(at time.Duration) bool { return at > 0 && at%(10*time.Second) < 33*time.Millisecond }}, time.Minute, "configurations", Warn, "5 times"},
		{"another size all the time", show{change: func(at time.Duration) bool { return at > 0 && at%(2*time.Second) < 33*time.Millisecond }}, time.Minute, "configurations", Bad, "times in two minutes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := tt.show.stream(tt.d)
			if r.Level != tt.level {
				t.Errorf("%s, want %s", r.Level, tt.level)
			}
			if tt.code == "" {
				if len(r.Faults) > 0 {
					t.Errorf("%+v: nothing is wrong", r.Faults)
				}
				return
			}
			if len(r.Faults) != 1 || r.Faults[0].Code != tt.code || !strings.Contains(r.Faults[0].Text, tt.says) || r.Faults[0].Advice == "" {
				t.Errorf("%+v, want %s, with advice, that says %q", r.Faults, tt.code, tt.says)
			}
		})
	}
}

// TestFaultsAllStreamed: no line of the table is without a stream of TestFaults.
func TestCodes(t *testing.T) {
	all := Codes()
	for i, code := range all {
		if code == "" || slices.Contains(all[:i], code) {
			t.Errorf("%q stands there twice", code)
		}
	}
}

// TestFigures are what came, second by second.
func TestFigures(t *testing.T) {
	for _, d := range []time.Duration{5 * time.Second, 10 * time.Minute} {
		f := *show{}.stream(d).Figures
		want := min(int(d/time.Second), History-1)
		for name, row := range map[string][]int{"video": f.VideoKbit, "audio": f.AudioKbit, "pictures": f.Pictures, "late": f.LateMs} {
			if len(row) != want {
				t.Errorf("%s has %d seconds, want %d", name, len(row), want)
			}
		}
		for i, n := range f.Pictures {
			if n != 30 || f.VideoKbit[i] != 2400 || f.LateMs[i] > 50 {
				t.Fatalf("second %d: %d pictures, %d kbit, %d ms late", i, n, f.VideoKbit[i], f.LateMs[i])
			}
		}
	}
}

func BenchmarkFrame(b *testing.B) {
	m, now := New(epoch), epoch
	for i := 0; b.Loop(); i++ {
		now = now.Add(10 * time.Millisecond)
		m.Frame(now, Track(i%2), uint32(10*i), 5000, i%200 == 0)
	}
}
