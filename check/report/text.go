package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// maxPlaces is how many places of one rule the text lists.
const maxPlaces = 3

// WriteText writes the report for people: what is wrong, grouped by rule,
// errors first, with what to do.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	ids := make([]string, 0, len(r.Counts))
	for id := range r.Counts {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b string) int {
		if x, y := ByID[a].Severity, ByID[b].Severity; x != y {
			return int(y) - int(x)
		}
		return strings.Compare(a, b)
	})
	for _, id := range ids {
		r.writeRule(&b, ByID[id])
	}
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "note: %s\n", n)
	}
	fmt.Fprintf(&b, "%s, %s in %s, %s (%s of media, %.1f MB)\n",
		plural(r.Errors(), "error"), plural(r.Warnings(), "warning"), plural(r.Playlists, "playlist"), plural(r.Segments, "segment"), clock(r.Seconds), float64(r.Bytes)/1e6)
	_, err := io.WriteString(w, b.String())
	return err
}

// writeRule writes one rule and the places where it is broken.
func (r *Report) writeRule(b *strings.Builder, rule Rule) {
	fmt.Fprintf(b, "%s %s: %s [%s]\n", rule.Severity, rule.ID, rule.Text, rule.Section)
	shown := 0
	for _, f := range r.Findings {
		if f.Rule != rule.ID {
			continue
		}
		if shown++; shown > maxPlaces {
			break
		}
		where := f.Where
		if f.Line > 0 {
			where = fmt.Sprintf("%s:%d", where, f.Line)
		}
		fmt.Fprintf(b, "    %s: %s\n", where, f.Text)
	}
	if more := r.Counts[rule.ID] - maxPlaces; more > 0 {
		fmt.Fprintf(b, "    and %d more\n", more)
	}
	fmt.Fprintf(b, "  → %s\n\n", rule.Advice)
}

// plural counts things.
func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// clock is seconds as h:mm:ss.
func clock(s float64) string {
	n := int64(s + 0.5)
	return fmt.Sprintf("%d:%02d:%02d", n/3600, n/60%60, n%60)
}

// WriteRules writes the table of rules in Markdown, as in the documentation.
func WriteRules(w io.Writer) error {
	var b strings.Builder
	b.WriteString("| rule | severity | section | what holds |\n|---|---|---|---|\n")
	for _, r := range Rules() {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", r.ID, r.Severity, r.Section, r.Text)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
