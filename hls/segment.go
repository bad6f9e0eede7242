package hls

import (
	"slices"
	"time"

	"weir/media"
	"weir/media/framelog"
)

// segment is the open one.
type segment struct {
	started bool
	writer  Writer
	tracks  Tracks // as its head says
	force   Tracks // in force
	// others are the tracks that have gone over to a codec that the head does not
	// announce: their frames are left out until the next segment.
	others Kinds
	// start and end are where its first frame is shown and its last one ends,
	// in ticks; grid is its cell.
	start, end, grid int64
	dependent        bool // does not begin with a key frame
	opensSession     bool
	frames, pictures int
	// fresh are its pictures that are not shown again, shown is when the first
	// of them is shown, and the last one, in ticks.
	fresh int
	shown [2]int64
	// soundFrom is where sound that is missing begins, where that is not where
	// the sound before it ends: at a discontinuity, at a session's start, behind
	// a gap.
	soundFrom int64
	// drops is the Cutter's count when it was opened.
	drops media.Drops
	// held are the batches so far, while the segment can still be begun anew
	// with a track that came late.
	held      []*framelog.Batch
	heldBytes int
}

// A track may come this late, in ticks and in bytes of log, and still be in
// its session's first segment from the start.
const (
	lateTrack      = 2 * media.Clock
	lateTrackBytes = 4 << 20
)

// maxSegmentBytes bounds a segment of an encoder whose clock stands still, or
// that sends more than anybody could play: it is cut at a message boundary.
const maxSegmentBytes = 64 << 20

// late tells whether the open segment can be begun anew with a track that
// came late.
func (c *Cutter) late(r *reading) bool {
	o := &c.open
	return len(o.held) > 0 && r.tracks.adds(&o.tracks) && r.end-o.start <= lateTrack
}

// restart begins the open segment anew with other tracks, from the batches
// held.
func (c *Cutter) restart(t Tracks) {
	held := c.open.held
	after, current, split, lag := c.timeline, c.tracks, c.split, c.lag
	c.drops = c.open.drops
	c.open, c.body = segment{}, c.body[:0]
	c.timeline, c.split, c.lag = c.state.Timeline, c.state.Split, c.state.Late
	var r reading
	for _, b := range held {
		r.read(c.format, b, c.timeline, t, Kinds{}, c.split)
		c.absorb(b, &r)
	}
	c.timeline, c.tracks, c.split, c.lag = after, current, split, lag
}

// absorb puts a batch into the open segment, opening one if there is none.
func (c *Cutter) absorb(b *framelog.Batch, r *reading) {
	before := c.timeline
	o := &c.open
	begins := !o.started && len(r.frames) > 0
	if begins {
		c.start(b, r)
	}
	c.lag.note(c, b, r)
	c.position, c.timeline, c.tracks, c.split = b.Position(), r.timeline, r.tracks, r.split
	c.drops.Add(&r.drops)
	if !o.started {
		for range r.frames {
			c.drops.Count(media.DropUnfit)
		}
		return
	}
	o.end = max(o.end, r.end)
	c.hold(b, r)
	if c.state.Kinds.decided() {
		if begins && c.rejoins(r) {
			if c.rejoining = (rejoining{b, before}); !c.mayRepeat() {
				c.leaveOutPictures()
				c.goOn()
			}
			return
		}
		c.writeWhole(b, r, &before)
		return
	}
	changes := r.changes
	for i := range r.frames {
		changes = c.changeAt(changes, i)
		if f := &r.frames[i]; o.others.has(f.Kind) {
			c.drops.Count(media.DropUnfit)
		} else {
			c.write(f)
		}
	}
	c.changeAt(changes, len(r.frames))
}

// start opens a segment with the tracks of its first batch.
func (c *Cutter) start(b *framelog.Batch, r *reading) {
	if r.carried { // of this segment, as none was open
		r.measure(0)
	}
	tracks := r.initial()
	if tracks.empty() {
		return
	}
	w, err := c.format.NewWriter(tracks, c.state.Carry)
	if err != nil {
		return // no track that the format can carry: the frames are counted as lost
	}
	o := &c.open
	*o = segment{started: true, writer: w, tracks: tracks, force: tracks, start: r.begin, dependent: !r.keyed, drops: c.drops}
	st := &c.state
	if !st.Started {
		st.SessionStart, st.GridStart = r.begin, r.dts
		st.Started = true
	} else {
		// Its first frame may be shown before the last one of the segment before:
		// sound that is sent late. Segments follow each other all the same.
		o.start = max(r.begin, st.SessionStart+(st.WallEndMS-st.WallMS-1)*ticksPerMilli)
	}
	// Whoever goes on from a State that a hole in the log made finds the
	// session started, by this same batch.
	o.opensSession = r.begin == c.state.SessionStart
	if st := &c.state; st.Break || r.timeline.Audio.Rate == 0 || len(st.Entries) > 0 && st.Entries[len(st.Entries)-1].Flags&Gap != 0 {
		o.soundFrom = o.start
	}
	o.grid = c.grid(r.dts)
	c.lag.correct(c, b, r)
	if c.body == nil {
		c.body, c.spare = c.spare, nil
	}
	c.body = w.Begin(slices.Grow(c.body[:0], c.size+c.size/8))
}

// hold keeps a batch while a late track may still come.
func (c *Cutter) hold(b *framelog.Batch, r *reading) {
	o := &c.open
	first := o.frames == 0 || len(o.held) > 0
	whole := c.state.whole() || o.tracks.Video != nil && o.tracks.Audio != nil
	o.heldBytes += len(b.Tags)
	if whole || !first || !o.opensSession || o.heldBytes > lateTrackBytes || r.end-o.start > lateTrack {
		o.held = nil
		return
	}
	o.held = append(o.held, b)
}

// changeAt brings into force what changes in front of frame i, and returns the
// changes behind it.
func (c *Cutter) changeAt(changes []change, i int) []change {
	for len(changes) > 0 && changes[0].at <= i {
		c.change(changes[0].tracks)
		changes = changes[1:]
	}
	return changes
}

// change goes on with other configurations of the tracks that the segment
// lists. The next key frame makes the cut and, where a decoder has to be set up
// anew, the discontinuity.
func (c *Cutter) change(t Tracks) {
	o := &c.open
	if o.tracks.Video == nil {
		t.Video = nil
	}
	if o.tracks.Audio == nil {
		t.Audio = nil
	}
	t.unfit = Kinds{}
	if t.Audio != o.force.Audio {
		c.giveKept(0)
	}
	if o.others.Audio = t.Audio != nil && t.Audio.ID() != o.tracks.Audio.ID(); o.others.Audio {
		t.Audio = o.force.Audio
	}
	if t == o.force {
		return
	}
	c.giveKept(0)
	c.body = o.writer.EndPart(c.body)
	if w, err := c.format.NewWriter(t, o.writer.Carry()); err == nil {
		o.writer, o.force = w, t
		if c.state.whole() && o.frames == o.pictures { // none of the sound before is in it
			o.tracks.Audio = t.Audio
		}
	}
}

func (c *Cutter) write(f *media.Frame) {
	o := &c.open
	if f.Kind == media.Video && o.tracks.Video == nil || f.Kind == media.Audio && o.tracks.Audio == nil {
		c.drops.Count(media.DropUnlisted)
		return
	}
	body, err := o.writer.AppendFrame(c.body, f)
	if err != nil {
		c.drops.Count(media.DropUnfit) // the writer wrote nothing of it
		return
	}
	c.body = body
	o.frames++
	if f.Kind == media.Audio {
		return
	}
	o.pictures++
	if o.fresh++; o.fresh == 1 {
		o.shown = [2]int64{f.PTS, f.PTS}
	}
	o.shown[0], o.shown[1] = min(o.shown[0], f.PTS), max(o.shown[1], f.PTS)
}

// finishPicture gives the open segment the picture that might have gone on.
func (c *Cutter) finishPicture() {
	if f := c.reading.held; f.Data != nil && c.open.started {
		c.write(&f)
	}
	c.reading.restart()
	c.giveKept(0)
}

// shortest is the least that a segment is said to last, in ticks: a frame of 60
// a second. Players take less for damage.
const shortest = media.Clock / 60

// close ends the open segment at boundary, in ticks, and moves the State
// there. It returns nil where no segment is open.
func (c *Cutter) close(boundary int64) *Cut {
	o := &c.open
	st := &c.state
	st.Drops.Add(&c.drops)
	st.LostFrames += c.drops.Sum()
	c.drops = media.Drops{}
	if !o.started {
		return nil
	}
	// How long the last frame is shown is a guess, and a batch of another
	// release may be of any length: what the playlists say stays within limits.
	boundary = max(min(boundary, o.start+c.limit()), o.start+shortest)
	c.fillSegment(boundary)
	c.body = o.writer.Flush(c.body)
	e := c.entry(boundary)
	c.pauses.pay(e.DurationMS, st.SegmentMS)
	c.keep()
	st.Carry, st.Epoch = o.writer.Carry(), c.epoch
	c.account(&e)
	cut := &Cut{Segment: &Segment{Sequence: st.Next(), Name: st.SegmentName(st.Next()), Body: c.body, Entry: e}}
	c.list(cut, e)
	st.Break = false
	c.body, c.size = nil, len(c.body)
	c.open = segment{}
	return cut
}

// keep has the State stand where the log was read to.
func (c *Cutter) keep() {
	st := &c.state
	st.Log, st.Position, st.Number = c.position.Log, c.position.Seq, c.position.Number
	st.Timeline, st.Late = c.timeline, c.lag
	st.Tracks, st.Split, st.Pauses = c.tracks.stored(), c.split, c.pauses
}

// list appends entries to the State, and takes out what has left the window.
func (c *Cutter) list(cut *Cut, entries ...Entry) {
	st := &c.state
	st.Entries = append(st.Entries, entries...)
	cut.FirstRun = st.First / RunLength
	for run := st.evict(); run != nil; run = st.evict() {
		cut.Runs = append(cut.Runs, run)
	}
}

// entry makes the open segment's entry. Durations are differences of rounded
// boundaries, so that their sum never drifts from the timeline.
func (c *Cutter) entry(boundary int64) Entry {
	o, st := &c.open, &c.state
	begin := millis(o.start - st.SessionStart)
	// Wall clocks of ingest nodes differ, and the timeline takes jumps out:
	// from there on the session's wall clock is what follows on the segments.
	st.WallMS = max(st.WallMS, st.WallEndMS-begin)
	e := Entry{
		DurationMS: max(1, millis(boundary-st.SessionStart)-begin),
		Bytes:      int64(len(c.body)),
		WallMS:     st.WallMS + begin,
	}
	if st.Break {
		e.Flags |= Discontinuity
	}
	st.WallEndMS = e.WallMS + e.DurationMS
	return e
}

// grid returns the cell of the segment grid that a boundary at dts falls
// into. Renditions of one source cut alike without knowing of each other; a
// tenth of a segment absorbs rounding to milliseconds.
func (c *Cutter) grid(dts int64) int64 {
	cell := c.state.SegmentMS * media.Clock / 1000
	return (dts - c.state.GridStart + cell/10) / cell
}

// limit is the longest that a segment may become, in ticks. RFC 8216,
// 4.3.3.1: "The EXTINF duration of each Media Segment in the Playlist file,
// when rounded to the nearest integer, MUST be less than or equal to the
// target duration".
func (c *Cutter) limit() int64 {
	if c.state.Target == 0 {
		return int64(MaxTarget/time.Second) * media.Clock
	}
	over := int64(499) // ms, which round down
	if c.state.Muxer == 1 {
		over = 400
	}
	return int64(c.state.Target)*media.Clock + over*media.Clock/1000
}

const ticksPerMilli = media.Clock / 1000

// millis rounds ticks to milliseconds.
func millis(ticks int64) int64 {
	const tick = ticksPerMilli
	if ticks < 0 {
		return -((-ticks + tick/2) / tick)
	}
	return (ticks + tick/2) / tick
}
