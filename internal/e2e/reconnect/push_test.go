//go:build unix

package reconnect

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"weir/internal/testmedia"
	"weir/internal/testweir"
)

// push outlives its testweir.Server: it connects again, and its show goes on in the
// same broadcast, with one discontinuity and no frame twice.
func TestPushConnectsAgain(t *testing.T) {
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
			s := testweir.NewServer(t)
			run := func() *testweir.Process {
				return testweir.Start(t, s.Args("serve", "--segment", "2s", "--drain", "4s")...)
			}
			first := run()
			s.WaitReady(t)
			push := testweir.Start(t, "push", input, s.URL("alice"))
			testweir.Eventually(t, 10*time.Second, "there is a segment", func() bool {
				code, _ := testweir.Get(s.Object("live/alice/index.m3u8"))
				return code == 200
			})
			time.Sleep(2 * time.Second)
			broadcast := s.Broadcast(t, "alice")
			first.Send(t, tt.end)
			<-first.Ended
			run()
			s.WaitReady(t)

			testweir.Eventually(t, 60*time.Second, "push comes to its end", push.Over)
			if code := push.Wait(); code != 0 || !strings.Contains(push.Output.String(), "connecting again") {
				t.Errorf("push ended with code %d and said:\n%s", code, push.Output.String())
			}
			prefix := s.WaitForEnd(t, "alice", 10*time.Second)
			if x, ok := s.Stream(t, "alice"); !ok || x.Broadcast != broadcast || x.Epoch != 2 {
				t.Errorf("%+v, want broadcast %s, and its second session", x, broadcast)
			}
			_, vod := testweir.Get(s.Object(prefix + "vod.m3u8"))
			if n := strings.Count(string(vod), "#EXT-X-DISCONTINUITY\n"); n != 1 {
				t.Errorf("%d discontinuities, want one where it connected again:\n%s", n, vod)
			}
			counters := testmedia.Counters(t, s.Objects(prefix+"vod.m3u8"))
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

// A push that is told to end does, whatever its server reads.
func TestPushLeavesDeafServer(t *testing.T) {
	t.Parallel()
	s := testweir.Serve(t)
	push := testweir.Start(t, "push", "--loop", "--fast", testmedia.FLV(t, testmedia.Spec{Seconds: 20, Video: true, Audio: true}), s.URL("alice"))
	testweir.Eventually(t, 20*time.Second, "the show is on", func() bool { _, ok := s.Stream(t, "alice"); return ok })
	s.Send(t, syscall.SIGSTOP)
	time.Sleep(2 * time.Second) // until all that lies between is full
	told := time.Now()
	push.Send(t, syscall.SIGTERM)
	if code := push.Wait(); code != 0 {
		t.Errorf("exit code %d, want 0: ended as asked", code)
	}
	if took := time.Since(told); took > 25*time.Second { // 2 s for the tag, 10 for the goodbye, and a busy machine
		t.Errorf("it took %v", took)
	}
	s.Send(t, syscall.SIGCONT)
}
