package importwall

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// TestNoStaleLine: every line of the table says something of this checkout. A
// room that has gone, or a right that nobody uses, is one that somebody takes
// for a plan.
func TestNoStaleLine(t *testing.T) {
	tr, err := load(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	for room := range rooms {
		if !tr.has(room) {
			t.Errorf("rooms: there is no %s", room)
		}
	}
	for _, list := range [][]string{pure, stages, vocabularies} {
		for _, room := range list {
			if _, ok := rooms[room]; !ok {
				t.Errorf("%s is in a list of rooms, and has no line in rooms", room)
			}
		}
	}
	for _, e := range worldExceptions {
		if !tr.imports(e.room, e.path, false) {
			t.Errorf("worldExceptions: nothing in %s imports %s", e.room, e.path)
		}
	}
	for _, m := range modules {
		for _, room := range m.ships {
			if !tr.imports(room, m.prefix, false) {
				t.Errorf("modules: no shipped code in %s imports %s", room, m.prefix)
			}
		}
		for _, room := range m.tests {
			if !tr.imports(room, m.prefix, true) && room != "" {
				t.Errorf("modules: no test in %s imports %s", room, m.prefix)
			}
		}
		if len(m.ships) == 0 && !tr.imports("", m.prefix, true) {
			t.Errorf("modules: nobody imports %s", m.prefix)
		}
	}
}

// has tells whether there is code in a room.
func (t *tree) has(room string) bool {
	return slices.ContainsFunc(t.code, func(f goFile) bool { return under(f.dir(), room) })
}

// imports tells whether any file below a room, of its tests or of what ships,
// imports something that begins with prefix. Room "" is all of them.
func (t *tree) imports(room, prefix string, test bool) bool {
	return slices.ContainsFunc(t.code, func(f goFile) bool {
		if f.test != test || room != "" && !under(f.dir(), room) {
			return false
		}
		for _, s := range f.ast.Imports {
			if strings.HasPrefix(importPath(s), prefix) {
				return true
			}
		}
		return false
	})
}
