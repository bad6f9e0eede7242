package hls

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"weir/internal/synthetic"
	"weir/media/framelog"
)

// history is a show cut whole: each State, and what the store had then.
type history struct {
	batches []*framelog.Batch
	states  []*State
	stored  []Stored
	runs    []Entry // that have left the last State
}

// cutHistory cuts a show of the given sessions.
func cutHistory(t testing.TB, set Settings, lengths ...float64) history {
	t.Helper()
	var log synthetic.Log
	for i, seconds := range lengths {
		end := framelog.End | framelog.Lost
		if i == len(lengths)-1 {
			end = framelog.End | framelog.Final
		}
		show := synthetic.New(seconds)
		show.GOP, show.FPS, show.PictureLen, show.Seed = 0.5, 10, 20, uint64(i)
		log.Session(t, show.Tags(), end)
	}
	h := history{batches: log.Batches}
	var stored time.Time
	for _, b := range h.batches {
		if b.Flags.Has(framelog.Begin) {
			stored = b.Wall.Add(100 * time.Millisecond)
		}
		stored = stored.Add(250 * time.Millisecond)
		b.Stored = stored
	}
	c, err := New(set)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range h.batches {
		for _, cut := range c.Push(b) {
			h.add(t, c, cut)
		}
	}
	return h
}

// add takes what a cut brings, and the playlists that a store has then.
func (h *history) add(t testing.TB, c *Cutter, cut *Cut) {
	t.Helper()
	for _, run := range cut.Runs {
		h.runs = append(h.runs, run...)
	}
	live, err := ParseList(cut.State.LivePlaylist())
	if err != nil {
		t.Fatal(err)
	}
	var vod List
	if len(h.stored) > 0 {
		vod = h.stored[len(h.stored)-1].VOD
	}
	if cut.State.VODDue() || cut.State.Phase != Live {
		if vod, err = ParseList(cut.State.VODPlaylist(0, h.runs)); err != nil {
			t.Fatal(err)
		}
		c.Decide(Decisions{VODLength: cut.State.Next()})
	}
	h.states = append(h.states, cut.State)
	h.stored = append(h.stored, Stored{live, vod, cut.State.Multivariant("source/live.m3u8")})
}

// entry is what the undisturbed show says of a segment.
func (h *history) entry(n uint64) Entry {
	if n < uint64(len(h.runs)) {
		return h.runs[n]
	}
	last := h.states[len(h.states)-1]
	return last.Entries[n-last.First]
}

// An own playlist is read as it was rendered.
func TestParseList(t *testing.T) {
	h := cutHistory(t, Settings{Segment: time.Second, Window: 5 * time.Second}, 20, 20)
	for i, s := range h.states {
		live := h.stored[i].Live
		if live.Next() != s.Next() || s.Target > 0 && live.Target != s.Target || live.Ended != (s.Phase != Live) {
			t.Errorf("State %d: read to %d, target %d, ended %t", i, live.Next(), live.Target, live.Ended)
		}
		for k, e := range live.Entries {
			n := live.First + uint64(k)
			want := h.entry(n)
			want.Bytes, want.URI = 0, s.SegmentName(n)
			if e != want {
				t.Errorf("segment %d: read %+v, want %+v", n, e, want)
			}
		}
	}
	for _, bad := range []string{"", "<html>", "#EXTM3U\n#EXTINF:x,\na.ts\n", "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:-1\n", "#EXTM3U\n#EXTINF:NaN,\n"} {
		if l, err := ParseList([]byte(bad)); err == nil {
			t.Errorf("%q is read as %+v", bad, l)
		}
	}
}

// NATS goes back to an older State, or has none, and the store has more; the
// log is whole, or has lost its begin or what came last. What is listed stays,
// and what follows are the frames behind it: none twice, and none missing that
// the log has.
func TestAdopt(t *testing.T) {
	h := cutHistory(t, Settings{Segment: time.Second / 2, Window: 2 * time.Second}, 30, 20)
	whole := h.states[len(h.states)-1]
	rapid.Check(t, func(t *rapid.T) {
		// The store is at j, the State at i before it; -1: there is none.
		j := rapid.IntRange(2, len(h.states)-3).Draw(t, "store")
		i := rapid.IntRange(-1, j).Draw(t, "state")
		c, err := New(whole.Settings())
		if i >= 0 {
			c, err = Restore(*h.states[i].Clone())
		}
		if err != nil {
			t.Fatal(err)
		}
		from := c.State().Position
		listed := h.states[j].Next()
		// Of the log are gone: batches before the first, and the tail before
		// the crash, of which all or some is in the store.
		keep := h.states[j].Position
		first, lostFrom := from, keep
		if rapid.Bool().Draw(t, "aged out") {
			first = rapid.Uint64Range(from, keep).Draw(t, "first")
		}
		if rapid.Bool().Draw(t, "lost tail") {
			lostFrom = rapid.Uint64Range(first, keep).Draw(t, "lost from")
		}
		var out output
		if cut := c.Adopt(h.stored[j]); cut != nil {
			out.take(cut)
		}
		hole, unknown := false, false // unknown: the wall clock of a session
		for _, b := range h.batches {
			if b.Seq <= first || b.Seq > lostFrom && b.Seq <= keep {
				hole = hole || b.Seq > from
				unknown = unknown || b.Flags.Has(framelog.Begin) && b.Seq > from
				continue
			}
			if hole {
				out.take(c.Missed()...)
			}
			hole = false
			out.take(c.Push(b)...)
		}
		s := c.State()
		if s.Phase != Ending {
			t.Fatalf("the show ends %s", s.Phase)
		}
		all := slices.Concat(slices.Concat(out.runs...), s.Entries)
		base := s.Next() - uint64(len(all))
		for n := base; n < s.Next(); n++ {
			if unknown && n >= listed {
				break // by the log's clock, up to a batch later
			}
			got, want := all[n-base], h.entry(n)
			want.Bytes, got.Bytes = 0, 0
			if n == listed {
				got.Flags, want.Flags = got.Flags&^Discontinuity, want.Flags&^Discontinuity
			}
			if n < h.stored[j].Live.First && n >= h.stored[j].VOD.Next() && i < 0 {
				continue // estimated
			}
			if got != want {
				t.Fatalf("State %d of %d, store at %d, log from %d without %d..%d: segment %d is %+v, want %+v", i, len(h.states), listed, first, lostFrom, keep, n, got, want)
			}
		}
		if unknown && s.Next() >= whole.Next()-1 && s.Next() <= whole.Next()+1 {
			return
		}
		if s.Next() != whole.Next() || s.LostFrames != whole.LostFrames {
			t.Fatalf("%d segments, %d frames lost; want %d, %d", s.Next(), s.LostFrames, whole.Next(), whole.LostFrames)
		}
		if blob, err := ParseState(s.Encode()); err != nil || !reflect.DeepEqual(blob.Entries, s.Entries) {
			t.Fatalf("nobody can go on from the State: %v", err)
		}
	})
}

// The store has the end: it is the end, and what the playlists declare stays.
func TestAdoptTheEnd(t *testing.T) {
	h := cutHistory(t, Settings{Segment: time.Second, Window: 5 * time.Second}, 100)
	last := len(h.states) - 1
	want := h.states[last]
	for _, i := range []int{-1, 0, last / 2, last - 1} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			c, err := New(want.Settings())
			if i >= 0 {
				c, err = Restore(*h.states[i].Clone())
			}
			if err != nil {
				t.Fatal(err)
			}
			cut := c.Adopt(h.stored[last])
			if cut == nil || cut.State.Phase != Ending || cut.State.Next() != want.Next() {
				t.Fatalf("adopted %+v", cut)
			}
			got, err := ParseList(cut.State.LivePlaylist())
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, h.stored[last].Live) {
				t.Errorf("the live playlist became\n%s\nwant\n%s", cut.State.LivePlaylist(), want.LivePlaylist())
			}
			if i < 0 && string(cut.State.Multivariant("x")) != string(h.multivariantAs(t, last)) {
				t.Errorf("the multivariant playlist became\n%s\nfrom\n%s", cut.State.Multivariant("x"), h.stored[last].Multivariant)
			}
			if again := c.Adopt(h.stored[last]); again != nil {
				t.Error("adopted twice")
			}
		})
	}
}

// multivariantAs is the playlist of State i with another URI.
func (h *history) multivariantAs(t *testing.T, i int) []byte {
	t.Helper()
	return h.states[i].Multivariant("x")
}

// TestAgainst: how two playlists agree.
func TestAgainst(t *testing.T) {
	list := func(first uint64, ended bool, names ...string) *List {
		l := &List{First: first, Ended: ended}
		for _, n := range names {
			l.Entries = append(l.Entries, Entry{URI: n, DurationMS: 4000})
		}
		return l
	}
	longer := list(0, false, "a")
	longer.Entries[0].DurationMS++
	for _, tt := range []struct {
		name     string
		l, there *List
		want     Standing
	}{
		{"the same", list(0, false, "a", "b"), list(0, false, "a", "b"), Continues},
		{"one more", list(0, false, "a", "b"), list(0, false, "a"), Continues},
		{"the window has moved on", list(2, false, "c", "d"), list(1, false, "b", "c"), Continues},
		{"and far", list(9, false, "j"), list(0, false, "a"), Continues},
		{"the first", list(0, false, "a"), list(0, false), Continues},
		{"its end", list(0, true, "a"), list(0, false, "a"), Continues},
		{"the same end", list(0, true, "a"), list(0, true, "a"), Continues},
		{"one less", list(0, false, "a"), list(0, false, "a", "b"), IsBehind},
		{"none yet", list(0, false), list(5, false, "a"), IsBehind},
		{"that has ended", list(0, false, "a"), list(0, true, "a"), IsBehind},
		{"another segment", list(0, false, "a", "x", "c"), list(0, false, "a", "b"), Contradicts},
		{"another length of it", longer, list(0, false, "a"), Contradicts},
		{"more behind an end", list(0, false, "a", "b"), list(0, true, "a"), Contradicts},
		{"an end before what goes on", list(0, true, "a"), list(0, false, "a", "b"), Contradicts},
	} {
		if got := tt.l.Against(tt.there); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}

// TestAdoptOverAnother: a State that tells other things than the store's playlist
// is set right, wherever they part, and whether it is behind that, level or ahead.
func TestAdoptOverAnother(t *testing.T) {
	h := cutHistory(t, Settings{Segment: time.Second / 2, Window: 2 * time.Second}, 60)
	rapid.Check(t, func(t *rapid.T) {
		j := rapid.IntRange(2, len(h.states)-3).Draw(t, "store")
		i := rapid.IntRange(max(1, j-4), min(len(h.states)-3, j+70)).Draw(t, "state")
		s, stored := h.states[i].Clone(), h.stored[j]
		stored.Live.Entries = slices.Clone(stored.Live.Entries)
		from := rapid.IntRange(0, len(stored.Live.Entries)-1).Draw(t, "from")
		for n := from; n < len(stored.Live.Entries); n++ {
			stored.Live.Entries[n].URI = fmt.Sprintf("other-%d.ts", n)
		}
		stored.Live.Ended = rapid.Bool().Draw(t, "ended")
		if !s.Beyond(&stored.Live) {
			return // no segment is listed by both
		}
		c, err := Restore(*s)
		if err != nil {
			t.Fatal(err)
		}
		cut := c.Adopt(stored)
		if cut == nil {
			t.Fatal("nothing was adopted")
		}
		got, err := ParseList(cut.State.LivePlaylist())
		if err != nil {
			t.Fatal(err)
		}
		if got.Next() != stored.Live.Next() || got.Against(&stored.Live) != Continues || cut.State.Breaks > 1 {
			t.Fatalf("State %d over the store's %d from %d: %+v, want %+v", i, j, from, got, stored.Live)
		}
		if _, err := ParseState(cut.State.Encode()); err != nil {
			t.Fatalf("nobody can go on from the State: %v", err)
		}
	})
}
