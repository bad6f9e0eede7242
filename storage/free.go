//go:build linux || darwin || freebsd

package storage

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Free tells how many bytes may still be written below a directory, and how
// many its file system has in all.
func Free(dir string) (free, all int64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, 0, fmt.Errorf("look for room in %s: %w", dir, err)
	}
	return bytesOf(s.Bavail, s.Bsize), bytesOf(s.Blocks, s.Bsize), nil
}

// bytesOf multiplies counts whose types differ from system to system.
func bytesOf[N, S int32 | uint32 | int64 | uint64](n N, size S) int64 { return int64(n) * int64(size) }
