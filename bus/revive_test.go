//go:build linux

package bus

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// fill writes a file until the disk takes no more.
func fill(t *testing.T, name string) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, block := range [][]byte{make([]byte, 1<<16), make([]byte, 1)} {
		for err = nil; err == nil; {
			_, err = f.Write(block)
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
	}
}

// An embedded server whose disk was full answers no write ever again. When
// there is room it is started anew: what was acknowledged is there, the write
// that waited is stored once, and a reader sees all of it.
func TestReviveAfterFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=33554432"); err != nil {
		t.Skipf("mount a small file system: %v: only root may", err)
	}
	defer func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	}()
	b := open(t, Config{Dir: filepath.Join(dir, "nats")})
	s := openSession(t, b)
	const size = 100_000
	seen := reading(t, b, s.Broadcast(), 40)
	want := appendBatches(t, s, size, 0, 1, 2, 3, 4)

	filler := filepath.Join(dir, "filler")
	fill(t, filler)
	var written atomic.Int64
	done := make(chan error, 1)
	for n := 5; n < 40; n++ {
		want = append(want, batch(n, size))
	}
	go func() {
		for _, x := range want[5:] {
			if err := s.Append(within(t, time.Minute), x); err != nil {
				done <- fmt.Errorf("append: %w", err)
				return
			}
			written.Add(1)
		}
		done <- nil
	}()
	time.Sleep(2 * time.Second)
	before := written.Load()
	if before == int64(len(want)-5) {
		t.Fatal("all was written: the disk is not full, this test shows nothing")
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatalf("%v, after %d batches on the full disk", err, before)
	}
	if d := diff(want, <-seen); d != "" {
		t.Errorf("the reader that was there (-want +got):\n%s", d)
	}
	if d := diff(want, logOf(t, b, s.Broadcast())); d != "" {
		t.Errorf("the log (-want +got):\n%s", d)
	}
	if err := b.Ready(within(t, time.Second)); err != nil {
		t.Error(err)
	}
}
