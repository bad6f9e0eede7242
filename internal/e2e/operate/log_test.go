//go:build linux

package operate

import (
	"bytes"
	"net"
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"weir/internal/testmedia"
	"weir/internal/testweir"
)

// The log goes into a pipe that nobody reads, while strangers make weir say
// something: encoders get in and are packaged all the same, and SIGHUP ends it
// as SIGTERM does. Then the reader is gone altogether.
func TestLogNobodyReads(t *testing.T) {
	for _, gone := range []bool{false, true} {
		s := testweir.NewServer(t)
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		weir := exec.CommandContext(t.Context(), testweir.Release(t), s.Args("serve", "--log-level", "debug")...)
		weir.Stderr = w
		if err := weir.Start(); err != nil {
			t.Fatal(err)
		}
		_ = w.Close() // ours
		if gone {
			_ = r.Close()
		}
		testweir.Eventually(t, 20*time.Second, "weir is ready", func() bool {
			code, _ := testweir.Get("http://" + s.HTTP + "/readyz")
			return code == http.StatusOK
		})
		for range 600 {
			nc, err := net.Dial("tcp", s.RTMP)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = nc.Write(bytes.Repeat([]byte{99}, 10)) // no handshake; it may be hung up on already
			_ = nc.Close()
		}
		input := testmedia.MP4(t, testweir.Small(4))
		testweir.FFmpeg(t, 2, input, s.URL("alice"))
		s.WaitForEnd(t, "alice", 20*time.Second)
		if err := weir.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- weir.Wait() }()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("gone %v: %v, want a drain and exit code 0", gone, err)
			}
		case <-time.After(40 * time.Second):
			t.Errorf("gone %v: weir does not end", gone)
			_ = weir.Process.Kill()
			<-ended
		}
		_ = r.Close()
	}
}
