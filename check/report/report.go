// Package report has the table of the rules that HLS is checked by, and
// collects their breaches. A Report is what a user gets to see: it is bounded,
// can be printed whatever was read, and holds no query string.
package report

import (
	"fmt"
	"maps"
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
	return fmt.Errorf("read severity: %q is neither warning nor error", Clip(string(text), 20))
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

// ByID finds a rule by its name.
var ByID = func() map[string]Rule {
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

// MaxPerRule is how many findings of one rule a report keeps. All are counted.
const MaxPerRule = 100

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
		if ByID[id].Severity == s {
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

// Add records a breach.
func (r *Report) Add(rule, where string, line int, format string, args ...any) {
	if r.Counts == nil {
		r.Counts = map[string]int{}
	}
	r.Counts[rule]++
	if r.Counts[rule] > MaxPerRule {
		return
	}
	about := ByID[rule]
	text := fmt.Sprintf(format, args...)
	r.Findings = append(r.Findings, Finding{
		Rule: rule, Severity: about.Severity, Section: about.Section,
		Where: Display(where), Line: line, Text: Clip(text, 400),
	})
}

// Note records, once, what could not be looked at.
func (r *Report) Note(text string) {
	if !slices.Contains(r.Notes, text) {
		r.Notes = append(r.Notes, text)
	}
}

// Clone copies a report, so that more can be added to it.
func (r *Report) Clone() Report {
	out := *r
	out.Findings, out.Notes, out.Counts = slices.Clone(r.Findings), slices.Clone(r.Notes), maps.Clone(r.Counts)
	if out.Findings == nil {
		out.Findings = []Finding{}
	}
	if out.Counts == nil {
		out.Counts = map[string]int{}
	}
	return out
}

// Merge adds another report.
func (r *Report) Merge(o Report) {
	if r.Counts == nil {
		r.Counts = map[string]int{}
	}
	kept := map[string]int{}
	for _, f := range r.Findings {
		kept[f.Rule]++
	}
	for _, f := range o.Findings {
		if kept[f.Rule]++; kept[f.Rule] <= MaxPerRule {
			r.Findings = append(r.Findings, f)
		}
	}
	for rule, n := range o.Counts {
		r.Counts[rule] += n
	}
	for _, n := range o.Notes {
		r.Note(n)
	}
	r.Playlists += o.Playlists
	r.Segments += o.Segments
	r.Bytes += o.Bytes
	r.Seconds += o.Seconds
}

// Display cuts what may be a secret off a URI: the query and the user.
func Display(uri string) string {
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
	return Clip(uri, 200)
}

// Clip shortens what a hostile playlist made long, and makes it printable.
func Clip(s string, n int) string {
	s = strings.ToValidUTF8(s, "�")
	s = strings.Map(func(r rune) rune {
		if IsControl(r) {
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

// Func records a breach in a segment or a playlist.
type Func func(rule, format string, args ...any)

// LineFunc records a breach at a line of a playlist, 0 where there is none.
type LineFunc func(rule string, line int, format string, args ...any)

// IsControl tells whether a rune is a control character: U+0000 to U+001F and U+007F to U+009F.
func IsControl(r rune) bool { return r < 0x20 || r >= 0x7F && r <= 0x9F }
