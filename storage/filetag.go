//go:build linux || darwin || freebsd

package storage

import (
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// tagAttribute is the extended attribute in which a Directory keeps an
// object's ETag, beside the size and the time of the file that it was made
// for, so that it says nothing about a file that somebody edited.
const tagAttribute = "user.weir.etag"

// tagStamp is what a valid attribute begins with.
func tagStamp(stat fs.FileInfo) string {
	return fmt.Sprintf("%d %d ", stat.Size(), stat.ModTime().UnixNano())
}

// writeTag keeps the ETag with the file. Where the file system has no
// attributes, as tmpfs before Linux 6.6, readTag will have to hash.
func writeTag(file *os.File, etag string) error {
	stat, err := file.Stat()
	if err != nil {
		return err
	}
	return withFD(file, func(fd int) {
		_ = unix.Fsetxattr(fd, tagAttribute, []byte(tagStamp(stat)+etag), 0)
	})
}

// readTag returns the ETag of the object in file, from the attribute or else
// by reading the file, and leaves the file at its start.
func readTag(file *os.File, stat fs.FileInfo) (string, error) {
	var value [128]byte
	var n int
	var attributeErr error
	err := withFD(file, func(fd int) { n, attributeErr = unix.Fgetxattr(fd, tagAttribute, value[:]) })
	if err != nil {
		return "", err
	}
	if attributeErr == nil {
		if etag, ok := strings.CutPrefix(string(value[:n]), tagStamp(stat)); ok {
			return etag, nil
		}
	}
	return hashFile(file)
}

// withFD runs do with the file's descriptor, which stays open meanwhile.
func withFD(file *os.File, do func(fd int)) error {
	conn, err := file.SyscallConn()
	if err != nil {
		return err
	}
	return conn.Control(func(fd uintptr) { do(int(fd)) })
}

// hashBuffers keeps the buffers that files are hashed through.
var hashBuffers = sync.Pool{New: func() any { return new([64 << 10]byte) }}

func hashFile(file *os.File) (string, error) {
	buffer := hashBuffers.Get().(*[64 << 10]byte)
	defer hashBuffers.Put(buffer)
	h := sha256.New()
	// The struct hides File.WriteTo, which would bring a buffer of its own.
	if _, err := io.CopyBuffer(h, struct{ io.Reader }{file}, buffer[:]); err != nil {
		return "", err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	return contentTag([sha256.Size]byte(h.Sum(nil))), nil
}
