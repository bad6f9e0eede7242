package importwall

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// module is the module's path: the prefix of every import of our own.
const module = "weir"

// A tree is what the rules look at: a checkout's text.
type tree struct {
	fset *token.FileSet
	// code holds the Go files of the module itself, in path order.
	code []goFile
	// text holds every text file, Go or not, also of nested modules.
	text []textFile
}

type goFile struct {
	path string // slash-separated, relative to the module's root
	test bool   // a _test.go file, which does not ship
	src  []byte
	ast  *ast.File
}

type textFile struct {
	path string
	src  []byte
}

// A finding is one place that breaks a rule.
type finding struct {
	path string
	line int
	text string
}

func (f finding) String() string { return fmt.Sprintf("%s:%d: %s", f.path, f.line, f.text) }

// at makes a finding of a place in a Go file.
func (t *tree) at(f goFile, pos token.Pos, format string, args ...any) finding {
	return finding{f.path, t.fset.Position(pos).Line, fmt.Sprintf(format, args...)}
}

// ignored are the directories that are no part of a checkout; .gitignore
// names the same ones.
var ignored = map[string]bool{".git": true, ".cache": true, "bin": true, "node_modules": true, "weir-data": true, ".terraform": true}

// maxText is the largest file that is looked at as text, in bytes.
const maxText = 4 << 20

// load reads a checkout.
func load(root fs.FS) (*tree, error) {
	t := &tree{fset: token.NewFileSet()}
	var nested []string // directories with a go.mod of their own
	err := fs.WalkDir(root, ".", func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && ignored[d.Name()]:
			return fs.SkipDir
		case d.IsDir():
			if _, err := fs.Stat(root, path.Join(p, "go.mod")); err == nil && p != "." {
				nested = append(nested, p+"/")
			}
			return nil
		case !d.Type().IsRegular(), p == ".git": // a file in a linked work tree
			return nil
		}
		return t.add(root, p, nested)
	})
	return t, err
}

// add reads one file; nested are the nested modules met before it.
func (t *tree) add(root fs.FS, p string, nested []string) error {
	src, err := fs.ReadFile(root, p)
	if err != nil {
		return err
	}
	if len(src) > maxText || bytes.IndexByte(src, 0) >= 0 {
		return nil
	}
	t.text = append(t.text, textFile{p, src})
	if !strings.HasSuffix(p, ".go") || strings.HasPrefix(p, "testdata/") || strings.Contains(p, "/testdata/") {
		return nil
	}
	for _, dir := range nested {
		if strings.HasPrefix(p, dir) {
			return nil
		}
	}
	file, err := parser.ParseFile(t.fset, p, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return fmt.Errorf("parse source: %w", err)
	}
	t.code = append(t.code, goFile{path: p, test: strings.HasSuffix(p, "_test.go"), src: src, ast: file})
	return nil
}

// dir is the file's directory, and so its package's path inside the module.
func (f goFile) dir() string { return path.Dir(f.path) }

// under tells whether directory dir is room, or inside of it.
func under(dir, room string) bool { return dir == room || strings.HasPrefix(dir, room+"/") }

// underAny tells whether dir is in one of the rooms.
func underAny(dir string, rooms []string) bool {
	for _, r := range rooms {
		if under(dir, r) {
			return true
		}
	}
	return false
}

// importPath is the path of an import, unquoted.
func importPath(s *ast.ImportSpec) string {
	p, err := strconv.Unquote(s.Path.Value)
	if err != nil {
		return s.Path.Value
	}
	return p
}

// standard tells whether an import is of the standard library: its first
// element has no dot, and it is not our own.
func standard(p string) bool {
	first, _, _ := strings.Cut(p, "/")
	return !strings.Contains(first, ".") && first != module
}
