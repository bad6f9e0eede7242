//go:build linux || darwin || freebsd

package storage

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"weir/media/object"
)

// Directory keeps each object in a file of its own, named by its key, below
// one directory of a local file system with hard links and flock(2). Any
// number of processes may use the directory at once, through this type, and
// any web server may serve it.
//
// A body is written to a hidden file, synced to the disk, and only then linked
// or renamed to its name: a kill, a full disk or a power cut never shows a part
// of an object. Names are not synced: a power cut may take back the writes of
// the last seconds (ext4 commits every 5 s), as if they had not been done yet.
//
// Unlike S3 a directory cannot keep an object "a" beside an object "a/b".
type Directory struct {
	root  *os.Root
	usage Usage
	locks locks
}

// The directory's own files, hidden below its root: bodies on their way, and
// files to lock.
const (
	tempDir = ".weir/temp"
	lockDir = ".weir/lock"
)

// NewDirectory opens a store in the directory at root, makes it where it is
// missing, and removes what killed writers left behind.
func NewDirectory(root string) (*Directory, error) {
	if err := os.MkdirAll(root, 0o755); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	r, err := os.OpenRoot(root)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	d := &Directory{root: r, locks: newLocks(r)}
	for _, own := range []string{tempDir, lockDir} {
		if err := r.MkdirAll(own, 0o755); err != nil {
			return nil, fmt.Errorf("open store: %w", err)
		}
	}
	if err := sweepTemp(r); err != nil {
		return nil, fmt.Errorf("open store: sweep temporary files: %w", err)
	}
	return d, nil
}

// Usage counts what the store was asked for.
func (d *Directory) Usage() *Usage { return &d.usage }

// Put writes o where c holds; see [Store].
func (d *Directory) Put(ctx context.Context, o object.Object, c object.Condition) (etag string, err error) {
	defer func() { d.usage.Put.note(int64(len(o.Body)), err) }()
	if err := admit(ctx, o.Key); err != nil {
		return "", fmt.Errorf("put object: %w", err)
	}
	etag = contentTag(sha256.Sum256(o.Body))
	if err := d.put(ctx, o, etag, c); err != nil {
		return "", fmt.Errorf("put object %s: %w", o.Key, fileError(err))
	}
	return etag, nil
}

func (d *Directory) put(ctx context.Context, o object.Object, etag string, c object.Condition) error {
	if err := d.check(o.Key, c); err != nil {
		return err // and spare the disk the body
	}
	temp, err := createTemp(d.root)
	if err != nil {
		return err
	}
	defer temp.discard()
	if err := temp.write(o.Body, etag); err != nil {
		return err
	}
	if c.Absent {
		return d.link(temp.name, o.Key)
	}
	unlock, err := d.locks.lock(ctx, o.Key)
	if err != nil {
		return err
	}
	defer unlock()
	if err := d.check(o.Key, c); err != nil {
		return err
	}
	return d.inParent(o.Key, func() error { return d.root.Rename(temp.name, o.Key) })
}

// check tells whether c holds now; it will hold at the write only under the
// key's lock.
func (d *Directory) check(key string, c object.Condition) error {
	if c == (object.Condition{}) {
		return nil
	}
	var etag string
	file, info, err := d.open(key)
	switch {
	case err == nil:
		etag = info.ETag
		_ = file.Close() // was only read
	case !isAbsent(err):
		return err
	}
	if !admits(c, etag) {
		return object.ErrPrecondition
	}
	return nil
}

// link gives the file a second name unless that is taken: link(2) is the
// compare and the set in one, so it needs no lock.
func (d *Directory) link(temp, key string) error {
	err := d.inParent(key, func() error { return d.root.Link(temp, key) })
	if errors.Is(err, fs.ErrExist) {
		return object.ErrPrecondition
	}
	return err
}

// inParent runs do with the key's directory in place, again where a Delete
// that emptied the directory removed it in between.
func (d *Directory) inParent(key string, do func() error) error {
	const attempts = 100 // each needs another Delete in the same microseconds
	for i := 0; ; i++ {
		err := do()
		if !errors.Is(err, fs.ErrNotExist) || i == attempts {
			return err
		}
		err = d.root.MkdirAll(path.Dir(key), 0o755)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
}

// Get reads an object whole; see [Store].
func (d *Directory) Get(ctx context.Context, key string) (body []byte, info object.Info, err error) {
	defer func() { d.usage.Get.note(int64(len(body)), err) }()
	if err := admitRead(ctx, key); err != nil {
		return nil, object.Info{}, fmt.Errorf("get object: %w", err)
	}
	body, info, err = d.get(key)
	if err != nil {
		return nil, object.Info{}, fmt.Errorf("get object %s: %w", key, readError(err))
	}
	return body, info, nil
}

func (d *Directory) get(key string) ([]byte, object.Info, error) {
	file, stat, err := d.openFile(key)
	if err != nil {
		return nil, object.Info{}, err
	}
	defer file.Close()
	body := make([]byte, stat.Size())
	if _, err := io.ReadFull(file, body); err != nil {
		return nil, object.Info{}, err
	}
	return body, describe(key, stat, contentTag(sha256.Sum256(body))), nil
}

// Stat describes an object; see [Store].
func (d *Directory) Stat(ctx context.Context, key string) (info object.Info, err error) {
	defer func() { d.usage.Stat.note(0, err) }()
	if err := admitRead(ctx, key); err != nil {
		return object.Info{}, fmt.Errorf("stat object: %w", err)
	}
	file, info, err := d.open(key)
	if err != nil {
		return object.Info{}, fmt.Errorf("stat object %s: %w", key, readError(err))
	}
	return info, file.Close()
}

// Open opens the object's file, an *os.File, which a web server can hand to
// sendfile(2); see [Store].
func (d *Directory) Open(ctx context.Context, key string) (body io.ReadSeekCloser, info object.Info, err error) {
	defer func() { d.usage.Get.note(info.Size, err) }()
	if err := admitRead(ctx, key); err != nil {
		return nil, object.Info{}, fmt.Errorf("open object: %w", err)
	}
	file, info, err := d.open(key)
	if err != nil {
		return nil, object.Info{}, fmt.Errorf("open object %s: %w", key, readError(err))
	}
	return file, info, nil
}

// open opens and describes an object. Files of objects never change, so the
// description holds for as long as the file is open.
func (d *Directory) open(key string) (*os.File, object.Info, error) {
	file, stat, err := d.openFile(key)
	if err != nil {
		return nil, object.Info{}, err
	}
	etag, err := readTag(file, stat)
	if err != nil {
		return nil, object.Info{}, errors.Join(err, file.Close())
	}
	return file, describe(key, stat, etag), nil
}

func (d *Directory) openFile(key string) (*os.File, fs.FileInfo, error) {
	// Not to wait for a writer, should the file be a named pipe.
	file, err := d.root.OpenFile(key, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	stat, err := file.Stat()
	if err == nil && !stat.Mode().IsRegular() {
		err = fs.ErrNotExist // a directory, or what somebody else put there
	}
	if err != nil {
		return nil, nil, errors.Join(err, file.Close())
	}
	return file, stat, nil
}

// List walks the directory; see [Store]. It reads no object, so ETags are
// empty.
func (d *Directory) List(ctx context.Context, prefix string) iter.Seq2[object.Info, error] {
	return func(yield func(object.Info, error) bool) {
		_, err := d.walk(ctx, ".", prefix, func(info object.Info) bool { return yield(info, nil) })
		d.usage.List.note(0, err)
		if err != nil {
			yield(object.Info{}, fmt.Errorf("list objects: %w", fileError(err)))
		}
	}
}

// walk yields the objects below dir and reports whether to go on.
func (d *Directory) walk(ctx context.Context, dir, prefix string, yield func(object.Info) bool) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	entries, err := fs.ReadDir(d.root.FS(), dir)
	if err != nil {
		return true, orAbsent(err)
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(sortName(a), sortName(b)) })
	for _, entry := range entries {
		key := path.Join(dir, entry.Name())
		if CheckKey(key) != nil {
			continue // a file of our own, or somebody else's
		}
		more := true
		switch {
		case entry.IsDir() && overlaps(key+"/", prefix):
			more, err = d.walk(ctx, key, prefix, yield)
		case entry.Type().IsRegular() && strings.HasPrefix(key, prefix):
			var stat fs.FileInfo
			if stat, err = entry.Info(); err == nil {
				more = yield(describe(key, stat, ""))
			}
			err = orAbsent(err)
		}
		if err != nil || !more {
			return false, err
		}
	}
	return true, nil
}

// sortName is what an entry's keys begin with, so that walking the entries in
// its order visits the keys in byte order: "a-b" is before "a/b".
func sortName(entry fs.DirEntry) string {
	if entry.IsDir() {
		return entry.Name() + "/"
	}
	return entry.Name()
}

// overlaps tells whether keys below dir can begin with prefix.
func overlaps(dir, prefix string) bool {
	return strings.HasPrefix(dir, prefix) || strings.HasPrefix(prefix, dir)
}

// Delete removes an object and the directories that it leaves empty; see
// [Store].
func (d *Directory) Delete(ctx context.Context, key string) (err error) {
	defer func() { d.usage.Delete.note(0, err) }()
	if err := admit(ctx, key); err != nil {
		return fmt.Errorf("delete object: %w", err)
	}
	if err := d.delete(ctx, key); err != nil {
		return fmt.Errorf("delete object %s: %w", key, fileError(err))
	}
	return nil
}

func (d *Directory) delete(ctx context.Context, key string) error {
	unlock, err := d.locks.lock(ctx, key)
	if err != nil {
		return err
	}
	defer unlock()
	stat, err := d.root.Lstat(key)
	if err != nil {
		return orAbsent(err)
	}
	if !stat.Mode().IsRegular() {
		return nil // no object
	}
	if err := d.root.Remove(key); err != nil {
		return orAbsent(err)
	}
	// Remove fails on the first directory that is not empty, and is then done.
	for dir := path.Dir(key); dir != "." && d.root.Remove(dir) == nil; dir = path.Dir(dir) {
	}
	return nil
}

func describe(key string, stat fs.FileInfo, etag string) object.Info {
	return object.Info{Key: key, Size: stat.Size(), ETag: etag, Modified: stat.ModTime()}
}

// readError is fileError for calls that look for an object.
func readError(err error) error {
	if isAbsent(err) {
		return fmt.Errorf("%w: %w", object.ErrNotExist, err)
	}
	return fileError(err)
}

// fileError gives the file system's errors the names that callers know.
func fileError(err error) error {
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT), errors.Is(err, unix.EFBIG):
		return fmt.Errorf("%w: %w", ErrFull, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: %w", ErrDenied, err)
	}
	return err
}

// isAbsent tells the errors that mean that a key has no file: none of that
// name, or a file where the key has a directory.
func isAbsent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR)
}

// orAbsent drops errors that mean that there was nothing to do.
func orAbsent(err error) error {
	if isAbsent(err) {
		return nil
	}
	return err
}
