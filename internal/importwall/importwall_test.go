package importwall

import (
	"cmp"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// rules are all rules, by name.
var rules = []struct {
	name  string
	check func(*tree) []finding
}{
	{"purity", purity},
	{"walls", walls},
	{"libraries", libraries},
	{"contexts", contexts},
	{"comments", comments},
	{"names", names},
	{"sizes", sizes},
	{"notes", notes},
	{"logs", logs},
	{"paths", paths},
}

// TestTree holds this checkout to every rule.
func TestTree(t *testing.T) {
	tr, err := load(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	if len(tr.code) < 10 {
		t.Fatalf("read %d Go files: that is not weir's source", len(tr.code))
	}
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			found := r.check(tr)
			slices.SortFunc(found, func(a, b finding) int {
				return cmp.Or(strings.Compare(a.path, b.path), a.line-b.line)
			})
			for _, f := range found {
				t.Error(f)
			}
		})
	}
	report(t, tr)
}

// report logs, for go test -v, the figures that style is judged by.
func report(t *testing.T, tr *tree) {
	var lengths []int
	var code, tests int
	for _, f := range tr.code {
		n := strings.Count(string(f.src), "\n")
		if f.test {
			tests += n
			continue
		}
		code += n
		for _, d := range functions(f) {
			lengths = append(lengths, tr.lines(d))
		}
	}
	t.Logf("%d lines of code, %d of tests; functions: p50 %d lines, p90 %d, max %d",
		code, tests, percentile(lengths, 50), percentile(lengths, 90), percentile(lengths, 100))
	cited, lines := citations(tr)
	for _, dir := range slices.Sorted(maps.Keys(lines)) {
		t.Logf("%-16s %4d lines, %.1f citations per 1000", dir, lines[dir], float64(cited[dir])*1000/float64(lines[dir]))
	}
}

// TestRules shows that each rule can fail, and that it says why; and that what
// the rules allow is allowed.
func TestRules(t *testing.T) {
	const doc = "// Package p is.\n"
	for _, tt := range []struct {
		rule, name string
		path       string // of the source
		src        string
		want       string // part of the finding; "" is none
	}{
		{"purity", "socket", "media/a.go", doc + "package p\nimport \"net/http\"", "media is pure and must not import net/http"},
		{"purity", "renamed import", "remux/flv/a.go", doc + "package p\nimport x \"log/slog\"", "must not import log/slog"},
		{"purity", "locks", "rtmp/a.go", doc + "package p\nimport \"sync/atomic\"", "own the value"},
		{"purity", "randomness", "check/a.go", doc + "package p\nimport \"math/rand/v2\"", "take the randomness as a parameter"},
		{"purity", "tests may", "media/a_test.go", doc + "package p\nimport \"os\"", ""},
		{"purity", "name that only begins alike", "media/a.go", doc + "package p\nimport \"network\"", ""},
		{"purity", "stages may", "ingest/a.go", doc + "package p\nimport \"net\"", ""},
		{"purity", "context for astits", "remux/mpegts/a.go", doc + "package p\nimport \"context\"", ""},
		{"purity", "context elsewhere", "remux/flv/a.go", doc + "package p\nimport \"context\"", "do not block"},
		{"purity", "clock", "media/a.go", doc + "package p\nimport \"time\"\nvar n = time.Now()", "must not use time.Now"},
		{"purity", "clock as a value", "media/a.go", doc + "package p\nimport \"time\"\nvar now = time.Now", "take now as a parameter"},
		{"purity", "clock under another name", "media/a.go", doc + "package p\nimport c \"time\"\nvar d = c.Since(c.Time{})", "must not use time.Since"},
		{"purity", "durations are no clock", "media/a.go", doc + "package p\nimport \"time\"\nvar d = time.Second", ""},
		{"purity", "goroutine", "remux/flv/a.go", doc + "package p\nfunc f() { go f() }", "must not start a goroutine"},

		{"walls", "stage imports stage", "segmenter/a.go", doc + "package p\nimport \"weir/bus\"", "stages share only the vocabularies"},
		{"walls", "check is a stage too", "check/a.go", doc + "package p\nimport \"weir/storage\"", "stages share only"},
		{"walls", "stage's test imports stage", "bus/a_test.go", doc + "package p\nimport \"weir/ingest\"", "bus must not import ingest"},
		{"walls", "test uses the memory store", "segmenter/a_test.go", doc + "package p\nimport \"weir/storage\"", ""},
		{"walls", "vocabulary imports stage", "media/object/a.go", doc + "package p\nimport \"weir/storage\"", "a vocabulary knows no stage"},
		{"walls", "media imports remux", "media/a.go", doc + "package p\nimport \"weir/remux/flv\"", "media must not import remux/flv"},
		{"walls", "stage imports the command", "origin/a.go", doc + "package p\nimport \"weir/cmd/weir\"", "no room knows it"},
		{"walls", "code imports test support", "cmd/weir/a.go", doc + "package main\nimport \"weir/internal/testmedia\"", "it does not ship"},
		{"walls", "test imports test support", "cmd/weir/a_test.go", doc + "package main\nimport \"weir/internal/testmedia\"", ""},
		{"walls", "new room", "shared/a.go", doc + "package p", "is in no room"},
		{"walls", "second command", "cmd/tool/a.go", doc + "package main", "is in no room"},
		{"walls", "command knows all", "cmd/weir/a.go", doc + "package main\nimport (\n\"weir/bus\"\n\"weir/rtmp\"\n\"weir/media\"\n)", ""},
		{"walls", "stage knows vocabularies", "bus/a.go", doc + "package p\nimport (\n\"weir/media/framelog\"\n\"weir/remux/flv\"\n)", ""},

		{"walls", "protocol knows the listener", "rtmp/a.go", doc + "package p\nimport \"weir/ingest\"", "a vocabulary knows no stage"},

		{"libraries", "NATS outside of bus", "ingest/a.go", doc + "package p\nimport \"github.com/nats-io/nats.go\"", "only bus talks NATS"},
		{"libraries", "NATS in a test", "origin/a_test.go", doc + "package p\nimport \"github.com/nats-io/nats.go\"", "only bus talks NATS"},
		{"libraries", "NATS in bus", "bus/a.go", doc + "package p\nimport \"github.com/nats-io/nats.go/jetstream\"", ""},
		{"libraries", "S3 outside of storage", "origin/a.go", doc + "package p\nimport \"github.com/aws/aws-sdk-go-v2/aws\"", "only storage talks S3"},
		{"libraries", "astits elsewhere", "check/a.go", doc + "package p\nimport \"github.com/asticode/go-astits\"", "only remux/mpegts"},
		{"libraries", "astits reads in tests", "segmenter/a_test.go", doc + "package p\nimport \"github.com/asticode/go-astits\"", ""},
		{"libraries", "playlists elsewhere", "origin/a.go", doc + "package p\nimport \"github.com/grafov/m3u8\"", "only hls writes playlists"},
		{"libraries", "media has no library", "media/a.go", doc + "package p\nimport \"github.com/google/go-cmp/cmp\"", "it is for tests"},
		{"libraries", "pure code counts nothing", "remux/flv/a.go", doc + "package p\nimport \"github.com/prometheus/client_golang/prometheus\"", "metrics are counted by the stages"},
		{"libraries", "unknown module", "origin/a.go", doc + "package p\nimport \"example.com/x\"", "add who may import it, and why"},

		{"contexts", "kept", "bus/a.go", doc + "package p\nimport \"context\"\ntype T struct{ ctx context.Context }", "must not hold a context.Context"},
		{"contexts", "passed", "bus/a.go", doc + "package p\nimport \"context\"\ntype T struct{ f func(context.Context) }", ""},

		{"comments", "none", "bus/a.go", "package p", "has no comment that begins \"Package p\""},
		{"comments", "another package's", "bus/a.go", "// Package q is.\npackage p", "has no comment"},
		{"comments", "a command's", "cmd/weir/a.go", "// Weir takes live video in.\npackage main", ""},

		{"names", "file", "bus/kv_helpers.go", doc + "package p", "kv_helpers.go says nothing"},
		{"names", "directory", "bus/util/a.go", doc + "package p", "util says nothing"},
		{"names", "type", "bus/a.go", doc + "package p\ntype SessionManager struct{}", "SessionManager says nothing"},
		{"names", "unexported type", "bus/a.go", doc + "package p\ntype helper struct{}", "helper says nothing"},
		{"names", "word within a word", "bus/a.go", doc + "package p\ntype Utility struct{}", ""},

		{"sizes", "file", "bus/a.go", doc + "package p\n" + strings.Repeat("\n", 450), "more than 450 lines"},
		{"sizes", "function", "bus/a.go", doc + "package p\nfunc f() {\n" + strings.Repeat("\n", 80) + "}", "f has 82 lines"},
		{"sizes", "p90", "bus/a.go", doc + "package p\nfunc f() {\n" + strings.Repeat("\n", 50) + "}", "90th percentile"},
		{"sizes", "tests are free", "bus/a_test.go", doc + "package p\nfunc f() {\n" + strings.Repeat("\n", 700) + "}", ""},
		{"sizes", "generated code is free", "bus/a.go", "// Code generated by x. DO NOT EDIT.\n\n" + doc + "package p\nfunc f() {\n" + strings.Repeat("\n", 700) + "}", ""},

		{"notes", "silenced linter", "bus/a.go", doc + "package p\nvar x = 1 //" + "nolint:all", "silence no linter"},
		{"notes", "postponed work", "bus/a_test.go", doc + "package p\n// " + "TO" + "DO: later", "leave no note to oneself"},
		{"notes", "words in strings", "bus/a.go", doc + "package p\nvar x = \"" + "TO" + "DO\"", ""},

		{"logs", "an error's key", "bus/a.go", doc + "package p\nfunc f() { log.Warn(\"x\", \"stream\", s, \"error\", err) }", "an error's key in the log is err"},
		{"logs", "not a log", "rtmp/a.go", doc + "package p\nfunc f() { status(\"error\", code) }", ""},

		{"paths", "in prose", "docs/a.md", "see /wo" + "rk/shared/x", "a path of the author's machine"},
		{"paths", "in code", "bus/a.go", doc + "package p\nvar x = \"/ro" + "ot/.cache\"", "a path of the author's machine"},
		{"paths", "inside of another path", "docs/a.md", "https://example.org/wo" + "rk/x and ./wo" + "rk/y", ""},
		{"paths", "in a nested module", "internal/tools/a.sh", "cd /wo" + "rk/x", "a path of the author's machine"},
	} {
		t.Run(tt.rule+"/"+tt.name, func(t *testing.T) {
			tr, err := load(fstest.MapFS{
				tt.path:                 {Data: []byte(tt.src)},
				"internal/tools/go.mod": {Data: []byte("module weir/internal/tools\n")},
			})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range ruleNamed(t, tt.rule)(tr) {
				got = append(got, f.String())
			}
			all := strings.Join(got, "\n")
			if tt.want == "" && all != "" {
				t.Errorf("found %s\nwant nothing", all)
			}
			if !strings.Contains(all, tt.want) || tt.want != "" && all == "" {
				t.Errorf("found %q, want it to say %q", all, tt.want)
			}
		})
	}
}

func ruleNamed(t *testing.T, name string) func(*tree) []finding {
	for _, r := range rules {
		if r.name == name {
			return r.check
		}
	}
	t.Fatalf("no rule %q", name)
	return nil
}

// TestLoad: nested modules and ignored directories are not ours to judge as
// Go, and source that does not parse is an error, not a pass.
func TestLoad(t *testing.T) {
	tr, err := load(fstest.MapFS{
		"go.mod":                {Data: []byte("module weir\n")},
		"media/a.go":            {Data: []byte("package media")},
		"media/testdata/x.go":   {Data: []byte("not Go")},
		"media/clip.flv":        {Data: []byte("FLV\x01\x05\x00")},
		"internal/tools/go.mod": {Data: []byte("module weir/internal/tools\n")},
		"internal/tools/x/a.go": {Data: []byte("package x")},
		"bin/a.go":              {Data: []byte("package bin")},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(tr.code) != 1 || tr.code[0].path != "media/a.go" {
		t.Errorf("read %d Go files, want media/a.go alone", len(tr.code))
	}
	if len(tr.text) != 5 {
		t.Errorf("read %d text files, want 5: all but the clip and bin", len(tr.text))
	}
	if _, err := load(fstest.MapFS{"media/a.go": {Data: []byte("package")}}); err == nil {
		t.Error("source that does not parse loads without an error")
	}
}
