package playlist

import (
	"math"
	"strings"

	"weir/check/report"
)

// checkParts: EXT-X-PART, its hints and reports [RFC 8216bis 4.4.4.9, 4.4.5].
func (p *Playlist) checkParts(fail report.LineFunc) {
	behind := 0.0 // seconds from the end of the playlist to the segment's end
	for i := len(p.Segments) - 1; i >= 0; i-- {
		s := &p.Segments[i]
		p.checkPartsOf(s.parts, true, fail)
		sum := 0.0
		for _, t := range s.parts {
			sum += t.duration
		}
		if len(s.parts) > 0 && math.Abs(sum-s.Duration) > 0.1 {
			fail("LL-PART-SUM", s.Line, "the parts last %.3f s, the segment %.3f s", sum, s.Duration)
		}
		if len(s.parts) > 0 && p.Live() && behind > 3*float64(p.Target) {
			fail("LL-PART-OLD", s.parts[0].line, "the parts are %.3f s before the end", behind)
		}
		behind += s.Duration
	}
	p.checkPartsOf(p.pending, false, fail)
	for i, h := range p.hints {
		if p.Ended {
			fail("LL-PRELOAD-HINT", h.Line, "the playlist has ended")
		}
		for _, before := range p.hints[:min(i, 8)] {
			if before.Value("TYPE") == h.Value("TYPE") {
				fail("LL-PRELOAD-HINT-TWICE", h.Line, "line %d hints another %s", before.Line, report.Clip(h.Value("TYPE"), 20))
				break
			}
		}
	}
	for _, t := range p.reports {
		if uri := t.Value("URI"); strings.Contains(uri, "://") {
			fail("LL-RENDITION-REPORT", t.Line, "%s is not relative", report.Display(uri))
		}
	}
}

// checkPartsOf checks the parts of one segment; whole: none will follow.
func (p *Playlist) checkPartsOf(parts []part, whole bool, fail report.LineFunc) {
	for i, t := range parts {
		if p.partTarget == 0 {
			fail("LL-PART-INF", t.line, "EXT-X-PART-INF is missing")
			return
		}
		if t.duration > p.partTarget+0.0005 {
			fail("LL-PART-LONG", t.line, "the part lasts %.3f s, PART-TARGET is %.3f", t.duration, p.partTarget)
		}
		last := whole && i == len(parts)-1
		free := t.independent || t.gap || last || i+1 < len(parts) && parts[i+1].gap
		if !free && t.duration < 0.85*p.partTarget-0.0005 {
			fail("LL-PART-SHORT", t.line, "the part lasts %.3f s, PART-TARGET is %.3f", t.duration, p.partTarget)
		}
	}
}

// checkServerControl: EXT-X-SERVER-CONTROL [RFC 8216bis 4.4.3.8].
func (p *Playlist) checkServerControl(fail report.LineFunc) {
	c, line, target := p.ServerControl, p.serverControlLine, float64(p.Target)
	if _, ok := c.Get("HOLD-BACK"); ok && c.Number("HOLD-BACK") < 3*target {
		fail("LL-HOLD-BACK", line, "HOLD-BACK=%.3f is less than three times %d", c.Number("HOLD-BACK"), p.Target)
	}
	_, skips := c.Get("CAN-SKIP-UNTIL")
	if skips && c.Number("CAN-SKIP-UNTIL") < 6*target {
		fail("LL-SKIP", line, "CAN-SKIP-UNTIL=%.3f is less than six times %d", c.Number("CAN-SKIP-UNTIL"), p.Target)
	}
	if _, ok := c.Get("CAN-SKIP-DATERANGES"); ok && !skips {
		fail("LL-SKIP", line, "CAN-SKIP-DATERANGES stands without CAN-SKIP-UNTIL")
	}
	if p.partTarget == 0 {
		return
	}
	back, has := c.Get("PART-HOLD-BACK")
	switch n := c.Number("PART-HOLD-BACK"); {
	case !has:
		fail("LL-PART-HOLD-BACK", line, "PART-HOLD-BACK is missing")
	case n < 2*p.partTarget:
		fail("LL-PART-HOLD-BACK", line, "PART-HOLD-BACK=%s is less than twice %.3f", report.Clip(back, 20), p.partTarget)
	case n < 3*p.partTarget:
		fail("LL-PART-HOLD-BACK-SHORT", line, "PART-HOLD-BACK=%s is less than three times %.3f", report.Clip(back, 20), p.partTarget)
	}
	if c.Value("CAN-BLOCK-RELOAD") != "YES" && p.Live() {
		fail("LL-BLOCK", line, "CAN-BLOCK-RELOAD is missing")
	}
}
