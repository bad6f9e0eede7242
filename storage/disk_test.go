//go:build linux

package storage

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"weir/media/object"
)

// fill writes a file of n bytes, or fewer if the disk takes no more.
func fill(t *testing.T, name string, n int) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 1<<16)
	for ; n > 0; n -= len(block) {
		if _, err := f.Write(block); errors.Is(err, syscall.ENOSPC) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// What counts, and from when to when a disk is full.
func TestDiskLooks(t *testing.T) {
	dir := t.TempDir()
	d, err := NewDisk(dir, 80<<20, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	store := d.Before(NewMemory())
	now := time.Now()
	look := func() bool {
		t.Helper()
		now = now.Add(time.Minute) // files are summed up again
		if err := d.look(now); err != nil {
			t.Fatal(err)
		}
		return d.full.Load()
	}
	// The reserve is an eighth, 10 MB.
	for _, tt := range []struct {
		file int // MB
		full bool
		why  string
	}{
		{0, false, "nothing is there"},
		{69, false, "11 MB are free"},
		{71, true, "9 MB are free"},
		{67, true, "13 MB are free, and it takes 15 to begin again"},
		{64, false, "16 MB are free"},
	} {
		fill(t, filepath.Join(dir, "file"), tt.file<<20)
		if look() != tt.full {
			t.Errorf("%d MB of 80: full is %t, but %s", tt.file, !tt.full, tt.why)
		}
		_, err := store.Put(t.Context(), object.Object{Key: fmt.Sprintf("live/a/b/source/%08d.ts", tt.file)}, object.Condition{})
		if errors.Is(err, ErrFull) != tt.full {
			t.Errorf("%d MB of 80: put of a segment: %v", tt.file, err)
		}
		if _, err := store.Put(t.Context(), object.Object{Key: "live/a/index.m3u8", Body: []byte("#EXTM3U")}, object.Condition{}); err != nil {
			t.Errorf("%d MB of 80: put of a playlist: %v", tt.file, err)
		}
	}
	// What was written since counts before the files are summed up again,
	// however long that is from now.
	if _, err := store.Put(t.Context(), object.Object{Key: "live/a/b/source/1.ts", Body: make([]byte, 8<<20)}, object.Condition{}); err != nil {
		t.Fatal(err)
	}
	if err := d.look(d.walk.Add(-time.Nanosecond)); err != nil || !d.full.Load() {
		t.Errorf("64 MB and 8 MB of 80: full is %t, %v", d.full.Load(), err)
	}
}
