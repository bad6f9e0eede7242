package playlist

import (
	"strings"
	"unicode/utf8"

	"weir/check/report"
)

// The bounds of what is read: beyond them a playlist gets M3U-LIMIT and is
// read no further.
const (
	MaxPlaylist   = 16 << 20
	MaxSegments   = 100_000
	MaxListed     = 1_000_000 // segments, of all playlists together
	MaxText       = 128 << 20 // bytes that all playlists together take
	MaxVariants   = 1000      // and as many EXT-X-MEDIA
	MaxAttributes = 256
	MaxVariables  = 1000
	maxExpanded   = 64 << 10 // bytes of a line
	maxInserted   = 1 << 20  // bytes that variables add to a playlist
	maxKept       = 100_000  // attributes of all tags of a playlist
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
	report *report.Report
}

// newLexer checks what holds for the text as a whole.
func newLexer(uri, text string, r *report.Report) *lexer {
	if rest, bom := strings.CutPrefix(text, "\uFEFF"); bom {
		r.Add("M3U-UTF8", uri, 1, "it begins with a byte order mark")
		text = rest
	}
	if !utf8.ValidString(text) {
		r.Add("M3U-UTF8", uri, 0, "it holds bytes that are not UTF-8")
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
		if strings.ContainsFunc(text, report.IsControl) && !strings.HasPrefix(text, "#EXT-X-SKIP") {
			l.report.Add("M3U-CONTROL", l.uri, l.n, "the line holds a control character")
		}
		if trimmed := strings.Trim(text, " \t"); trimmed != text && trimmed != "" {
			l.report.Add("M3U-WHITESPACE", l.uri, l.n, "the line begins or ends with white space")
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
	Name, Value string
	quoted      bool
}

// Attributes are an attribute list, in order.
type Attributes []attribute

// Get returns the value of a name, and whether it is there.
func (a Attributes) Get(name string) (string, bool) {
	for i := range a {
		if a[i].Name == name {
			return a[i].Value, true
		}
	}
	return "", false
}

// Value is get for those who take absence as "".
func (a Attributes) Value(name string) string {
	v, _ := a.Get(name)
	return v
}

// splitAttributes parses an attribute list [RFC 8216bis 4.2]. It tells what
// is wrong with the syntax, "" if nothing is, and keeps what it could read.
func splitAttributes(s string) (list Attributes, wrong string) {
	for s != "" {
		if len(list) == MaxAttributes {
			return list, "more than 256 attributes"
		}
		name, rest, ok := strings.Cut(s, "=")
		if !ok {
			return list, "no = after " + report.Clip(s, 40)
		}
		if trimmed := strings.TrimLeft(name, " \t"); trimmed != name {
			wrong, name = "white space before "+report.Clip(trimmed, 40), trimmed
		}
		if !attributeName(name) {
			return list, "the name " + report.Clip(name, 40) + " is not of A-Z, 0-9 and -"
		}
		a := attribute{Name: name}
		if a.quoted = strings.HasPrefix(rest, `"`); a.quoted {
			a.Value, rest, ok = strings.Cut(rest[1:], `"`)
			if !ok {
				return list, "no closing quote of " + name
			}
		} else {
			n := strings.IndexByte(rest, ',')
			if n < 0 {
				n = len(rest)
			}
			a.Value, rest = rest[:n], rest[n:]
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
// the first name that is not defined. What would make more than limit bytes is
// left as it is: long then.
func substitute(s string, variables map[string]string, limit int) (out, undefined string, long bool) {
	if !strings.Contains(s, "{$") {
		return s, "", false
	}
	var b strings.Builder
	for rest := s; ; {
		before, reference, ok := strings.Cut(rest, "{$")
		b.WriteString(before)
		if !ok {
			return b.String(), undefined, false
		}
		name, after, closed := strings.Cut(reference, "}")
		if !closed || !variableName(name) {
			b.WriteString("{$") // not a reference: it stands for itself
			rest = reference
			continue
		}
		value, known := variables[name]
		if !known && undefined == "" {
			undefined = name
		}
		if b.Len()+len(value) > limit {
			return s, undefined, true
		}
		b.WriteString(value)
		rest = after
	}
}
