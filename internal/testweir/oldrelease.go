//go:build unix

package testweir

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
)

// version1 is the last release whose State has format version 1, out of
// testdata/releases.
const version1 = "126162e"

var oldRelease = sync.OnceValues(func() (string, error) { return buildRelease(version1) })

// OldRelease returns the path of a weir whose State has format version 1.
func OldRelease(t testing.TB) string {
	t.Helper()
	path, err := oldRelease()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// buildRelease builds a release out of testdata/releases. It stays in
// .cache/releases.
func buildRelease(commit string) (path string, err error) {
	dir, err := Root()
	if err != nil {
		return "", err
	}
	cache := filepath.Join(dir, ".cache", "releases")
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	lock, err := syscall.Open(filepath.Join(cache, ".lock"), syscall.O_CREAT|syscall.O_RDWR|syscall.O_CLOEXEC, 0o644)
	if err != nil {
		return "", fmt.Errorf("lock %s: %w", cache, err)
	}
	defer func() { err = errors.Join(err, syscall.Close(lock)) }()
	if err := syscall.Flock(lock, syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("lock %s: %w", cache, err)
	}
	path = filepath.Join(cache, "weir-"+commit)
	if syscall.Access(path, 0) == nil {
		return path, nil
	}
	source, err := os.MkdirTemp(cache, commit+"-")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(source)) }()
	if err := unpack(filepath.Join(dir, "testdata", "releases", commit+".tar.gz"), source); err != nil {
		return "", fmt.Errorf("unpack release %s: %w", commit, err)
	}
	cmd := exec.Command("go", "build", "-o", path+".new", "./cmd/weir")
	cmd.Dir = source
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build release %s: %w\n%s", commit, err, out)
	}
	return path, os.Rename(path+".new", path)
}

// unpack writes the files of a .tar.gz below dir, which holds them in.
func unpack(archive, dir string) (err error) {
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	for files := tar.NewReader(z); ; {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		body, err := io.ReadAll(files)
		if err != nil {
			return err
		}
		if err := root.MkdirAll(filepath.Dir(h.Name), 0o755); err != nil {
			return err
		}
		if err := root.WriteFile(h.Name, body, 0o644); err != nil {
			return err
		}
	}
}
