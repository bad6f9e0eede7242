package check

import (
	"math"

	"weir/media"
)

// seenSegment is a segment that was read, for its successor.
type seenSegment struct {
	entry  segment
	stream *stream
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

// extent is zero, and ok false, of a segment without timestamps.
func (s *stream) extent() (x extent, ok bool) {
	for _, t := range s.tracks {
		if t.kind == 0 || !t.stamped {
			continue
		}
		if !ok {
			x.start, x.end = t.minPTS, t.end()
		}
		x.start, x.end = min(x.start, t.minPTS), max(x.end, t.end())
		x.open = x.open || t.step == 0 || t.kind == media.Video && t.hole > 0
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

// gap is a run of entries marked EXT-X-GAP.
type gap struct {
	entries       uint64
	seconds       float64
	discontinuity bool // one of them is marked so
}

// pass takes in an entry on the way through the playlist: what follows a gap
// is told how long that is.
func (m *rendition) pass(s *segment) {
	if s.gap {
		m.gap.entries++
		m.gap.seconds += s.duration
		m.gap.discontinuity = m.gap.discontinuity || s.discontinuity
		m.holed = true
		return
	}
	s.after, m.gap = m.gap, gap{}
}

// follow compares a segment with its entry, and with the one before.
func (m *rendition) follow(e segment, s *stream, r *Report, fail report) {
	m.gather(e, s)
	m.checkStart(s, fail)
	if m.before != nil && m.before.entry.sequence+e.after.entries+1 != e.sequence {
		m.part(r)
	}
	joined := m.before != nil && !e.discontinuity && !e.after.discontinuity
	if joined && e.after.entries == 0 {
		m.checkCounters(s, fail)
	}
	if joined {
		m.checkTracks(s, fail)
	}
	x, ok := s.extent()
	if !ok {
		m.part(r)
		return
	}
	next := &seenSegment{e, s, x}
	if joined = joined && m.checkTimes(next, fail); joined && e.after.entries == 0 {
		m.checkStep(next, r)
	} else {
		m.part(r)
	}
	m.before = next
}

// part ends a run of segments: the last one has no successor to tell how long
// it is.
func (m *rendition) part(r *Report) {
	if m.before != nil {
		m.before.checkAlone(r)
	}
	m.before, m.run = nil, run{}
}

// checkTimes: the timeline goes on from one segment to the next
// [RFC 8216bis 3], and through the gaps between them. It is that of all tracks
// together: while one of them says nothing, the others carry it. It tells
// whether it does go on.
func (m *rendition) checkTimes(next *seenSegment, fail report) bool {
	b, gap := m.before, next.entry.after
	known, declared := b.end-b.start, ticks(b.entry.duration)
	step := max(b.stream.main().step, next.stream.main().step)
	// The last frame may stand until EXTINF is over; one of unknown length for a
	// target duration, and it is EXTINF that is then wrong.
	longest := max(known, declared)
	if b.open {
		longest = max(longest, int64(m.current.target)*media.Clock)
	}
	length := difference(next.start, b.start+ticks(gap.seconds))
	jump, back := length-longest, length-min(known, declared)
	switch {
	case gap.entries > 0 && (jump > jumped+step || back < -jumped-step):
		fail("SEG-TIMESTAMP", "it begins %+.3f s from where the gap before it ends", secs(jump))
		return false
	case jump > jumped+step, length < -jumped:
		fail("SEG-TIMESTAMP", "it begins %+.3f s from where the segment before ended", secs(length-known))
		return false
	}
	for _, t := range next.stream.tracks {
		if t.kind == 0 || !t.stamped {
			continue
		}
		if d := t.minPTS - next.endBut(t); d > jumped+step {
			fail("SEG-TIMESTAMP", "%s begins %+.3f s from where this segment ends", t.kind, secs(d))
			return false
		}
		if p := b.stream.stamped(t.pid); p != nil && gap.entries == 0 && !goesOn(p, t, fail) {
			return false
		}
	}
	return true
}

// endBut is where a segment ends by its other tracks and by EXTINF.
func (x *seenSegment) endBut(t *track) int64 {
	end := x.start + ticks(x.entry.duration)
	for _, o := range x.stream.tracks {
		if o != t && o.kind != 0 && o.stamped {
			end = max(end, o.end())
		}
	}
	return end
}

// goesOn tells whether a track goes on from p, what it was in the segment
// before.
func goesOn(p, t *track, fail report) bool {
	step := max(p.step, t.step)
	jump := difference(t.minPTS, p.end())
	switch {
	case jump < -step-media.Clock/100:
		fail("SEG-TIMESTAMP", "%s begins %+.3f s from where it ended in the segment before", t.kind, secs(jump))
		return false
	case p.step > 0 && jump > max(media.Clock/10, 2*step):
		fail("SEG-HOLE", "%s has a hole of %.3f s before this segment", t.kind, secs(jump))
	}
	return true
}

// checkStep compares the EXTINF of the segment before with how far it is from
// its start to that of the next [RFC 8216bis 4.4.4.1, Authoring 8.1]: by the
// main track, or by all of them.
func (m *rendition) checkStep(next *seenSegment, r *Report) {
	b := m.before
	declared, length := b.entry.duration, secs(difference(next.start, b.start))
	x, y := b.stream.main(), next.stream.main()
	frame := max(secs(max(x.step, y.step)), 0.001)
	if x.pid != y.pid {
		m.run = run{}
	} else {
		own := secs(difference(y.minPTS, x.minPTS))
		if math.Abs(declared-own) < math.Abs(declared-length) {
			length = own
		}
		if m.run.declared == 0 { // it may begin with its first picture, or with the sound before that
			m.run.lead = secs(x.minPTS - b.start)
		}
		m.run.lead = max(m.run.lead, secs(x.lead()), secs(y.lead()))
		m.run.elapsed += own
		m.run.declared += declared
		if x.step == 0 { // the one picture stands for all of the segment
			frame = max(frame, own)
		} else if difference(y.minPTS, x.end()) > max(media.Clock/10, 2*x.step) {
			m.run = run{}
		}
	}
	if math.Abs(declared-length) > 0.501 {
		b.fail(r, "SEG-EXTINF", "EXTINF is %.3f s, the next segment begins %.3f s after this one", declared, length)
		m.run.told = true
	}
	if y.kind == media.Audio {
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
func (x *seenSegment) checkAlone(r *Report) {
	main := x.stream.main()
	least, most := secs(main.end()-x.start), secs(x.end-x.start)
	if main.step == 0 {
		least = most
	}
	if main.minPTS > x.start { // it may go by the main track alone
		least = min(least, secs(main.end()-main.minPTS))
	}
	declared, frame := x.entry.duration, max(secs(main.step), 0.001)
	if declared < least-0.5-frame || declared > most+0.5+frame && !x.open {
		x.fail(r, "SEG-EXTINF", "EXTINF is %.3f s, the media lasts %.3f s", declared, most)
	}
}

// fail records a finding about the segment.
func (x *seenSegment) fail(r *Report, rule, format string, args ...any) {
	r.add(rule, x.entry.uri, 0, format, args...)
}
