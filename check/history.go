package check

import (
	"math"
	"time"
)

// history compares the versions of one media playlist [RFC 8216bis 6.2.1,
// 6.2.2].
type history struct {
	last *playlist
	seen time.Time // of the last version
	// updated is when the newest segment was first seen; stale: that it is
	// overdue was reported.
	updated time.Time
	stale   bool
	// numbers are the media sequence numbers of the URIs that are listed.
	numbers map[string]uint64
	clocked bool // LIVE-PDT-FUTURE or LIVE-LATENCY was reported
}

// end is the media sequence number behind the last segment.
func (p *playlist) end() uint64 { return p.first() + uint64(len(p.segments)) }

// first is the media sequence number of the first segment that is written out.
func (p *playlist) first() uint64 { return p.mediaSequence + p.skipped }

// at returns the entry with a media sequence number, or nil.
func (p *playlist) at(sequence uint64) *segment {
	if sequence < p.first() || sequence >= p.end() {
		return nil
	}
	return &p.segments[sequence-p.first()]
}

// observe takes in a version of the playlist that was fetched at now, and
// returns the entries that left since the version before. Without a clock
// (now is zero) nothing is said about time.
func (h *history) observe(now time.Time, p *playlist, r *Report) (left []segment) {
	fail := func(rule string, line int, format string, args ...any) { r.add(rule, p.uri, line, format, args...) }
	if p.target == 0 && len(p.segments) == 0 { // no media playlist: others say so
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
	if p.mediaSequence < h.last.mediaSequence || p.end() < h.last.end() {
		fail("LIVE-SEQUENCE-BACK", 0, "it listed %d to %d, and lists %d to %d", h.last.mediaSequence, h.last.end()-1, p.mediaSequence, p.end()-1)
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
func (h *history) compareHeaders(p *playlist, fail fail) {
	if p.target != h.last.target {
		fail("LIVE-TARGETDURATION", 0, "EXT-X-TARGETDURATION was %d, and is %d", h.last.target, p.target)
	}
	added, taken := p.end() > h.last.end(), p.mediaSequence > h.last.mediaSequence
	switch {
	case p.kind != h.last.kind:
		fail("LIVE-TYPE", 0, "EXT-X-PLAYLIST-TYPE was %q, and is %q", h.last.kind, p.kind)
	case p.kind == "VOD" && (added || taken), p.kind == "EVENT" && taken:
		fail("LIVE-TYPE", 0, "segments of a playlist of type %s came or went", p.kind)
	}
	if h.last.ended && (!p.ended || added) {
		fail("LIVE-ENDLIST", 0, "it had ended at %d, and goes on to %d", h.last.end()-1, p.end()-1)
	}
	if p.end() > p.first() && p.at(h.last.end()) == nil && p.first() > h.last.end() && p.discontinuitySequence < h.last.discontinuitySequence {
		fail("LIVE-DISCONTINUITY-SEQUENCE", 0, "EXT-X-DISCONTINUITY-SEQUENCE was %d, and is %d", h.last.discontinuitySequence, p.discontinuitySequence)
	}
}

// compareEntries compares what both versions list. It tells whether the new
// one goes on from the old one.
func (h *history) compareEntries(p *playlist, fail fail) bool {
	for i := range p.segments {
		s := &p.segments[i]
		b := h.last.at(s.sequence)
		if b == nil {
			if n, known := h.numbers[s.uri]; known && n != s.sequence && !s.hasRange && !s.gap {
				fail("LIVE-FORK", s.line, "%s was number %d, and is %d", display(s.uri), n, s.sequence)
				return false
			}
			continue
		}
		switch {
		case b.uri != s.uri:
			fail("LIVE-FORK", s.line, "number %d was %s, and is %s", s.sequence, display(b.uri), display(s.uri))
			return false
		case b.discontinuities != s.discontinuities:
			fail("LIVE-DISCONTINUITY-SEQUENCE", s.line, "segment %d had the discontinuity sequence number %d, and has %d", s.sequence, b.discontinuities, s.discontinuities)
			return true
		case changed(b, s):
			fail("LIVE-CHANGED", s.line, "the entry of number %d changed", s.sequence)
		}
	}
	return true
}

// changed tells whether two versions of an entry differ. A date may stand on
// another segment when the window slides, so absence is no difference; nor is
// an EXT-X-DISCONTINUITY that the first entry lost, if its number stayed.
func changed(a, b *segment) bool {
	return math.Abs(a.duration-b.duration) > 0.0005 || a.hasRange != b.hasRange || a.offset != b.offset || a.length != b.length || a.gap && !b.gap ||
		!a.date.IsZero() && !b.date.IsZero() && a.date.Sub(b.date).Abs() > time.Millisecond
}

// leave returns the entries that left, and checks that enough stayed
// [RFC 8216bis 6.2.2].
func (h *history) leave(p *playlist, fail fail) (left []segment) {
	for i := range h.last.segments {
		if s := &h.last.segments[i]; s.sequence < p.mediaSequence && !s.gap {
			left = append(left, *s)
		}
	}
	if len(left) > 0 && !p.ended && p.seconds() < 3*float64(p.target)-0.001 {
		fail("LIVE-WINDOW", 0, "%d segments left, %.3f s stayed", len(left), p.seconds())
	}
	return left
}

// checkUpdate: a new segment comes within 1.5 target durations
// [RFC 8216bis 6.2.1]. What the interval of fetching hides is allowed for.
func (h *history) checkUpdate(now time.Time, p *playlist, fail fail) {
	if now.IsZero() || h.last.target == 0 {
		return
	}
	limit := seconds(1.5 * float64(h.last.target))
	fresh := p.end() > h.last.end()
	waited := now.Sub(h.updated)
	if fresh {
		waited -= now.Sub(h.seen)
	}
	if waited > limit+250*time.Millisecond && !h.stale && !h.last.ended && (!p.ended || fresh) {
		fail("LIVE-STALE", 0, "no new segment came for %.1f s, the target duration is %d", waited.Seconds(), p.target)
		h.stale = true
	}
	if fresh {
		h.updated, h.stale = now, false
	}
}

// remember notes the numbers of the URIs.
func (h *history) remember(p *playlist) {
	h.numbers = make(map[string]uint64, len(p.segments))
	for i := range p.segments {
		h.numbers[p.segments[i].uri] = p.segments[i].sequence
	}
}

// checkClock compares EXT-X-PROGRAM-DATE-TIME with the wall clock
// [Authoring 8.5].
func (h *history) checkClock(now time.Time, p *playlist, fail fail) {
	if now.IsZero() || !p.live() || h.clocked {
		return
	}
	var end time.Time
	for i := range p.segments {
		if s := &p.segments[i]; !s.date.IsZero() {
			end = s.date
		}
		if !end.IsZero() {
			end = end.Add(seconds(p.segments[i].duration))
		}
	}
	if end.IsZero() {
		return
	}
	switch behind := now.Sub(end); {
	case behind < -time.Second:
		fail("LIVE-PDT-FUTURE", 0, "the last segment ends %.1f s from now", -behind.Seconds())
		h.clocked = true
	case behind > seconds(3*float64(p.target)):
		fail("LIVE-LATENCY", 0, "the last segment ended %.1f s ago", behind.Seconds())
		h.clocked = true
	}
}

// Live follows one media playlist through its versions, for those who fetch
// it anyway.
type Live struct {
	uri     string
	history history
	report  Report
	once    map[string]bool
}

// NewLive begins the history of the playlist at uri.
func NewLive(uri string) *Live { return &Live{uri: uri, once: map[string]bool{}} }

// Put takes in what the playlist was at now. A zero now leaves out what is
// said about time.
func (l *Live) Put(now time.Time, text []byte) {
	p := checkVersion(l.uri, string(text), nil, &l.report, l.once)
	l.history.observe(now, p, &l.report)
}

// Report returns what was found so far.
func (l *Live) Report() Report { return l.report.clone() }

// checkVersion parses and checks a version of a media playlist; once holds the
// rules that earlier versions broke, which are not told again.
func checkVersion(uri, text string, variables map[string]string, r *Report, once map[string]bool) *playlist {
	var here Report
	p := parse(uri, text, variables, &here)
	if !p.multivariant {
		p.checkMedia(&here)
	}
	r.Playlists++
	r.Bytes += int64(len(text))
	broken := map[string]bool{}
	for _, f := range here.Findings {
		if !once[f.Rule] {
			r.add(f.Rule, f.Where, f.Line, "%s", f.Text)
		}
		broken[f.Rule] = true
	}
	for rule := range broken {
		if more := here.Counts[rule] - maxPerRule; more > 0 && !once[rule] {
			r.Counts[rule] += more
		}
		once[rule] = true
	}
	return p
}
