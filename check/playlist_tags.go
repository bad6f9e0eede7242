package check

import (
	"fmt"
	"strconv"
	"strings"
)

// listTag takes in a tag with an attribute list.
func (p *parser) listTag(l line, spec tagSpec) {
	t := tagged{line: l.n, name: l.name}
	var wrong string
	if t.attributes, wrong = splitAttributes(l.text); wrong != "" {
		rule := "M3U-ATTRIBUTE-SYNTAX"
		if len(t.attributes) == maxAttributes {
			rule = "M3U-LIMIT"
		}
		p.fail(rule, l.n, "%s: %s", l.name, wrong)
	}
	seen := make(map[string]bool, len(t.attributes))
	for i := range t.attributes {
		a := &t.attributes[i]
		if seen[a.name] {
			p.fail("M3U-ATTRIBUTE-TWICE", l.n, "%s has %s twice", l.name, a.name)
		}
		seen[a.name] = true
		if a.quoted {
			a.value = p.expand(l.n, a.value)
		}
		if strings.HasPrefix(a.name, "REQ-") {
			p.need(12, a.name)
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
		for _, a := range t.attributes {
			if a.name == name {
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
	case "EXT-X-DEFINE":
		p.define(t)
	case "EXT-X-START":
		p.started, p.startLine, p.startOffset = true, t.line, t.number("TIME-OFFSET")
	case "EXT-X-PART-INF":
		p.partTarget = t.number("PART-TARGET")
	case "EXT-X-SERVER-CONTROL":
		p.serverControl, p.serverControlLine = t.attributes, t.line
	case "EXT-X-KEY":
		p.key(t)
	case "EXT-X-MAP":
		p.mapTag(t)
	case "EXT-X-PART":
		p.part(t)
	case "EXT-X-DATERANGE":
		p.dateRanges = append(p.dateRanges, t)
	case "EXT-X-SKIP":
		p.skipped, _ = strconv.ParseUint(t.value("SKIPPED-SEGMENTS"), 10, 64)
		p.need(9, t.name)
	case "EXT-X-PRELOAD-HINT":
		p.hints = append(p.hints, t)
	case "EXT-X-RENDITION-REPORT":
		p.reports = append(p.reports, t)
	case "EXT-X-MEDIA":
		p.renditions = append(p.renditions, t)
		p.instream(t)
	case "EXT-X-STREAM-INF":
		if p.streamInf != nil {
			p.fail("MVP-URI", p.streamInf.line, "no URI follows EXT-X-STREAM-INF")
		}
		p.streamInf = &variant{tagged: t}
	case "EXT-X-I-FRAME-STREAM-INF":
		p.variants = append(p.variants, variant{tagged: t, uri: t.value("URI"), iFrames: true})
	case "EXT-X-SESSION-DATA", "EXT-X-SESSION-KEY":
		p.sessions = append(p.sessions, t)
	case "EXT-X-CONTENT-STEERING":
		p.steering = &t
	}
}

// number reads an attribute as a number, 0 where it is none.
func (a attributes) number(name string) float64 {
	v, _ := strconv.ParseFloat(a.value(name), 64)
	return v
}

// define takes in a variable [RFC 8216bis 4.4.2.3].
func (p *parser) define(t tagged) {
	name, isName := t.get("NAME")
	imported, isImport := t.get("IMPORT")
	query, isQuery := t.get("QUERYPARAM")
	p.need(8, t.name)
	value, hasValue := t.get("VALUE")
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
		value, known = queryValue(p.uri, query)
	default:
		p.fail("M3U-VARIABLE", t.line, "EXT-X-DEFINE has not exactly one of NAME, IMPORT and QUERYPARAM")
		return
	}
	_, twice := p.variables[name]
	switch {
	case !variableName(name):
		p.fail("M3U-VARIABLE", t.line, "%q is no name of a variable", clip(name, 40))
	case !known:
		p.fail("M3U-VARIABLE", t.line, "%s has no value", clip(name, 40))
	case twice:
		p.fail("M3U-VARIABLE", t.line, "%s is defined twice", clip(name, 40))
	case len(p.variables) == maxVariables:
		p.fail("M3U-LIMIT", t.line, "more than %d variables", maxVariables)
	default:
		p.variables[name] = value
	}
}

// queryValue finds a query parameter in a playlist's own URI, with its
// percent-encoding undone.
func queryValue(uri, name string) (string, bool) {
	_, query, _ := strings.Cut(uri, "?")
	query, _, _ = strings.Cut(query, "#")
	for pair := range strings.SplitSeq(query, "&") {
		if k, v, ok := strings.Cut(pair, "="); ok && k == name {
			return unescape(v), true
		}
	}
	return "", false
}

// unescape undoes percent-encoding [RFC 3986 2.1]; what is no escape stays.
func unescape(s string) string {
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
	method := t.value("METHOD")
	_, hasURI := t.get("URI")
	_, hasIV := t.get("IV")
	p.encrypted = method != "NONE"
	switch {
	case method == "NONE" && len(t.attributes) > 1:
		p.fail("M3U-KEY", t.line, "METHOD=NONE stands with other attributes")
	case method != "NONE" && method != "" && !hasURI:
		p.fail("M3U-KEY", t.line, "METHOD=%s has no URI", clip(method, 20))
	case hasIV && (method == "AES-256-GCM" || method == "SAMPLE-AES-CTR"):
		p.fail("M3U-KEY", t.line, "METHOD=%s stands with IV", method)
	}
	if hasIV {
		p.need(2, "IV in EXT-X-KEY")
	}
	if _, ok := t.get("KEYFORMAT"); ok || method == "SAMPLE-AES" {
		p.need(5, "SAMPLE-AES or KEYFORMAT in EXT-X-KEY")
	}
	p.beforeParts(line{n: t.line, name: t.name})
}

// mapTag takes in an EXT-X-MAP [RFC 8216bis 4.4.4.5].
func (p *parser) mapTag(t tagged) {
	p.init = &initialization{line: t.line, uri: t.value("URI")}
	if r, ok := t.get("BYTERANGE"); ok {
		p.init.length, p.init.offset = splitRange(r)
		if p.init.offset < 0 {
			p.init.offset = 0
			p.fail("M3U-BYTERANGE", t.line, "the BYTERANGE of EXT-X-MAP has no offset")
		}
	}
	if p.iFrames {
		p.need(5, t.name)
	} else {
		p.need(6, t.name)
	}
	p.beforeParts(line{n: t.line, name: t.name})
}

// part takes in an EXT-X-PART [RFC 8216bis 4.4.4.9].
func (p *parser) part(t tagged) {
	if len(p.next.parts) >= maxSegments {
		p.fail("M3U-LIMIT", t.line, "a segment has more than %d parts", maxSegments)
		return
	}
	p.next.parts = append(p.next.parts, part{
		line: t.line, uri: t.value("URI"), duration: t.number("DURATION"),
		independent: t.value("INDEPENDENT") == "YES", gap: t.value("GAP") == "YES",
	})
}

// instream notes the versions that INSTREAM-ID needs.
func (p *parser) instream(t tagged) {
	id, ok := t.get("INSTREAM-ID")
	if !ok {
		return
	}
	if t.value("TYPE") != "CLOSED-CAPTIONS" {
		p.need(13, "INSTREAM-ID of no closed captions")
	} else if strings.HasPrefix(id, "SERVICE") {
		p.need(7, "INSTREAM-ID="+clip(id, 20))
	}
}

// size is a decimal-resolution.
type size struct{ width, height int }

func (s size) String() string { return fmt.Sprintf("%dx%d", s.width, s.height) }

// resolution reads RESOLUTION.
func (a attributes) resolution() (size, bool) {
	m := resolutionForm.FindStringSubmatch(a.value("RESOLUTION"))
	if m == nil {
		return size{}, false
	}
	w, _ := strconv.Atoi(m[1])
	h, _ := strconv.Atoi(m[2])
	return size{w, h}, true
}
