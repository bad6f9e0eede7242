package playlist

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"weir/check/report"
)

// TestLexer: which lines say something, and what they say [RFC 8216bis 4.1].
func TestLexer(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       []line
		rules      string
	}{
		{"nothing", "", nil, ""},
		{"a tag without a value", "#EXTM3U", []line{{1, "EXTM3U", ""}}, ""},
		{"the value begins behind the first colon", "#EXT-X-KEY:URI=\"data:x\"", []line{{1, "EXT-X-KEY", `URI="data:x"`}}, ""},
		{"LF and CR LF end a line", "#EXTM3U\r\na.ts\nb.ts\r\n", []line{{1, "EXTM3U", ""}, {2, "", "a.ts"}, {3, "", "b.ts"}}, ""},
		{"blank lines and comments are numbered, and skipped", "\n#a comment\n# EXTINF\n  \na.ts", []line{{5, "", "a.ts"}}, ""},
		{"a comment begins with # and not with #EXT", "#ext-x-gap\n#EX\n#EXT", []line{{3, "EXT", ""}}, ""},
		{"unknown tags are tags", "#EXT-X-MINE:1", []line{{1, "EXT-X-MINE", "1"}}, ""},
		{"white space is taken off, and told", " a.ts ", []line{{1, "", "a.ts"}}, "M3U-WHITESPACE"},
		{"a CR alone is a control character", "a.ts\rb.ts", []line{{1, "", "a.ts\rb.ts"}}, "M3U-CONTROL"},
		{"NUL", "a\x00.ts", []line{{1, "", "a\x00.ts"}}, "M3U-CONTROL"},
		{"DEL", "a\x7f.ts", []line{{1, "", "a\x7f.ts"}}, "M3U-CONTROL"},
		{"U+0085 is one of Unicode", "a\u0085.ts", []line{{1, "", "a\u0085.ts"}}, "M3U-CONTROL"},
		{"U+00A0 is none", "a\u00a0.ts", []line{{1, "", "a\u00a0.ts"}}, ""},
		{"EXT-X-SKIP may hold tabs", "#EXT-X-SKIP:A=\"1\t2\"", []line{{1, "EXT-X-SKIP", "A=\"1\t2\""}}, ""},
		{"a byte order mark", "\uFEFF#EXTM3U", []line{{1, "EXTM3U", ""}}, "M3U-UTF8"},
		{"what is not UTF-8", "\xff.ts", []line{{1, "", "�.ts"}}, "M3U-UTF8"},
		{"UTF-8", "ä.ts", []line{{1, "", "ä.ts"}}, ""},
	} {
		var r report.Report
		var got []line
		lexer := newLexer("p", tt.text, &r)
		for l, ok := lexer.next(); ok; l, ok = lexer.next() {
			got = append(got, l)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
		if broken := rulesOf(&r); broken != tt.rules {
			t.Errorf("%s breaks %q, want %q", tt.name, broken, tt.rules)
		}
	}
}

// rulesOf are the rules that a report has, in order.
func rulesOf(r *report.Report) string {
	var ids []string
	for id := range r.Counts {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return strings.Join(ids, " ")
}

// TestAttributes: attribute lists as they are, and as they must not be
// [RFC 8216bis 4.2].
func TestAttributes(t *testing.T) {
	for _, tt := range []struct {
		text  string
		want  Attributes
		wrong string // in what is told
	}{
		{"", nil, ""},
		{"A=1", Attributes{{"A", "1", false}}, ""},
		{"A=1,B=2", Attributes{{"A", "1", false}, {"B", "2", false}}, ""},
		{`A="x,y=z"`, Attributes{{"A", "x,y=z", true}}, ""},
		{`A=""`, Attributes{{"A", "", true}}, ""},
		{"A=", Attributes{{"A", "", false}}, ""},
		{"A-1=x", Attributes{{"A-1", "x", false}}, ""},
		{"A=1, B=2", Attributes{{"A", "1", false}, {"B", "2", false}}, "white space before"},
		{"A=1,\tB=2", Attributes{{"A", "1", false}, {"B", "2", false}}, "white space before"},
		{"A", nil, "no = after A"},
		{"A=1,B", Attributes{{"A", "1", false}}, "no = after B"},
		{"a=1", nil, "the name a"},
		{"A_B=1", nil, "the name A_B"},
		{"=1", nil, "the name "},
		{"A=1,", Attributes{{"A", "1", false}}, "a comma at the end"},
		{`A="x`, nil, "no closing quote of A"},
		{`A="x"y`, Attributes{{"A", "x", true}}, "no comma after A"},
		{`A="x"B="y"`, Attributes{{"A", "x", true}}, "no comma after A"},
		{`A=x"y`, Attributes{{"A", `x"y`, false}}, ""}, // its type decides
	} {
		got, wrong := splitAttributes(tt.text)
		if !slices.Equal(got, tt.want) || (wrong == "") != (tt.wrong == "") || !strings.Contains(wrong, tt.wrong) {
			t.Errorf("%s: %v and %q, want %v and %q", tt.text, got, wrong, tt.want, tt.wrong)
		}
	}
	if got, wrong := splitAttributes(strings.Repeat("A=1,", MaxAttributes-1) + "A=1"); len(got) != MaxAttributes || wrong != "" {
		t.Errorf("%d attributes, the most there may be: %d, %q", MaxAttributes, len(got), wrong)
	}
	if got, wrong := splitAttributes(strings.Repeat("A=1,", MaxAttributes) + "A=1"); len(got) != MaxAttributes || wrong == "" {
		t.Errorf("one more than %d attributes: %d, %q", MaxAttributes, len(got), wrong)
	}
}

// TestAttributesComeBack: whatever names and values a list is written from, it
// is read as.
func TestAttributesComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var want Attributes
		var parts []string
		for range rapid.IntRange(0, 10).Draw(t, "attributes") {
			a := attribute{Name: rapid.StringMatching(`[A-Z0-9-]{1,12}`).Draw(t, "name"), quoted: rapid.Bool().Draw(t, "quoted")}
			if a.quoted {
				a.Value = rapid.StringMatching(`[^"\r\n]{0,12}`).Draw(t, "value")
				parts = append(parts, fmt.Sprintf(`%s="%s"`, a.Name, a.Value))
			} else {
				a.Value = rapid.StringMatching(`[^",\s]{1,12}`).Draw(t, "value")
				parts = append(parts, a.Name+"="+a.Value)
			}
			want = append(want, a)
		}
		got, wrong := splitAttributes(strings.Join(parts, ","))
		if wrong != "" || !slices.Equal(got, want) {
			t.Fatalf("%q: %v, %q; want %v", parts, got, wrong, want)
		}
		for _, a := range got {
			first := want[slices.IndexFunc(want, func(b attribute) bool { return b.Name == a.Name })]
			if v, ok := got.Get(a.Name); !ok || v != first.Value {
				t.Fatalf("%s is %q, %v, want the first of that name, %q", a.Name, v, ok, first.Value)
			}
		}
		if _, ok := got.Get("none"); ok || got.Value("none") != "" || got.Number("none") != 0 {
			t.Fatal("what is absent is there")
		}
	})
}

// TestSubstitute: variables in their place, and what only looks like one
// [RFC 8216bis 4.3].
func TestSubstitute(t *testing.T) {
	variables := map[string]string{"a": "1", "b-_9": "two", "empty": "", "nested": "{$a}"}
	for _, tt := range []struct {
		text, want, undefined string
		long                  bool
	}{
		{"x.ts", "x.ts", "", false},
		{"{$a}.ts", "1.ts", "", false},
		{"x{$a}{$a}y", "x11y", "", false},
		{"{$b-_9}", "two", "", false},
		{"{$empty}", "", "", false},
		{"{$nested}", "{$a}", "", false}, // a value is not looked at again
		{"{$none}x", "x", "none", false},
		{"{$none}{$other}", "", "none", false}, // the first one is told
		{"{$A}", "", "A", false},               // case counts
		{"{a}", "{a}", "", false},
		{"{$}", "{$}", "", false},
		{"{$a", "{$a", "", false},
		{"{$a b}", "{$a b}", "", false},
		{"{${$a}}", "{$1}", "", false},
		{"$a {", "$a {", "", false},
		{"{$b-_9}{$b-_9}{$b-_9}{$b-_9}", "{$b-_9}{$b-_9}{$b-_9}{$b-_9}", "", true}, // 12 bytes, of 10
	} {
		got, undefined, long := substitute(tt.text, variables, 10)
		if got != tt.want || undefined != tt.undefined || long != tt.long {
			t.Errorf("%s: %q, %q, %v; want %q, %q, %v", tt.text, got, undefined, long, tt.want, tt.undefined, tt.long)
		}
	}
}

// TestNames: of attributes A to Z, 0 to 9 and -; of variables letters of either
// case, 0 to 9, - and _ [RFC 8216bis 4.2, 4.4.2.3].
func TestNames(t *testing.T) {
	for _, tt := range []struct {
		name                string
		attribute, variable bool
	}{
		{"", false, false}, {"A", true, true}, {"Z-9", true, true}, {"a", false, true}, {"z_", false, true}, {"A B", false, false},
		{"Ä", false, false}, {"@", false, false}, {"[", false, false}, {"`", false, false}, {"{", false, false}, {"A.B", false, false},
		{"0", true, true}, {"-", true, true}, {"_", false, true}, {"\r", false, false}, {"\x10", false, false}, {"\x0d", false, false},
	} {
		if got := attributeName(tt.name); got != tt.attribute {
			t.Errorf("%q is a name of an attribute: %v", tt.name, got)
		}
		if got := variableName(tt.name); got != tt.variable {
			t.Errorf("%q is a name of a variable: %v", tt.name, got)
		}
	}
}

// TestUnescape: percent-encoding is undone where it is one [RFC 3986 2.1].
func TestUnescape(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "a": "a", "%41": "A", "a%20b": "a b", "%c3%a4": "ä", "%C3%A4": "ä", "%": "%", "%4": "%4", "%zz": "%zz", "100%": "100%", "%2541": "%41", "a+b": "a+b",
	} {
		if got := Unescape(text); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}

// TestQueryValue: EXT-X-DEFINE takes a parameter of the playlist's own URI
// [RFC 8216bis 4.4.2.3].
func TestQueryValue(t *testing.T) {
	for _, tt := range []struct {
		uri, name, want string
		ok              bool
	}{
		{"p.m3u8?a=1&b=2", "a", "1", true},
		{"p.m3u8?a=1&b=2", "b", "2", true},
		{"p.m3u8?a=1&a=2", "a", "1", true},
		{"p.m3u8?a=%31%20x", "a", "1 x", true},
		{"p.m3u8?a=", "a", "", true},
		{"p.m3u8?a", "a", "", false}, // it has no value
		{"p.m3u8?ab=1", "a", "", false},
		{"p.m3u8", "a", "", false},
		{"p.m3u8?a=1#?b=2", "b", "", false}, // what follows # is no query
		{"p.m3u8?a=b=c", "a", "b=c", true},
	} {
		if got, ok := queryValue(tt.uri, tt.name); got != tt.want || ok != tt.ok {
			t.Errorf("%s of %s is %q, %v; want %q, %v", tt.name, tt.uri, got, ok, tt.want, tt.ok)
		}
	}
}

// TestPath: a URI without what follows its path.
func TestPath(t *testing.T) {
	for uri, want := range map[string]string{"a.ts": "a.ts", "a.ts?b": "a.ts", "a.ts#c": "a.ts", "a.ts?b#c": "a.ts", "a.ts#c?b": "a.ts", "?": "", "": ""} {
		if got := Path(uri); got != want {
			t.Errorf("%q is %q, want %q", uri, got, want)
		}
	}
	for uri, want := range map[string]bool{"a.m4s": true, "a.mp4?x.ts": true, "a.cmfv": true, "a.cmfa#1": true, "a.m4a": true, "a.m4v": true, "a.ts": false, "a.ts?x.mp4": false, "mp4": false, "a.MP4": false} {
		if got := IsFragment(uri); got != want {
			t.Errorf("%q names fMP4: %v", uri, got)
		}
	}
}
