//go:build unix

package reconnect

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	"weir/internal/testmedia"
	"weir/internal/testweir"
)

// A show whose encoder is killed and comes back at once is clean to a checker
// that watches it all the while, and afterwards. (One that stays away for
// longer than a target duration and a half has a playlist that stands still,
// which LIVE-STALE says: RFC 8216bis, 6.2.1.)
func TestReconnectUnderWatch(t *testing.T) {
	t.Parallel()
	s := testweir.Serve(t)
	file := testmedia.FLV(t, testmedia.Spec{Seconds: 20, Video: true, Audio: true, BFrames: 2, FPS: 25})
	first := testweir.Publish(t, file, s.URL("alice"))
	entry := s.Object("live/alice/index.m3u8")
	testweir.Eventually(t, 10*time.Second, "the show can be watched", func() bool { code, _ := testweir.Get(entry); return code == 200 })
	broadcast := s.Broadcast(t, "alice")
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		time.Sleep(4 * time.Second)
		first.Kill(t)
		again := exec.Command("ffmpeg", "-v", "error", "-nostdin", "-re", "-i", file, "-t", "12",
			"-c", "copy", "-f", "flv", "-flvflags", "no_duration_filesize", s.URL("alice"))
		if out, err := again.CombinedOutput(); err != nil {
			t.Errorf("the second encoder: %v: %s", err, out)
		}
	}()
	r := testweir.CheckWatch(t, entry, 14*time.Second).Wait()
	<-ended
	testweir.Deserves(t, r)
	if got := s.Broadcast(t, "alice"); got != broadcast {
		t.Errorf("the second encoder began broadcast %s, want it in %s", got, broadcast)
	}
	prefix := s.WaitForEnd(t, "alice", 3*time.Second)
	testweir.Conforms(t, s.Objects(""))
	_, vod := testweir.Get(s.Object(prefix + "vod.m3u8"))
	if n := strings.Count(string(vod), "#EXT-X-DISCONTINUITY\n"); n != 1 {
		t.Errorf("%d discontinuities, want one:\n%s", n, vod)
	}
}
