//go:build linux || darwin || freebsd

package storage

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// DataLock keeps other processes off a data directory while it is open.
type DataLock struct{ file *os.File }

// InUseError says that another process has a data directory.
type InUseError struct {
	Dir string
	// Holder is what that process says of itself; it may be empty.
	Holder string
}

func (e *InUseError) Error() string {
	holder := "another process"
	if e.Holder != "" {
		holder = e.Holder
	}
	return fmt.Sprintf("the data directory %s is in use by %s", e.Dir, holder)
}

// maxHolder bounds what is read of a lock's file.
const maxHolder = 512

// LockData takes a data directory, which it makes, for this process, or returns
// an *InUseError at once. holder is what the others are told of it. The kernel
// frees a dead process's lock.
func LockData(dir, holder string) (*DataLock, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock the data directory: %w", err)
	}
	if err := tryFlock(file); err != nil {
		defer file.Close()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock the data directory: %w", err)
		}
		text, err := io.ReadAll(io.LimitReader(file, maxHolder))
		if err != nil {
			text = nil // the message does without
		}
		return nil, &InUseError{Dir: dir, Holder: strings.TrimSpace(string(text))}
	}
	err = file.Truncate(0)
	if err == nil {
		_, err = file.WriteAt([]byte(holder+"\n"), 0)
	}
	if err != nil && !errors.Is(err, unix.ENOSPC) { // a full disk is locked all the same
		return nil, errors.Join(fmt.Errorf("lock the data directory: %w", err), file.Close())
	}
	return &DataLock{file}, nil
}

// Close gives the directory back.
func (l *DataLock) Close() error {
	if err := l.file.Close(); err != nil {
		return fmt.Errorf("unlock the data directory: %w", err)
	}
	return nil
}
