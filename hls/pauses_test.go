package hls

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"weir/check/stream"
	"weir/internal/synthetic"
	"weir/media"
	"weir/media/framelog"
)

var twoSeconds = Settings{Segment: 2 * time.Second, Window: 20 * time.Second}

// cutShows cuts a broadcast of these sessions as a worker does, which reads
// batches again where the Cutter asks for them.
func cutShows(t testing.TB, set Settings, shows ...synthetic.Show) output {
	t.Helper()
	rec := new(synthetic.Log)
	for _, s := range shows {
		rec.Session(t, s.Tags(), framelog.End|framelog.Lost)
	}
	rec.Add(&framelog.Batch{Header: framelog.Header{Flags: framelog.Final}})
	log := aged{rec.Batches, make([]bool, len(rec.Batches))}
	c := newCutter(t, set)
	var out output
	for _, b := range rec.Batches {
		out.take(c.Push(b)...)
		log.recall(c)
	}
	out.state = *c.State()
	return out
}

// read takes a segment apart; what is wrong in it fails the test.
func read(t testing.TB, name string, body []byte) *stream.Stream {
	t.Helper()
	return stream.Read(body, false, func(rule, format string, args ...any) {
		if rule == "SEG-HOLE" || rule == "SEG-KEYFRAMES" || rule == "SEG-AV-START" || rule == "TS-PCR-LATE" {
			return // where pictures pause, or come late, they do; and silence waits for the sound
		}
		t.Errorf("segment %s: %s: "+format, append([]any{name, rule}, args...)...)
	})
}

// show returns a show of 20 s with 10 pictures a second, changed.
func show(change func(*synthetic.Show)) synthetic.Show {
	s := synthetic.New(20)
	s.FPS, s.PictureLen = 10, 60
	change(&s)
	return s
}

// What an encoder leaves out, every segment has all the same: players make
// their buffers from the first one, and stop where a track goes or comes.
func TestPausesAreFilled(t *testing.T) {
	whole := show(func(*synthetic.Show) {})
	for _, tt := range []struct {
		name  string
		shows []synthetic.Show
		kinds Kinds
		lost  bool
	}{
		{"sound pauses for 7 s", []synthetic.Show{show(func(s *synthetic.Show) { s.Mute = synthetic.Span{From: 6, To: 13} })}, Kinds{true, true}, false},
		{"sound ends", []synthetic.Show{show(func(s *synthetic.Show) { s.Mute = synthetic.Span{From: 10, To: 99} })}, Kinds{true, true}, false},
		{"pictures pause in the middle of a group", []synthetic.Show{show(func(s *synthetic.Show) { s.Freeze = synthetic.Span{From: 6.5, To: 13.7} })}, Kinds{true, true}, false},
		{"pictures end", []synthetic.Show{show(func(s *synthetic.Show) { s.Freeze = synthetic.Span{From: 7.1, To: 99} })}, Kinds{true, true}, false},
		{"one after the other", []synthetic.Show{show(func(s *synthetic.Show) {
			s.Freeze, s.Mute = synthetic.Span{From: 4.5, To: 9.5}, synthetic.Span{From: 10, To: 14}
		})}, Kinds{true, true}, false},
		{"sound that comes 5 s after its header", []synthetic.Show{show(func(s *synthetic.Show) { s.Mute = synthetic.Span{From: 0, To: 5} })}, Kinds{true, true}, false},
		{"pictures that come 3 s after their header", []synthetic.Show{show(func(s *synthetic.Show) { s.Freeze = synthetic.Span{To: 3.2} })}, Kinds{true, true}, false},
		{"sound that is promised and never comes", []synthetic.Show{show(func(s *synthetic.Show) { s.Mute = synthetic.Span{From: 0, To: 99} })}, Kinds{Video: true}, false},
		{"sound that nobody promised, after 6 s", []synthetic.Show{show(func(s *synthetic.Show) { s.AudioLate = 6 })}, Kinds{Video: true}, true},
		{"an encoder that comes back without sound", []synthetic.Show{whole, show(func(s *synthetic.Show) { s.Audio = false })}, Kinds{true, true}, false},
		{"an encoder that comes back without pictures", []synthetic.Show{whole, show(func(s *synthetic.Show) { s.Video = false })}, Kinds{true, true}, false},
		{"an encoder that comes back with sound", []synthetic.Show{show(func(s *synthetic.Show) { s.Audio = false }), whole}, Kinds{Video: true}, true},
		{"an encoder that comes back with pictures", []synthetic.Show{show(func(s *synthetic.Show) { s.Video = false }), whole}, Kinds{Audio: true}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out := cutShows(t, twoSeconds, tt.shows...)
			if out.state.Kinds != tt.kinds || (out.state.LostFrames > 0) != tt.lost {
				t.Errorf("the show has %+v, %d frames lost; want %+v, some: %v", out.state.Kinds, out.state.LostFrames, tt.kinds, tt.lost)
			}
			wholeSegments(t, &out)
		})
	}
}

// wholeSegments holds every segment against what the show has: the tracks, and
// sound without a hole from one to the next.
func wholeSegments(t testing.TB, out *output) {
	t.Helper()
	var soundEnd int64
	for i, body := range out.bodies {
		s := read(t, out.names[i], body)
		video, audio := s.First(media.Video), s.First(media.Audio)
		if (video != nil) != out.state.Kinds.Video || (audio != nil) != out.state.Kinds.Audio || len(s.PMT.Streams) != len(s.Tracks) {
			t.Errorf("segment %s of a show with %+v has pictures: %v, sound: %v, %d tracks in its PMT", out.names[i], out.state.Kinds, video != nil, audio != nil, len(s.PMT.Streams))
			continue
		}
		if video != nil && audio != nil {
			if hole := audio.MinPTS - soundEnd; i > 0 && out.entries[i].Flags&Discontinuity == 0 && (hole > media.Clock/10 || hole < -media.Clock/100) {
				t.Errorf("segment %s: %d ms between its sound and that of the segment before", out.names[i], hole/90)
			}
			if audio.Hole > media.Clock/10 {
				t.Errorf("segment %s: a hole of %d ms in its sound", out.names[i], audio.Hole/90)
			}
			soundEnd = audio.End()
		}
	}
}

// The pictures that are shown again leave a decoder where it stood: they are
// those since the last key frame, in their order.
func TestPicturesAreShownAgain(t *testing.T) {
	s := show(func(s *synthetic.Show) { s.Freeze = synthetic.Span{From: 6.5, To: 13.7} })
	out := cutShows(t, twoSeconds, s)
	again := 0
	for i, body := range out.bodies {
		begins := out.entries[i].WallMS - out.entries[0].WallMS
		if begins < 7000 || begins > 13000 {
			continue
		}
		again++
		if v := read(t, out.names[i], body).First(media.Video); v == nil || v.Frames < 5 || !v.FirstKey {
			t.Errorf("segment %s begins with %+v; want the pictures of the half second since the key frame, the IDR picture first", out.names[i], v)
		}
	}
	if again < 2 {
		t.Errorf("%d segments begin while the pictures pause for 7 s", again)
	}
	if out.state.FrameRate != 10000 {
		t.Errorf("a frame rate of %d is declared, want that of the encoder", out.state.FrameRate)
	}
	if out.state.Dependent {
		t.Error("a segment is said to depend on others")
	}
}

// Whatever pauses, and whenever: every segment has every track.
func TestAnyPauseIsFilled(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var shows []synthetic.Show
		for range rapid.IntRange(1, 3).Draw(rt, "sessions") {
			shows = append(shows, drawShow(rt))
		}
		out := cutShows(t, twoSeconds, shows...)
		for i, body := range out.bodies {
			s := stream.Read(body, false, func(string, string, ...any) {})
			if audio := s.First(media.Audio); out.state.Kinds.Audio != (audio != nil) {
				rt.Fatalf("segment %s of a show with %+v has sound: %v", out.names[i], out.state.Kinds, audio != nil)
			}
			if video := s.First(media.Video); out.state.Kinds.Video != (video != nil) {
				rt.Fatalf("segment %s of a show with %+v has pictures: %v", out.names[i], out.state.Kinds, video != nil)
			}
		}
	})
}

// Sound that is stamped right, and sent seconds behind its pictures, is not
// missing: none is made up, and every frame is there at its time.
func TestSoundThatIsSentLate(t *testing.T) {
	s := show(func(s *synthetic.Show) { s.SoundBehind = 4 })
	out := cutShows(t, twoSeconds, s)
	var begin, end int64
	for i, body := range out.bodies {
		st := stream.Read(body, false, func(string, string, ...any) {}) // it says how late it is
		audio, video := st.First(media.Audio), st.First(media.Video)
		if audio == nil || video == nil {
			t.Fatalf("segment %s lacks a track", out.names[i])
		}
		switch hole := audio.MinPTS - end; {
		case i == 0:
			if begin = audio.MinPTS; begin-video.MinPTS > media.Clock/10 || video.MinPTS-begin > media.Clock/10 {
				t.Errorf("the sound begins %d ms from the pictures", (begin-video.MinPTS)/90)
			}
		case hole > media.Clock/1000 || hole < -media.Clock/1000:
			t.Errorf("segment %s: %d ms between its sound and that of the segment before", out.names[i], hole/90)
		}
		end = audio.End()
	}
	if length := end - begin; length < 20*media.Clock-media.Clock/20 || length > 20*media.Clock+media.Clock/20 {
		t.Errorf("the sound lasts %d ms, want the 20 s that were sent", length/90)
	}
	if out.state.LostFrames > 0 {
		t.Errorf("%d frames lost", out.state.LostFrames)
	}
}
