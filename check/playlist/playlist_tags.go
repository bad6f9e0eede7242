package playlist

import (
	"strconv"
	"strings"

	"weir/check/report"
)

// listTag takes in a tag with an attribute list.
func (p *parser) listTag(l line, spec tagSpec) {
	t := tagged{Line: l.n, name: l.name}
	var wrong string
	if t.Attributes, wrong = splitAttributes(l.text); wrong != "" {
		rule := "M3U-ATTRIBUTE-SYNTAX"
		if len(t.Attributes) == MaxAttributes {
			rule = "M3U-LIMIT"
		}
		p.fail(rule, l.n, "%s: %s", l.name, wrong)
	}
	seen := make(map[string]bool, len(t.Attributes))
	for i := range t.Attributes {
		a := &t.Attributes[i]
		if seen[a.Name] {
			p.fail("M3U-ATTRIBUTE-TWICE", l.n, "%s has %s twice", l.name, a.Name)
		}
		seen[a.Name] = true
		if a.quoted {
			a.Value = p.expand(l.n, a.Value)
		}
		if strings.HasPrefix(a.Name, "REQ-") {
			p.need(12, a.Name)
		}
	}
	for _, s := range spec.attributes {
		name, required := strings.CutSuffix(s.name, "!")
		if !seen[name] {
			if required {
				p.fail("M3U-ATTRIBUTE-MISSING", l.n, "%s has no %s", l.name, name)
			}
			continue
		}
		for _, a := range t.Attributes {
			if a.Name == name {
				if wrong := s.wrongWith(a); wrong != "" {
					p.fail("M3U-ATTRIBUTE-VALUE", l.n, "%s: %s", l.name, wrong)
				}
			}
		}
	}
	p.takeList(t)
}

// takeList takes in what a checked attribute list says.
func (p *parser) takeList(t tagged) {
	switch t.name {
	case "EXT-X-DEFINE", "EXT-X-START", "EXT-X-PART-INF", "EXT-X-KEY", "EXT-X-MAP", "EXT-X-PART", "EXT-X-SKIP": // what they say is kept, not they
	default:
		if p.kept += len(t.Attributes); p.kept > maxKept {
			p.over = true
			p.fail("M3U-LIMIT", t.Line, "its tags have more than %d attributes", maxKept)
			return
		}
	}
	switch t.name {
	case "EXT-X-DEFINE":
		p.define(t)
	case "EXT-X-START":
		p.started, p.startLine, p.startOffset = true, t.Line, t.Number("TIME-OFFSET")
	case "EXT-X-PART-INF":
		p.partTarget = t.Number("PART-TARGET")
	case "EXT-X-SERVER-CONTROL":
		p.ServerControl, p.serverControlLine = t.Attributes, t.Line
	case "EXT-X-KEY":
		p.key(t)
	case "EXT-X-MAP":
		p.mapTag(t)
	case "EXT-X-PART":
		p.part(t)
	case "EXT-X-DATERANGE":
		p.dateRanges = append(p.dateRanges, t)
	case "EXT-X-SKIP":
		p.skipped, _ = strconv.ParseUint(t.Value("SKIPPED-SEGMENTS"), 10, 64)
		p.need(9, t.name)
	case "EXT-X-PRELOAD-HINT":
		p.hints = append(p.hints, t)
	case "EXT-X-RENDITION-REPORT":
		p.reports = append(p.reports, t)
	case "EXT-X-MEDIA":
		p.Renditions = append(p.Renditions, t)
		p.instream(t)
	case "EXT-X-STREAM-INF":
		if p.streamInf != nil {
			p.fail("MVP-URI", p.streamInf.Line, "no URI follows EXT-X-STREAM-INF")
		}
		p.streamInf = &Variant{tagged: t}
	case "EXT-X-I-FRAME-STREAM-INF":
		p.Variants = append(p.Variants, Variant{tagged: t, URI: t.Value("URI"), IFrames: true})
	case "EXT-X-SESSION-DATA", "EXT-X-SESSION-KEY":
		p.sessions = append(p.sessions, t)
	case "EXT-X-CONTENT-STEERING":
		p.steering = &t
	}
}

// Number reads an attribute as a number, 0 where it is none.
func (a Attributes) Number(name string) float64 {
	v, _ := strconv.ParseFloat(a.Value(name), 64)
	return v
}

// define takes in a variable [RFC 8216bis 4.4.2.3].
func (p *parser) define(t tagged) {
	name, isName := t.Get("NAME")
	imported, isImport := t.Get("IMPORT")
	query, isQuery := t.Get("QUERYPARAM")
	p.need(8, t.name)
	value, hasValue := t.Get("VALUE")
	var known bool
	switch {
	case isName && !isImport && !isQuery:
		known = hasValue
	case isImport && !isName && !isQuery:
		name = imported
		value, known = p.parent[imported]
	case isQuery && !isName && !isImport:
		p.need(11, "QUERYPARAM")
		name = query
		value, known = queryValue(p.URI, query)
	default:
		p.fail("M3U-VARIABLE", t.Line, "EXT-X-DEFINE has not exactly one of NAME, IMPORT and QUERYPARAM")
		return
	}
	_, twice := p.Variables[name]
	switch {
	case !variableName(name):
		p.fail("M3U-VARIABLE", t.Line, "%q is no name of a variable", report.Clip(name, 40))
	case !known:
		p.fail("M3U-VARIABLE", t.Line, "%s has no value", report.Clip(name, 40))
	case twice:
		p.fail("M3U-VARIABLE", t.Line, "%s is defined twice", report.Clip(name, 40))
	case len(p.Variables) == MaxVariables:
		p.fail("M3U-LIMIT", t.Line, "more than %d variables", MaxVariables)
	default:
		p.Variables[name] = value
	}
}

// queryValue finds a query parameter in a playlist's own URI, with its
// percent-encoding undone.
func queryValue(uri, name string) (string, bool) {
	_, query, _ := strings.Cut(uri, "?")
	query, _, _ = strings.Cut(query, "#")
	for pair := range strings.SplitSeq(query, "&") {
		if k, v, ok := strings.Cut(pair, "="); ok && k == name {
			return Unescape(v), true
		}
	}
	return "", false
}

// Unescape undoes percent-encoding [RFC 3986 2.1]; what is no escape stays.
func Unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(n))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// key checks an EXT-X-KEY against its METHOD [RFC 8216bis 4.4.4.4].
func (p *parser) key(t tagged) {
	method := t.Value("METHOD")
	_, hasURI := t.Get("URI")
	_, hasIV := t.Get("IV")
	p.encrypted = method != "NONE"
	switch {
	case method == "NONE" && len(t.Attributes) > 1:
		p.fail("M3U-KEY", t.Line, "METHOD=NONE stands with other attributes")
	case method != "NONE" && method != "" && !hasURI:
		p.fail("M3U-KEY", t.Line, "METHOD=%s has no URI", report.Clip(method, 20))
	case hasIV && (method == "AES-256-GCM" || method == "SAMPLE-AES-CTR"):
		p.fail("M3U-KEY", t.Line, "METHOD=%s stands with IV", method)
	}
	if hasIV {
		p.need(2, "IV in EXT-X-KEY")
	}
	if _, ok := t.Get("KEYFORMAT"); ok || method == "SAMPLE-AES" {
		p.need(5, "SAMPLE-AES or KEYFORMAT in EXT-X-KEY")
	}
	p.beforeParts(line{n: t.Line, name: t.name})
}

// mapTag takes in an EXT-X-MAP [RFC 8216bis 4.4.4.5].
func (p *parser) mapTag(t tagged) {
	p.init = &initialization{line: t.Line, URI: t.Value("URI")}
	if r, ok := t.Get("BYTERANGE"); ok {
		p.init.Length, p.init.Offset = splitRange(r)
		if p.init.Offset < 0 {
			p.init.Offset = 0
			p.fail("M3U-BYTERANGE", t.Line, "the BYTERANGE of EXT-X-MAP has no offset")
		}
	}
	if p.IFrames {
		p.need(5, t.name)
	} else {
		p.need(6, t.name)
	}
	p.beforeParts(line{n: t.Line, name: t.name})
}

// part takes in an EXT-X-PART [RFC 8216bis 4.4.4.9].
func (p *parser) part(t tagged) {
	if len(p.next.parts) >= MaxSegments {
		p.fail("M3U-LIMIT", t.Line, "a segment has more than %d parts", MaxSegments)
		return
	}
	p.parts++
	p.next.parts = append(p.next.parts, part{
		line: t.Line, uri: t.Value("URI"), duration: t.Number("DURATION"),
		independent: t.Value("INDEPENDENT") == "YES", gap: t.Value("GAP") == "YES",
	})
}

// instream notes the versions that INSTREAM-ID needs.
func (p *parser) instream(t tagged) {
	id, ok := t.Get("INSTREAM-ID")
	if !ok {
		return
	}
	if t.Value("TYPE") != "CLOSED-CAPTIONS" {
		p.need(13, "INSTREAM-ID of no closed captions")
	} else if strings.HasPrefix(id, "SERVICE") {
		p.need(7, "INSTREAM-ID="+report.Clip(id, 20))
	}
}

// Resolution reads RESOLUTION.
func (a Attributes) Resolution() (width, height int, ok bool) {
	m := resolutionForm.FindStringSubmatch(a.Value("RESOLUTION"))
	if m == nil {
		return 0, 0, false
	}
	width, _ = strconv.Atoi(m[1])
	height, _ = strconv.Atoi(m[2])
	return width, height, true
}
