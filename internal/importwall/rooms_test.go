package importwall

import (
	"go/ast"
	"path"
	"slices"
	"strings"
)

// pure are the rooms without a world: they take bytes, frames and the time,
// and return values.
var pure = []string{"media", "remux", "rtmp", "hls", "check"}

// world are the imports that no pure room has, with what to do instead.
var world = []struct{ path, instead string }{
	{"net", "take bytes, the caller has the socket"},
	{"os", "take bytes or an io.Reader, the caller has the file"},
	{"syscall", "take bytes, the caller has the handle"},
	{"context", "do not block: return, and let the caller wait"},
	{"sync", "let one goroutine, the caller's, own the value"},
	{"log", "return an error or an event, the caller logs"},
	{"math/rand", "take the randomness as a parameter: the same input makes the same bytes"},
	{"crypto/rand", "take the randomness as a parameter: the same input makes the same bytes"},
	{"golang.org/x/sync", "let one goroutine, the caller's, own the value"},
}

// worldExceptions are the imports of world that one room may have.
var worldExceptions = []struct{ room, path, why string }{
	{"remux/mpegts", "context", "the constructor of go-astits asks for one"},
}

// clock are the functions of package time that read the clock or wait on it.
var clock = map[string]bool{
	"Now": true, "Since": true, "Until": true, "Sleep": true, "After": true,
	"AfterFunc": true, "Tick": true, "NewTimer": true, "NewTicker": true,
}

// stages stand side by side on the bus or the store. None knows another.
var stages = []string{"auth", "endpoint", "ingest", "bus", "segmenter", "storage", "origin", "api", "check"}

// vocabularies are what stages may share.
var vocabularies = []string{"media", "remux", "rtmp", "hls"}

// rooms are the top-level rooms and what each may import of our own, itself
// aside. A new room is made only for a new stage, or a tool of its own.
var rooms = map[string][]string{
	"media":     nil,
	"remux":     {"media"},
	"rtmp":      {"media", "remux/flv"},
	"hls":       {"media", "remux"},
	"auth":      vocabularies,
	"endpoint":  vocabularies,
	"ingest":    vocabularies,
	"bus":       vocabularies,
	"segmenter": vocabularies,
	"storage":   vocabularies,
	"origin":    vocabularies,
	"api":       vocabularies,
	"check":     vocabularies,
	"internal":  vocabularies,
	"bench":     append(slices.Clone(vocabularies), "check"),
	"cmd/weir":  slices.Concat(stages, vocabularies, []string{"bench"}),
	// It sends what encoders send through ingest and the cutter.
	"internal/inputs": append([]string{"ingest", "check", "internal"}, vocabularies...),
	// It runs weir from outside, and looks at the log and the objects itself.
	"internal/testweir": append([]string{"bus", "check", "internal"}, vocabularies...),
}

// modules are others' modules, and who may import them. A module without a
// line here is imported by nobody.
var modules = []struct {
	prefix string
	ships  []string // rooms whose shipped code may import it
	tests  []string // rooms whose tests may import it too; "" is every room
	why    string
}{
	{"github.com/nats-io/", []string{"bus", "internal/testweir"}, nil, "only bus talks NATS: another log is then a change of one room"},
	{"github.com/aws/", []string{"storage", "internal/testweir"}, []string{"internal/e2e"}, "only storage talks S3: other stages see put, get and list"},
	{"github.com/asticode/go-asti", []string{"remux/mpegts"}, []string{""}, "only remux/mpegts knows the library below it: its traps are fenced in there"},
	{"github.com/grafov/m3u8", []string{"hls"}, []string{""}, "only hls writes playlists: its traps are fenced in there"},
	{"github.com/alecthomas/kong", []string{"cmd/weir"}, nil, "only cmd/weir has a command line: stages take a Config"},
	{"github.com/prometheus/", []string{"endpoint", "ingest", "segmenter", "origin", "cmd/weir"}, []string{""}, "metrics are counted by the stages, never by pure code"},
	{"golang.org/x/crypto", []string{"rtmp"}, nil, "RTMPE signs with ciphers that the standard library does not have"},
	{"golang.org/x/sync", []string{"segmenter", "origin", "cmd/weir"}, []string{""}, "goroutines belong to stages"},
	{"golang.org/x/sys", []string{"storage"}, []string{""}, "only storage asks the kernel for more than package os has: locks and attributes of files"},
	{"github.com/pires/go-proxyproto", []string{"endpoint"}, nil, "who connects is told by endpoint, however many proxies are before it"},
	{"github.com/standard-webhooks/", nil, []string{"auth"}, "it is for tests: what weir signs, others verify"},
	{"github.com/go-jose/", []string{"auth"}, nil, "only auth reads signed tokens"},
	{"github.com/google/go-cmp", nil, []string{""}, "it is for tests"},
	{"github.com/santhosh-tekuri/jsonschema", nil, []string{"api"}, "it is for tests"},
	{"github.com/coder/websocket", nil, []string{"internal"}, "it is for tests: OBS is led by it"},
	{"github.com/chromedp/", []string{"internal"}, []string{""}, "it is for tests"},
	{"go.uber.org/goleak", nil, []string{""}, "it is for tests"},
	{"pgregory.net/rapid", nil, []string{""}, "it is for tests"},
}

// purity: no import of the world, no clock, no goroutine in a pure room.
// Tests may have all of them.
func purity(t *tree) (found []finding) {
	for _, f := range t.code {
		if f.test || !underAny(f.dir(), pure) {
			continue
		}
		for _, s := range f.ast.Imports {
			p := importPath(s)
			for _, w := range world {
				if under(p, w.path) && !excepted(f.dir(), p) {
					found = append(found, t.at(f, s.Pos(), "%s is pure and must not import %s: %s", f.dir(), p, w.instead))
				}
			}
		}
		found = append(found, clockAndGo(t, f)...)
	}
	return found
}

func excepted(dir, p string) bool {
	for _, e := range worldExceptions {
		if dir == e.room && p == e.path {
			return true
		}
	}
	return false
}

// clockAndGo finds uses of the clock and go statements in one file.
func clockAndGo(t *tree, f goFile) (found []finding) {
	timeName := ""
	for _, s := range f.ast.Imports {
		if importPath(s) != "time" {
			continue
		}
		timeName = "time"
		if s.Name != nil {
			timeName = s.Name.Name
		}
	}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			found = append(found, t.at(f, n.Pos(), "%s is pure and must not start a goroutine: the caller owns the value", f.dir()))
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && timeName != "" && x.Name == timeName && clock[n.Sel.Name] {
				found = append(found, t.at(f, n.Pos(), "%s is pure and must not use time.%s: take now as a parameter", f.dir(), n.Sel.Name))
			}
		}
		return true
	})
	return found
}

// walls: who imports whom among our own packages. Tests may besides use
// storage, whose memory store is the real thing and better than any fake,
// check, which is the judge of what is made here, api, which the page asks, and
// internal; where several stages meet, the test belongs to internal/e2e.
func walls(t *tree) (found []finding) {
	for _, f := range t.code {
		room := roomOf(f.dir())
		allowed, known := rooms[room]
		if !known {
			found = append(found, t.at(f, f.ast.Package, "%s is in no room: a new top-level room is for a new stage or tool, and has a line in rooms_test.go", f.dir()))
			continue
		}
		for _, s := range f.ast.Imports {
			p, own := strings.CutPrefix(importPath(s), module+"/")
			if !own || under(p, room) || underAny(p, allowed) {
				continue
			}
			if f.test && underAny(p, []string{"storage", "check", "api", "internal"}) {
				continue
			}
			found = append(found, t.at(f, s.Pos(), "%s must not import %s: %s", f.dir(), p, whyNot(room, p)))
		}
	}
	return found
}

// roomOf is the room of a directory: the nearest one above that has a line, or
// the top-level directory.
func roomOf(dir string) string {
	for d := dir; d != "."; d = path.Dir(d) {
		if _, ok := rooms[d]; ok {
			return d
		}
	}
	top, _, _ := strings.Cut(dir, "/")
	return top
}

func whyNot(room, imported string) string {
	switch {
	case under(imported, "cmd"):
		return "cmd/weir knows every room, and no room knows it"
	case under(imported, "internal"):
		return "internal is for tests and tools, it does not ship"
	case slices.Contains(stages, room):
		return "stages share only the vocabularies (media, remux, rtmp, hls); declare the one to three methods you need, cmd/weir wires them"
	}
	return "a vocabulary knows no stage"
}

// libraries: who imports which module of others.
func libraries(t *tree) (found []finding) {
	for _, f := range t.code {
		for _, s := range f.ast.Imports {
			p := importPath(s)
			if under(p, module) || standard(p) {
				continue
			}
			if why := mustNot(f, p); why != "" {
				found = append(found, t.at(f, s.Pos(), "%s must not import %s: %s", f.dir(), p, why))
			}
		}
	}
	return found
}

// mustNot is why a file must not import p, or "".
func mustNot(f goFile, p string) string {
	for _, m := range modules {
		if !strings.HasPrefix(p, m.prefix) {
			continue
		}
		if underAny(f.dir(), m.ships) || f.test && (slices.Contains(m.tests, "") || underAny(f.dir(), m.tests)) {
			return ""
		}
		return m.why
	}
	return "no line of rooms_test.go names this module: add who may import it, and why"
}

// contexts: a context.Context is passed along, never kept: who stores it
// hides how long the value lives.
func contexts(t *tree) (found []finding) {
	for _, f := range t.code {
		ast.Inspect(f.ast, func(n ast.Node) bool {
			s, ok := n.(*ast.StructType)
			if !ok || f.test {
				return true
			}
			for _, field := range s.Fields.List {
				sel, ok := field.Type.(*ast.SelectorExpr)
				if !ok || sel.Sel.Name != "Context" {
					continue
				}
				if x, ok := sel.X.(*ast.Ident); ok && x.Name == "context" {
					found = append(found, t.at(f, field.Pos(), "a struct must not hold a context.Context: pass it to the method that blocks"))
				}
			}
			return true
		})
	}
	return found
}
