package storage_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"weir/media/object"
	"weir/storage"
)

func newDirectory(t *testing.T, root string) *storage.Directory {
	t.Helper()
	d, err := storage.NewDirectory(root)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDirectory(t *testing.T) {
	testStore(t, func(t *testing.T) storage.Store { return newDirectory(t, t.TempDir()) })
}

func TestDirectoryProcesses(t *testing.T) {
	testProcesses(t, "file://"+t.TempDir())
}

func temps(t *testing.T, root string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(root, ".weir/temp/*"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// roleLinger is a writer that stops in the middle of a body. Argument: root.
func roleLinger(ctx context.Context, args []string) (string, error) {
	d, err := storage.NewDirectory(args[0])
	if err != nil {
		return "", err
	}
	return "lingered", storage.Linger(d, []byte("half a bo"), ready)
}

func TestDirectorySweepsOnlyTheDead(t *testing.T) {
	root := t.TempDir()
	c := startRole(t, "linger", root)
	left := temps(t, root)
	if len(left) != 1 {
		t.Fatalf("a writer in the middle of a body has files %q, want one", left)
	}
	past := time.Now().Add(-time.Hour)
	if err := os.Chtimes(left[0], past, past); err != nil {
		t.Fatal(err)
	}

	d := newDirectory(t, root)
	if got := temps(t, root); len(got) != 1 {
		t.Errorf("the file of a slow writer that lives was swept")
	}
	if got := keys(t, d, ""); len(got) != 0 {
		t.Errorf("half a body is listed: %q", got)
	}
	if _, _, err := d.Open(t.Context(), ".weir/temp/"+filepath.Base(left[0])); !errors.Is(err, object.ErrNotExist) {
		t.Errorf("half a body is served: %v", err)
	}

	c.kill(t)
	newDirectory(t, root)
	if got := temps(t, root); len(got) != 0 {
		t.Errorf("files of a killed writer stay: %q", got)
	}
}

func TestDirectoryLeavesNoTemporaryFiles(t *testing.T) {
	root := t.TempDir()
	d := newDirectory(t, root)
	etag := put(t, d, "k", "1", always)
	put(t, d, "k", "2", matches(etag))
	put(t, d, "l", "1", absent)
	for _, c := range []object.Condition{absent, matches(etag)} {
		if _, err := d.Put(t.Context(), object.Object{Key: "k"}, c); !errors.Is(err, object.ErrPrecondition) {
			t.Error(err)
		}
	}
	if got := temps(t, root); len(got) != 0 {
		t.Errorf("writes left %q", got)
	}
}

// roleLimited runs out of room in the middle of a body: the kernel writes what
// is below the limit and then refuses, as on a full disk. Arguments: root.
func roleLimited(ctx context.Context, args []string) (string, error) {
	d, err := storage.NewDirectory(args[0])
	if err != nil {
		return "", err
	}
	if err := ready(); err != nil {
		return "", err
	}
	limit := syscall.Rlimit{Cur: 100_000, Max: 100_000}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return "", err
	}
	for _, c := range []object.Condition{always, absent} {
		_, err = d.Put(ctx, object.Object{Key: fmt.Sprintf("big/%t", c.Absent), Body: noise(1 << 20)}, c)
		if !errors.Is(err, storage.ErrFull) {
			return "", fmt.Errorf("put without room: %w", err)
		}
	}
	_, err = d.Put(ctx, object.Object{Key: "small", Body: noise(1000)}, absent)
	return "limited", err
}

func TestDirectoryFull(t *testing.T) {
	root := t.TempDir()
	c := startRole(t, "limited", root)
	c.begin(t)
	if got := c.line(t); got != "limited" {
		t.Fatal(got)
	}
	if got := keys(t, newDirectory(t, root), ""); len(got) != 1 || got[0] != "small" {
		t.Errorf("a full disk left %q, want only what fitted", got)
	}
	if got := temps(t, root); len(got) != 0 {
		t.Errorf("a full disk left %q", got)
	}
}

func TestDirectoryErrorsHaveNames(t *testing.T) {
	for _, c := range []struct {
		errno syscall.Errno
		want  error
	}{
		{syscall.ENOSPC, storage.ErrFull},
		{syscall.EDQUOT, storage.ErrFull},
		{syscall.EACCES, storage.ErrDenied},
		{syscall.EROFS, syscall.EROFS},
	} {
		wantError(t, c.errno.Error(), storage.FileError(&fs.PathError{Op: "write", Path: "x", Err: c.errno}), c.want)
	}
}

func TestDirectoryKeepsInside(t *testing.T) {
	outside, root := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "secret"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(root, "way")); err != nil {
		t.Fatal(err)
	}
	d := newDirectory(t, root)
	if body, _, err := d.Get(t.Context(), "way/secret"); err == nil {
		t.Errorf("read %q through a symbolic link out of the store", body)
	}
	if _, err := d.Put(t.Context(), object.Object{Key: "way/out"}, always); err == nil {
		t.Error("wrote through a symbolic link out of the store")
	}
	if _, err := os.Stat(filepath.Join(outside, "out")); err == nil {
		t.Error("a write got out of the store")
	}
}

// A file in the way of a directory is no missing object and no lost race.
func TestDirectoryCannotNest(t *testing.T) {
	d := newDirectory(t, t.TempDir())
	put(t, d, "a", "x", always)
	_, err := d.Put(t.Context(), object.Object{Key: "a/b"}, absent)
	if err == nil || errors.Is(err, object.ErrNotExist) || errors.Is(err, object.ErrPrecondition) {
		t.Errorf("put below an object: %v", err)
	}
	wantBody(t, d, "a", "x")
}

// Whatever an operator does to a file, the ETag is that of its bytes.
func TestDirectoryETagFollowsTheBytes(t *testing.T) {
	root := t.TempDir()
	d := newDirectory(t, root)
	before := put(t, d, "k", "before", always)
	name := filepath.Join(root, "k")
	if err := os.WriteFile(name, []byte("behind"), 0o644); err != nil { // same length
		t.Fatal(err)
	}
	_, got, err := d.Get(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	info, err := d.Stat(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	if info.ETag == before || info.ETag != got.ETag {
		t.Errorf("ETag %s before an edit, then stat says %s and get %s", before, info.ETag, got.ETag)
	}
	if want := put(t, storage.NewMemory(), "k", "behind", always); info.ETag != want {
		t.Errorf("ETag %s of a file that somebody copied in, want %s", info.ETag, want)
	}
}

func TestDirectoryPrunes(t *testing.T) {
	root := t.TempDir()
	d := newDirectory(t, root)
	put(t, d, "a/b/c/d", "x", always)
	put(t, d, "a/e", "x", always)
	if err := d.Delete(t.Context(), "a/b/c/d"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "a/b")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty directory stays: %v", err)
	}
	wantBody(t, d, "a/e", "x")
}

// A Delete that empties a directory must not fail a Put on its way into it.
func TestDirectoryPutWhileDeleting(t *testing.T) {
	d := newDirectory(t, t.TempDir())
	var writers sync.WaitGroup
	for i := range 4 {
		writers.Go(func() {
			key := fmt.Sprintf("a/b/c/%d", i)
			for range 50 {
				_, err := d.Put(t.Context(), object.Object{Key: key, Body: []byte(key)}, absent)
				if err == nil {
					err = d.Delete(t.Context(), key)
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	writers.Wait()
}

func TestOpenRefuses(t *testing.T) {
	for _, url := range []string{"", "/path", "file:", "file://host/path", "file:///path?x=y", "ftp://x/y", "%"} {
		if _, err := storage.Open(t.Context(), url); err == nil {
			t.Errorf("open %q: no error", url)
		} else if !strings.HasPrefix(err.Error(), "open store: ") {
			t.Errorf("open %q: %v", url, err)
		}
	}
}
