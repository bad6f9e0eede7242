package check

import (
	"bytes"
	"flag"
	"os"
	"strings"
	"testing"

	"weir/check/report"
)

var update = flag.Bool("update", false, "rewrite the table of rules in docs/check.md")

// TestDocumentation: the table in docs/check.md is that of the code.
func TestDocumentation(t *testing.T) {
	const file, mark = "../docs/check.md", "-update writes what follows -->\n"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, table, ok := strings.Cut(string(text), mark)
	if !ok {
		t.Fatalf("%s has no mark where the table begins", file)
	}
	var want bytes.Buffer
	want.WriteString("\n")
	if err := report.WriteRules(&want); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(file, []byte(head+mark+want.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if table != want.String() {
		t.Errorf("%s is behind the code: go test ./check -run TestDocumentation -update", file)
	}
}

// TestText: the report for people is grouped by rule, errors first, says what
// to do, and does not list a hundred places.
func TestText(t *testing.T) {
	r := one(strings.ReplaceAll(edit(live, "#EXT-X-PROGRAM-DATE-TIME:2026-11-21T10:00:00.000Z\n", "", "#EXT-X-PROGRAM-DATE-TIME:2026-11-21T10:00:06.500Z\n", ""), "EXTINF:2.000", "EXTINF:3.000"))
	var b bytes.Buffer
	if err := r.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	const want = `error M3U-TARGETDURATION: No EXTINF, rounded to the nearest integer, exceeds EXT-X-TARGETDURATION. [RFC 8216bis 4.4.3.1]
    p.m3u8:7: EXTINF:3.000 rounds to 3, EXT-X-TARGETDURATION is 2
    p.m3u8:9: EXTINF:3.000 rounds to 3, EXT-X-TARGETDURATION is 2
    p.m3u8:11: EXTINF:3.000 rounds to 3, EXT-X-TARGETDURATION is 2
    and 3 more
  → Raise EXT-X-TARGETDURATION before the first segment goes out (it must not change later), or cut shorter.

warning M3U-PDT-MISSING: A live playlist has EXT-X-PROGRAM-DATE-TIME. [Authoring 8.4]
    p.m3u8: no segment has EXT-X-PROGRAM-DATE-TIME
  → Write the wall clock of the first segment at least.

6 errors, 1 warning in 1 playlist, 0 segments (0:00:00 of media, 0.0 MB)
`
	if b.String() != want {
		t.Errorf("the text is\n%s\nwant\n%s", &b, want)
	}
}
