//go:build linux

package operate

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"weir/internal/testmedia"
	"weir/internal/testweir"
)

// smallDisk mounts a file system of that many bytes.
func smallDisk(t *testing.T, bytes int) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", bytes)); err != nil {
		t.Skipf("mount a small file system: %v: only root may; the other case does the same by --data-max", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

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

// A disk that is full for a while costs nothing: the frames wait, then the
// encoder does; viewers keep what is there; and when there is room again all
// goes on by itself.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	const size = 96 << 20
	for _, tt := range []struct {
		name string
		open func(t *testing.T) (data string, args []string)
	}{
		{"no byte left on the file system", func(t *testing.T) (string, []string) { return smallDisk(t, size), nil }},
		{"--data-max", func(t *testing.T) (string, []string) { return t.TempDir(), []string{"--data-max", fmt.Sprint(size)} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			data, args := tt.open(t)
			s := &testweir.Server{Data: data, RTMP: testweir.FreeAddress(t), HTTP: testweir.FreeAddress(t), Admin: testweir.FreeAddress(t)}
			s.Process = testweir.Start(t, s.Args("serve", append(args, "--segment", "2s", "--log-max", "16MB", "--max-message", "256KB",
				"--bus-timeout", "5m")...)...)
			s.WaitReady(t)
			input := testmedia.MP4(t, testmedia.Spec{Seconds: 40, Video: true, Audio: true, BFrames: 2})
			encoder := testweir.Publish(t, input, s.URL("alice"))
			live := func() []byte {
				_, body := testweir.Get(s.Object("live/alice/" + s.Broadcast(t, "alice") + "/source/live.m3u8"))
				return body
			}
			testweir.Eventually(t, 20*time.Second, "there is a segment", func() bool {
				x, ok := s.Stream(t, "alice")
				return ok && x.Video != nil && bytes.Contains(live(), []byte(".ts"))
			})

			filler := filepath.Join(data, "filler")
			fill(t, filler, size)
			testweir.Eventually(t, 5*time.Second, "the full disk is noticed", func() bool { return s.Metric(t, "weir_disk_full") == 1 })
			before := live()
			time.Sleep(14 * time.Second) // longer than an embedded server may be silent, and than a session buffers
			if encoder.Over() {
				t.Fatalf("the encoder has given up: %s", encoder.Output.String())
			}
			if now := live(); !bytes.HasPrefix(now, before[:bytes.Index(before, []byte("#EXTINF"))]) {
				t.Errorf("viewers had\n%s\nand while the disk is full they have\n%s", before, now)
			}

			if err := os.Remove(filler); err != nil {
				t.Fatal(err)
			}
			testweir.Eventually(t, 5*time.Second, "the room is noticed", func() bool { return s.Metric(t, "weir_disk_full") == 0 })
			testweir.Eventually(t, 60*time.Second, "the encoder comes to its end", encoder.Over)
			if s.Metric(t, "weir_ingest_stalled_seconds_total") == 0 {
				t.Error("the encoder was never made to wait: this test shows less than it says")
			}
			prefix := s.WaitForEnd(t, "alice", 30*time.Second)
			if err := testmedia.SameFrames(testmedia.Probe(t, input), testmedia.Probe(t, s.Object(prefix+"vod.m3u8"))); err != nil {
				t.Error(err)
			}
		})
	}
}
