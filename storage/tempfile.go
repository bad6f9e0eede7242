//go:build linux || darwin || freebsd

package storage

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path"
	"time"

	"golang.org/x/sys/unix"
)

// tempGrace is the age from which a temporary file that nobody holds is
// litter. Younger ones may be a writer's who has not locked his file yet.
const tempGrace = time.Minute

// tempFile is a body on its way into a Directory. Its writer holds a lock on
// it, which ends with the writer, so that others can tell what is litter.
type tempFile struct {
	root *os.Root
	file *os.File
	name string
}

func createTemp(root *os.Root) (*tempFile, error) {
	name := path.Join(tempDir, rand.Text())
	file, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, err
	}
	t := &tempFile{root, file, name}
	if err := tryFlock(file); err != nil {
		t.discard()
		return nil, err
	}
	return t, nil
}

// write writes the body and its ETag and waits until the disk has them.
func (t *tempFile) write(body []byte, etag string) error {
	if _, err := t.file.Write(body); err != nil {
		return err
	}
	if err := writeTag(t.file, etag); err != nil {
		return err
	}
	return t.file.Sync()
}

// discard removes the temporary name, if there still is one, and gives up the
// lock. An error leaves litter for the next sweep, and no more.
func (t *tempFile) discard() {
	_ = t.root.Remove(t.name)
	_ = t.file.Close()
}

// sweepTemp removes the temporary files of writers that are no more.
func sweepTemp(root *os.Root) error {
	entries, err := fs.ReadDir(root.FS(), tempDir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if err := sweepOne(root, path.Join(tempDir, entry.Name())); orAbsent(err) != nil {
			return err
		}
	}
	return nil
}

func sweepOne(root *os.Root, name string) error {
	file, err := root.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	stat, err := file.Stat()
	if err != nil || time.Since(stat.ModTime()) < tempGrace {
		return err
	}
	switch err := tryFlock(file); {
	case errors.Is(err, unix.EWOULDBLOCK):
		return nil // its writer lives
	case err != nil:
		return err
	}
	return root.Remove(name)
}
