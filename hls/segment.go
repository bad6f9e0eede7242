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
	tracks  Tracks      // as its head says
	audio   media.Codec // in force
	// start and end are where its first frame is shown and its last one ends,
	// in ticks; grid is its cell.
	start, end, grid int64
	dependent        bool // does not begin with a key frame
	opensSession     bool
	frames, pictures int
	// fresh are its pictures that are not shown again, shown is when the first
	// of them is shown, and the last one, in ticks.
	fresh    int
	shown    [2]int64
	replayed bool // see Replay
	// soundFrom is where sound that is missing begins, where that is not where
	// the sound before it ends: at a discontinuity, at a session's start, behind
	// a gap.
	soundFrom int64
	// lost is the Cutter's count when it was opened.
	lost uint64
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
	after, current := c.timeline, c.tracks
	c.lost = c.open.lost
	c.open, c.body = segment{}, c.body[:0]
	c.timeline = c.state.Timeline
	for _, b := range held {
		var r reading
		r.read(b, c.timeline, t, Kinds{})
		c.absorb(b, &r)
	}
	c.timeline, c.tracks = after, current
}

// absorb puts a batch into the open segment, opening one if there is none.
func (c *Cutter) absorb(b *framelog.Batch, r *reading) {
	before := c.timeline
	c.position, c.timeline, c.tracks = b.Position(), r.timeline, r.tracks
	o := &c.open
	if !o.started && !r.tracks.empty() && len(r.frames) > 0 {
		c.start(r)
	}
	c.lost += r.lost
	if !o.started {
		c.lost += uint64(len(r.frames))
		return
	}
	o.end = max(o.end, r.end)
	c.hold(b, r)
	if r.tracks.Audio != o.audio && o.audio != nil {
		c.changeAudio(r)
	}
	if !c.state.Kinds.decided() {
		for i := range r.frames {
			c.write(&r.frames[i])
		}
		return
	}
	c.writeWhole(b, r, &before)
}

// start opens a segment with the tracks of its first batch.
func (c *Cutter) start(r *reading) {
	w, err := c.format.NewWriter(r.tracks, c.state.Carry)
	if err != nil {
		return // no track that the format can carry: the frames are counted as lost
	}
	o := &c.open
	*o = segment{started: true, writer: w, tracks: r.tracks, audio: r.tracks.Audio, start: r.begin, dependent: !r.keyed, lost: c.lost}
	if st := &c.state; !st.Started {
		st.SessionStart, st.GridStart = r.begin, r.dts
		st.Started = true
	}
	// Whoever goes on from a State that a hole in the log made finds the
	// session started, by this same batch.
	o.opensSession = r.begin == c.state.SessionStart
	if st := &c.state; st.Break || c.timeline.Audio.Rate == 0 || len(st.Entries) > 0 && st.Entries[len(st.Entries)-1].Flags&Gap != 0 {
		o.soundFrom = o.start
	}
	o.grid = c.grid(r.dts)
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

// changeAudio goes on with another configuration of the sound. The next key
// frame makes the cut and the discontinuity.
func (c *Cutter) changeAudio(r *reading) {
	o := &c.open
	c.body = o.writer.EndPart(c.body)
	changed := Tracks{Video: o.tracks.Video, Audio: r.tracks.Audio}
	if w, err := c.format.NewWriter(changed, o.writer.Carry()); err == nil {
		o.writer, o.audio = w, r.tracks.Audio
	}
}

func (c *Cutter) write(f *media.Frame) {
	o := &c.open
	if f.Kind == media.Video && o.tracks.Video == nil || f.Kind == media.Audio && o.tracks.Audio == nil {
		c.lost++ // the head does not name it yet
		return
	}
	body, err := o.writer.AppendFrame(c.body, f)
	if err != nil {
		c.lost++ // damaged: the writer wrote nothing of it
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

// close ends the open segment at boundary, in ticks, and moves the State
// there. It returns nil where no segment is open.
func (c *Cutter) close(boundary int64) *Cut {
	o := &c.open
	st := &c.state
	st.LostFrames += c.lost
	c.lost = 0
	if !o.started {
		return nil
	}
	// How long the last frame is shown is a guess, and a batch of another
	// release may be of any length: what the playlists say stays within limits.
	boundary = min(boundary, o.start+c.limit())
	c.fillSegment(boundary)
	c.body = o.writer.Flush(c.body)
	c.keep()
	st.Carry, st.Epoch = o.writer.Carry(), c.epoch
	e := c.entry(boundary)
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
	st.Timeline = c.timeline
	st.Tracks, st.Pauses = c.tracks.stored(), c.pauses
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

// millis rounds ticks to milliseconds.
func millis(ticks int64) int64 {
	const tick = media.Clock / 1000
	if ticks < 0 {
		return -((-ticks + tick/2) / tick)
	}
	return (ticks + tick/2) / tick
}
