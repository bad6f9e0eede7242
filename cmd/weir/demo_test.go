package main

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/internal/chromium"
	"weir/internal/testmedia"
)

// The first minute of a newcomer: one command, and a browser plays the picture
// that it serves. Told to end it does so at once, and leaves a recording.
func TestDemo(t *testing.T) {
	s := &server{data: t.TempDir(), rtmp: freeAddress(t), http: freeAddress(t)}
	s.command = start(t, "demo", "--data", s.data, "--rtmp", s.rtmp, "--http", s.http, "--log-max", "1GB", "--segment", "2s")
	s.wait(t)
	page := "http://" + s.http + "/?stream=live/demo"
	eventually(t, time.Second, "the addresses are told", func() bool {
		said := s.output.String()
		return strings.Contains(said, page) && strings.Contains(said, "http://"+s.http+"/hls/live/demo/index.m3u8") &&
			strings.Contains(said, "rtmp://"+s.rtmp+"/live/NAME") && strings.Contains(said, s.data)
	})
	eventually(t, 10*time.Second, "the playlist has a segment", func() bool {
		code, _ := get(s.object("live/demo/index.m3u8"))
		return code == 200
	})

	tab := chromium.Open(t)
	tab.Load(page, 1280, 900)
	tab.Wait("the show plays", `document.querySelector("video").currentTime > 0.5 && !document.querySelector("video").paused`)
	if got := tab.Eval(`(({videoWidth, videoHeight, error}) => [videoWidth, videoHeight, error])(document.querySelector("video"))`); got != "[640,360,null]" {
		t.Errorf("width, height, error: %s, want the clip's 640x360 and none", got)
	}
	first := counter(t, tab)
	tab.Wait("the show goes on", `document.querySelector("video").currentTime > 3`)
	second := counter(t, tab)
	if second <= first && first-second < clipFrames/2 {
		t.Errorf("the picture shows frame %d after frame %d: the burnt-in counter must advance", second, first)
	}
	if c := tab.Complaints(); len(c) > 0 {
		t.Errorf("the browser complains: %q", c)
	}

	broadcast, began := s.broadcast(t, "demo"), time.Now()
	if code := s.stop(); code != 0 {
		t.Errorf("exit code %d, want 0 as asked", code)
	}
	if took := time.Since(began); took > finishTime {
		t.Errorf("it took %v to end: Ctrl-C is answered at once", took)
	}
	vod := s.objects("live/demo/" + broadcast + "/source/vod.m3u8")
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
	s := serve(t)
	c := start(t, "demo", "--data", t.TempDir(), "--rtmp", s.rtmp, "--http", freeAddress(t), "--log-max", "1GB")
	<-c.ended
	if said := c.output.String(); c.code != exitFailed || !strings.Contains(said, "--rtmp") || strings.Contains(said, "Watch") {
		t.Errorf("exit code %d, said %q", c.code, said)
	}
}

// counter reads the frame number off a screenshot.
func counter(t *testing.T, tab *chromium.Tab) int {
	t.Helper()
	n, err := testmedia.ReadCounter(tab.Screenshot())
	if err != nil {
		t.Fatalf("read the counter off a screenshot: %v", err)
	}
	return n
}
