// Package check tells whether an HLS presentation keeps the rules: playlists,
// segments and, while it is live, its history. Bytes go in, findings come
// out; fetching and waiting are the caller's.
//
// The rules are those of RFC 8216 in its second edition
// (draft-pantos-hls-rfc8216bis, version 22; sections are numbered as there),
// of Apple's HLS Authoring Specification, and of ISO/IEC 13818-1 for the
// transport stream below. Rules lists them.
//
// Directory checks what lies in a file system; a Checker is fed by hand, and
// watches a live presentation; a Live watches one media playlist.
package check

import (
	"fmt"
	"slices"
	"strings"
)

// Severity tells a breach from an imperfection.
type Severity uint8

// The severities.
const (
	// Warning is a breach of a SHOULD, or of an authoring rule.
	Warning Severity = iota + 1
	// Error is a breach of a MUST, or a broken transport stream: some player
	// fails on it.
	Error
)

// String returns "warning" or "error".
func (s Severity) String() string {
	switch s {
	case Warning:
		return "warning"
	case Error:
		return "error"
	}
	return "unknown"
}

// MarshalText makes a severity readable in JSON.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (s *Severity) UnmarshalText(text []byte) error {
	for _, v := range []Severity{Warning, Error} {
		if string(text) == v.String() {
			*s = v
			return nil
		}
	}
	return fmt.Errorf("read severity: %q is neither warning nor error", clip(string(text), 20))
}

// Rule is one thing that is checked.
type Rule struct {
	// ID names the rule for good: M3U- a playlist, MVP- a multivariant
	// playlist, REN- renditions side by side, LL- low latency, LIVE- the
	// history of a playlist, OBJ- delivery, SEG- a segment against its
	// playlist and its neighbours, TS- transport streams, MP4- fragmented
	// MP4, AUD- packed audio, VTT- WebVTT.
	ID       string   `json:"id"`
	Section  string   `json:"section"`
	Severity Severity `json:"severity"`
	// Text is the rule in one sentence.
	Text string `json:"text"`
	// Advice says what to do about it.
	Advice string `json:"advice"`
}

// Rules returns every rule, grouped as in the documentation.
func Rules() []Rule {
	return slices.Concat(playlistRules, mediaRules, multivariantRules, lowLatencyRules, historyRules, deliveryRules, segmentRules, streamRules)
}

// rulesByID finds a rule by its name.
var rulesByID = func() map[string]Rule {
	m := map[string]Rule{}
	for _, r := range Rules() {
		m[r.ID] = r
	}
	return m
}()

// Finding is one breach of one rule in one place.
type Finding struct {
	Rule     string   `json:"rule"`
	Severity Severity `json:"severity"`
	Section  string   `json:"section"`
	// Where is the playlist or the segment, without its query string, which
	// may hold a secret.
	Where string `json:"where"`
	// Line is the line of the playlist, from 1; 0 where there is none.
	Line int `json:"line,omitempty"`
	// Text says what was found.
	Text string `json:"text"`
}

// maxPerRule is how many findings of one rule a report keeps. All are counted.
const maxPerRule = 100

// Report is what a check found.
type Report struct {
	// Findings holds at most 100 of each rule, in the order they were made.
	Findings []Finding `json:"findings"`
	// Counts is how often each rule was broken.
	Counts map[string]int `json:"counts"`
	// Notes say what was not looked at, and why.
	Notes []string `json:"notes,omitempty"`
	// Playlists, Segments and Bytes are what was read, Seconds the media time
	// of the segments.
	Playlists int     `json:"playlists"`
	Segments  int     `json:"segments"`
	Bytes     int64   `json:"bytes"`
	Seconds   float64 `json:"seconds"`
}

// Errors counts the breaches of MUSTs.
func (r *Report) Errors() int { return r.count(Error) }

// Warnings counts the rest.
func (r *Report) Warnings() int { return r.count(Warning) }

func (r *Report) count(s Severity) (n int) {
	for id, c := range r.Counts {
		if rulesByID[id].Severity == s {
			n += c
		}
	}
	return n
}

// Has tells whether a rule was broken.
func (r *Report) Has(rule string) bool { return r.Counts[rule] > 0 }

// Err is nil where no error was found, warnings aside; else it holds the
// errors, for a test to fail with.
func (r *Report) Err() error {
	if r.Errors() == 0 {
		return nil
	}
	var b strings.Builder
	for _, f := range r.Findings {
		if f.Severity == Error {
			fmt.Fprintf(&b, "\n%s", f)
		}
	}
	return fmt.Errorf("%d breaches of HLS rules:%s", r.Errors(), b.String())
}

// String is a finding on one line.
func (f Finding) String() string {
	where := f.Where
	if f.Line > 0 {
		where = fmt.Sprintf("%s:%d", where, f.Line)
	}
	return fmt.Sprintf("%s %s %s: %s", f.Severity, f.Rule, where, f.Text)
}

// add records a breach.
func (r *Report) add(rule, where string, line int, format string, args ...any) {
	if r.Counts == nil {
		r.Counts = map[string]int{}
	}
	r.Counts[rule]++
	if r.Counts[rule] > maxPerRule {
		return
	}
	about := rulesByID[rule]
	text := fmt.Sprintf(format, args...)
	r.Findings = append(r.Findings, Finding{
		Rule: rule, Severity: about.Severity, Section: about.Section,
		Where: display(where), Line: line, Text: clip(text, 400),
	})
}

// note records, once, what could not be looked at.
func (r *Report) note(text string) {
	if !slices.Contains(r.Notes, text) {
		r.Notes = append(r.Notes, text)
	}
}

// display cuts what may be a secret off a URI: the query and the user.
func display(uri string) string {
	uri, _, cut := strings.Cut(uri, "?")
	if scheme, rest, ok := strings.Cut(uri, "://"); ok {
		host, path, _ := strings.Cut(rest, "/")
		if i := strings.LastIndexByte(host, '@'); i >= 0 {
			uri = scheme + "://" + host[i+1:] + "/" + path
		}
	}
	if cut {
		uri += "?…"
	}
	return clip(uri, 200)
}

// clip shortens what a hostile playlist made long, and makes it printable.
func clip(s string, n int) string {
	s = strings.ToValidUTF8(s, "�")
	s = strings.Map(func(r rune) rune {
		if isControl(r) {
			return '�'
		}
		return r
	}, s)
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xC0 == 0x80 {
		n--
	}
	return s[:n] + "…"
}

// isControl: U+0000 to U+001F and U+007F to U+009F.
func isControl(r rune) bool { return r < 0x20 || r >= 0x7F && r <= 0x9F }
