package check

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"weir/check/playlist"
	"weir/check/report"
)

// maxObject is the largest object that is read from a file system; a playlist
// may be as large as is read of it.
const maxObject = 256 << 20

var (
	errTooLarge   = errors.New("larger than 256 MiB")
	errNoPlaylist = errors.New("no .m3u8 or .m3u file")
	errRange      = errors.New("shorter than its byte range")
	errNoFile     = errors.New("not a file")
)

// Directory checks what lies in a file system: the presentation of root, if
// that is a playlist, or every presentation below it, if it is a directory.
// The error is about root itself; what is missing below is a finding.
func Directory(fsys fs.FS, root string) (report.Report, error) {
	info, err := fs.Stat(fsys, root)
	if err != nil {
		return report.Report{}, fmt.Errorf("check directory: %w", err)
	}
	if !info.IsDir() {
		return file(fsys, root, map[string]bool{}), nil
	}
	names, err := playlistsBelow(fsys, root)
	if err != nil {
		return report.Report{}, fmt.Errorf("check directory: %w", err)
	}
	if len(names) == 0 {
		return report.Report{}, fmt.Errorf("check directory: %w", errNoPlaylist)
	}
	var all report.Report
	seen := map[string]bool{}
	for _, name := range names {
		if !seen[name] {
			all.Merge(file(fsys, name, seen))
		}
	}
	return all.Clone(), nil
}

// playlistsBelow finds the playlists, multivariant ones first: what these
// list is checked with them.
func playlistsBelow(fsys fs.FS, root string) ([]string, error) {
	var first, rest []string
	err := fs.WalkDir(fsys, root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path.Ext(name) != ".m3u8" && path.Ext(name) != ".m3u" {
			return err
		}
		text, err := Read(fsys, Want{URI: name, Kind: Playlist})
		if err == nil && strings.Contains(string(text), "#EXT-X-STREAM-INF") {
			first = append(first, name)
		} else {
			rest = append(rest, name)
		}
		return nil
	})
	return slices.Concat(first, rest), err
}

// file checks the presentation of one playlist, and notes in seen the
// playlists that belong to it.
func file(fsys fs.FS, name string, seen map[string]bool) report.Report {
	c := New(name, Config{})
	for w, ok := c.Next(time.Time{}); ok; w, ok = c.Next(time.Time{}) {
		if w.Kind == Playlist {
			seen[w.URI] = true
		}
		body, err := Read(fsys, w)
		c.Put(time.Time{}, w, Object{Body: body, Err: err})
	}
	return c.Report()
}

// Read reads what a Want asks for from a file system. What is not in it, as
// what stands on a server or above its root, is ErrElsewhere.
func Read(fsys fs.FS, w Want) ([]byte, error) {
	if !fs.ValidPath(w.URI) || strings.HasPrefix(w.URI, "data:") {
		return nil, ErrElsewhere
	}
	info, err := fs.Stat(fsys, w.URI)
	if err != nil {
		return nil, plain(err)
	}
	if !info.Mode().IsRegular() { // to read a pipe could take for ever
		return nil, errNoFile
	}
	f, err := fsys.Open(w.URI)
	if err != nil {
		return nil, plain(err)
	}
	defer f.Close()
	if w.Length == 0 {
		return readWhole(f, info.Size(), w.Kind)
	}
	if w.Length > maxObject {
		return nil, errTooLarge
	}
	if s, ok := f.(io.Seeker); ok {
		_, err = s.Seek(w.Offset, io.SeekStart)
	} else {
		_, err = io.CopyN(io.Discard, f, w.Offset)
	}
	if err != nil {
		return nil, errRange
	}
	body, err := io.ReadAll(io.LimitReader(f, w.Length))
	if err == nil && int64(len(body)) < w.Length {
		err = errRange
	}
	return body, plain(err)
}

// readWhole reads a file of a size that may change meanwhile.
func readWhole(f io.Reader, size int64, kind Kind) ([]byte, error) {
	limit := int64(maxObject)
	if kind == Playlist {
		limit = playlist.MaxPlaylist + 1 // M3U-LIMIT tells
	} else if size > limit {
		return nil, errTooLarge
	}
	var b bytes.Buffer
	b.Grow(int(min(size, limit)) + bytes.MinRead)
	if _, err := io.Copy(&b, io.LimitReader(f, limit)); err != nil {
		return nil, plain(err)
	}
	return b.Bytes(), nil
}

// plain leaves the path out of an error: the finding has it.
func plain(err error) error {
	if e := (*fs.PathError)(nil); errors.As(err, &e) {
		return e.Err
	}
	return err
}
