//go:build unix

package publish

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/internal/chromium"
	"weir/internal/testmedia"
	"weir/internal/testweir"
)

// The first minute of a newcomer: one command, and a browser plays the picture
// that it serves. Told to end it does so at once, and leaves a recording.
func TestDemo(t *testing.T) {
	s := testweir.NewServer(t)
	s.Process = testweir.Start(t, s.Args("demo", "--segment", "2s")...)
	s.WaitReady(t)
	page := "http://" + s.HTTP + "/?stream=live/demo"
	testweir.Eventually(t, time.Second, "the addresses are told", func() bool {
		said := s.Output.String()
		return strings.Contains(said, page) && strings.Contains(said, "http://"+s.HTTP+"/hls/live/demo/index.m3u8") &&
			strings.Contains(said, "rtmp://"+s.RTMP+"/live/NAME") && strings.Contains(said, s.Data)
	})
	testweir.Eventually(t, 10*time.Second, "the playlist has a segment", func() bool {
		code, _ := testweir.Get(s.Object("live/demo/index.m3u8"))
		return code == 200
	})

	tab := chromium.Open(t)
	tab.Load(page, 1280, 900)
	tab.Wait("the show plays", `document.querySelector("video").currentTime > 0.5 && !document.querySelector("video").paused`)
	if got := tab.Eval(`(({videoWidth, videoHeight, error}) => [videoWidth, videoHeight, error])(document.querySelector("video"))`); got != "[640,360,null]" {
		t.Errorf("width, height, error: %s, want the clip's 640x360 and none", got)
	}
	first := testweir.Shown(t, tab.Screenshot)
	tab.Wait("the show goes on", `document.querySelector("video").currentTime > 3`)
	second := testweir.Shown(t, tab.Screenshot)
	if second <= first && first-second < clipFrames/2 {
		t.Errorf("the picture shows frame %d after frame %d: the burnt-in counter must advance", second, first)
	}
	if c := tab.Complaints(); len(c) > 0 {
		t.Errorf("the browser complains: %q", c)
	}

	broadcast, watch := s.Broadcast(t, "demo"), testweir.StartStopwatch()
	if code := s.Stop(t); code != 0 {
		t.Errorf("exit code %d, want 0 as asked", code)
	}
	watch.Within(t, "the answer to Ctrl-C", 3*time.Second)
	vod := s.Objects("live/demo/" + broadcast + "/source/vod.m3u8")
	if list, err := os.ReadFile(vod); err != nil || !bytes.Contains(list, []byte("#EXT-X-ENDLIST")) {
		t.Errorf("the show is no finished recording: %v\n%s", err, list)
	}
	if last := slices.Max(testmedia.Counters(t, vod)); last < second%clipFrames {
		t.Errorf("the recording ends at frame %d, a viewer has seen %d", last, second)
	}
}

// clipFrames is the length of the demo's clip, which is played in a loop.
const clipFrames = 720

// A port that is taken is told with what to do about it, and no address is
// told that does not answer.
func TestDemoPortTaken(t *testing.T) {
	s := testweir.Serve(t)
	code, said := testweir.Run(t, "demo", "--data", t.TempDir(), "--rtmp", s.RTMP, "--http", testweir.FreeAddress(t), "--log-max", "1GB")
	if code != testweir.ExitFailed || !strings.Contains(said, "--rtmp") || strings.Contains(said, "Watch") {
		t.Errorf("exit code %d, said %q", code, said)
	}
}
