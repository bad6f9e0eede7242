package playlist

import (
	"math"
	"regexp"
	"strconv"
	"strings"

	"weir/check/report"
)

// parser reads one playlist. What applies to the next segment, or to all that
// follow, waits in it.
type parser struct {
	*Playlist
	report *report.Report

	parent map[string]string // variables of the multivariant playlist
	seen   map[string]int

	next          Segment
	hasInfo       bool
	infoLine      int
	streamInf     *Variant
	init          *initialization
	encrypted     bool
	bitrate       uint64
	discontinued  uint64
	inserted      int  // bytes that variables added
	kept, parts   int  // attributes, parts
	over          bool // a limit was passed: the rest is not read
	needs         int  // EXT-X-VERSION that is needed
	needsFor      string
	brokenMixture bool
}

// Parse reads a playlist and checks what holds for its lines. Of what is
// hostile it reads a bounded part. parent are the variables of the
// multivariant playlist that led here.
func Parse(uri, text string, parent map[string]string, r *report.Report) *Playlist {
	p := &parser{Playlist: &Playlist{URI: uri, Variables: map[string]string{}, version: 1}, report: r, parent: parent, seen: map[string]int{}, needs: 1}
	if len(text) > MaxPlaylist {
		r.Add("M3U-LIMIT", uri, 0, "it has %d bytes", len(text))
		return p.Playlist
	}
	lines := newLexer(uri, text, r)
	first := true
	for l, ok := lines.next(); ok; l, ok = lines.next() {
		if first && (l.n != 1 || l.name != "EXTM3U") {
			r.Add("M3U-HEADER", uri, 1, "the first line is not #EXTM3U")
		}
		first = false
		if len(p.Segments) >= MaxSegments || len(p.Variants) >= MaxVariants || len(p.Renditions) >= MaxVariants {
			r.Add("M3U-LIMIT", uri, l.n, "it lists more than %d segments, or %d variants or renditions", MaxSegments, MaxVariants)
			break
		}
		if l.name == "" {
			p.uriLine(l)
		} else {
			p.tagLine(l)
		}
		if p.over {
			break
		}
	}
	p.finish()
	p.Held = len(text) + p.inserted + attributeSize*p.kept + segmentSize*len(p.Segments) + partSize*p.parts
	return p.Playlist
}

// fail records a finding at a line.
func (p *parser) fail(rule string, line int, format string, args ...any) {
	p.report.Add(rule, p.URI, line, format, args...)
}

// need notes the version that a feature needs [RFC 8216bis 8].
func (p *parser) need(version int, feature string) {
	if version > p.needs {
		p.needs, p.needsFor = version, feature
	}
}

// tagLine checks a tag by its specification, then takes it in.
func (p *parser) tagLine(l line) {
	spec, known := tags[l.name]
	if !known {
		return // "Clients MUST ignore any unrecognized tags" [RFC 8216bis 6.3.1]
	}
	p.seen[l.name]++
	if spec.once && p.seen[l.name] == 2 {
		p.fail("M3U-ONCE", l.n, "%s stands here again", l.name)
	}
	p.place(l, spec)
	switch {
	case spec.form == list:
		p.listTag(l, spec)
	case !wellFormed(l.text, spec.form):
		p.fail("M3U-TAG-VALUE", l.n, "%s has the value %q", l.name, report.Clip(l.text, 60))
	default:
		p.plainTag(l)
	}
}

// place notes what kind of playlist the tag makes this.
func (p *parser) place(l line, spec tagSpec) {
	switch spec.place {
	case mediaPlaylist, mediaSegment, mediaMetadata:
		p.Media = true
	case multivariant:
		p.Multivariant = true
	}
	if p.Media && p.Multivariant && !p.brokenMixture {
		p.brokenMixture = true
		p.fail("M3U-MIXED", l.n, "%s stands in a playlist of the other kind", l.name)
	}
}

// plainTag takes in a tag without attributes, whose value is well formed.
func (p *parser) plainTag(l line) {
	number, _ := strconv.ParseUint(l.text, 10, 64)
	switch l.name {
	case "EXT-X-VERSION":
		p.version = int(number)
	case "EXT-X-INDEPENDENT-SEGMENTS":
		p.Independent = true
	case "EXT-X-TARGETDURATION":
		p.Target, p.HasTarget = int(min(number, 1<<30)), true
	case "EXT-X-MEDIA-SEQUENCE":
		p.sequencePlace(l)
		p.MediaSequence = number
	case "EXT-X-DISCONTINUITY-SEQUENCE":
		p.sequencePlace(l)
		p.DiscontinuitySequence, p.hasDiscontinuitySeq = number, true
	case "EXT-X-ENDLIST":
		p.Ended = true
	case "EXT-X-PLAYLIST-TYPE":
		if p.Kind = l.text; p.Kind != "VOD" && p.Kind != "EVENT" {
			p.fail("M3U-TAG-VALUE", l.n, "EXT-X-PLAYLIST-TYPE is %q, neither VOD nor EVENT", report.Clip(l.text, 40))
			p.Kind = ""
		}
	case "EXT-X-I-FRAMES-ONLY":
		p.IFrames = true
		p.need(4, l.name)
	default:
		p.segmentTag(l, number)
	}
}

// sequencePlace: the sequence numbers stand before what they count.
func (p *parser) sequencePlace(l line) {
	if len(p.Segments) > 0 || l.name == "EXT-X-DISCONTINUITY-SEQUENCE" && p.seen["EXT-X-DISCONTINUITY"] > 0 {
		p.fail("M3U-SEQUENCE-PLACE", l.n, "%s stands too late", l.name)
	}
}

// segmentTag takes in a tag of the next segment [RFC 8216bis 4.4.4].
func (p *parser) segmentTag(l line, number uint64) {
	switch l.name {
	case "EXTINF":
		p.info(l)
	case "EXT-X-BYTERANGE":
		p.need(4, l.name)
		p.next.HasRange = true
		p.next.Length, p.next.Offset = splitRange(l.text)
	case "EXT-X-DISCONTINUITY":
		p.next.Discontinuity = true
		p.beforeParts(l)
	case "EXT-X-PROGRAM-DATE-TIME":
		var exact bool
		p.next.Date, exact, _ = parseDate(l.text)
		if !exact {
			p.fail("M3U-PDT-ZONE", l.n, "the date %s lacks a zone or milliseconds", report.Clip(l.text, 40))
		}
		p.beforeParts(l)
	case "EXT-X-GAP":
		p.next.Gap = true
	case "EXT-X-BITRATE":
		p.bitrate = number
	}
}

// beforeParts: what applies to a segment stands before its parts.
func (p *parser) beforeParts(l line) {
	if len(p.next.parts) > 0 {
		p.fail("LL-PART-TAGS", l.n, "%s stands after %d parts of its segment", l.name, len(p.next.parts))
	}
}

// splitRange reads <n>[@<o>]; the offset is -1 where it is missing.
func splitRange(s string) (length, offset int64) {
	m := byterangeForm.FindStringSubmatch(s)
	if m == nil {
		return 0, -1
	}
	length, _ = strconv.ParseInt(m[1], 10, 64)
	if m[2] == "" {
		return length, -1
	}
	offset, _ = strconv.ParseInt(m[2], 10, 64)
	return length, offset
}

// info takes in an EXTINF.
func (p *parser) info(l line) {
	if p.hasInfo {
		p.fail("M3U-EXTINF-DANGLING", p.infoLine, "no URI follows before the next EXTINF")
	}
	p.hasInfo, p.infoLine = true, l.n
	text, _, comma := strings.Cut(l.text, ",")
	if !comma {
		p.fail("M3U-EXTINF-COMMA", l.n, "EXTINF:%s has no comma", report.Clip(l.text, 40))
	}
	if !wellFormed(text, float) {
		p.fail("M3U-TAG-VALUE", l.n, "EXTINF has the duration %q", report.Clip(text, 40))
		return
	}
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil || seconds > 1e9 {
		p.fail("M3U-TAG-VALUE", l.n, "EXTINF has the duration %q", report.Clip(text, 40))
		return
	}
	p.next.Duration = seconds
	if strings.Contains(text, ".") {
		p.floats = true
		p.need(3, "an EXTINF with decimals")
	}
	if seconds == 0 {
		p.fail("M3U-EXTINF-ZERO", l.n, "the segment lasts 0 s")
	}
}

// uriLine ends a segment, or a variant.
func (p *parser) uriLine(l line) {
	uri := p.expand(l.n, l.text)
	if p.streamInf != nil {
		p.streamInf.URI = uri
		p.Variants = append(p.Variants, *p.streamInf)
		p.streamInf = nil
		return
	}
	if p.Multivariant && !p.Media {
		p.fail("MVP-URI", l.n, "no EXT-X-STREAM-INF precedes the URI")
		return
	}
	p.Media = true
	if !p.hasInfo {
		p.fail("M3U-EXTINF-MISSING", l.n, "no EXTINF precedes the URI")
	}
	p.segment(l.n, uri)
}

// segment adds the entry that a URI ends.
func (p *parser) segment(n int, uri string) {
	s := p.next
	s.Line, s.URI = n, uri
	s.Sequence = p.MediaSequence + p.skipped + uint64(len(p.Segments))
	if s.Discontinuity {
		p.discontinued++
	}
	s.Discontinuities = p.DiscontinuitySequence + p.discontinued
	s.Init, s.Encrypted, s.Bitrate = p.init, p.encrypted, p.bitrate
	if s.HasRange {
		p.rangeOf(&s)
	}
	if p.Target > 0 && math.Round(s.Duration) > float64(p.Target) {
		p.fail("M3U-TARGETDURATION", p.infoLine, "EXTINF:%.3f rounds to %.0f, EXT-X-TARGETDURATION is %d", s.Duration, math.Round(s.Duration), p.Target)
	}
	p.Segments = append(p.Segments, s)
	p.next, p.hasInfo = Segment{}, false
}

// rangeOf finds where a byte range without offset begins [RFC 8216bis 4.4.4.2].
func (p *parser) rangeOf(s *Segment) {
	if s.Offset >= 0 {
		return
	}
	s.Offset = 0
	if len(p.Segments) > 0 {
		if last := p.Segments[len(p.Segments)-1]; last.HasRange && last.URI == s.URI {
			s.Offset = min(last.Offset+last.Length, 1<<60) // no sum of these wraps
			return
		}
	}
	p.fail("M3U-BYTERANGE", s.Line, "the range has no offset, and the segment before is not of the same resource")
}

// expand replaces variables in a URI or an attribute. A playlist of a few
// bytes could make gigabytes of them: what they add is bounded, for a line and
// for all of it.
func (p *parser) expand(n int, s string) string {
	limit := min(maxExpanded, len(s)+maxInserted-p.inserted)
	out, undefined, long := substitute(s, p.Variables, limit)
	if out != s || long {
		p.need(8, "variable substitution")
	}
	p.inserted += max(len(out)-len(s), 0)
	if undefined != "" {
		p.fail("M3U-VARIABLE", n, "{$%s} is not defined", report.Clip(undefined, 40))
	}
	if long {
		p.over = true
		p.fail("M3U-LIMIT", n, "variables make more than %d bytes of the line, or add more than %d to the playlist", maxExpanded, maxInserted)
	}
	return out
}

// gapVersion is the EXT-X-VERSION that came with EXT-X-GAP. Later drafts do
// without, but not all parsers know them.
const gapVersion = 8

// finish checks what shows at the end only.
func (p *parser) finish() {
	if p.hasInfo {
		p.fail("M3U-EXTINF-DANGLING", p.infoLine, "no URI follows")
	}
	if p.streamInf != nil {
		p.fail("MVP-URI", p.streamInf.Line, "no URI follows EXT-X-STREAM-INF")
	}
	if !p.Media && !p.Multivariant {
		p.fail("M3U-KIND", 0, "it has no tags of either kind, and no URI")
	}
	p.pending = p.next.parts
	if len(p.pending) > 0 && p.partTarget == 0 {
		p.fail("LL-PART-INF", p.pending[0].line, "EXT-X-PART-INF is missing")
	}
	if p.version < p.needs {
		p.fail("M3U-VERSION-LOW", 0, "EXT-X-VERSION is %d, %s needs %d", p.version, p.needsFor, p.needs)
	}
	gaps := p.seen["EXT-X-GAP"] > 0
	if gaps && p.version < gapVersion {
		p.fail("M3U-GAP-VERSION", 0, "EXT-X-VERSION is %d, and it has EXT-X-GAP", p.version)
	}
	most := max(p.needs, 6)
	if gaps || p.MediaSequence > 0 { // of a playlist that slides, a gap may have left
		most = max(most, gapVersion)
	}
	if p.version > most {
		p.fail("M3U-VERSION-HIGH", 0, "EXT-X-VERSION is %d, the playlist needs %d", p.version, p.needs)
	}
	p.removed()
}

// removed: what a version took out [RFC 8216bis 8].
func (p *parser) removed() {
	if p.version >= 7 && p.seen["EXT-X-ALLOW-CACHE"] > 0 {
		p.fail("M3U-REMOVED", 0, "version %d has no EXT-X-ALLOW-CACHE", p.version)
	}
	for i := range p.Variants {
		if _, ok := p.Variants[i].Get("PROGRAM-ID"); ok && p.version >= 6 {
			p.fail("M3U-REMOVED", p.Variants[i].Line, "version %d has no PROGRAM-ID", p.version)
		}
	}
}

// The formats of RFC 6381, as far as HLS uses them. H.264 and AAC have a form
// of their own, the old avc1.66.30 is none.
var (
	codecForm = regexp.MustCompile(`^[A-Za-z0-9]{2,4}([.-][A-Za-z0-9._-]+)?$`)
	ownForm   = regexp.MustCompile(`^(avc[1-4]\.[0-9A-Fa-f]{6}|mp4a\.[0-9A-Fa-f]{2}(\.[0-9]{1,3})?)$`)
)

// isCodec tells whether an element of CODECS is well formed.
func isCodec(s string) bool {
	if strings.HasPrefix(s, "avc") || strings.HasPrefix(s, "mp4a") {
		return ownForm.MatchString(s)
	}
	return codecForm.MatchString(s)
}
