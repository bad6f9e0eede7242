//go:build linux || darwin || freebsd

package storage

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
)

// Of two processes on one directory the second is told who has it; once that
// one has gone, the next may.
func TestLockData(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	first, err := LockData(dir, "weir serve, process 17")
	if err != nil {
		t.Fatal(err)
	}
	var inUse *InUseError
	if _, err := LockData(dir, "weir serve, process 18"); !errors.As(err, &inUse) || !strings.Contains(err.Error(), "process 17") || !strings.Contains(err.Error(), dir) {
		t.Errorf("a second lock: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := LockData(dir, "weir")
	if err != nil {
		t.Fatalf("after the first has gone: %v", err)
	}
	if _, err := LockData(dir, ""); !errors.As(err, &inUse) || inUse.Holder != "weir" {
		t.Errorf("the holder is %q, of the one before something is left", inUse.Holder)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
}
