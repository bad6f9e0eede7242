//go:build unix

package main

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"weir/internal/testmedia"
)

// push outlives its server: it connects again, and its show goes on in the
// same broadcast, with one discontinuity and no frame twice.
func TestPushConnectsAgain(t *testing.T) {
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	input := testmedia.FLV(t, testmedia.Spec{Seconds: 20, Video: true, Audio: true})
	for _, tt := range []struct {
		name string
		end  syscall.Signal
	}{
		{"the server is restarted", syscall.SIGTERM},
		{"the server is killed", syscall.SIGKILL},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := &server{data: t.TempDir(), rtmp: freeAddress(t), http: freeAddress(t)}
			run := func() *process {
				return spawn(t, []string{asWeir + "=1"}, binary, "serve", "--data", s.data, "--rtmp", s.rtmp, "--http", s.http,
					"--segment", "2s", "--log-max", "1GB", "--drain", "4s")
			}
			first := run()
			s.wait(t)
			push := start(t, "push", input, s.url("alice"))
			eventually(t, 10*time.Second, "there is a segment", func() bool {
				code, _ := get(s.object("live/alice/index.m3u8"))
				return code == 200
			})
			time.Sleep(2 * time.Second)
			broadcast := s.broadcast(t, "alice")
			first.send(t, tt.end)
			<-first.ended
			run()
			s.wait(t)

			select {
			case <-push.ended:
			case <-time.After(60 * time.Second):
				t.Fatal("push does not come to its end")
			}
			if push.code != 0 || !strings.Contains(push.output.String(), "connecting again") {
				t.Errorf("push ended with code %d and said:\n%s", push.code, push.output.String())
			}
			prefix := s.waitForEnd(t, "alice", 10*time.Second)
			if x, ok := s.stream(t, "alice"); !ok || x.Broadcast != broadcast || x.Epoch != 2 {
				t.Errorf("%+v, want broadcast %s, and its second session", x, broadcast)
			}
			_, vod := get(s.object(prefix + "vod.m3u8"))
			if n := strings.Count(string(vod), "#EXT-X-DISCONTINUITY\n"); n != 1 {
				t.Errorf("%d discontinuities, want one where it connected again:\n%s", n, vod)
			}
			counters := testmedia.Counters(t, s.objects(prefix+"vod.m3u8"))
			for i := 1; i < len(counters); i++ {
				if counters[i] <= counters[i-1] {
					t.Errorf("picture %d shows frame %d after frame %d", i, counters[i], counters[i-1])
				}
			}
			if last := counters[len(counters)-1]; last != 20*30-1 {
				t.Errorf("the last picture is frame %d, want the show's last, %d", last, 20*30-1)
			}
			if len(counters) < 20*30/2 {
				t.Errorf("%d pictures of %d arrived", len(counters), 20*30)
			}
		})
	}
}
