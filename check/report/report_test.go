package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// TestAdd: all breaches are counted, a hundred of a rule are kept.
func TestAdd(t *testing.T) {
	var r Report
	for i := range 250 {
		r.Add("M3U-GAP", "p.m3u8", i, "gap %d", i)
	}
	r.Add("M3U-KIND", "q.m3u8", 0, "what")
	if r.Counts["M3U-GAP"] != 250 || len(r.Findings) != MaxPerRule+1 || r.Warnings() != 250 || r.Errors() != 1 {
		t.Errorf("%d counted, %d kept, %d warnings, %d errors", r.Counts["M3U-GAP"], len(r.Findings), r.Warnings(), r.Errors())
	}
	f := r.Findings[1]
	if f.Rule != "M3U-GAP" || f.Severity != Warning || f.Section == "" || f.Line != 1 || f.Text != "gap 1" || f.Where != "p.m3u8" {
		t.Errorf("%+v", f)
	}
	if !r.Has("M3U-KIND") || r.Has("M3U-EMPTY") {
		t.Error("what a report has, and has not")
	}
}

// TestErr: an error holds the errors, and no warning.
func TestErr(t *testing.T) {
	var r Report
	r.Add("M3U-GAP", "p.m3u8", 3, "lost")
	if err := r.Err(); err != nil {
		t.Errorf("of warnings: %v", err)
	}
	r.Add("M3U-KIND", "p.m3u8", 0, "what is it")
	if err := r.Err(); err == nil || err.Error() != "1 breaches of HLS rules:\nerror M3U-KIND p.m3u8: what is it" {
		t.Errorf("%v", err)
	}
}

// TestMerge: what two reports found together, bounded as one.
func TestMerge(t *testing.T) {
	one := func(n int) (r Report) {
		for i := range n {
			r.Add("M3U-GAP", "p", i, "x")
		}
		r.Note("a note")
		r.Playlists, r.Segments, r.Bytes, r.Seconds = 1, 2, 3, 4
		return r
	}
	var all Report
	all.Merge(one(70))
	all.Merge(one(70))
	if all.Counts["M3U-GAP"] != 140 || len(all.Findings) != MaxPerRule || len(all.Notes) != 1 || all.Playlists != 2 || all.Segments != 4 || all.Bytes != 6 || all.Seconds != 8 {
		t.Errorf("%d counted, %d kept, notes %v, %d playlists", all.Counts["M3U-GAP"], len(all.Findings), all.Notes, all.Playlists)
	}
}

// TestClone: what is added to a copy is not in the original, and a copy of
// nothing is empty lists, not null, in JSON.
func TestClone(t *testing.T) {
	var r Report
	c := r.Clone()
	c.Add("M3U-GAP", "p", 0, "x")
	c.Note("n")
	if len(r.Findings)+len(r.Counts)+len(r.Notes) > 0 {
		t.Errorf("the original has %+v", r)
	}
	b, err := json.Marshal(r.Clone())
	if err != nil || !strings.Contains(string(b), `"findings":[],"counts":{}`) {
		t.Errorf("%s, %v", b, err)
	}
}

// TestDisplay: no query, no user, no password, and nothing long.
func TestDisplay(t *testing.T) {
	for uri, want := range map[string]string{
		"p.m3u8":                                "p.m3u8",
		"p.m3u8?token=secret":                   "p.m3u8?…",
		"https://example.com/p.m3u8":            "https://example.com/p.m3u8",
		"https://u:secret@example.com/p":        "https://example.com/p",
		"https://u:se@cret@example.com/p?a":     "https://example.com/p?…",
		"https://example.com/p@q":               "https://example.com/p@q",
		"https://example.com?secret":            "https://example.com?…",
		"":                                      "",
		"a\nb":                                  "a�b",
		"https://example.com/" + long('x', 300): "https://example.com/" + long('x', 180) + "…",
	} {
		if got := Display(uri); got != want {
			t.Errorf("%q is shown as %q, want %q", uri, got, want)
		}
	}
}

func long(c byte, n int) string { return strings.Repeat(string(c), n) }

// TestClip: shortened at a character, printable, and as it was where it may.
func TestClip(t *testing.T) {
	for _, tt := range []struct {
		text string
		n    int
		want string
	}{
		{"abc", 3, "abc"}, {"abcd", 3, "abc…"}, {"", 0, ""}, {"ä", 1, "…"}, {"äb", 2, "ä…"}, {"aä", 2, "a…"},
		{"a\x1b[31mb", 20, "a�[31mb"}, {"a\u009bb", 20, "a�b"}, {"\xff", 9, "�"}, {"a\u00a0b", 9, "a\u00a0b"},
	} {
		if got := Clip(tt.text, tt.n); got != tt.want {
			t.Errorf("%q to %d is %q, want %q", tt.text, tt.n, got, tt.want)
		}
	}
	for r, want := range map[rune]bool{0: true, 0x1F: true, 0x20: false, 0x7E: false, 0x7F: true, 0x9F: true, 0xA0: false} {
		if got := IsControl(r); got != want {
			t.Errorf("U+%04X is a control character: %v", r, got)
		}
	}
}

// TestSeverity: there and back in JSON, and nothing else.
func TestSeverity(t *testing.T) {
	for _, s := range []Severity{Warning, Error} {
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var got Severity
		if err := json.Unmarshal(b, &got); err != nil || got != s {
			t.Errorf("%s came back as %v, %v", b, got, err)
		}
	}
	for _, text := range []string{`""`, `"Error"`, `"fatal"`, `1`} {
		if err := json.Unmarshal([]byte(text), new(Severity)); err == nil {
			t.Errorf("%s was read", text)
		}
	}
	if got := Severity(9).String(); got != "unknown" {
		t.Errorf("%s", got)
	}
}

// TestWriteText: one line of each kind, sums in words that agree.
func TestWriteText(t *testing.T) {
	for _, tt := range []struct {
		r    Report
		want string
	}{
		{Report{}, "0 errors, 0 warnings in 0 playlists, 0 segments (0:00:00 of media, 0.0 MB)\n"},
		{Report{Playlists: 1, Segments: 1, Seconds: 3661.5, Bytes: 1_250_000}, "0 errors, 0 warnings in 1 playlist, 1 segment (1:01:02 of media, 1.2 MB)\n"},
		{Report{Notes: []string{"not seen"}}, "note: not seen\n0 errors, 0 warnings in 0 playlists, 0 segments (0:00:00 of media, 0.0 MB)\n"},
	} {
		var b bytes.Buffer
		if err := tt.r.WriteText(&b); err != nil || b.String() != tt.want {
			t.Errorf("%q, %v; want %q", &b, err, tt.want)
		}
	}
	if err := new(Report).WriteText(failing{}); err == nil {
		t.Error("what could not be written is not told")
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, fmt.Errorf("full") }

// TestRulesByID: each rule is found by its name, and by no other.
func TestRulesByID(t *testing.T) {
	for _, r := range Rules() {
		if ByID[r.ID] != r {
			t.Errorf("%s is found as %+v", r.ID, ByID[r.ID])
		}
	}
	if len(ByID) != len(Rules()) {
		t.Errorf("%d names of %d rules", len(ByID), len(Rules()))
	}
}
