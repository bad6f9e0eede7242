package importwall

import (
	"bytes"
	"go/ast"
	"regexp"
	"slices"
	"strings"
)

// The budgets of shipped code, in lines.
const (
	maxFile     = 450
	maxFunction = 80
	maxP90      = 45 // of all functions' lengths
)

// comments: every package says what it is for.
func comments(t *tree) (found []finding) {
	first := map[string]goFile{}
	said := map[string]bool{}
	for _, f := range t.code {
		dir := f.dir()
		if _, ok := first[dir]; !ok || first[dir].test {
			first[dir] = f
		}
		want := "Package " + f.ast.Name.Name + " "
		if doc := f.ast.Doc.Text(); strings.HasPrefix(doc, want) || f.ast.Name.Name == "main" && doc != "" {
			said[dir] = true
		}
	}
	for dir, f := range first {
		if !said[dir] {
			found = append(found, t.at(f, f.ast.Package, "package %s has no comment that begins %q: a reader asks first what a room is for", dir, "Package "+f.ast.Name.Name))
		}
	}
	return found
}

// vague are the words that say nothing, as names of files, directories and
// types: what a thing is called decides what gets thrown into it.
var vague = regexp.MustCompile(`(?i)(^|[_.-])(utils?|helpers?|common|manager|misc)([_.-]|$)`)

// vagueType finds the same words in a camel-case name.
var vagueType = regexp.MustCompile(`(Manager|Helpers?|Utils?|Common)([A-Z0-9]|$)|^(manager|helpers?|utils?|common)([A-Z0-9]|$)`)

// names: no file, directory or type is called by a vague word.
func names(t *tree) (found []finding) {
	for _, f := range t.code {
		for _, part := range strings.Split(f.path, "/") {
			if vague.MatchString(part) {
				found = append(found, finding{f.path, 1, "the name " + part + " says nothing: call it by what it does"})
			}
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if s, ok := n.(*ast.TypeSpec); ok && vagueType.MatchString(s.Name.Name) {
				found = append(found, t.at(f, s.Pos(), "the type name %s says nothing: use the specification's noun", s.Name.Name))
			}
			return true
		})
	}
	return found
}

// sizes: files and functions that fit a head. Tests and generated files are
// free.
func sizes(t *tree) (found []finding) {
	var lengths []int
	for _, f := range t.code {
		if f.test || ast.IsGenerated(f.ast) {
			continue
		}
		if n := bytes.Count(f.src, []byte("\n")); n > maxFile {
			found = append(found, finding{f.path, maxFile, "a file of more than 450 lines: split it by concern"})
		}
		for _, d := range functions(f) {
			n := t.lines(d)
			lengths = append(lengths, n)
			if n > maxFunction {
				found = append(found, t.at(f, d.Pos(), "%s has %d lines, more than %d: name its steps", d.Name.Name, n, maxFunction))
			}
		}
	}
	if p := percentile(lengths, 90); p > maxP90 {
		found = append(found, finding{".", 0, "the 90th percentile of all functions' lengths is above 45 lines: short functions are the rule, not the exception"})
	}
	return found
}

// functions are a file's functions and methods with a body.
func functions(f goFile) (all []*ast.FuncDecl) {
	for _, d := range f.ast.Decls {
		if d, ok := d.(*ast.FuncDecl); ok && d.Body != nil {
			all = append(all, d)
		}
	}
	return all
}

// lines is how many lines a function takes, without its comment.
func (t *tree) lines(d *ast.FuncDecl) int {
	return t.fset.Position(d.End()).Line - t.fset.Position(d.Pos()).Line + 1
}

// percentile is the smallest value that p percent of values do not exceed, 0
// of none.
func percentile(values []int, p int) int {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[(len(sorted)*p+99)/100-1]
}

// remarks are the comments that do not belong in finished work.
var remarks = []struct {
	re  *regexp.Regexp
	why string
}{
	{regexp.MustCompile(`^//\s*nolint`), "silence no linter: change the code, or the linter's configuration for all"},
	{regexp.MustCompile(`\b(TODO|FIXME)\b`), "leave no note to oneself: do it, or write an issue"},
}

// notes: no comment silences a linter or postpones work.
func notes(t *tree) (found []finding) {
	for _, f := range t.code {
		for _, group := range f.ast.Comments {
			for _, c := range group.List {
				for _, r := range remarks {
					if r.re.MatchString(c.Text) {
						found = append(found, t.at(f, c.Pos(), "%s", r.why))
					}
				}
			}
		}
	}
	return found
}

// logs: errors are found under one key, whoever logs them.
func logs(t *tree) (found []finding) {
	for _, f := range t.code {
		ast.Inspect(f.ast, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			name, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || !slices.Contains([]string{"Debug", "Info", "Warn", "Error", "Log", "With"}, name.Sel.Name) {
				return true
			}
			for _, arg := range call.Args[min(1, len(call.Args)):] {
				if key, ok := arg.(*ast.BasicLit); ok && key.Value == `"error"` {
					found = append(found, t.at(f, key.Pos(), "an error's key in the log is err"))
				}
			}
			return true
		})
	}
	return found
}

// machinePath is a path that exists on one machine only.
var machinePath = regexp.MustCompile(`(^|[^A-Za-z0-9_.\-/])/(work|root)/`)

// paths: nothing in the tree points at the machine it was written on.
func paths(t *tree) (found []finding) {
	for _, f := range t.text {
		for i, line := range bytes.Split(f.src, []byte("\n")) {
			if m := machinePath.Find(line); m != nil {
				found = append(found, finding{f.path, i + 1, "a path of the author's machine: it means nothing to anyone else"})
			}
		}
	}
	return found
}

// citations counts, for each pure room, the comment lines that cite a
// specification, and its lines of shipped code.
func citations(t *tree) (cited, lines map[string]int) {
	cited, lines = map[string]int{}, map[string]int{}
	for _, f := range t.code {
		if f.test || !underAny(f.dir(), pure) {
			continue
		}
		lines[f.dir()] += bytes.Count(f.src, []byte("\n"))
		for _, group := range f.ast.Comments {
			for _, c := range group.List {
				cited[f.dir()] += len(citation.FindAllString(c.Text, -1))
			}
		}
	}
	return cited, lines
}

// citation is a section of a specification: [RTMP 5.3.1], RFC 8216, ISO/IEC.
var citation = regexp.MustCompile(`RFC ?\d+|ISO/IEC \d+|ITU-T|H\.26[45]|\[(RTMP|FLV|AMF0|AMF3|E-RTMP)[^\]]*\]`)
