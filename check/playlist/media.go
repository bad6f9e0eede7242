package playlist

import (
	"math"
	"slices"
	"strings"
	"time"

	"weir/check/report"
)

// Live tells whether segments may still come, and go.
func (p *Playlist) Live() bool { return !p.Ended && p.Kind == "" }

// Dated tells whether some segment has EXT-X-PROGRAM-DATE-TIME.
func (p *Playlist) Dated() bool {
	return slices.ContainsFunc(p.Segments, func(s Segment) bool { return !s.Date.IsZero() })
}

// CheckMedia checks a media playlist as a whole.
func (p *Playlist) CheckMedia(r *report.Report) {
	fail := func(rule string, line int, format string, args ...any) { r.Add(rule, p.URI, line, format, args...) }
	if !p.HasTarget {
		fail("M3U-TARGETDURATION-MISSING", 0, "EXT-X-TARGETDURATION is missing")
	} else if p.Target == 0 {
		fail("M3U-TARGETDURATION-ZERO", 0, "EXT-X-TARGETDURATION is 0")
	}
	if p.Target > 10 {
		fail("M3U-TARGETDURATION-LONG", 0, "EXT-X-TARGETDURATION is %d", p.Target)
	}
	if len(p.Segments) == 0 && p.skipped == 0 && len(p.pending) == 0 {
		fail("M3U-EMPTY", 0, "it lists no segment")
		return
	}
	if !p.floats && len(p.Segments) > 1 {
		fail("M3U-EXTINF-INTEGER", p.Segments[0].Line, "no EXTINF has decimals")
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

// checkKind: VOD, EVENT and live playlists [RFC 8216bis 6.2.1, 6.2.2].
func (p *Playlist) checkKind(fail report.LineFunc) {
	if p.Kind != "" && p.MediaSequence > 0 {
		fail("M3U-TYPE-SLID", 0, "EXT-X-PLAYLIST-TYPE:%s begins at number %d", p.Kind, p.MediaSequence)
	}
	if p.Kind == "VOD" && !p.Ended {
		fail("M3U-VOD-ENDLIST", 0, "EXT-X-ENDLIST is missing")
	}
	dated := p.Dated()
	if p.Ended && p.Kind == "" && p.MediaSequence == 0 && !dated {
		fail("M3U-VOD-TYPE", 0, "EXT-X-PLAYLIST-TYPE is missing")
	}
	if p.Live() && !dated && len(p.Segments) > 0 {
		fail("M3U-PDT-MISSING", 0, "no segment has EXT-X-PROGRAM-DATE-TIME")
	}
	if n := len(p.Segments); p.Live() && p.MediaSequence > 0 && n < 6 {
		fail("M3U-LIVE-SHORT", 0, "it lists %d segments", n)
	}
}

// checkDiscontinuities: what a discontinuity asks of its playlist.
func (p *Playlist) checkDiscontinuities(fail report.LineFunc) {
	for i := range p.Segments {
		s := &p.Segments[i]
		if !s.Discontinuity {
			continue
		}
		if s.Sequence == 0 && s.Discontinuities <= 1 {
			fail("M3U-DISCONTINUITY-FIRST", s.Line, "segment 0 is marked as a discontinuity")
		}
		if p.Live() && !p.hasDiscontinuitySeq {
			fail("M3U-DISCONTINUITY-SEQUENCE", s.Line, "EXT-X-DISCONTINUITY-SEQUENCE is missing")
			return
		}
	}
}

// Duration is seconds as a time.Duration; what is absurd becomes the longest one.
func Duration(s float64) time.Duration {
	if s > 1e9 {
		s = 1e9
	}
	return time.Duration(math.Round(s * float64(time.Second)))
}

// checkDates follows EXT-X-PROGRAM-DATE-TIME through the playlist: expected is
// where the last date and the durations since lead.
func (p *Playlist) checkDates(fail report.LineFunc) {
	var expected time.Time
	dated := p.Dated()
	for i := range p.Segments {
		s := &p.Segments[i]
		if dated && s.Discontinuity && s.Date.IsZero() {
			fail("M3U-PDT-DISCONTINUITY", s.Line, "the segment after EXT-X-DISCONTINUITY has no date")
		}
		if !s.Date.IsZero() {
			if d := s.Date.Sub(expected); !expected.IsZero() && d < -time.Second {
				fail("M3U-PDT-BACK", s.Line, "the date is %.3f s before the end of the segment before", -d.Seconds())
			} else if !expected.IsZero() && d > time.Second && !s.Discontinuity {
				fail("M3U-PDT-JUMP", s.Line, "the date is %.3f s after the end of the segment before", d.Seconds())
			}
			expected = s.Date
		}
		if !expected.IsZero() {
			expected = expected.Add(Duration(s.Duration))
		}
	}
}

// checkDateRanges: EXT-X-DATERANGE [RFC 8216bis 4.4.5.1].
func (p *Playlist) checkDateRanges(fail report.LineFunc) {
	if len(p.dateRanges) > 0 && !p.Dated() && p.skipped == 0 {
		fail("M3U-DATERANGE", p.dateRanges[0].Line, "no segment of the playlist has EXT-X-PROGRAM-DATE-TIME")
	}
	first := map[string]tagged{}
	for _, d := range p.dateRanges {
		id := d.Value("ID")
		earlier, again := first[id]
		if !again {
			first[id] = d
		}
		p.checkDateRange(d, again, fail)
		for _, a := range d.Attributes {
			if v, ok := earlier.Get(a.Name); ok && v != a.Value {
				fail("M3U-DATERANGE", d.Line, "%s of ID %s differs from line %d", a.Name, report.Clip(id, 40), earlier.Line)
			}
		}
	}
}

// checkDateRange checks one EXT-X-DATERANGE. again: its ID stood before.
func (p *Playlist) checkDateRange(d tagged, again bool, fail report.LineFunc) {
	start, _, startErr := parseDate(d.Value("START-DATE"))
	end, _, endErr := parseDate(d.Value("END-DATE"))
	_, hasStart := d.Get("START-DATE")
	_, hasEnd := d.Get("END-DATE")
	_, hasDuration := d.Get("DURATION")
	_, hasClass := d.Get("CLASS")
	onNext := d.Value("END-ON-NEXT") == "YES"
	cue := d.Value("CUE")
	switch {
	case !hasStart && !again:
		fail("M3U-DATERANGE", d.Line, "START-DATE is missing")
	case onNext && !hasClass:
		fail("M3U-DATERANGE", d.Line, "END-ON-NEXT stands without CLASS")
	case onNext && (hasDuration || hasEnd):
		fail("M3U-DATERANGE", d.Line, "END-ON-NEXT stands with DURATION or END-DATE")
	case strings.Contains(cue, "PRE") && strings.Contains(cue, "POST"):
		fail("M3U-DATERANGE", d.Line, "CUE has PRE and POST")
	case startErr != nil || endErr != nil:
	case end.Before(start):
		fail("M3U-DATERANGE", d.Line, "END-DATE is before START-DATE")
	case hasDuration && end.Sub(start).Round(time.Millisecond) != Duration(d.Number("DURATION")).Round(time.Millisecond):
		fail("M3U-DATERANGE", d.Line, "END-DATE is not START-DATE + DURATION")
	}
}

// checkStart: EXT-X-START [RFC 8216bis 4.4.2.2].
func (p *Playlist) checkStart(fail report.LineFunc) {
	if !p.started {
		return
	}
	total := p.Seconds()
	at := p.startOffset
	if at < 0 {
		at += total
	}
	if math.Abs(p.startOffset) > total {
		fail("M3U-START", p.startLine, "TIME-OFFSET=%.3f lies outside the playlist of %.3f s", p.startOffset, total)
	} else if p.Live() && total-at < 3*float64(p.Target) {
		fail("M3U-START", p.startLine, "TIME-OFFSET=%.3f lies within three target durations of the end", p.startOffset)
	}
}

// checkEntries: each segment by itself, and names used twice.
func (p *Playlist) checkEntries(fail report.LineFunc) {
	// first remembers, for each name, the discontinuity sequence number of its
	// last use.
	first := make(map[string]uint64, len(p.Segments))
	for i := range p.Segments {
		s := &p.Segments[i]
		if s.Gap {
			fail("M3U-GAP", s.Line, "%.3f s of media are missing", s.Duration)
			continue
		}
		if s.Init == nil && IsFragment(s.URI) {
			fail("M3U-MAP", s.Line, "no EXT-X-MAP precedes the segment")
		}
		if d, twice := first[s.URI]; twice && !s.HasRange && d == s.Discontinuities {
			fail("M3U-URI-TWICE", s.Line, "%s is listed twice", report.Display(s.URI))
		}
		first[s.URI] = s.Discontinuities
	}
}

// IsFragment tells by a URI whether it names fragmented MP4.
func IsFragment(uri string) bool {
	path := Path(uri)
	for _, ext := range []string{".mp4", ".m4s", ".m4v", ".m4a", ".cmfv", ".cmfa"} {
		if strings.HasSuffix(path, ext) {
			return true
		}
	}
	return false
}

// Path is a URI without its query and fragment.
func Path(uri string) string {
	uri, _, _ = strings.Cut(uri, "#")
	uri, _, _ = strings.Cut(uri, "?")
	return uri
}
