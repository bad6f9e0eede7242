package check

import (
	"math"

	"weir/check/playlist"
	"weir/check/report"
	"weir/check/stream"
	"weir/media"
)

// seenSegment is a segment that was read, for its successor.
type seenSegment struct {
	entry  playlist.Segment
	stream *stream.Stream
	extent
}

// extent is the time that a segment's audio and video cover together, in
// ticks. A transport stream does not say for how long its last frame stands:
// end takes it for one like its neighbours. Open says that it has none, or
// neighbours that differ, as the pictures of a slide show do.
type extent struct {
	start, end int64
	open       bool
}

// extentOf is zero, and ok false, of a segment without timestamps.
func extentOf(s *stream.Stream) (x extent, ok bool) {
	for _, t := range s.Tracks {
		if t.Kind == 0 || !t.Stamped {
			continue
		}
		if !ok {
			x.start, x.end = t.MinPTS, t.End()
		}
		x.start, x.end = min(x.start, t.MinPTS), max(x.end, t.End())
		x.open = x.open || t.Step == 0 || t.Kind == media.Video && t.Hole > 0
		ok = true
	}
	return x, ok
}

// run is a run of segments whose main track goes on without a hole: elapsed
// and declared are its true and its declared seconds, told says that their
// difference was reported. Some count from the first picture of a segment that
// is shown, some from its key picture: lead is the difference at most.
type run struct {
	elapsed, declared, lead float64
	told                    bool
}

// jumped is how far apart timestamps may lie that belong together, beside the
// length of a frame.
const jumped = media.Clock / 2

// ticks is seconds on the clock of 90 kHz.
func ticks(seconds float64) int64 { return int64(math.Round(seconds * media.Clock)) }

// pass takes in an entry on the way through the playlist: what follows a gap
// is told how long that is.
func (m *rendition) pass(s *playlist.Segment) {
	if s.Gap {
		m.gap.Entries++
		m.gap.Seconds += s.Duration
		m.gap.Discontinuity = m.gap.Discontinuity || s.Discontinuity
		m.holed = true
		return
	}
	s.After, m.gap = m.gap, playlist.Gap{}
}

// follow compares a segment with its entry, and with the one before.
func (m *rendition) follow(e playlist.Segment, s *stream.Stream, r *report.Report, fail report.Func) {
	m.gather(e, s)
	m.checkStart(s, fail)
	m.checkKinds(e, s, fail)
	if m.before != nil && m.before.entry.Sequence+e.After.Entries+1 != e.Sequence {
		m.part(r)
	}
	joined := m.before != nil && !e.Discontinuity && !e.After.Discontinuity
	if joined && e.After.Entries == 0 {
		m.checkCounters(s, fail)
	}
	if joined {
		m.checkTracks(s, fail)
	}
	x, ok := extentOf(s)
	if !ok {
		m.part(r)
		return
	}
	next := &seenSegment{e, s, x}
	if joined = joined && m.checkTimes(next, fail); joined && e.After.Entries == 0 {
		m.checkStep(next, r)
	} else {
		m.part(r)
	}
	m.before = next
}

// part ends a run of segments: the last one has no successor to tell how long
// it is.
func (m *rendition) part(r *report.Report) {
	if m.before != nil {
		m.before.checkAlone(r)
	}
	m.before, m.run = nil, run{}
}

// checkTimes: the timeline goes on from one segment to the next
// [RFC 8216bis 3], and through the gaps between them. It is that of all tracks
// together: while one of them says nothing, the others carry it. It tells
// whether it does go on.
func (m *rendition) checkTimes(next *seenSegment, fail report.Func) bool {
	b, gap := m.before, next.entry.After
	known, declared := b.end-b.start, ticks(b.entry.Duration)
	step := max(b.stream.Main().Step, next.stream.Main().Step)
	// The last frame may stand until EXTINF is over; one of unknown length for a
	// target duration, and it is EXTINF that is then wrong.
	longest := max(known, declared)
	if b.open {
		longest = max(longest, int64(m.current.Target)*media.Clock)
	}
	length := stream.Difference(next.start, b.start+ticks(gap.Seconds))
	jump, back := length-longest, length-min(known, declared)
	switch {
	case gap.Entries > 0 && (jump > jumped+step || back < -jumped-step):
		fail("SEG-TIMESTAMP", "it begins %+.3f s from where the gap before it ends", stream.Seconds(jump))
		return false
	case jump > jumped+step, length < -jumped:
		fail("SEG-TIMESTAMP", "it begins %+.3f s from where the segment before ended", stream.Seconds(length-known))
		return false
	}
	for _, t := range next.stream.Tracks {
		if t.Kind == 0 || !t.Stamped {
			continue
		}
		if d := t.MinPTS - next.endBut(t); d > jumped+step && !(mainGoesOn(b, next, step) && sameTrackGoesOn(b, t, step)) {
			fail("SEG-TIMESTAMP", "%s begins %+.3f s from where this segment ends", t.Kind, stream.Seconds(d))
			return false
		}
		if p := b.stream.Stamped(t.PID); p != nil && gap.Entries == 0 && !goesOn(p, t, fail) {
			return false
		}
	}
	return true
}

// mainGoesOn tells whether the track that EXTINF goes by begins where it ended
// in the segment before. Others may lie seconds behind it in the file, or ahead
// of it: they are late, or early, and go on all the same.
func mainGoesOn(b, next *seenSegment, step int64) bool {
	t := next.stream.Main()
	return b.stream.Stamped(t.PID) == b.stream.Main() && sameTrackGoesOn(b, t, step)
}

// sameTrackGoesOn tells whether a track begins where it ended in the segment
// before.
func sameTrackGoesOn(b *seenSegment, t *stream.Track, step int64) bool {
	p := b.stream.Stamped(t.PID)
	if p == nil || p.Step == 0 {
		return false
	}
	off := stream.Difference(t.MinPTS, p.End())
	return off <= jumped+step && off >= -jumped-step
}

// endBut is where a segment ends by its other tracks and by EXTINF.
func (x *seenSegment) endBut(t *stream.Track) int64 {
	end := x.start + ticks(x.entry.Duration)
	for _, o := range x.stream.Tracks {
		if o != t && o.Kind != 0 && o.Stamped {
			end = max(end, o.End())
		}
	}
	return end
}

// goesOn tells whether a track goes on from p, what it was in the segment
// before.
func goesOn(p, t *stream.Track, fail report.Func) bool {
	step := max(p.Step, t.Step)
	jump, back := stream.Difference(t.MinPTS, p.End()), step+media.Clock/100
	if t.Kind == media.Video && !t.FirstKey {
		back += jumped // cut between a picture and those that are shown before it
	}
	switch {
	case jump < -back:
		fail("SEG-TIMESTAMP", "%s begins %+.3f s from where it ended in the segment before", t.Kind, stream.Seconds(jump))
		return false
	case p.Step > 0 && jump > max(media.Clock/10, 2*step):
		fail("SEG-HOLE", "%s has a hole of %.3f s before this segment", t.Kind, stream.Seconds(jump))
	}
	return true
}

// checkStep compares the EXTINF of the segment before with how far it is from
// its start to that of the next [RFC 8216bis 4.4.4.1, Authoring 8.1]: by the
// main track, or by all of them.
func (m *rendition) checkStep(next *seenSegment, r *report.Report) {
	b := m.before
	declared, length := b.entry.Duration, stream.Seconds(stream.Difference(next.start, b.start))
	x, y := b.stream.Main(), next.stream.Main()
	frame := max(stream.Seconds(max(x.Step, y.Step)), 0.001)
	if x.PID != y.PID {
		m.run = run{}
	} else {
		own := stream.Seconds(stream.Difference(y.MinPTS, x.MinPTS))
		if math.Abs(declared-own) < math.Abs(declared-length) {
			length = own
		}
		if m.run.declared == 0 { // it may begin with its first picture, or with the sound before that
			m.run.lead = stream.Seconds(x.MinPTS - b.start)
		}
		m.run.lead = max(m.run.lead, stream.Seconds(x.Lead()), stream.Seconds(y.Lead()))
		m.run.elapsed += own
		m.run.declared += declared
		if x.Step == 0 { // the one picture stands for all of the segment
			frame = max(frame, own)
		} else if stream.Difference(y.MinPTS, x.End()) > max(media.Clock/10, 2*x.Step) {
			m.run = run{}
		}
	}
	if math.Abs(declared-length) > 0.501 {
		b.fail(r, "SEG-EXTINF", "EXTINF is %.3f s, the next segment begins %.3f s after this one", declared, length)
		m.run.told = true
	}
	if y.Kind == media.Audio {
		frame = max(frame, 0.04)
	}
	if off := m.run.declared - m.run.elapsed; math.Abs(off) > frame+m.run.lead+0.002 && !m.run.told {
		next.fail(r, "SEG-EXTINF-SUM", "up to here EXTINF adds up to %.3f s, the media to %.3f s", m.run.declared, m.run.elapsed)
		m.run.told = true
	}
}

// checkAlone compares EXTINF with the segment's own media, where no other
// segment follows: it lasts for at least as long as the main track, and for at
// most as long as all tracks together.
func (x *seenSegment) checkAlone(r *report.Report) {
	main := x.stream.Main()
	least, most := stream.Seconds(main.End()-x.start), stream.Seconds(x.end-x.start)
	if main.Step == 0 {
		least = most
	}
	if main.MinPTS > x.start { // it may go by the main track alone
		least = min(least, stream.Seconds(main.End()-main.MinPTS))
	}
	declared, frame := x.entry.Duration, max(stream.Seconds(main.Step), 0.001)
	if declared < least-0.5-frame || declared > most+0.5+frame && !x.open {
		x.fail(r, "SEG-EXTINF", "EXTINF is %.3f s, the media lasts %.3f s", declared, most)
	}
}

// fail records a finding about the segment.
func (x *seenSegment) fail(r *report.Report, rule, format string, args ...any) {
	r.Add(rule, x.entry.URI, 0, format, args...)
}
