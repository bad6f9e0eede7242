package check

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// playlist is a parsed playlist, of either kind.
type playlist struct {
	uri          string
	multivariant bool
	media        bool
	version      int
	independent  bool
	floats       bool // some EXTINF has decimals
	variables    map[string]string

	// Of a media playlist.
	target                  int // seconds; 0 where it is missing, too
	hasTarget               bool
	mediaSequence           uint64
	discontinuitySequence   uint64
	hasDiscontinuitySeq     bool
	kind                    string // EXT-X-PLAYLIST-TYPE
	ended, iFrames, started bool
	startOffset             float64
	startLine               int
	segments                []segment
	pending                 []part // parts of a segment that is not listed yet
	partTarget              float64
	serverControl           attributes
	serverControlLine       int
	dateRanges              []tagged
	hints, reports          []tagged
	skipped                 uint64

	// Of a multivariant playlist.
	variants   []variant
	renditions []tagged // EXT-X-MEDIA
	steering   *tagged
	sessions   []tagged // EXT-X-SESSION-DATA and EXT-X-SESSION-KEY
}

// tagged is a tag with an attribute list.
type tagged struct {
	line int
	name string
	attributes
}

// variant is an EXT-X-STREAM-INF or EXT-X-I-FRAME-STREAM-INF.
type variant struct {
	tagged
	uri     string
	iFrames bool
}

// segment is an entry of a media playlist. sequence and discontinuities are
// its media sequence number and its discontinuity sequence number.
type segment struct {
	line            int
	uri             string
	duration        float64 // seconds
	sequence        uint64
	discontinuities uint64
	discontinuity   bool
	gap             bool
	hasRange        bool
	offset, length  int64
	date            time.Time // zero: none
	bitrate         uint64    // kbit/s, 0: none
	encrypted       bool
	init            *initialization
	parts           []part
	after           gap // right before it
}

// initialization is an EXT-X-MAP.
type initialization struct {
	line           int
	uri            string
	offset, length int64
}

// part is an EXT-X-PART.
type part struct {
	line             int
	uri              string
	duration         float64
	independent, gap bool
}

// seconds is how long the playlist is.
func (p *playlist) seconds() (sum float64) {
	for i := range p.segments {
		sum += p.segments[i].duration
	}
	return sum
}

// parser reads one playlist. What applies to the next segment, or to all that
// follow, waits in it.
type parser struct {
	*playlist
	report *Report

	parent map[string]string // variables of the multivariant playlist
	seen   map[string]int

	next          segment
	hasInfo       bool
	infoLine      int
	streamInf     *variant
	init          *initialization
	encrypted     bool
	bitrate       uint64
	discontinued  uint64
	needs         int // EXT-X-VERSION that is needed
	needsFor      string
	brokenMixture bool
}

// parse reads a playlist and checks what holds for its lines. Of what is
// hostile it reads a bounded part. parent are the variables of the
// multivariant playlist that led here.
func parse(uri, text string, parent map[string]string, r *Report) *playlist {
	p := &parser{playlist: &playlist{uri: uri, variables: map[string]string{}, version: 1}, report: r, parent: parent, seen: map[string]int{}, needs: 1}
	if len(text) > maxPlaylist {
		r.add("M3U-LIMIT", uri, 0, "it has %d bytes", len(text))
		return p.playlist
	}
	lines := newLexer(uri, text, r)
	first := true
	for l, ok := lines.next(); ok; l, ok = lines.next() {
		if first && (l.n != 1 || l.name != "EXTM3U") {
			r.add("M3U-HEADER", uri, 1, "the first line is not #EXTM3U")
		}
		first = false
		if len(p.segments) >= maxSegments || len(p.variants) >= maxVariants || len(p.renditions) >= maxVariants {
			r.add("M3U-LIMIT", uri, l.n, "it lists more than %d segments, or %d variants or renditions", maxSegments, maxVariants)
			break
		}
		if l.name == "" {
			p.uriLine(l)
		} else {
			p.tagLine(l)
		}
	}
	p.finish()
	return p.playlist
}

// fail records a finding at a line.
func (p *parser) fail(rule string, line int, format string, args ...any) {
	p.report.add(rule, p.uri, line, format, args...)
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
		p.fail("M3U-TAG-VALUE", l.n, "%s has the value %q", l.name, clip(l.text, 60))
	default:
		p.plainTag(l)
	}
}

// place notes what kind of playlist the tag makes this.
func (p *parser) place(l line, spec tagSpec) {
	switch spec.place {
	case mediaPlaylist, mediaSegment, mediaMetadata:
		p.media = true
	case multivariant:
		p.multivariant = true
	}
	if p.media && p.multivariant && !p.brokenMixture {
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
		p.independent = true
	case "EXT-X-TARGETDURATION":
		p.target, p.hasTarget = int(min(number, 1<<30)), true
	case "EXT-X-MEDIA-SEQUENCE":
		p.sequencePlace(l)
		p.mediaSequence = number
	case "EXT-X-DISCONTINUITY-SEQUENCE":
		p.sequencePlace(l)
		p.discontinuitySequence, p.hasDiscontinuitySeq = number, true
	case "EXT-X-ENDLIST":
		p.ended = true
	case "EXT-X-PLAYLIST-TYPE":
		if p.kind = l.text; p.kind != "VOD" && p.kind != "EVENT" {
			p.fail("M3U-TAG-VALUE", l.n, "EXT-X-PLAYLIST-TYPE is %q, neither VOD nor EVENT", clip(l.text, 40))
			p.kind = ""
		}
	case "EXT-X-I-FRAMES-ONLY":
		p.iFrames = true
		p.need(4, l.name)
	default:
		p.segmentTag(l, number)
	}
}

// sequencePlace: the sequence numbers stand before what they count.
func (p *parser) sequencePlace(l line) {
	if len(p.segments) > 0 || l.name == "EXT-X-DISCONTINUITY-SEQUENCE" && p.seen["EXT-X-DISCONTINUITY"] > 0 {
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
		p.next.hasRange = true
		p.next.length, p.next.offset = splitRange(l.text)
	case "EXT-X-DISCONTINUITY":
		p.next.discontinuity = true
		p.beforeParts(l)
	case "EXT-X-PROGRAM-DATE-TIME":
		var exact bool
		p.next.date, exact, _ = parseDate(l.text)
		if !exact {
			p.fail("M3U-PDT-ZONE", l.n, "the date %s lacks a zone or milliseconds", clip(l.text, 40))
		}
		p.beforeParts(l)
	case "EXT-X-GAP":
		p.next.gap = true
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
		p.fail("M3U-EXTINF-COMMA", l.n, "EXTINF:%s has no comma", clip(l.text, 40))
	}
	if !wellFormed(text, float) {
		p.fail("M3U-TAG-VALUE", l.n, "EXTINF has the duration %q", clip(text, 40))
		return
	}
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil || seconds > 1e9 {
		p.fail("M3U-TAG-VALUE", l.n, "EXTINF has the duration %q", clip(text, 40))
		return
	}
	p.next.duration = seconds
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
		p.streamInf.uri = uri
		p.variants = append(p.variants, *p.streamInf)
		p.streamInf = nil
		return
	}
	if p.multivariant && !p.media {
		p.fail("MVP-URI", l.n, "no EXT-X-STREAM-INF precedes the URI")
		return
	}
	p.media = true
	if !p.hasInfo {
		p.fail("M3U-EXTINF-MISSING", l.n, "no EXTINF precedes the URI")
	}
	p.segment(l.n, uri)
}

// segment adds the entry that a URI ends.
func (p *parser) segment(n int, uri string) {
	s := p.next
	s.line, s.uri = n, uri
	s.sequence = p.mediaSequence + p.skipped + uint64(len(p.segments))
	if s.discontinuity {
		p.discontinued++
	}
	s.discontinuities = p.discontinuitySequence + p.discontinued
	s.init, s.encrypted, s.bitrate = p.init, p.encrypted, p.bitrate
	if s.hasRange {
		p.rangeOf(&s)
	}
	if p.target > 0 && math.Round(s.duration) > float64(p.target) {
		p.fail("M3U-TARGETDURATION", p.infoLine, "EXTINF:%.3f rounds to %.0f, EXT-X-TARGETDURATION is %d", s.duration, math.Round(s.duration), p.target)
	}
	p.segments = append(p.segments, s)
	p.next, p.hasInfo = segment{}, false
}

// rangeOf finds where a byte range without offset begins [RFC 8216bis 4.4.4.2].
func (p *parser) rangeOf(s *segment) {
	if s.offset >= 0 {
		return
	}
	s.offset = 0
	if len(p.segments) > 0 {
		if last := p.segments[len(p.segments)-1]; last.hasRange && last.uri == s.uri {
			s.offset = min(last.offset+last.length, 1<<60) // no sum of these wraps
			return
		}
	}
	p.fail("M3U-BYTERANGE", s.line, "the range has no offset, and the segment before is not of the same resource")
}

// expand replaces variables in a URI or an attribute.
func (p *parser) expand(n int, s string) string {
	out, undefined, long := substitute(s, p.variables)
	if out != s {
		p.need(8, "variable substitution")
	}
	if undefined != "" {
		p.fail("M3U-VARIABLE", n, "{$%s} is not defined", clip(undefined, 40))
	}
	if long {
		p.fail("M3U-LIMIT", n, "variables make more than %d bytes of the line", maxExpanded)
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
		p.fail("MVP-URI", p.streamInf.line, "no URI follows EXT-X-STREAM-INF")
	}
	if !p.media && !p.multivariant {
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
	if gaps || p.mediaSequence > 0 { // of a playlist that slides, a gap may have left
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
	for i := range p.variants {
		if _, ok := p.variants[i].get("PROGRAM-ID"); ok && p.version >= 6 {
			p.fail("M3U-REMOVED", p.variants[i].line, "version %d has no PROGRAM-ID", p.version)
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
