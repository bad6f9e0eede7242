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
// watches a live presentation.
//
// Where to change what:
//
//   - check/playlist: what one playlist says, and what holds for it alone
//     (M3U-, MVP- and LL-rules)
//   - check/stream: what the bytes of one segment are (TS-, MP4-, AUD- and
//     VTT-rules, and those SEG-rules that need nothing but the segment)
//   - check/history: what holds between two versions of a playlist (LIVE-)
//   - check itself: what is fetched next; segments against their playlist and
//     their neighbours (timeline.go, rendition.go: SEG-), renditions against
//     each other and what is declared (presentation.go: REN-, SEG-), how
//     objects came (delivery.go: OBJ-)
//   - check/report: the table of all rules, and what collects their breaches
package check

import (
	"io"

	"weir/check/report"
)

// What a check found: a Report, with a Finding for each breach of a Rule.
type (
	// Report is what a check found.
	Report = report.Report
	// Finding is one breach of a Rule.
	Finding = report.Finding
	// Rule is what HLS has to be like, and who says so.
	Rule = report.Rule
	// Severity is how bad a breach is.
	Severity = report.Severity
)

// The severities.
const (
	Warning = report.Warning
	Error   = report.Error
)

// Rules returns every rule, grouped as in the documentation.
func Rules() []Rule { return report.Rules() }

// WriteRules writes the table of rules in Markdown, as in the documentation.
func WriteRules(w io.Writer) error { return report.WriteRules(w) }
