package check

import (
	"math"
	"slices"
	"strings"
	"time"
)

// live: segments may still come, and go.
func (p *playlist) live() bool { return !p.ended && p.kind == "" }

// dated tells whether some segment has EXT-X-PROGRAM-DATE-TIME.
func (p *playlist) dated() bool {
	return slices.ContainsFunc(p.segments, func(s segment) bool { return !s.date.IsZero() })
}

// checkMedia checks a media playlist as a whole.
func (p *playlist) checkMedia(r *Report) {
	fail := func(rule string, line int, format string, args ...any) { r.add(rule, p.uri, line, format, args...) }
	if !p.hasTarget {
		fail("M3U-TARGETDURATION-MISSING", 0, "EXT-X-TARGETDURATION is missing")
	} else if p.target == 0 {
		fail("M3U-TARGETDURATION-ZERO", 0, "EXT-X-TARGETDURATION is 0")
	}
	if p.target > 10 {
		fail("M3U-TARGETDURATION-LONG", 0, "EXT-X-TARGETDURATION is %d", p.target)
	}
	if len(p.segments) == 0 && p.skipped == 0 && len(p.pending) == 0 {
		fail("M3U-EMPTY", 0, "it lists no segment")
		return
	}
	if !p.floats && len(p.segments) > 1 {
		fail("M3U-EXTINF-INTEGER", p.segments[0].line, "no EXTINF has decimals")
	}
	p.checkKind(fail)
	p.checkDiscontinuities(fail)
	p.checkDates(fail)
	p.checkDateRanges(fail)
	p.checkStart(fail)
	p.checkEntries(fail)
	p.checkParts(fail)
	p.checkServerControl(fail)
}

// fail records a finding at a line of one playlist.
type fail func(rule string, line int, format string, args ...any)

// checkKind: VOD, EVENT and live playlists [RFC 8216bis 6.2.1, 6.2.2].
func (p *playlist) checkKind(fail fail) {
	if p.kind != "" && p.mediaSequence > 0 {
		fail("M3U-TYPE-SLID", 0, "EXT-X-PLAYLIST-TYPE:%s begins at number %d", p.kind, p.mediaSequence)
	}
	if p.kind == "VOD" && !p.ended {
		fail("M3U-VOD-ENDLIST", 0, "EXT-X-ENDLIST is missing")
	}
	dated := p.dated()
	if p.ended && p.kind == "" && p.mediaSequence == 0 && !dated {
		fail("M3U-VOD-TYPE", 0, "EXT-X-PLAYLIST-TYPE is missing")
	}
	if p.live() && !dated && len(p.segments) > 0 {
		fail("M3U-PDT-MISSING", 0, "no segment has EXT-X-PROGRAM-DATE-TIME")
	}
	if n := len(p.segments); p.live() && p.mediaSequence > 0 && n < 6 {
		fail("M3U-LIVE-SHORT", 0, "it lists %d segments", n)
	}
}

// checkDiscontinuities: what a discontinuity asks of its playlist.
func (p *playlist) checkDiscontinuities(fail fail) {
	for i := range p.segments {
		s := &p.segments[i]
		if !s.discontinuity {
			continue
		}
		if s.sequence == 0 && s.discontinuities <= 1 {
			fail("M3U-DISCONTINUITY-FIRST", s.line, "segment 0 is marked as a discontinuity")
		}
		if p.live() && !p.hasDiscontinuitySeq {
			fail("M3U-DISCONTINUITY-SEQUENCE", s.line, "EXT-X-DISCONTINUITY-SEQUENCE is missing")
			return
		}
	}
}

// seconds as a time.Duration; what is absurd becomes the longest one.
func seconds(s float64) time.Duration {
	if s > 1e9 {
		s = 1e9
	}
	return time.Duration(math.Round(s * float64(time.Second)))
}

// checkDates follows EXT-X-PROGRAM-DATE-TIME through the playlist: expected is
// where the last date and the durations since lead.
func (p *playlist) checkDates(fail fail) {
	var expected time.Time
	dated := p.dated()
	for i := range p.segments {
		s := &p.segments[i]
		if dated && s.discontinuity && s.date.IsZero() {
			fail("M3U-PDT-DISCONTINUITY", s.line, "the segment after EXT-X-DISCONTINUITY has no date")
		}
		if !s.date.IsZero() {
			if d := s.date.Sub(expected); !expected.IsZero() && d < -time.Second {
				fail("M3U-PDT-BACK", s.line, "the date is %.3f s before the end of the segment before", -d.Seconds())
			} else if !expected.IsZero() && d > time.Second && !s.discontinuity {
				fail("M3U-PDT-JUMP", s.line, "the date is %.3f s after the end of the segment before", d.Seconds())
			}
			expected = s.date
		}
		if !expected.IsZero() {
			expected = expected.Add(seconds(s.duration))
		}
	}
}

// checkDateRanges: EXT-X-DATERANGE [RFC 8216bis 4.4.5.1].
func (p *playlist) checkDateRanges(fail fail) {
	if len(p.dateRanges) > 0 && !p.dated() && p.skipped == 0 {
		fail("M3U-DATERANGE", p.dateRanges[0].line, "no segment of the playlist has EXT-X-PROGRAM-DATE-TIME")
	}
	first := map[string]tagged{}
	for _, d := range p.dateRanges {
		id := d.value("ID")
		earlier, again := first[id]
		if !again {
			first[id] = d
		}
		p.checkDateRange(d, again, fail)
		for _, a := range d.attributes {
			if v, ok := earlier.get(a.name); ok && v != a.value {
				fail("M3U-DATERANGE", d.line, "%s of ID %s differs from line %d", a.name, clip(id, 40), earlier.line)
			}
		}
	}
}

// checkDateRange checks one EXT-X-DATERANGE. again: its ID stood before.
func (p *playlist) checkDateRange(d tagged, again bool, fail fail) {
	start, _, startErr := parseDate(d.value("START-DATE"))
	end, _, endErr := parseDate(d.value("END-DATE"))
	_, hasStart := d.get("START-DATE")
	_, hasEnd := d.get("END-DATE")
	_, hasDuration := d.get("DURATION")
	_, hasClass := d.get("CLASS")
	onNext := d.value("END-ON-NEXT") == "YES"
	cue := d.value("CUE")
	switch {
	case !hasStart && !again:
		fail("M3U-DATERANGE", d.line, "START-DATE is missing")
	case onNext && !hasClass:
		fail("M3U-DATERANGE", d.line, "END-ON-NEXT stands without CLASS")
	case onNext && (hasDuration || hasEnd):
		fail("M3U-DATERANGE", d.line, "END-ON-NEXT stands with DURATION or END-DATE")
	case strings.Contains(cue, "PRE") && strings.Contains(cue, "POST"):
		fail("M3U-DATERANGE", d.line, "CUE has PRE and POST")
	case startErr != nil || endErr != nil:
	case end.Before(start):
		fail("M3U-DATERANGE", d.line, "END-DATE is before START-DATE")
	case hasDuration && end.Sub(start).Round(time.Millisecond) != seconds(d.number("DURATION")).Round(time.Millisecond):
		fail("M3U-DATERANGE", d.line, "END-DATE is not START-DATE + DURATION")
	}
}

// checkStart: EXT-X-START [RFC 8216bis 4.4.2.2].
func (p *playlist) checkStart(fail fail) {
	if !p.started {
		return
	}
	total := p.seconds()
	at := p.startOffset
	if at < 0 {
		at += total
	}
	if math.Abs(p.startOffset) > total {
		fail("M3U-START", p.startLine, "TIME-OFFSET=%.3f lies outside the playlist of %.3f s", p.startOffset, total)
	} else if p.live() && total-at < 3*float64(p.target) {
		fail("M3U-START", p.startLine, "TIME-OFFSET=%.3f lies within three target durations of the end", p.startOffset)
	}
}

// checkEntries: each segment by itself, and names used twice.
func (p *playlist) checkEntries(fail fail) {
	// first remembers, for each name, the discontinuity sequence number of its
	// last use.
	first := make(map[string]uint64, len(p.segments))
	for i := range p.segments {
		s := &p.segments[i]
		if s.gap {
			fail("M3U-GAP", s.line, "%.3f s of media are missing", s.duration)
			continue
		}
		if s.init == nil && isFragmentName(s.uri) {
			fail("M3U-MAP", s.line, "no EXT-X-MAP precedes the segment")
		}
		if d, twice := first[s.uri]; twice && !s.hasRange && d == s.discontinuities {
			fail("M3U-URI-TWICE", s.line, "%s is listed twice", display(s.uri))
		}
		first[s.uri] = s.discontinuities
	}
}

// isFragmentName tells by a URI whether it names fragmented MP4.
func isFragmentName(uri string) bool {
	path := cutQuery(uri)
	for _, ext := range []string{".mp4", ".m4s", ".m4v", ".m4a", ".cmfv", ".cmfa"} {
		if strings.HasSuffix(path, ext) {
			return true
		}
	}
	return false
}

// cutQuery returns the path of a URI.
func cutQuery(uri string) string {
	uri, _, _ = strings.Cut(uri, "#")
	uri, _, _ = strings.Cut(uri, "?")
	return uri
}
