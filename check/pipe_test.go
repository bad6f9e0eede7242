//go:build unix

package check

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestPipe: what would never come to its end is not waited for.
func TestPipe(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "v.m3u8"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r, err := Directory(os.DirFS(dir), "."); err != nil || !r.Has("OBJ-MISSING") {
		t.Errorf("a pipe: %v %v", err, r.Findings)
	}
}
