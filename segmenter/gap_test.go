package segmenter

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"testing/fstest"
	"time"

	"weir/check"
	"weir/media/framelog"
	"weir/storage"
)

// without pushes a log of which the batches from..to had aged out.
func without(t *testing.T, s *Segmenter, batches []*framelog.Batch, from, to int) output {
	t.Helper()
	var out output
	for i, b := range batches {
		if i >= from && i < to {
			continue
		}
		if i == to {
			out.take(s, s.Missed())
		}
		out.take(s, s.Push(b))
	}
	out.state = *s.State()
	return out
}

// index returns the first batch at or behind sec seconds of a show.
func index(batches []*framelog.Batch, sec float64) int {
	return min(int(sec*4), len(batches)-1) // a batch is a quarter of a second
}

// gaps returns how many of the entries are gaps, how long those last, and how
// many discontinuities there are.
func gaps(entries []Entry) (n int, millis int64, breaks int) {
	for _, e := range entries {
		if e.Flags&Gap != 0 {
			n++
			millis += e.DurationMS
		}
		if e.Flags&Discontinuity != 0 {
			breaks++
		}
	}
	return n, millis, breaks
}

// What the log has lost is listed as missing: time goes on over it, so that
// everything behind it stands where it would have stood, and there is no
// discontinuity.
func TestHoleIsAGap(t *testing.T) {
	for _, tt := range []struct {
		from, to float64 // seconds that are lost
		gaps     int     // of at most 4 s each
	}{
		{9, 12.5, 2},  // 9 to 14, where the next group of pictures begins
		{9, 31, 6},    // longer than the timeline believes a jump to be
		{8, 8.25, 1},  // one batch, with a key frame: its group cannot be decoded
		{20, 48.5, 8}, // shorter than the window
	} {
		t.Run(fmt.Sprintf("%g to %g", tt.from, tt.to), func(t *testing.T) {
			rec := record(t, show(60))
			whole := segmentAll(t, newSegmenter(t, settings), rec.batches)
			out := without(t, newSegmenter(t, settings), rec.batches, index(rec.batches, tt.from), index(rec.batches, tt.to))
			st := &out.state
			n, lost, breaks := gaps(st.Entries)
			if n != tt.gaps || breaks != 0 || st.LostBatches != 1 || st.LostMS != lost || st.Dependent {
				t.Errorf("%d gaps of %d ms, %d discontinuities, losses %d of %d ms, dependent %t; want %d gaps and no discontinuity",
					n, lost, breaks, st.LostBatches, st.LostMS, st.Dependent, tt.gaps)
			}
			if least := int64(1000 * (tt.to - tt.from)); lost < least || lost > least+2100 {
				t.Errorf("%d ms are listed as missing; the log has lost %d, and the rest of the group of pictures", lost, least)
			}
			if st.WallEndMS != whole.state.WallEndMS {
				t.Errorf("the show ends at %d, want %d as if nothing had happened", st.WallEndMS, whole.state.WallEndMS)
			}
			at := st.Entries[0].WallMS
			for i, e := range st.Entries {
				if e.WallMS != at {
					t.Errorf("entry %d is at %d ms, want it at %d, where the one before ends", i, e.WallMS, at)
				}
				if e.Flags&Gap != 0 && e.DurationMS > 4000 {
					t.Errorf("a gap of %d ms, with a target duration of 4 s", e.DurationMS)
				}
				at += e.DurationMS
			}
		})
	}
}

// Where nobody knows how long a hole is, or no viewer would see where it
// begins, a discontinuity says that something is missing.
func TestHoleThatIsNoGap(t *testing.T) {
	two := new(recording)
	two.session(t, show(20).tags(), framelog.End|framelog.Lost)
	two.session(t, show(20).tags(), framelog.Final)
	long := record(t, show(120))
	for _, tt := range []struct {
		name     string
		rec      *recording
		from, to int
		breaks   int
	}{
		{"a session ended in it, another began", two, 40, 100, 1},
		{"longer than the window", long, index(long.batches, 20), index(long.batches, 110), 1},
		{"before the first segment", long, 0, 20, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out := without(t, newSegmenter(t, settings), tt.rec.batches, tt.from, tt.to)
			n, _, breaks := gaps(out.state.Entries)
			if n != 0 || breaks != tt.breaks || out.state.LostBatches != 1 {
				t.Errorf("%d gaps, %d discontinuities, %d losses; want none, %d, one", n, breaks, out.state.LostBatches, tt.breaks)
			}
		})
	}
}

// A gap is a decision: whoever goes on from the State that has it makes the
// same bytes, though the log in front of that State has no hole.
func TestGapIsKept(t *testing.T) {
	rec := record(t, show(60))
	from, to := index(rec.batches, 9), index(rec.batches, 31)
	want := without(t, newSegmenter(t, settings), rec.batches, from, to)

	s := newSegmenter(t, settings)
	var out output
	for i := 0; i < len(rec.batches); i++ {
		b := rec.batches[i]
		if i >= from && i < to {
			continue
		}
		if i == to {
			out.take(s, s.Missed())
		}
		cut := s.Push(b)
		out.take(s, cut)
		if cut == nil {
			continue
		}
		// Killed behind each checkpoint; the next one reads from there on.
		state, err := ParseState(s.State().Encode())
		if err != nil {
			t.Fatal(err)
		}
		if s, err = Restore(state); err != nil {
			t.Fatal(err)
		}
		for i = 0; i < len(rec.batches) && rec.batches[i].Seq <= state.Position; i++ {
		}
		if i--; i >= from && i < to-1 {
			i = to - 1
		}
	}
	if len(out.bodies) != len(want.bodies) {
		t.Fatalf("%d segments, want %d", len(out.bodies), len(want.bodies))
	}
	for i := range want.bodies {
		if !bytes.Equal(out.bodies[i], want.bodies[i]) || out.names[i] != want.names[i] {
			t.Errorf("segment %s differs, want that of %s", out.names[i], want.names[i])
		}
	}
	if got := s.State().LostBatches; got != 1 {
		t.Errorf("%d losses counted, want one", got)
	}
}

// holed is a tape of which some batches have aged out.
type holed struct {
	tape
	from, to int
}

func (s holed) Read(_ context.Context, _, _ string, after uint64, fn func(*framelog.Batch, bool) error) error {
	missed := false
	for i, b := range s.batches {
		if b.Seq <= after {
			continue
		}
		if i >= s.from && i < s.to {
			missed = true
			continue
		}
		if err := fn(b, missed); err != nil {
			return err
		}
		missed = false
	}
	return errTapeEnd
}

// A show with a gap passes weir check, and its index objects and VOD have it,
// too.
func TestGapConforms(t *testing.T) {
	rec := new(recording)
	a := show(400)
	a.fps, a.pictureLen, a.gop = 5, 40, 1
	rec.session(t, a.tags(), framelog.Final)
	s := newSegmenter(t, Settings{Segment: time.Second, Window: 60 * time.Second})
	store := storage.NewMemory()
	k := new(key)
	worker := &Worker{Source: holed{tape{rec.batches}, index(rec.batches, 100), index(rec.batches, 140)}, Store: store, Settings: s.state.Settings(), Log: quiet, Ahead: NewBudget(1<<20, 8)}
	if err := worker.Package(t.Context(), Job{Stream: alice, Broadcast: broadcast, Rendition: SourceRendition, Checkpoint: k.claim()}); err != nil {
		t.Fatal(err)
	}
	all := contents(t, store)
	vod := all[source00+"vod.m3u8"]
	if n := bytes.Count([]byte(vod), []byte("#EXT-X-GAP")); n < 40 || n > 42 {
		t.Errorf("vod.m3u8 has %d gaps of a second, want the 40 and the rest of a group of pictures", n)
	}
	conforms(t, all)
}

// conforms holds objects against weir check.
func conforms(t *testing.T, objects map[string]string) {
	t.Helper()
	all := make(fstest.MapFS)
	for name, body := range objects {
		all[name] = &fstest.MapFile{Data: []byte(body)}
	}
	r, err := check.Directory(all, ".")
	if err != nil {
		t.Fatal(err)
	}
	delete(r.Counts, "M3U-GAP") // it says so, rightly
	if r.Errors() > 0 || r.Warnings() > 0 {
		var text bytes.Buffer
		if err := r.WriteText(&text); err != nil {
			t.Fatal(err)
		}
		t.Errorf("weir check:\n%s", text.String())
	}
}

// A hole that is about as long as the longest jump of time that is believed,
// and longer than the window, is one for both tracks: sound stays with its
// pictures.
func TestHoleKeepsSoundAndPicturesTogether(t *testing.T) {
	s := show(40)
	s.fps, s.gop, s.pictureLen = 5, 0.2, 40
	tags := s.tags()
	for i := range tags {
		if tags[i].Timestamp >= 10000 {
			tags[i].Timestamp += 9750 // and the batch that is lost: 10.15 s of video, 9.97 of audio
		}
	}
	rec := new(recording)
	rec.session(t, tags, framelog.Final)
	store := storage.NewMemory()
	worker := &Worker{Source: holed{tape{rec.batches}, 50, 51}, Store: store, Settings: Settings{Segment: time.Second, Window: 5 * time.Second}, Log: quiet}
	if err := worker.Package(t.Context(), Job{Stream: alice, Broadcast: broadcast, Rendition: SourceRendition, Checkpoint: new(key).claim()}); err != nil {
		t.Fatal(err)
	}
	conforms(t, contents(t, store))
}

// Of a session, the fence was read, and its first batch was lost. It is a
// session all the same, with its own tracks.
func TestBeginIsLost(t *testing.T) {
	rec := new(recording)
	rec.session(t, show(20).tags(), 0)
	begin := len(rec.batches) + 1
	b := show(40)
	b.audio = false
	rec.session(t, b.tags(), 0)
	out := without(t, newSegmenter(t, settings), rec.batches, begin, begin+20)
	_, _, breaks := gaps(out.state.Entries)
	if st := &out.state; !st.InSession || breaks != 1 || st.AAC != nil || st.LostFrames > 0 {
		t.Errorf("in a session: %t, %d discontinuities, sound %x, %d frames lost; want it in one, one, and none", st.InSession, breaks, st.AAC, st.LostFrames)
	}
}

// Where the encoder is another one behind the hole, its segments follow a
// discontinuity: RFC 8216, 4.3.2.3 wants one where tracks or their parameters
// change.
func TestTracksChangeInAHole(t *testing.T) {
	resized := show(40)
	resized.changeAt, resized.changeTo = 20, avc360
	joined := show(40)
	joined.audioLate = 20
	late := show(40)
	late.audioLate = 9 // in the segment that the hole ends, which does not have it
	for _, tt := range []struct {
		name string
		show source
	}{{"other pictures", resized}, {"a track more", joined}, {"a track that came right before", late}} {
		t.Run(tt.name, func(t *testing.T) {
			rec := record(t, tt.show)
			out := without(t, newSegmenter(t, settings), rec.batches, index(rec.batches, 9.5), index(rec.batches, 22.1))
			if n, _, breaks := gaps(out.state.Entries); n == 0 || breaks != 1 {
				t.Errorf("%d gaps and %d discontinuities, want some and one: %v", n, breaks, out.state.Entries)
			}
		})
	}
}

// A session may begin before the one in front of it ends, by the clocks of
// two ingest nodes. Its gaps are as long as what is missing all the same.
func TestGapOfASkewedSession(t *testing.T) {
	rec := new(recording)
	rec.session(t, show(90).tags(), framelog.End|framelog.Lost) // of 90 s, the next begins a minute after this one
	at := len(rec.batches) + 1
	rec.session(t, show(60).tags(), framelog.Final)
	out := without(t, newSegmenter(t, settings), rec.batches, at+index(rec.batches, 10), at+index(rec.batches, 20))
	if n, lost, breaks := gaps(out.state.Entries); n != 3 || lost < 9990 || lost > 10010 || breaks != 1 {
		t.Errorf("%d gaps of %d ms, %d discontinuities; want 3 of 10 s, and the session's", n, lost, breaks)
	}
}

// A log that begins in the middle of a session, before a track that comes
// late: the one who goes on from the State in front of it has the track in the
// first segment, too.
func TestLateTrackBehindAHole(t *testing.T) {
	s := show(9)
	s.audioLate = 3.2
	rec := record(t, s)
	batches := rec.batches[index(rec.batches, 2):]
	var bodies [2][]byte
	for i := range bodies {
		s := newSegmenter(t, settings)
		var out output
		out.take(s, s.Missed())
		for n, b := range batches {
			out.take(s, s.Push(b))
			if n > 0 || i == 0 {
				continue
			}
			state, err := ParseState(s.State().Encode())
			if err != nil {
				t.Fatal(err)
			}
			if s, err = Restore(state); err != nil {
				t.Fatal(err)
			}
			s.Push(b)
		}
		bodies[i] = out.bodies[0]
	}
	if !bytes.Equal(bodies[0], bodies[1]) {
		t.Errorf("segments of %d and %d bytes, want the same", len(bodies[0]), len(bodies[1]))
	}
}

// A worker dies behind a gap that it has saved, and the log loses what follows
// before the next one comes: the media goes on elsewhere, behind a
// discontinuity. A gap after that is as long as what is missing there.
func TestHolesUponHoles(t *testing.T) {
	rec := record(t, show(150))
	s := newSegmenter(t, settings)
	push := func(from, to float64) {
		for _, b := range rec.batches[index(rec.batches, from):index(rec.batches, to)] {
			s.Push(b)
		}
	}
	push(0, 10)
	s.Missed()
	push(28, 28.25)
	state, err := ParseState(s.State().Encode())
	if err != nil {
		t.Fatal(err)
	}
	if s, err = Restore(state); err != nil {
		t.Fatal(err)
	}
	s.Missed()
	push(110, 120)
	_, before, breaks := gaps(s.State().Entries)
	s.Missed()
	push(130, 150)
	_, after, more := gaps(s.State().Entries)
	if before < 17990 || breaks != 1 || after-before < 9990 || after-before > 10010 || more != 1 {
		t.Errorf("gaps of %d ms and %d discontinuities, then of %d more and %d; want 18000 and 1, then 10000 more and 1", before, breaks, after-before, more)
	}
}
