package check

import (
	"strings"
	"unicode/utf8"
)

// The bounds of what is read: beyond them a playlist gets M3U-LIMIT and is
// read no further.
const (
	maxPlaylist   = 16 << 20
	maxSegments   = 100_000
	maxListed     = 1_000_000 // segments, of all playlists together
	maxText       = 256 << 20 // bytes, of all playlists together
	maxVariants   = 1000      // and as many EXT-X-MEDIA
	maxAttributes = 256
	maxVariables  = 1000
	maxExpanded   = 64 << 10
)

// line is a line of a playlist that says something: a tag or a URI.
type line struct {
	n    int    // from 1
	name string // of a tag, without "#"; "" for a URI
	// text is what follows the colon of a tag, or the URI.
	text string
}

// lexer hands out the lines of a playlist [RFC 8216bis 4.1].
type lexer struct {
	rest   string
	n      int
	uri    string
	report *Report
}

// newLexer checks what holds for the text as a whole.
func newLexer(uri, text string, r *Report) *lexer {
	if rest, bom := strings.CutPrefix(text, "\uFEFF"); bom {
		r.add("M3U-UTF8", uri, 1, "it begins with a byte order mark")
		text = rest
	}
	if !utf8.ValidString(text) {
		r.add("M3U-UTF8", uri, 0, "it holds bytes that are not UTF-8")
		text = strings.ToValidUTF8(text, "�")
	}
	return &lexer{rest: text, uri: uri, report: r}
}

// next returns the next line that is neither blank nor a comment.
func (l *lexer) next() (line, bool) {
	for l.rest != "" {
		var text string
		text, l.rest, _ = strings.Cut(l.rest, "\n")
		l.n++
		text = strings.TrimSuffix(text, "\r")
		if strings.ContainsFunc(text, isControl) && !strings.HasPrefix(text, "#EXT-X-SKIP") {
			l.report.add("M3U-CONTROL", l.uri, l.n, "the line holds a control character")
		}
		if trimmed := strings.Trim(text, " \t"); trimmed != text && trimmed != "" {
			l.report.add("M3U-WHITESPACE", l.uri, l.n, "the line begins or ends with white space")
			text = trimmed
		}
		switch {
		case text == "" || strings.Trim(text, " \t") == "":
		case strings.HasPrefix(text, "#EXT"):
			name, value, _ := strings.Cut(text[1:], ":")
			return line{l.n, name, value}, true
		case text[0] != '#':
			return line{l.n, "", text}, true
		}
	}
	return line{}, false
}

// attribute is one of an attribute list.
type attribute struct {
	name, value string
	quoted      bool
}

// attributes are an attribute list, in order.
type attributes []attribute

// get returns the value of a name, and whether it is there.
func (a attributes) get(name string) (string, bool) {
	for i := range a {
		if a[i].name == name {
			return a[i].value, true
		}
	}
	return "", false
}

// value is get for those who take absence as "".
func (a attributes) value(name string) string {
	v, _ := a.get(name)
	return v
}

// splitAttributes parses an attribute list [RFC 8216bis 4.2]. It tells what
// is wrong with the syntax, "" if nothing is, and keeps what it could read.
func splitAttributes(s string) (list attributes, wrong string) {
	for s != "" {
		if len(list) == maxAttributes {
			return list, "more than 256 attributes"
		}
		name, rest, ok := strings.Cut(s, "=")
		if !ok {
			return list, "no = after " + clip(s, 40)
		}
		if trimmed := strings.TrimLeft(name, " \t"); trimmed != name {
			wrong, name = "white space before "+clip(trimmed, 40), trimmed
		}
		if !attributeName(name) {
			return list, "the name " + clip(name, 40) + " is not of A-Z, 0-9 and -"
		}
		a := attribute{name: name}
		if a.quoted = strings.HasPrefix(rest, `"`); a.quoted {
			a.value, rest, ok = strings.Cut(rest[1:], `"`)
			if !ok {
				return list, "no closing quote of " + name
			}
		} else {
			n := strings.IndexByte(rest, ',')
			if n < 0 {
				n = len(rest)
			}
			a.value, rest = rest[:n], rest[n:]
		}
		list = append(list, a)
		if s, ok = strings.CutPrefix(rest, ","); !ok && rest != "" {
			return list, "no comma after " + name
		}
		if ok && s == "" {
			return list, "a comma at the end"
		}
	}
	return list, wrong
}

// attributeName: A-Z, 0-9 and "-".
func attributeName(s string) bool {
	for i := range len(s) {
		if c := s[i]; !(c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-') {
			return false
		}
	}
	return s != ""
}

// variableName: a-z, A-Z, 0-9, "-" and "_" [RFC 8216bis 4.4.2.3].
func variableName(s string) bool {
	for i := range len(s) {
		if c := s[i] | 0x20; !(c >= 'a' && c <= 'z' || s[i] >= '0' && s[i] <= '9' || s[i] == '-' || s[i] == '_') {
			return false
		}
	}
	return s != ""
}

// substitute replaces each {$name} by its value [RFC 8216bis 4.3]. It returns
// the first name that is not defined, and whether the result grew too long.
func substitute(s string, variables map[string]string) (out, undefined string, long bool) {
	if !strings.Contains(s, "{$") {
		return s, "", false
	}
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(s, "{$")
		b.WriteString(before)
		if !ok {
			return b.String(), undefined, false
		}
		name, after, closed := strings.Cut(rest, "}")
		if !closed || !variableName(name) {
			b.WriteString("{$") // not a reference: it stands for itself
			s = rest
			continue
		}
		value, known := variables[name]
		if !known && undefined == "" {
			undefined = name
		}
		if b.Len()+len(value) > maxExpanded {
			return b.String(), undefined, true
		}
		b.WriteString(value)
		s = after
	}
}
