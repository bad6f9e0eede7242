// Package segmenter turns the frame log into HLS: batches in, objects out.
//
// Its core, Segmenter, is pure: boundaries, names and bytes are a function of
// the log and of what State fixed at the first claim. Worker puts what it
// cuts into a store, in an order that survives being killed at any moment:
// segment, checkpoint, playlist.
package segmenter

import (
	"fmt"
	"slices"
	"time"

	"weir/media"
	"weir/media/aac"
	"weir/media/framelog"
	"weir/remux/mpegts"
)

// Segmenter cuts the batches of one rendition into segments. It is not safe
// for concurrent use.
type Segmenter struct {
	state    State // at the last boundary
	timeline media.Timeline
	tracks   tracks // after the last batch
	position uint64 // of the last batch
	epoch    uint64
	lost     uint64
	skip     bool // until the next key batch: the log lost what came before

	open    segment
	reading reading
	// body is the open segment's, spare one that Reuse gave back; size is the
	// last one's.
	body, spare []byte
	size        int
}

// segment is the open one.
type segment struct {
	started bool
	muxer   *mpegts.Muxer
	tracks  tracks      // as its PMT says
	audio   *aac.Config // as its last ADTS header says
	// start and end are where its first frame is shown and its last one ends,
	// in ticks; grid is its cell.
	start, end, grid int64
	dependent        bool // does not begin with a key frame
	opensSession     bool
	frames, pictures int
	// shown is when its first picture is shown, and its last one, in ticks.
	shown [2]int64
	// lost is the Segmenter's count when it was opened.
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

// Segment is a finished segment.
type Segment struct {
	// Sequence is its media sequence number, Name its object name within the
	// rendition.
	Sequence uint64
	Name     string
	// Body is MPEG-TS. It is the caller's; Reuse takes it back.
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
}

// New returns a Segmenter at the begin of a broadcast.
func New(s Settings) (*Segmenter, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	return &Segmenter{state: newState(s)}, nil
}

// Restore returns a Segmenter that goes on from a State.
func Restore(s State) (*Segmenter, error) {
	t, err := newTracks(s.AVC, s.AAC)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrState, err)
	}
	return &Segmenter{state: s, timeline: s.Timeline, tracks: t, position: s.Position, epoch: s.Epoch}, nil
}

// State returns the State at the last boundary. It is valid until the next
// Push.
func (s *Segmenter) State() *State { return &s.state }

// Reuse gives a segment's Body back, for one to come.
func (s *Segmenter) Reuse(body []byte) {
	if cap(body) > cap(s.spare) {
		s.spare = body[:0]
	}
}

// Foreign names the codecs of video and audio, in this order, that the last
// batch held and no segment will: empty where there is none.
func (s *Segmenter) Foreign() [2]string { return s.reading.foreign }

// Push takes the next batch. It returns a Cut where the batch begins the next
// segment, or ends the session. The State after that Cut does not hold the
// batch that caused it, unless it is an end: replaying the log from Position
// on gives the same bytes.
//
// b.Tags must stay as they are until the segment's end; Push keeps them.
func (s *Segmenter) Push(b *framelog.Batch) *Cut {
	// The end of a broadcast is a decision whatever its epoch: a log that has
	// aged out does not tell whoever writes it which one it was.
	if b.Seq <= s.position || b.Epoch < s.epoch && !b.Flags.Has(framelog.Final) || s.state.Phase != Live {
		return nil
	}
	if b.Flags.Has(framelog.Fence) || b.Flags.Has(framelog.End) || b.Flags.Has(framelog.Final) {
		return s.endSession(b)
	}
	if s.skip && !b.Flags.Has(framelog.Key) {
		return nil
	}
	var cut *Cut
	// Its first batch, or even its fence, may have been lost.
	if b.Flags.Has(framelog.Begin) || b.Epoch > s.epoch || !s.state.InSession {
		cut = s.beginSession(b)
	}
	if s.skip {
		cut = s.resume(b)
	}
	r := &s.reading
	r.read(b, s.timeline, s.tracks)
	if c := s.cutBefore(b, r); c != nil {
		cut = c
	}
	s.absorb(b, r)
	return cut
}

// endSession closes what is open: the session, and with Final the broadcast.
func (s *Segmenter) endSession(b *framelog.Batch) *Cut {
	s.position, s.epoch = b.Seq, max(s.epoch, b.Epoch)
	cut := s.close(s.open.end)
	if cut == nil {
		cut = &Cut{}
	}
	st := &s.state
	s.keep()
	st.Epoch, st.InSession = s.epoch, false
	st.Break = st.Next() > 0
	if b.Flags.Has(framelog.Final) {
		st.Phase = Ending
	}
	return cut
}

// beginSession starts a session. The one before has ended by its own message,
// or ends here.
func (s *Segmenter) beginSession(b *framelog.Batch) *Cut {
	cut := s.close(s.open.end)
	s.epoch = b.Epoch
	s.timeline.BeginSession()
	s.tracks = tracks{} // it sends its own
	st := &s.state
	s.keep()
	st.Epoch = s.epoch
	st.Break = st.Next() > 0
	st.InSession, st.Started = true, false
	st.WallMS = st.WallEndMS
	if !b.Wall.IsZero() {
		st.WallMS = b.Wall.UnixMilli()
	}
	return cut
}

// cutBefore closes the open segment where b has to begin the next one.
func (s *Segmenter) cutBefore(b *framelog.Batch, r *reading) *Cut {
	o := &s.open
	if !o.started || !r.ok {
		return nil
	}
	key := b.Flags.Has(framelog.Key)
	changed := !r.tracks.same(&o.tracks)
	switch {
	case s.late(r):
		s.restart(r.tracks)
		return nil
	case key && (changed || s.grid(r.dts) != o.grid), r.end-o.start > s.limit(), len(s.body)+len(b.Tags) > maxSegmentBytes:
		// Where frames are missing for so long that the segment would seem to
		// outlast the target duration, it ends where its media does.
		hole := r.begin-o.start > s.limit()
		boundary := r.begin
		if hole {
			boundary = min(r.begin, o.end)
		}
		cut := s.close(boundary)
		if changed || hole {
			s.state.Break = true
		}
		return cut
	}
	return nil
}

// late tells whether the open segment can be begun anew with a track that
// came late.
func (s *Segmenter) late(r *reading) bool {
	o := &s.open
	return len(o.held) > 0 && r.tracks.adds(&o.tracks) && r.end-o.start <= lateTrack
}

// restart begins the open segment anew with other tracks, from the batches
// held.
func (s *Segmenter) restart(t tracks) {
	held := s.open.held
	after, current := s.timeline, s.tracks
	s.lost = s.open.lost
	s.open, s.body = segment{}, s.body[:0]
	s.timeline = s.state.Timeline
	for _, b := range held {
		var r reading
		r.read(b, s.timeline, t)
		s.absorb(b, &r)
	}
	s.timeline, s.tracks = after, current
}

// absorb puts a batch into the open segment, opening one if there is none.
func (s *Segmenter) absorb(b *framelog.Batch, r *reading) {
	s.position, s.timeline, s.tracks = b.Seq, r.timeline, r.tracks
	o := &s.open
	if !o.started && !r.tracks.empty() && len(r.frames) > 0 {
		s.start(r)
	}
	s.lost += r.lost
	if !o.started {
		s.lost += uint64(len(r.frames))
		return
	}
	o.end = max(o.end, r.end)
	s.hold(b, r)
	if r.tracks.audio != o.audio && o.audio != nil {
		s.changeAudio(r)
	}
	for i := range r.frames {
		s.write(&r.frames[i])
	}
}

// start opens a segment with the tracks of its first batch.
func (s *Segmenter) start(r *reading) {
	m, err := mpegts.NewMuxer(r.tracks.muxer(), s.state.Continuity)
	if err != nil {
		return // no track that MPEG-TS can carry: the frames are counted as lost
	}
	o := &s.open
	*o = segment{started: true, muxer: m, tracks: r.tracks, audio: r.tracks.audio, start: r.begin, dependent: !r.keyed, lost: s.lost}
	if st := &s.state; !st.Started {
		st.SessionStart, st.GridStart = r.begin, r.dts
		st.Started = true
	}
	// Whoever goes on from a State that a hole in the log made finds the
	// session started, by this same batch.
	o.opensSession = r.begin == s.state.SessionStart
	o.grid = s.grid(r.dts)
	if s.body == nil {
		s.body, s.spare = s.spare, nil
	}
	s.body = m.AppendTables(slices.Grow(s.body[:0], s.size+s.size/8))
}

// hold keeps a batch while a late track may still come.
func (s *Segmenter) hold(b *framelog.Batch, r *reading) {
	o := &s.open
	first := o.frames == 0 || len(o.held) > 0
	whole := o.tracks.video != nil && o.tracks.audio != nil
	o.heldBytes += len(b.Tags)
	if whole || !first || !o.opensSession || o.heldBytes > lateTrackBytes || r.end-o.start > lateTrack {
		o.held = nil
		return
	}
	o.held = append(o.held, b)
}

// changeAudio goes on with another AudioSpecificConfig: each ADTS header says
// its own. The next key frame makes the cut and the discontinuity.
func (s *Segmenter) changeAudio(r *reading) {
	o := &s.open
	s.body = o.muxer.Flush(s.body)
	config := o.tracks.muxer()
	config.Audio = r.tracks.audio
	if m, err := mpegts.NewMuxer(config, o.muxer.Continuity()); err == nil {
		o.muxer, o.audio = m, r.tracks.audio
	}
}

func (s *Segmenter) write(f *media.Frame) {
	o := &s.open
	if f.Kind == media.Video && o.tracks.video == nil || f.Kind == media.Audio && o.tracks.audio == nil {
		s.lost++ // the PMT does not name it yet
		return
	}
	body, err := o.muxer.AppendFrame(s.body, f)
	if err != nil {
		s.lost++ // damaged: the muxer wrote nothing of it
		return
	}
	s.body = body
	o.frames++
	if f.Kind == media.Audio {
		return
	}
	if o.pictures++; o.pictures == 1 {
		o.shown = [2]int64{f.PTS, f.PTS}
	}
	o.shown[0], o.shown[1] = min(o.shown[0], f.PTS), max(o.shown[1], f.PTS)
}

// close ends the open segment at boundary, in ticks, and moves the State
// there. It returns nil where no segment is open.
func (s *Segmenter) close(boundary int64) *Cut {
	o := &s.open
	st := &s.state
	st.LostFrames += s.lost
	s.lost = 0
	if !o.started {
		return nil
	}
	// How long the last frame is shown is a guess, and a batch of another
	// release may be of any length: what the playlists say stays within limits.
	boundary = min(boundary, o.start+s.limit())
	s.body = o.muxer.Flush(s.body)
	s.keep()
	st.Continuity, st.Epoch = o.muxer.Continuity(), s.epoch
	e := s.entry(boundary)
	s.account(&e)
	cut := &Cut{Segment: &Segment{Sequence: st.Next(), Name: segmentName(st.Next()), Body: s.body, Entry: e}}
	s.list(cut, e)
	st.Break = false
	s.body, s.size = nil, len(s.body)
	s.open = segment{}
	return cut
}

// keep has the State stand where the log was read to.
func (s *Segmenter) keep() {
	st := &s.state
	st.Position, st.Timeline = s.position, s.timeline
	st.AVC, st.AAC = s.tracks.avc, s.tracks.aac
}

// list appends entries to the State, and takes out what has left the window.
func (s *Segmenter) list(cut *Cut, entries ...Entry) {
	st := &s.state
	st.Entries = append(st.Entries, entries...)
	cut.FirstRun = st.First / runLength
	for run := st.evict(); run != nil; run = st.evict() {
		cut.Runs = append(cut.Runs, run)
	}
}

// entry makes the open segment's entry. Durations are differences of rounded
// boundaries, so that their sum never drifts from the timeline.
func (s *Segmenter) entry(boundary int64) Entry {
	o, st := &s.open, &s.state
	begin := millis(o.start - st.SessionStart)
	// Wall clocks of ingest nodes differ, and the timeline takes jumps out:
	// from there on the session's wall clock is what follows on the segments.
	st.WallMS = max(st.WallMS, st.WallEndMS-begin)
	e := Entry{
		DurationMS: max(1, millis(boundary-st.SessionStart)-begin),
		Bytes:      int64(len(s.body)),
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
func (s *Segmenter) grid(dts int64) int64 {
	cell := s.state.SegmentMS * media.Clock / 1000
	return (dts - s.state.GridStart + cell/10) / cell
}

// limit is the longest that a segment may become, in ticks. RFC 8216,
// 4.3.3.1: "The EXTINF duration of each Media Segment in the Playlist file,
// when rounded to the nearest integer, MUST be less than or equal to the
// target duration".
func (s *Segmenter) limit() int64 {
	if s.state.Target == 0 {
		return int64(MaxTarget/time.Second) * media.Clock
	}
	return int64(s.state.Target)*media.Clock + 400*media.Clock/1000
}

// millis rounds ticks to milliseconds.
func millis(ticks int64) int64 {
	const tick = media.Clock / 1000
	if ticks < 0 {
		return -((-ticks + tick/2) / tick)
	}
	return (ticks + tick/2) / tick
}
