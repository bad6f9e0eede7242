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

// DataLock does not exist on this system.
type DataLock struct{}

// LockData fails on this system.
func LockData(dir, _ string) (*DataLock, error) {
	return nil, fmt.Errorf("lock %s: not known on %s, give --nats and --store", dir, runtime.GOOS)
}

// Close does nothing.
func (*DataLock) Close() error { return nil }

// Free fails on this system.
func Free(dir string) (free, all int64, err error) {
	return 0, 0, fmt.Errorf("look for room in %s: not known on %s", dir, runtime.GOOS)
}
