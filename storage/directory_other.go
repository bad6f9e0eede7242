//go:build !(linux || darwin || freebsd)

package storage

import (
	"fmt"
	"runtime"
)

// Directory needs flock(2), hard links and extended attributes, and there is
// none on this system.
type Directory struct{ *Memory }

// NewDirectory fails on this system.
func NewDirectory(root string) (*Directory, error) {
	return nil, fmt.Errorf("open store %s: no directory stores on %s, use S3", root, runtime.GOOS)
}
