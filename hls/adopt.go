package hls

import (
	"weir/media/framelog"
)

// Stored are a rendition's playlists as the store has them; zero where there
// is none.
type Stored struct {
	Live, VOD    List
	Multivariant []byte // of the broadcast
}

// Beyond tells whether the store's live playlist tells more than s, or another
// thing: NATS has lost the State, or gone back behind it, or the broadcast has
// ended before; and somebody who owned it before, or after, has listed that.
func (s *State) Beyond(live *List) bool {
	return s.Phase != Closed && s.list().Against(live) != Continues
}

// Adopt takes up what the store has beyond the State, right after New or
// Restore: what is listed was seen, its names are taken, and the log may not
// hold it any more. The Cut's State lists it, and goes on with a discontinuity
// behind it, at the first key frame of the log that is shown later. What the State
// has in its place goes. If the store has the end, it is the end.
//
// It returns nil where there is nothing to take up.
func (c *Cutter) Adopt(stored Stored) *Cut {
	st, live := &c.state, &stored.Live
	if !st.Beyond(live) {
		return nil
	}
	cut := &Cut{}
	st.truncate(differs(st.list(), live))
	if live.Next() > st.Next() {
		if st.Next() == 0 {
			st.declared(stored.Multivariant)
		}
		if st.Target == 0 {
			st.Target = min(max(live.Target, 1), maxTargetSeconds)
		}
		c.list(cut, st.beyond(stored)...)
		last := &st.Entries[len(st.Entries)-1]
		st.WallEndMS = last.WallMS + last.DurationMS
		st.AdoptedMS = st.WallEndMS
	}
	if live.Ended {
		st.Phase = Ending
	}
	st.Break = st.Phase == Live
	return c.cuts(cut)[0]
}

// truncate takes the entries from segment n on out of the State.
func (s *State) truncate(n uint64) {
	switch {
	case n >= s.Next():
		return
	case n < s.First: // index objects have what is before it
		s.First, s.Entries = n/RunLength*RunLength, nil
	default:
		s.Entries = s.Entries[: n-s.First : n-s.First]
	}
	s.VODLength, s.Forgotten = min(s.VODLength, n), min(s.Forgotten, s.First)
}

// beyond returns the entries from the State's next on that the store has.
// Runs before the live playlist's are in the store as index objects, which are
// put before playlists leave them out.
func (s *State) beyond(stored Stored) []Entry {
	live := &stored.Live
	if run := live.First / RunLength * RunLength; run > s.Next() {
		s.First, s.Entries = run, nil
	}
	var entries []Entry
	for n := s.Next(); n < live.Next(); n++ {
		e := Entry{DurationMS: -1} // not known
		switch {
		case n >= live.First:
			e = live.Entries[n-live.First]
		case n >= stored.VOD.First && n < stored.VOD.Next():
			e = stored.VOD.Entries[n-stored.VOD.First]
		}
		e.DurationMS = min(e.DurationMS, 1000*int64(maxTargetSeconds+1))
		e.URI = s.uri(n, e.URI)
		entries = append(entries, e)
	}
	s.estimate(entries)
	// The playlist tells how many discontinuities there were before it.
	before := s.Entries
	if k := live.First - s.Next(); live.First > s.Next() {
		before = append(before[:len(before):len(before)], entries[:k]...)
	} else {
		before = before[:max(live.First, s.First)-s.First]
	}
	breaks := live.Breaks
	if live.First < s.First {
		breaks += countBreaks(live.Entries[:s.First-live.First])
	}
	s.Breaks = max(breaks, countBreaks(before)) - countBreaks(before)
	return entries
}

// estimate dates the entries that no playlist tells of: fewer than a run, which
// had left the live playlist and not yet come into an index object. They share
// the time between those before and behind them evenly.
func (s *State) estimate(entries []Entry) {
	from := 0
	for from < len(entries) && entries[from].DurationMS >= 0 {
		from++
	}
	to := from
	for to < len(entries) && entries[to].DurationMS < 0 {
		to++
	}
	if from == to {
		return
	}
	end := entries[min(to, len(entries)-1)].WallMS
	begin := end - int64(to-from)*s.SegmentMS
	switch {
	case from > 0:
		begin = entries[from-1].WallMS + entries[from-1].DurationMS
	case len(s.Entries) > 0:
		last := &s.Entries[len(s.Entries)-1]
		begin = last.WallMS + last.DurationMS
	}
	n := int64(to - from)
	span := min(max(end-begin, n), n*1000*int64(s.Target))
	for i := range n {
		at := begin + span*i/n
		entries[from+int(i)].WallMS, entries[from+int(i)].DurationMS = at, begin+span*(i+1)/n-at
	}
}

// clockSlack is how far the times of a boundary may differ that was computed
// twice, in milliseconds: by rounding.
const clockSlack = 20

// adopted tells whether the batch was adopted with the store's playlists: it is
// shown before their end. The first that is not begins the next segment.
func (c *Cutter) adopted(b *framelog.Batch, r *reading) bool {
	st := &c.state
	if st.AdoptedMS == 0 {
		return false
	}
	if r.ok && !st.Started {
		st.SessionStart, st.GridStart, st.Started = r.begin, r.dts, true
	}
	if !r.ok || !b.Flags.Has(framelog.Key) || st.WallMS+millis(r.begin-st.SessionStart) < st.AdoptedMS-clockSlack {
		c.position, c.timeline, c.tracks, c.split = b.Position(), r.timeline, r.tracks, r.split
		return true
	}
	st.AdoptedMS = 0
	return false
}
