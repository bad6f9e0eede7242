package history

import (
	"math"
	"time"

	"weir/check/playlist"
	"weir/check/report"
)

// History compares the versions of one media playlist [RFC 8216bis 6.2.1,
// 6.2.2].
type History struct {
	last *playlist.Playlist
	seen time.Time // of the last version
	// updated is when the newest segment was first seen; stale: that it is
	// overdue was reported.
	updated time.Time
	stale   bool
	// numbers are the media sequence numbers of the URIs that are listed.
	numbers map[string]uint64
	clocked bool // LIVE-PDT-FUTURE or LIVE-LATENCY was reported
}

// Observe takes in a version of the playlist that was fetched at now, and
// returns the entries that left since the version before. Without a clock
// (now is zero) nothing is said about time.
func (h *History) Observe(now time.Time, p *playlist.Playlist, r *report.Report) (left []playlist.Segment) {
	fail := func(rule string, line int, format string, args ...any) { r.Add(rule, p.URI, line, format, args...) }
	if p.Target == 0 && len(p.Segments) == 0 { // no media playlist: others say so
		return nil
	}
	defer func() { h.seen = now }()
	if h.last == nil {
		h.last, h.updated = p, now
		h.remember(p)
		h.checkClock(now, p, fail)
		return nil
	}
	h.compareHeaders(p, fail)
	if p.MediaSequence < h.last.MediaSequence || p.End() < h.last.End() {
		fail("LIVE-SEQUENCE-BACK", 0, "it listed %d to %d, and lists %d to %d", h.last.MediaSequence, h.last.End()-1, p.MediaSequence, p.End()-1)
		h.compareEntries(p, fail)
		return nil // what was seen stays the measure
	}
	same := h.compareEntries(p, fail)
	if same {
		left = h.leave(p, fail)
	}
	h.checkUpdate(now, p, fail)
	h.last = p
	h.remember(p)
	h.checkClock(now, p, fail)
	return left
}

// compareHeaders: what never changes.
func (h *History) compareHeaders(p *playlist.Playlist, fail report.LineFunc) {
	if p.Target != h.last.Target {
		fail("LIVE-TARGETDURATION", 0, "EXT-X-TARGETDURATION was %d, and is %d", h.last.Target, p.Target)
	}
	added, taken := p.End() > h.last.End(), p.MediaSequence > h.last.MediaSequence
	switch {
	case p.Kind != h.last.Kind:
		fail("LIVE-TYPE", 0, "EXT-X-PLAYLIST-TYPE was %q, and is %q", h.last.Kind, p.Kind)
	case p.Kind == "VOD" && (added || taken), p.Kind == "EVENT" && taken:
		fail("LIVE-TYPE", 0, "segments of a playlist of type %s came or went", p.Kind)
	}
	if h.last.Ended && (!p.Ended || added) {
		fail("LIVE-ENDLIST", 0, "it had ended at %d, and goes on to %d", h.last.End()-1, p.End()-1)
	}
	if p.End() > p.First() && p.At(h.last.End()) == nil && p.First() > h.last.End() && p.DiscontinuitySequence < h.last.DiscontinuitySequence {
		fail("LIVE-DISCONTINUITY-SEQUENCE", 0, "EXT-X-DISCONTINUITY-SEQUENCE was %d, and is %d", h.last.DiscontinuitySequence, p.DiscontinuitySequence)
	}
}

// compareEntries compares what both versions list. It tells whether the new
// one goes on from the old one.
func (h *History) compareEntries(p *playlist.Playlist, fail report.LineFunc) bool {
	for i := range p.Segments {
		s := &p.Segments[i]
		b := h.last.At(s.Sequence)
		if b == nil {
			if n, known := h.numbers[s.URI]; known && n != s.Sequence && !s.HasRange && !s.Gap {
				fail("LIVE-FORK", s.Line, "%s was number %d, and is %d", report.Display(s.URI), n, s.Sequence)
				return false
			}
			continue
		}
		switch {
		case b.URI != s.URI:
			fail("LIVE-FORK", s.Line, "number %d was %s, and is %s", s.Sequence, report.Display(b.URI), report.Display(s.URI))
			return false
		case b.Discontinuities != s.Discontinuities:
			fail("LIVE-DISCONTINUITY-SEQUENCE", s.Line, "segment %d had the discontinuity sequence number %d, and has %d", s.Sequence, b.Discontinuities, s.Discontinuities)
			return true
		case changed(b, s):
			fail("LIVE-CHANGED", s.Line, "the entry of number %d changed", s.Sequence)
		}
	}
	return true
}

// changed tells whether two versions of an entry differ. A date may stand on
// another segment when the window slides, so absence is no difference; nor is
// an EXT-X-DISCONTINUITY that the first entry lost, if its number stayed.
func changed(a, b *playlist.Segment) bool {
	return math.Abs(a.Duration-b.Duration) > 0.0005 || a.HasRange != b.HasRange || a.Offset != b.Offset || a.Length != b.Length || a.Gap && !b.Gap ||
		!a.Date.IsZero() && !b.Date.IsZero() && a.Date.Sub(b.Date).Abs() > time.Millisecond
}

// leave returns the entries that left, and checks that enough stayed
// [RFC 8216bis 6.2.2].
func (h *History) leave(p *playlist.Playlist, fail report.LineFunc) (left []playlist.Segment) {
	for i := range h.last.Segments {
		if s := &h.last.Segments[i]; s.Sequence < p.MediaSequence && !s.Gap {
			left = append(left, *s)
		}
	}
	if len(left) > 0 && !p.Ended && p.Seconds() < 3*float64(p.Target)-0.001 {
		fail("LIVE-WINDOW", 0, "%d segments left, %.3f s stayed", len(left), p.Seconds())
	}
	return left
}

// checkUpdate: a new segment comes within 1.5 target durations
// [RFC 8216bis 6.2.1]. What the interval of fetching hides is allowed for.
func (h *History) checkUpdate(now time.Time, p *playlist.Playlist, fail report.LineFunc) {
	if now.IsZero() || h.last.Target == 0 {
		return
	}
	limit := playlist.Duration(1.5 * float64(h.last.Target))
	fresh := p.End() > h.last.End()
	waited := now.Sub(h.updated)
	if fresh {
		waited -= now.Sub(h.seen)
	}
	if waited > limit+250*time.Millisecond && !h.stale && !h.last.Ended && (!p.Ended || fresh) {
		fail("LIVE-STALE", 0, "no new segment came for %.1f s, the target duration is %d", waited.Seconds(), p.Target)
		h.stale = true
	}
	if fresh {
		h.updated, h.stale = now, false
	}
}

// remember notes the numbers of the URIs.
func (h *History) remember(p *playlist.Playlist) {
	h.numbers = make(map[string]uint64, len(p.Segments))
	for i := range p.Segments {
		h.numbers[p.Segments[i].URI] = p.Segments[i].Sequence
	}
}

// checkClock compares EXT-X-PROGRAM-DATE-TIME with the wall clock
// [Authoring 8.5].
func (h *History) checkClock(now time.Time, p *playlist.Playlist, fail report.LineFunc) {
	if now.IsZero() || !p.Live() || h.clocked {
		return
	}
	var end time.Time
	for i := range p.Segments {
		if s := &p.Segments[i]; !s.Date.IsZero() {
			end = s.Date
		}
		if !end.IsZero() {
			end = end.Add(playlist.Duration(p.Segments[i].Duration))
		}
	}
	if end.IsZero() {
		return
	}
	switch behind := now.Sub(end); {
	case behind < -time.Second:
		fail("LIVE-PDT-FUTURE", 0, "the last segment ends %.1f s from now", -behind.Seconds())
		h.clocked = true
	case behind > playlist.Duration(3*float64(p.Target)):
		fail("LIVE-LATENCY", 0, "the last segment ended %.1f s ago", behind.Seconds())
		h.clocked = true
	}
}
