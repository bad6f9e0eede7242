package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"weir/check"
)

// checkCmd checks HLS for conformance. It exits with 0 if nothing is wrong or
// warnings only, with 1 on errors, with 2 on a wrong call.
type checkCmd struct {
	Target string        `arg:"" optional:"" help:"URL of a playlist, a playlist file, or a directory with playlists." placeholder:"URL|DIR|FILE"`
	Watch  time.Duration `help:"Follow a live playlist for so long, and check its history." placeholder:"DURATION"`
	JSON   bool          `name:"json" help:"Print the report as JSON."`
	Rules  bool          `help:"Print the rules, and check nothing."`

	MaxTime      time.Duration `help:"End after so long, beside --watch, whatever is left to look at." default:"15m"`
	MaxBytes     byteSize      `help:"End after so many bytes." default:"20GB" placeholder:"SIZE"`
	AllowPrivate bool          `help:"Follow playlists and redirects into private networks and to this machine, too. What is typed is always asked, and what is as near as that."`
}

func (c *checkCmd) Run(ctx context.Context, stdout io.Writer) error {
	if c.Rules {
		return c.printRules(stdout)
	}
	if c.Target == "" || c.Watch < 0 {
		return usagef("check: say what to check: a URL, a directory or a playlist file")
	}
	if c.MaxTime <= 0 || c.MaxBytes <= 0 {
		return usagef("check: --max-time and --max-bytes are more than nothing")
	}
	if debug.SetMemoryLimit(-1) == math.MaxInt64 { // GOMEMLIMIT says nothing
		debug.SetMemoryLimit(checkMemory)
	}
	show := newProgress(os.Stderr)
	r, err := c.check(ctx, show)
	show.clear()
	cut := errors.Is(err, errBudget)
	if err != nil && !cut {
		return err
	}
	if cut {
		r.Notes = append(r.Notes, err.Error()+".")
	}
	if err := c.print(&r, stdout); err != nil {
		return fmt.Errorf("print report: %w", err)
	}
	if r.Errors() > 0 || cut {
		return &exitError{code: exitFailed}
	}
	return nil
}

// checkMemory is where the collector begins to work hard: more than a check of
// anything sound holds, and less than twice of what a hostile one can make it hold.
const checkMemory = 384 << 20

// check makes the report of the target.
func (c *checkCmd) check(ctx context.Context, show *progress) (check.Report, error) {
	if strings.HasPrefix(c.Target, "http://") || strings.HasPrefix(c.Target, "https://") {
		return checkURL(ctx, c.Target, c.Watch, budget{time: c.MaxTime, bytes: int64(c.MaxBytes), private: c.AllowPrivate}, show)
	}
	info, err := os.Stat(c.Target)
	if err != nil {
		return check.Report{}, usagef("check: %v", err)
	}
	if info.IsDir() {
		if c.Watch > 0 {
			return check.Report{}, usagef("check: --watch follows one playlist, not a directory")
		}
		return check.Directory(countedFS{os.DirFS(c.Target), show}, ".")
	}
	fsys := os.DirFS(filepath.Dir(c.Target))
	get := func(_ context.Context, w check.Want) check.Object {
		body, err := check.Read(fsys, w)
		return check.Object{Body: body, Err: err}
	}
	checker := check.New(filepath.Base(c.Target), check.Config{Watch: c.Watch > 0})
	return follow(ctx, checker, c.Watch, get, show), nil
}

// follow feeds a checker what it asks for, until it has all, or for as long as
// it is to watch.
func follow(ctx context.Context, checker *check.Checker, watch time.Duration, get func(context.Context, check.Want) check.Object, show *progress) check.Report {
	end := time.Now().Add(watch)
	for ctx.Err() == nil {
		w, ok := checker.Next(time.Now())
		if !ok {
			due := checker.Due()
			if due.IsZero() || due.After(end) {
				break
			}
			select {
			case <-ctx.Done():
			case <-time.After(time.Until(due)):
			}
			continue
		}
		o := get(ctx, w)
		if ctx.Err() != nil { // what did not come because we end is not missing
			break
		}
		show.add(len(o.Body))
		checker.Put(time.Now(), w, o)
	}
	return checker.Report()
}

// print writes the report.
func (c *checkCmd) print(r *check.Report, stdout io.Writer) error {
	if !c.JSON {
		return r.WriteText(stdout)
	}
	e := json.NewEncoder(stdout)
	e.SetIndent("", "  ")
	return e.Encode(struct {
		Errors   int `json:"errors"`
		Warnings int `json:"warnings"`
		*check.Report
	}{r.Errors(), r.Warnings(), r})
}

// printRules writes the rules.
func (c *checkCmd) printRules(stdout io.Writer) error {
	if !c.JSON {
		return check.WriteRules(stdout)
	}
	e := json.NewEncoder(stdout)
	e.SetIndent("", "  ")
	return e.Encode(check.Rules())
}

// countedFS shows what is opened.
type countedFS struct {
	fs.FS
	show *progress
}

func (c countedFS) Open(name string) (fs.File, error) {
	f, err := c.FS.Open(name)
	if err == nil && !strings.HasSuffix(name, ".m3u8") {
		n := int64(0)
		if info, err := f.Stat(); err == nil && !info.IsDir() {
			n = info.Size()
		}
		c.show.add(int(n))
	}
	return f, err
}

// Stat is for those who look before they open.
func (c countedFS) Stat(name string) (fs.FileInfo, error) { return fs.Stat(c.FS, name) }

// progress shows on a terminal how far a long check is. A nil one is silent.
type progress struct {
	w       io.Writer
	last    time.Time
	objects int
	bytes   int64
	shown   bool
}

// newProgress is nil where nobody looks.
func newProgress(w io.Writer) *progress {
	if !isTerminal(w) {
		return nil
	}
	return &progress{w: w, last: time.Now()}
}

// add counts an object; from the first second on it shows the count.
func (p *progress) add(n int) {
	if p == nil {
		return
	}
	p.objects++
	p.bytes += int64(n)
	wait := time.Second
	if p.shown {
		wait = 200 * time.Millisecond
	}
	if time.Since(p.last) >= wait {
		p.last, p.shown = time.Now(), true
		fmt.Fprintf(p.w, "\r\x1b[K%d objects, %.1f MB", p.objects, float64(p.bytes)/1e6)
	}
}

// clear takes the line away.
func (p *progress) clear() {
	if p != nil && p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
