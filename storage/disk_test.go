//go:build linux

package storage

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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

// A directory in it that is not ours, as lost+found of a volume is root's, does
// not count, and stops nothing.
func TestDiskOverForeignDirectory(t *testing.T) {
	if os.Getuid() == 0 {
		// Root may read everything: the walk is seen from a process without rights.
		asNobody(t, "TestDiskOverForeignDirectory")
		return
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "lost+found"), 0); err != nil {
		t.Fatal(err)
	}
	fill(t, filepath.Join(dir, "file"), 5<<20)
	d, err := NewDisk(dir, 80<<20, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if d.used < 5<<20 {
		t.Errorf("%d bytes are used, want those of the files that are ours", d.used)
	}
}

// asNobody runs one test of this binary again, as the user nobody.
func asNobody(t *testing.T, name string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "nobody")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	binary := filepath.Join(dir, "test")
	body, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(binary, body, 0o755), os.Chmod(dir, 0o777)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "-test.run", "^"+name+"$", "-test.v")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "TMPDIR="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: "+name) {
		t.Errorf("as nobody: %v\n%s", err, out)
	}
}

// TestDiskWaits: a disk with much room is looked at once a second; one that
// could be full before that, sooner; one that is full, ten times a second.
func TestDiskWaits(t *testing.T) {
	for _, tt := range []struct {
		room int64
		want time.Duration
	}{
		{0, diskPoll}, {64 << 20, diskPoll}, {diskFastest / 10, diskPoll}, {diskFastest / 2, 500 * time.Millisecond},
		{diskFastest, diskLongest}, {100 << 30, diskLongest}, {1<<63 - 1, diskLongest},
	} {
		d := Disk{dir: "x", room: tt.room}
		if got := d.wait(); (got - tt.want).Abs() > time.Millisecond {
			t.Errorf("with %d MB of room it waits for %v, want %v", tt.room>>20, got, tt.want)
		}
	}
	if got := new(Disk).wait(); got != diskLongest {
		t.Errorf("where nothing is kept it waits for %v", got)
	}
	d, err := NewDisk(t.TempDir(), 80<<20, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if d.room <= 0 || d.wait() != diskPoll {
		t.Errorf("of 80 MB: %d bytes of room, looked at again in %v", d.room, d.wait())
	}
	fill(t, filepath.Join(d.dir, "file"), 71<<20)
	if err := d.look(time.Now().Add(time.Minute)); err != nil || d.room != 0 {
		t.Errorf("when it is full it has %d bytes of room, %v", d.room, err)
	}
}
