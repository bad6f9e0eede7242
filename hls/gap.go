package hls

import (
	"weir/media/framelog"
	"weir/remux/flv"
)

// Missed tells the Cutter that the log lost batches before the next one:
// they had aged out when it came to read them. What follows can be shown from
// the next key batch on.
func (c *Cutter) Missed() []*Cut {
	if c.state.Phase != Live {
		return nil
	}
	cuts := c.settle()
	c.Replay(nil)
	c.skip = true
	c.finishPicture()
	changed := c.open.started && !c.tracks.same(&c.open.tracks)
	cut := c.close(c.open.end)
	c.state.Break = c.state.Break || changed
	return append(cuts, c.cuts(cut)...)
}

// resume goes on at the first key batch after a hole in the log. What the
// hole held is listed as missing (EXT-X-GAP), so that time goes on: players
// skip it, and nothing else changes for them. Where the hole's length cannot
// be known, or nobody would see all of it, a discontinuity stands for it.
//
// That the log has a hole depends on when it was read. So it is a decision:
// the Cut's State has it, and stands right before b, where the log has no hole
// any more for whoever goes on from there.
func (c *Cutter) resume(b *framelog.Batch) *Cut {
	c.skip = false
	st := &c.state
	cut := &Cut{}
	gaps, follows := c.gaps(b)
	c.list(cut, gaps...)
	st.LostBatches++
	st.Break = st.Break || st.Next() > 0 && !follows
	c.position = framelog.Position{Log: b.Log, Seq: b.First - 1, Epoch: b.Epoch, Number: max(b.Number, 1) - 1}
	c.keep()
	return cut
}

// gaps returns the entries for what is missing between the last segment and
// b, and moves the timeline there. follows tells whether b goes on behind them
// without a discontinuity: with the same tracks.
func (c *Cutter) gaps(b *framelog.Batch) (entries []Entry, follows bool) {
	st := &c.state
	t, _, err := flv.NextTag(b.Tags[min(b.Prelude, len(b.Tags)):])
	if err != nil || b.Epoch != st.Epoch || !st.InSession || !st.Started || st.Next() == 0 {
		return nil, false
	}
	c.timeline.Skip(t.Timestamp)
	var r reading
	r.read(c.format, b, c.timeline, c.tracks, st.Kinds, c.split)
	missing := millis(r.begin-st.SessionStart) - (st.WallEndMS - st.WallMS)
	if !r.ok || missing <= 0 || missing > st.WindowMS {
		return nil, false
	}
	target := 1000 * int64(st.Target)
	entries = make([]Entry, (missing+target-1)/target)
	for i := range entries {
		// Equal parts: none is longer than the target duration.
		from, to := missing*int64(i)/int64(len(entries)), missing*int64(i+1)/int64(len(entries))
		entries[i] = Entry{DurationMS: to - from, WallMS: st.WallEndMS + from, Flags: Gap}
	}
	if st.Break {
		entries[0].Flags |= Discontinuity
		st.Break = false
	}
	st.WallEndMS += missing
	st.LostMS += missing
	before, err := parseTracks(st.Tracks)
	return entries, err == nil && r.tracks.same(&before)
}
