package main

import (
	"bytes"
	"context"
	"image/png"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

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

	b := openBrowser(t, page)
	b.wait("the show plays", `document.querySelector("video").currentTime > 0.5 && !document.querySelector("video").paused`)
	if got := b.eval(`(({videoWidth, videoHeight, error}) => [videoWidth, videoHeight, error].join())(document.querySelector("video"))`); got != "640,360," {
		t.Errorf("width, height, error: %v, want the clip's 640x360 and none", got)
	}
	first := b.counter()
	b.wait("the show goes on", `document.querySelector("video").currentTime > 3`)
	second := b.counter()
	if second <= first && first-second < clipFrames/2 {
		t.Errorf("the picture shows frame %d after frame %d: the burnt-in counter must advance", second, first)
	}
	if b.complaints() != "" {
		t.Errorf("the browser complains: %s", b.complaints())
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

// browser is a tab of a real Chromium.
type browser struct {
	t      *testing.T
	ctx    context.Context
	mu     sync.Mutex
	errors []string
}

func openBrowser(t *testing.T, url string) *browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("the show is watched in a real browser: install chromium (Debian: apt-get install chromium):", err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))
	deadline, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	allocator, cancel := chromedp.NewExecAllocator(deadline, options...)
	t.Cleanup(cancel)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	b := &browser{t: t, ctx: ctx}
	console := chromedp.Console(ctx)
	var reading sync.WaitGroup
	reading.Go(func() {
		for m, err := range console {
			if err != nil {
				return // the test is over
			}
			if m.Type == "error" || m.Type == chromedp.ConsoleException {
				b.mu.Lock()
				b.errors = append(b.errors, string(m.Type)+": "+m.Text+" "+m.URL)
				b.mu.Unlock()
			}
		}
	})
	t.Cleanup(func() { cancel(); reading.Wait() })
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(1280, 900), chromedp.Navigate(url)); err != nil {
		t.Fatal("open the page:", err)
	}
	return b
}

// eval returns what an expression gives.
func (b *browser) eval(expression string) any {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[any](expression))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

func (b *browser) wait(what, expression string) {
	b.t.Helper()
	eventually(b.t, 40*time.Second, what, func() bool { return b.eval(expression) == true })
}

// counter reads the frame number off a screenshot.
func (b *browser) counter() int {
	b.t.Helper()
	shot, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		b.t.Fatal("take a screenshot:", err)
	}
	img, err := png.Decode(bytes.NewReader(shot))
	if err != nil {
		b.t.Fatal(err)
	}
	n, err := testmedia.ReadCounter(img)
	if err != nil {
		b.t.Fatalf("read the counter off a screenshot: %v", err)
	}
	return n
}

func (b *browser) complaints() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Join(b.errors, "\n")
}
