package hls

import (
	"testing"
	"time"

	"weir/internal/synthetic"
)

// A log that is made anew counts from 1 again: what comes from there is not
// taken for what was read, and the State says which log it stands in.
func TestLogMadeAnew(t *testing.T) {
	rec := synthetic.Record(t, synthetic.New(60))
	lost := [2]int{index(rec.Batches, 20), index(rec.Batches, 30)}
	var out output
	c := newCutter(t, settings)
	for i, b := range rec.Batches {
		again := *b
		switch again.Log = "first"; {
		case i >= lost[0] && i < lost[1]:
			continue
		case i >= lost[1]:
			again.Log = "second"
			again.First, again.Seq = again.First-uint64(lost[1]), again.Seq-uint64(lost[1])
		}
		if i == lost[1] {
			out.take(c.Missed()...)
		}
		out.take(c.Push(&again)...)
	}
	s := c.State()
	if at := s.Place(); at.Log != "second" || at.Seq != rec.Batches[len(rec.Batches)-1].Seq-uint64(lost[1]) || s.Phase != Ending {
		t.Errorf("the State stands at %+v, %s", at, s.Phase)
	}
	if n, millis, breaks := gaps(s.Entries); n != 3 || millis < 9_990 || millis > 10_010 || breaks != 0 {
		t.Errorf("%d gaps of %d ms, %d discontinuities; want the ten seconds that are lost, and nothing else", n, millis, breaks)
	}
}

// The first segmenter comes when the begin of the session has aged out: its
// wall clock is not known, and the log's stands for it.
func TestBeginAgedOut(t *testing.T) {
	rec := synthetic.Record(t, synthetic.New(30))
	stored := time.Date(2026, 11, 28, 5, 0, 0, 0, time.UTC)
	c := newCutter(t, settings)
	c.Missed()
	for i, b := range rec.Batches[index(rec.Batches, 8):] {
		again := *b
		again.Stored = stored.Add(time.Duration(i) * 250 * time.Millisecond)
		c.Push(&again)
	}
	e := c.State().Entries[0]
	if d := time.UnixMilli(e.WallMS).Sub(stored).Abs(); d > 250*time.Millisecond {
		t.Errorf("the first segment is dated %v, want %v, when the log got it", time.UnixMilli(e.WallMS).UTC(), stored)
	}
}

// A log that goes back gives other batches the sequences that were read.
func TestLogGoesBack(t *testing.T) {
	rec := synthetic.Record(t, synthetic.New(60))
	back := index(rec.Batches, 30)
	var whole, out output
	undisturbed, c := newCutter(t, settings), newCutter(t, settings)
	for i, b := range rec.Batches {
		b.Log, b.Number, b.Last = "one", uint64(i+1), uint64(i+1)
		whole.take(undisturbed.Push(b)...)
		again := *b
		if i >= back {
			again.First, again.Seq = again.First-60, again.Seq-60
		}
		out.take(c.Push(&again)...)
	}
	if got, want := c.State(), undisturbed.State(); got.Next() != want.Next() || got.DurationMS != want.DurationMS || len(out.bodies) != len(whole.bodies) {
		t.Errorf("%d segments of %d ms, want %d of %d", got.Next(), got.DurationMS, want.Next(), want.DurationMS)
	}
}
