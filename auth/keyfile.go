package auth

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"weir/media/publishing"
)

// A key file has a line for each key: its hash, the stream, and options.
//
//	sha256:3b1f… live/alice owner=anna conflict=reject until=2027-01-01T00:00:00Z
//
// What begins with # is for people. The key itself stands nowhere.

const hashPrefix = "sha256:"

// FormatKey is a key's line in a key file.
func FormatKey(h Hash, r Rule) string {
	line := hashPrefix + h.String() + " " + r.Stream
	if r.Owner != "" {
		line += " owner=" + url.QueryEscape(r.Owner)
	}
	if r.Conflict != "" {
		line += " conflict=" + string(r.Conflict)
	}
	if !r.Until.IsZero() {
		line += " until=" + r.Until.UTC().Format(time.RFC3339)
	}
	if limits := FormatLimits(r.Limits); limits != "" {
		line += " " + limits
	}
	return line
}

// ParseKeyFile reads a key file. Its errors name the line, and nothing that
// stands there.
func ParseKeyFile(text []byte) (map[Hash]Rule, error) {
	rules := make(map[Hash]Rule)
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		h, r, err := parseKey(lines.Text())
		if errors.Is(err, errNoKey) {
			continue
		}
		if _, twice := rules[h]; err == nil && twice {
			err = errors.New("the key stands there twice")
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		rules[h] = r
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read key file: %w", err)
	}
	return rules, nil
}

// errNoKey is of a line that holds none, and need not.
var errNoKey = errors.New("no key")

func parseKey(line string) (h Hash, r Rule, err error) {
	fields := strings.Fields(line)
	if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
		return h, r, errNoKey
	}
	digits, ok := strings.CutPrefix(fields[0], hashPrefix)
	if !ok {
		return h, r, errors.New("a line begins with sha256: and the hash of a key (weir key new makes one)")
	}
	if h, err = ParseHash(digits); err != nil {
		return h, r, err
	}
	if len(fields) < 2 {
		return h, r, errors.New("the stream is missing, as in live/alice")
	}
	r.Stream = fields[1]
	for _, f := range fields[2:] {
		name, value, _ := strings.Cut(f, "=")
		if err := r.set(name, value); err != nil {
			return h, r, err
		}
	}
	_, err = r.Grant()
	return h, r, err
}

// set sets an option as it stands in a key file.
func (r *Rule) set(name, value string) (err error) {
	switch name {
	case "owner":
		if r.Owner, err = url.QueryUnescape(value); err != nil {
			return errors.New("owner is written as in a URL: + for a blank, %2B for a plus")
		}
	case "conflict":
		r.Conflict = publishing.Conflict(value)
	case "until":
		if r.Until, err = time.Parse(time.RFC3339, value); err != nil {
			return errors.New("until is no time as in 2027-01-01T00:00:00Z")
		}
	default:
		known, err := r.setLimit(name, value)
		if !known {
			return errors.New("there is an option that is none of owner, conflict, until, bitrate, duration, size, codecs, sessions")
		}
		return err
	}
	return nil
}

// ReadKeyFile reads the keys of a file; there are none where there is no file.
func ReadKeyFile(name string) (map[Hash]Rule, error) {
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read key file: %w", err)
	}
	rules, err := ParseKeyFile(text)
	if err != nil {
		return nil, fmt.Errorf("read key file %s: %w", name, err)
	}
	return rules, nil
}

// lookInterval is how often a key file is looked at. A change counts when two
// looks have seen the same: who writes a file in place may not be done.
const lookInterval = 200 * time.Millisecond

// WatchFile keeps k as the file has it, until ctx ends. What cannot be read
// changes nothing, and is logged. A file that has gone takes no key away.
func (k *Keys) WatchFile(ctx context.Context, name string, log *slog.Logger) error {
	tick := time.NewTicker(lookInterval)
	defer tick.Stop()
	var seen, read fs.FileInfo
	for {
		info, err := os.Stat(name)
		switch {
		case err != nil && read != nil:
			log.Error("the key file cannot be read; the keys stay as they were", "err", err)
			seen, read = nil, nil
		case err == nil && same(info, seen) && !same(info, read):
			read = k.load(name, info, log)
		}
		if err == nil {
			seen = info
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// errBlank is of a file that has been cut off: whoever takes the last key back
// leaves a comment.
var errBlank = errors.New("the key file is empty: a full disk, or a copy that is not done? Where there is to be no key, a line with # says so")

// load reads the file into k, and returns as what it has been read: nil if it
// has changed meanwhile.
func (k *Keys) load(name string, was fs.FileInfo, log *slog.Logger) (read fs.FileInfo) {
	text, err := os.ReadFile(name)
	if now, e := os.Stat(name); e != nil || !same(now, was) {
		return nil
	}
	var rules map[Hash]Rule
	if err == nil {
		rules, err = ParseKeyFile(text)
	}
	if err == nil && len(bytes.TrimSpace(text)) == 0 && k.known() > 0 {
		err = errBlank
	}
	if err != nil {
		log.Error("the keys stay as they were", "file", name, "err", err)
		return was
	}
	k.Replace(rules)
	log.Info("stream keys were read", "file", name, "keys", len(rules))
	return was
}

// same tells whether two looks at a file have seen the same.
func same(a, b fs.FileInfo) bool {
	return a != nil && b != nil && os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// KeyFile is a key file that is to be changed. Who changes it at the same time
// waits, for as long as the context lets it.
type KeyFile struct{ Name string }

// Keys returns what stands there.
func (f KeyFile) Keys(context.Context) (map[Hash]Rule, error) { return ReadKeyFile(f.Name) }

// Add adds a key's line.
func (f KeyFile) Add(ctx context.Context, h Hash, r Rule) error {
	return f.change(ctx, func(text []byte) []byte {
		if len(text) > 0 && text[len(text)-1] != '\n' {
			text = append(text, '\n')
		}
		return append(text, FormatKey(h, r)+"\n"...)
	})
}

// Remove takes a key's line out. All else stays as it stands.
func (f KeyFile) Remove(ctx context.Context, h Hash) error {
	return f.change(ctx, func(text []byte) []byte {
		var rest []byte
		for line := range bytes.Lines(text) {
			if which, _, err := parseKey(string(line)); err != nil || which != h {
				rest = append(rest, line...)
			}
		}
		if len(bytes.TrimSpace(rest)) == 0 { // which is a file that was cut off
			return []byte("# There is no stream key.\n")
		}
		return rest
	})
}

// change rewrites the file: who reads it sees all of it before, or after.
func (f KeyFile) change(ctx context.Context, edit func([]byte) []byte) (err error) {
	if err := os.MkdirAll(filepath.Dir(f.Name), 0o755); err != nil {
		return fmt.Errorf("change key file: %w", err)
	}
	unlock, err := f.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	text, err := os.ReadFile(f.Name)
	if err == nil {
		_, err = ParseKeyFile(text)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("change key file %s: %w", f.Name, err)
	}
	if err := replace(f.Name, edit(text)); err != nil {
		return fmt.Errorf("change key file: %w", err)
	}
	return nil
}

// replace puts another file in the place of one, which keeps its owner and mode.
// Root may do so in the directory of somebody who is not: what is found there may
// lead elsewhere, and nothing of it is written to.
func replace(name string, text []byte) error {
	if real, err := filepath.EvalSymlinks(name); err == nil {
		name = real
	}
	dir, err := os.OpenRoot(filepath.Dir(name))
	if err != nil {
		return err
	}
	defer dir.Close()
	name = filepath.Base(name)
	next := name + "." + rand.Text() + ".new"
	f, err := dir.OpenFile(next, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if was, e := dir.Lstat(name); e == nil && was.Mode().IsRegular() {
		keepOwner(f, was)
		err = f.Chmod(was.Mode().Perm())
	}
	if err == nil {
		_, err = f.Write(text)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = dir.Rename(next, name)
	}
	if err != nil {
		return errors.Join(err, dir.Remove(next))
	}
	// A key that was taken back is so behind a power cut, too.
	d, err := dir.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// staleLock is when a lock is its owner's no more, who must have died.
const staleLock = 10 * time.Second

// lock keeps others from changing the file.
func (f KeyFile) lock(ctx context.Context) (unlock func(), err error) {
	name := f.Name + ".lock"
	for {
		l, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err == nil {
			_ = l.Close()
			return func() { os.Remove(name) }, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("lock key file: %w", err)
		}
		if info, err := os.Stat(name); err == nil && time.Since(info.ModTime()) > staleLock {
			os.Remove(name)
			continue
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return nil, fmt.Errorf("lock key file: %w (%s is there)", context.Cause(ctx), name)
		}
	}
}
