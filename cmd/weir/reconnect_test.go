package main

import (
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"

	"weir/internal/testmedia"
)

// A show whose encoder is killed and comes back at once is clean to a checker
// that watches it all the while, and afterwards. (One that stays away for
// longer than a target duration and a half has a playlist that stands still,
// which LIVE-STALE says: RFC 8216bis, 6.2.1.)
func TestReconnectUnderWatch(t *testing.T) {
	t.Parallel()
	s := serve(t)
	file := testmedia.FLV(t, testmedia.Spec{Seconds: 20, Video: true, Audio: true, BFrames: 2, FPS: 25})
	publish := func(seconds string) *exec.Cmd {
		cmd := exec.Command("ffmpeg", "-v", "error", "-nostdin", "-re", "-i", file, "-t", seconds,
			"-c", "copy", "-f", "flv", "-flvflags", "no_duration_filesize", s.url("alice"))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd
	}
	first := publish("20")
	entry := s.object("live/alice/index.m3u8")
	eventually(t, 10*time.Second, "the show can be watched", func() bool { code, _ := get(entry); return code == 200 })
	broadcast := s.broadcast(t, "alice")
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		time.Sleep(4 * time.Second)
		_ = first.Process.Kill() // its end is what follows
		_ = first.Wait()
		if err := publish("12").Wait(); err != nil {
			t.Errorf("the second encoder: %v", err)
		}
	}()
	r, err := checkURL(context.Background(), entry, 14*time.Second, nil)
	<-ended
	if err != nil {
		t.Fatal(err)
	}
	deserves(t, r)
	if got := s.broadcast(t, "alice"); got != broadcast {
		t.Errorf("the second encoder began broadcast %s, want it in %s", got, broadcast)
	}
	prefix := s.waitForEnd(t, "alice", 3*time.Second)
	conforms(t, s.objects(""))
	_, vod := get(s.object(prefix + "vod.m3u8"))
	if n := strings.Count(string(vod), "#EXT-X-DISCONTINUITY\n"); n != 1 {
		t.Errorf("%d discontinuities, want one:\n%s", n, vod)
	}
}
