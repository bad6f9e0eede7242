// Package hls is what a broadcast looks like as HLS, without a world: batches
// of the frame log in, segments and playlists out.
//
// A Cutter cuts the log of one rendition. Boundaries, names and bytes are a
// function of the log and of what State fixed at the first claim; playlists,
// index runs and names are rendered from State, for whoever needs them.
package hls

import (
	"fmt"

	"weir/media"
	"weir/media/framelog"
	"weir/remux/flv"
)

// Cutter cuts the batches of one rendition into segments. One goroutine owns
// it.
type Cutter struct {
	state    State // at the last boundary
	format   Format
	timeline media.Timeline
	tracks   Tracks            // after the last batch
	split    bool              // pictures come in several messages
	position framelog.Position // of the last batch
	epoch    uint64
	drops    media.Drops
	lag      lateness
	skip     bool // until the next key batch: the log lost what came before
	pauses   Pauses
	silent   struct { // the last that was made
		codec media.Codec
		frame []byte
	}
	opening *opening // nil: the show's tracks are decided

	rejoining rejoining

	open    segment
	reading reading
	// body is the open segment's, spare one that Reuse gave back; size is the
	// last one's.
	body, spare []byte
	size        int
	room        int // bytes of a segment, maxSegmentBytes
}

// Segment is a finished segment.
type Segment struct {
	// Sequence is its media sequence number, Name its object name within the
	// rendition.
	Sequence uint64
	Name     string
	// Body is the caller's; Reuse takes it back.
	Body  []byte
	Entry Entry
}

// Cut is what a boundary brings: what is to be stored, in this order, before
// State is.
type Cut struct {
	// Segment is nil where only the State moved on.
	Segment *Segment
	// Runs are set where entries have left the State: they are to be stored as
	// index objects, from number FirstRun on.
	Runs     [][]Entry
	FirstRun uint64
	// State is the one behind the boundary, to be saved. Later calls of the
	// Cutter leave it as it is.
	State *State
}

// New returns a Cutter at the begin of a broadcast.
func New(s Settings) (*Cutter, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	return &Cutter{state: newState(s, TS), format: TS, opening: new(opening), room: maxSegmentBytes}, nil
}

// Restore returns a Cutter that goes on from a State.
func Restore(s State) (*Cutter, error) {
	t, err := parseTracks(s.Tracks)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrState, err)
	}
	f, err := formatNamed(s.Format)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrState, err)
	}
	if s.Muxer == 1 {
		f = ts1{}
	}
	c := &Cutter{state: s, format: f, timeline: s.Timeline, tracks: t, split: s.Split, lag: s.Late, pauses: s.Pauses, position: s.Place(), epoch: s.Epoch, room: maxSegmentBytes}
	if s.whole() && !s.Kinds.decided() {
		c.opening = new(opening)
	}
	return c, nil
}

// State returns a copy of the State at the last boundary.
func (c *Cutter) State() *State { return c.state.Clone() }

// Decide puts decisions into the State that the next Cut brings.
func (c *Cutter) Decide(d Decisions) { c.state.Decide(d) }

// Reuse gives a segment's Body back, for one to come.
func (c *Cutter) Reuse(body []byte) {
	if cap(body) > cap(c.spare) {
		c.spare = body[:0]
	}
}

// Foreign names the codecs of video and audio, in this order, that the last
// batch held and no segment will: empty where there is none.
func (c *Cutter) Foreign() [2]string { return c.reading.foreign }

// Dropped counts what of the broadcast is in no segment, the open one included.
func (c *Cutter) Dropped() media.Drops {
	d := c.state.Drops
	d.Add(&c.drops)
	return d
}

// Push takes the next batch. It returns a Cut for each segment that the batch
// brings to its end, and for the session's end. The State after a Cut does not
// hold the batch that caused it, unless it is an end: replaying the log from
// Position on gives the same bytes. After each Push the caller asks Recall.
//
// b.Tags must stay as they are until the segment's end; Push keeps them.
func (c *Cutter) Push(b *framelog.Batch) []*Cut {
	if c.opening != nil {
		return c.wait(b)
	}
	return c.cuts(c.push(b))
}

// cuts gives a Cut, if there is one, its State.
func (c *Cutter) cuts(cut *Cut) []*Cut {
	if cut == nil {
		return nil
	}
	cut.State = c.state.Clone()
	return []*Cut{cut}
}

func (c *Cutter) push(b *framelog.Batch) *Cut {
	c.Replay(nil) // nobody has asked Recall
	// The end of a broadcast is a decision whatever its epoch: a log that has
	// aged out does not tell whoever writes it which one it was.
	if c.behind(b) || c.fenced(b) || c.state.Phase != Live {
		return nil
	}
	if b.Flags.Has(framelog.Fence) || b.Flags.Has(framelog.End) || b.Flags.Has(framelog.Final) {
		return c.endSession(b)
	}
	if c.skip && !b.Flags.Has(framelog.Key) {
		return nil
	}
	var cut *Cut
	// Its first batch, or even its fence, may have been lost.
	if b.Flags.Has(framelog.Begin) || b.Epoch > c.epoch || !c.state.InSession {
		cut = c.beginSession(b)
	}
	if c.skip {
		cut = c.resume(b)
	}
	r := &c.reading
	r.read(c.format, b, c.timeline, c.tracks, c.state.Kinds, c.split)
	if c.adopted(b, r) {
		return cut
	}
	if closed := c.cutBefore(b, r); closed != nil {
		cut = closed
		// As whoever goes on from the State reads it.
		r.restart()
		r.read(c.format, b, c.timeline, c.tracks, c.state.Kinds, c.split)
	}
	c.absorb(b, r)
	return cut
}

// fenced tells whether the batch is of a session that a newer one has taken over
// from, and counts what is in it.
func (c *Cutter) fenced(b *framelog.Batch) bool {
	if b.Epoch >= c.epoch || b.Flags.Has(framelog.Final) {
		return false
	}
	for t, err := range flv.Tags(b.Tags[min(b.Prelude, len(b.Tags)):]) {
		if err == nil && (t.Type == flv.TagVideo || t.Type == flv.TagAudio) && !flv.IsSequenceHeader(t) {
			c.drops.Count(media.DropFenced)
		}
	}
	return true
}

// behind tells whether the batch is at or before the position. Other batches
// have sequences that were read already in a log that was made anew, and in one
// that has gone back: there the numbers tell.
func (c *Cutter) behind(b *framelog.Batch) bool {
	at := &c.position
	switch {
	case b.Seq > at.Seq || at.Log != "" && b.Log != at.Log:
		return false
	case at.Log == "": // a release before this one noted no number
		return true
	}
	return b.Epoch < at.Epoch || b.Epoch == at.Epoch && b.Last <= at.Number
}

// endSession closes what is open: the session, and with Final the broadcast.
func (c *Cutter) endSession(b *framelog.Batch) *Cut {
	c.position, c.epoch = b.Position(), max(c.epoch, b.Epoch)
	c.finishPicture()
	cut := c.close(c.open.end)
	if cut == nil {
		cut = &Cut{}
	}
	st := &c.state
	c.keep()
	st.Epoch, st.InSession = c.epoch, false
	st.Break = st.Next() > 0
	if b.Flags.Has(framelog.Final) {
		st.Phase = Ending
	}
	return cut
}

// beginSession starts a session. The one before has ended by its own message,
// or ends here.
func (c *Cutter) beginSession(b *framelog.Batch) *Cut {
	c.finishPicture()
	cut := c.close(c.open.end)
	c.epoch = b.Epoch
	c.timeline.BeginSession()
	// Of the first session, its opening has told.
	if c.state.whole() && c.state.Next() > 0 {
		c.pauses = Pauses{Repeated: c.pauses.Repeated, Key: c.pauses.Key, Last: c.pauses.Last, Log: c.pauses.Log, Top: c.pauses.Top, Block: unknownBlock}
	}
	if !c.state.Kinds.decided() {
		c.tracks = Tracks{} // it sends its own
	}
	c.split, c.lag = false, lateness{}
	st := &c.state
	c.keep()
	st.Epoch = c.epoch
	st.Break = st.Next() > 0
	st.InSession, st.Started = true, false
	st.WallMS = st.WallEndMS
	switch {
	case !b.Wall.IsZero():
		st.WallMS = b.Wall.UnixMilli()
	case !b.Stored.IsZero(): // its first batch had aged out before anybody read it
		st.WallMS = b.Stored.UnixMilli()
	}
	return cut
}

// cutBefore closes the open segment where b has to begin the next one.
func (c *Cutter) cutBefore(b *framelog.Batch, r *reading) *Cut {
	o := &c.open
	if !o.started || !r.ok {
		return nil
	}
	key := b.Flags.Has(framelog.Key)
	initial := r.initial()
	changed := !initial.same(&o.tracks)
	sound, pictures := c.soundChanges(&initial), c.lacksPictures(r)
	switch {
	case c.late(r):
		c.restart(r.tracks)
		return nil
	case pictures, (key || sound) && !c.due() && (changed || c.grid(r.dts) != o.grid), r.reach-o.start > c.limit(), len(c.body)+len(b.Tags) > c.room:
		// Where frames are missing for so long that the segment would seem to
		// outlast the target duration, it ends where its media does.
		hole := r.begin-o.start > c.limit()
		boundary := r.begin
		if hole {
			boundary = min(r.begin, o.end)
		}
		if r.carried {
			c.write(&r.frames[0])
		}
		if changed {
			c.giveKept(0)
		}
		cut := c.close(boundary)
		if changed || hole || pictures {
			c.state.Break = true
		}
		return cut
	}
	return nil
}

// soundChanges tells whether the open segment ends where other sound begins: what
// it holds has one configuration (RFC 8216, 4.3.2.3). Pictures need not begin a
// group there, see rejoining.
func (c *Cutter) soundChanges(t *Tracks) bool {
	o := &c.open
	return c.state.Kinds.Audio && o.frames > o.pictures && t.Audio != nil && o.tracks.Audio != nil && !media.SameCodec(t.Audio, o.tracks.Audio)
}
