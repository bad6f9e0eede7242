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
	block := int64(s.Bsize)
	return int64(s.Bavail) * block, int64(s.Blocks) * block, nil
}
