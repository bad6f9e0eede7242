package hls

import (
	"bytes"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"weir/internal/synthetic"
	"weir/media/framelog"
)

// aged is a log as a reader finds it: of some batches, all that is left.
type aged struct {
	batches []*framelog.Batch
	gone    []bool
}

// from returns the batches behind a position, and whether others are missing
// right before each, as the bus tells it: whoever begins right before a batch
// knows what was there.
func (a aged) from(after uint64) (batches []*framelog.Batch, missed []bool) {
	hole, position := false, after
	for i, b := range a.batches {
		switch {
		case b.Seq <= after:
		case a.gone[i]:
			hole = true
		default:
			batches, missed = append(batches, b), append(missed, hole && b.First != position+1)
			hole, position = false, b.Seq
		}
	}
	return batches, missed
}

// work segments a log. It is killed at the batches for which dies returns
// true, and goes on from what it had saved.
func (a aged) work(t *rapid.T, set Settings, dies func() bool) (out output) {
	s, err := New(set)
	if err != nil {
		t.Fatal(err)
	}
	blob := s.State().Encode()
	save := func(cuts ...*Cut) {
		for _, c := range cuts {
			out.take(c)
			blob = c.State.Encode()
		}
	}
	for again := true; again; {
		state, err := ParseState(blob)
		if err != nil {
			t.Fatalf("nobody can go on from %s: %v", blob, err)
		}
		checkEntries(t, &state)
		if s, err = Restore(state); err != nil {
			t.Fatal(err)
		}
		batches, missed := a.from(state.Position)
		again = false
		for i, b := range batches {
			if again = dies(); again {
				break
			}
			if missed[i] {
				save(s.Missed()...)
			}
			save(s.Push(b)...)
			a.recall(s)
		}
	}
	out.state = *s.State()
	return out
}

// recall gives the Cutter the batches that it asks for, if none has aged out.
func (a aged) recall(s *Cutter) {
	first, last, needed := s.Recall()
	if !needed {
		return
	}
	var again []*framelog.Batch
	for i, b := range a.batches {
		if b.First >= first && b.Seq <= last {
			if a.gone[i] {
				again = nil
				break
			}
			again = append(again, b)
		}
	}
	s.Replay(again)
}

// checkEntries holds the window against what a playlist may say.
func checkEntries(t *rapid.T, s *State) {
	for i, e := range s.Entries {
		if (e.DurationMS+500)/1000 > int64(s.Target) || e.DurationMS < 1 {
			t.Fatalf("entry %d lasts %d ms, the target duration is %d s", i, e.DurationMS, s.Target)
		}
		if i == 0 {
			continue
		}
		switch ends := s.Entries[i-1].WallMS + s.Entries[i-1].DurationMS; {
		case e.WallMS < ends:
			t.Fatalf("entry %d begins %d ms before the one in front of it ends: %v", i, ends-e.WallMS, s.Entries)
		case e.WallMS > ends && e.Flags&Discontinuity == 0:
			t.Fatalf("entry %d begins %d ms after the one in front of it, without a discontinuity: %v", i, e.WallMS-ends, s.Entries)
		}
	}
}

// drawShow draws a session.
func drawShow(t *rapid.T) synthetic.Show {
	s := synthetic.New(rapid.Float64Range(0.05, 9).Draw(t, "seconds"))
	s.FPS, s.PictureLen, s.Seed = 5, 20, rapid.Uint64().Draw(t, "seed")
	s.GOP = rapid.SampledFrom([]float64{0.2, 1, 2, 3.4, 20}).Draw(t, "gop")
	s.Start = rapid.SampledFrom([]uint32{0, 5000, math.MaxUint32 - 3000}).Draw(t, "start")
	s.OpenGOPs = rapid.Bool().Draw(t, "open GOPs")
	switch rapid.IntRange(0, 5).Draw(t, "tracks") {
	case 0:
		s.Video = false
	case 1:
		s.Audio = false
	case 2:
		s.AudioLate = rapid.Float64Range(0, 4).Draw(t, "late")
	}
	span := func(name string) (p synthetic.Span) {
		if rapid.IntRange(0, 3).Draw(t, name) == 0 {
			p.From = rapid.Float64Range(0, 8).Draw(t, "from")
			p.To = p.From + rapid.Float64Range(0, 5).Draw(t, "to")
		}
		return p
	}
	s.Mute, s.Freeze = span("mute"), span("freeze")
	if rapid.Bool().Draw(t, "changes") {
		s.ChangeAt, s.ChangeTo = rapid.Float64Range(0, 8).Draw(t, "change"), synthetic.AVC360
	}
	return s
}

// Whatever the log holds, and whatever it has lost, killing the worker at any
// batch, again and again, changes no byte.
func TestRestartsChangeNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		rec := new(synthetic.Log)
		for range rapid.IntRange(1, 4).Draw(rt, "sessions") {
			end := rapid.SampledFrom([]framelog.Flags{0, framelog.End | framelog.Lost}).Draw(rt, "end")
			rec.Session(t, drawShow(rt).Tags(), end)
		}
		rec.Add(&framelog.Batch{Header: framelog.Header{Flags: framelog.Final}})
		log := aged{rec.Batches, make([]bool, len(rec.Batches))}
		for range rapid.IntRange(0, 3).Draw(rt, "holes") {
			from := rapid.IntRange(0, len(rec.Batches)-1).Draw(rt, "from")
			for i := range rapid.IntRange(1, 30).Draw(rt, "long") {
				log.gone[min(from+i, len(rec.Batches)-2)] = true
			}
		}
		set := Settings{Segment: rapid.SampledFrom([]time.Duration{time.Second / 2, 2 * time.Second}).Draw(rt, "segment")}
		set.Window = set.Segment * time.Duration(rapid.IntRange(3, 20).Draw(rt, "window"))

		want := log.work(rt, set, func() bool { return false })
		lives := rapid.SliceOfN(rapid.IntRange(0, 40), 0, 20).Draw(rt, "lives")
		got := log.work(rt, set, func() bool {
			if len(lives) == 0 {
				return false
			}
			if lives[0]--; lives[0] < 0 {
				lives = lives[1:]
				return true
			}
			return false
		})
		if !slices.Equal(got.names, want.names) {
			rt.Fatalf("segments %v, want %v", got.names, want.names)
		}
		for i := range want.bodies {
			if !bytes.Equal(got.bodies[i], want.bodies[i]) {
				rt.Fatalf("segment %d has other bytes", i)
			}
		}
		// A hole that a session ends in is told by whoever saw it only.
		got.state.LostBatches, want.state.LostBatches = 0, 0
		if g, w := got.state.Encode(), want.state.Encode(); !bytes.Equal(g, w) {
			rt.Fatalf("last state\n%s\nwant\n%s", g, w)
		}
	})
}
