package hls

import (
	"bytes"
	"fmt"
	"testing"

	"weir/internal/synthetic"
	"weir/media/framelog"
)

// without pushes a log of which the batches from..to had aged out.
func without(t *testing.T, s *Cutter, batches []*framelog.Batch, from, to int) output {
	t.Helper()
	var out output
	for i, b := range batches {
		if i >= from && i < to {
			continue
		}
		if i == to {
			out.take(s.Missed()...)
		}
		out.take(s.Push(b)...)
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
			rec := synthetic.Record(t, synthetic.New(60))
			whole := cutAll(t, newCutter(t, settings), rec.Batches)
			out := without(t, newCutter(t, settings), rec.Batches, index(rec.Batches, tt.from), index(rec.Batches, tt.to))
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
	two := new(synthetic.Log)
	two.Session(t, synthetic.New(20).Tags(), framelog.End|framelog.Lost)
	two.Session(t, synthetic.New(20).Tags(), framelog.Final)
	long := synthetic.Record(t, synthetic.New(120))
	for _, tt := range []struct {
		name     string
		rec      *synthetic.Log
		from, to int
		breaks   int
	}{
		{"a session ended in it, another began", two, 40, 100, 1},
		{"longer than the window", long, index(long.Batches, 20), index(long.Batches, 110), 1},
		{"before the first segment", long, 0, 20, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out := without(t, newCutter(t, settings), tt.rec.Batches, tt.from, tt.to)
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
	rec := synthetic.Record(t, synthetic.New(60))
	from, to := index(rec.Batches, 9), index(rec.Batches, 31)
	want := without(t, newCutter(t, settings), rec.Batches, from, to)

	s := newCutter(t, settings)
	var out output
	for i := 0; i < len(rec.Batches); i++ {
		b := rec.Batches[i]
		if i >= from && i < to {
			continue
		}
		if i == to {
			out.take(s.Missed()...)
		}
		cuts := s.Push(b)
		out.take(cuts...)
		if cuts == nil {
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
		for i = 0; i < len(rec.Batches) && rec.Batches[i].Seq <= state.Position; i++ {
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

// Of a session, the fence was read, and its first batch was lost. It is a
// session all the same, with its own tracks.
func TestBeginIsLost(t *testing.T) {
	rec := new(synthetic.Log)
	rec.Session(t, synthetic.New(20).Tags(), 0)
	begin := len(rec.Batches) + 1
	b := synthetic.New(40)
	b.Audio = false
	rec.Session(t, b.Tags(), 0)
	out := without(t, newCutter(t, settings), rec.Batches, begin, begin+20)
	_, _, breaks := gaps(out.state.Entries)
	if st := &out.state; !st.InSession || breaks != 1 || len(st.Tracks) != 2 || st.LostFrames > 0 {
		t.Errorf("in a session: %t, %d discontinuities, tracks %v, %d frames lost; want it in one, one, those that the show has, and none", st.InSession, breaks, st.Tracks, st.LostFrames)
	}
}

// Where the encoder is another one behind the hole, its segments follow a
// discontinuity: RFC 8216, 4.3.2.3 wants one where tracks or their parameters
// change.
func TestTracksChangeInAHole(t *testing.T) {
	resized := synthetic.New(40)
	resized.ChangeAt, resized.ChangeTo = 20, synthetic.AVC360
	joined := synthetic.New(40)
	joined.AudioLate = 20
	for _, tt := range []struct {
		name   string
		show   synthetic.Show
		breaks int
	}{
		{"other pictures", resized, 1},
		{"a track more, which the show does not have", joined, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rec := synthetic.Record(t, tt.show)
			out := without(t, newCutter(t, settings), rec.Batches, index(rec.Batches, 9.5), index(rec.Batches, 22.1))
			if n, _, breaks := gaps(out.state.Entries); n == 0 || breaks != tt.breaks {
				t.Errorf("%d gaps and %d discontinuities, want some and %d: %v", n, breaks, tt.breaks, out.state.Entries)
			}
		})
	}
}

// A session may begin before the one in front of it ends, by the clocks of
// two ingest nodes. Its gaps are as long as what is missing all the same.
func TestGapOfASkewedSession(t *testing.T) {
	rec := new(synthetic.Log)
	rec.Session(t, synthetic.New(90).Tags(), framelog.End|framelog.Lost) // of 90 s, the next begins a minute after this one
	at := len(rec.Batches) + 1
	rec.Session(t, synthetic.New(60).Tags(), framelog.Final)
	out := without(t, newCutter(t, settings), rec.Batches, at+index(rec.Batches, 10), at+index(rec.Batches, 20))
	if n, lost, breaks := gaps(out.state.Entries); n != 3 || lost < 9990 || lost > 10010 || breaks != 1 {
		t.Errorf("%d gaps of %d ms, %d discontinuities; want 3 of 10 s, and the session's", n, lost, breaks)
	}
}

// A log that begins in the middle of a session, before a track that comes
// late: the one who goes on from the State in front of it has the track in the
// first segment, too.
func TestLateTrackBehindAHole(t *testing.T) {
	s := synthetic.New(9)
	s.AudioLate = 3.2
	rec := synthetic.Record(t, s)
	batches := rec.Batches[index(rec.Batches, 2):]
	var bodies [2][]byte
	for i := range bodies {
		s := newCutter(t, settings)
		var out output
		out.take(s.Missed()...)
		for n, b := range batches {
			out.take(s.Push(b)...)
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
	rec := synthetic.Record(t, synthetic.New(150))
	s := newCutter(t, settings)
	push := func(from, to float64) {
		for _, b := range rec.Batches[index(rec.Batches, from):index(rec.Batches, to)] {
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
