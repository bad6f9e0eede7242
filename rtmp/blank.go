package rtmp

import (
	"strings"
	"unicode/utf8"

	"weir/rtmp/amf"
)

// blank returns a server's text without the stream's name and query, which
// servers like to repeat and which are secrets.
func (c *Client) blank(v amf.Value) string {
	name, query, _ := strings.Cut(c.config.Name, "?")
	return blankOut(blankOut(asString(v), query), name)
}

// blankOut replaces a secret in a text: a short one where it stands by itself,
// as it may be within a word by chance.
func blankOut(text, secret string) string {
	const blank, short = "***", 8
	switch {
	case secret == "":
		return text
	case len(secret) >= short:
		return strings.ReplaceAll(text, secret, blank)
	}
	var b strings.Builder
	for from := 0; ; {
		i := strings.Index(text[from:], secret)
		if i < 0 {
			b.WriteString(text[from:])
			return b.String()
		}
		i += from
		end := i + len(secret)
		b.WriteString(text[from:i])
		if standsAlone(text[:i], text[end:]) {
			b.WriteString(blank)
		} else {
			b.WriteString(secret)
		}
		from = end
	}
}

// standsAlone tells whether what lies between two texts is not within a word.
func standsAlone(before, after string) bool {
	last, _ := utf8.DecodeLastRuneInString(before)
	next, _ := utf8.DecodeRuneInString(after)
	return !isLetter(last) && !isSign(last) && !isLetter(next) && !isSign(next)
}

func isLetter(r rune) bool { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' }

// isSign is for what names have beside letters.
func isSign(r rune) bool { return r >= '0' && r <= '9' || r == '-' || r == '_' }
