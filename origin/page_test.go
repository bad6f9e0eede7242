package origin

import (
	"context"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/google/go-cmp/cmp"

	"weir/api"
	"weir/internal/chromium"
	"weir/internal/external"
	"weir/media"
	"weir/media/health"
)

func TestPageHeaders(t *testing.T) {
	baseURL, err := url.Parse("https://cdn.example/weir")
	if err != nil {
		t.Fatal(err)
	}
	h := New(Config{Objects: store(), BaseURL: baseURL})
	res := get(h, "GET", "/", "Accept-Encoding", "gzip")
	want := map[string]string{
		"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-cache", "Content-Encoding": "gzip", "Vary": "Accept-Encoding",
		"Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff", "Access-Control-Allow-Origin": "",
		"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " +
			"connect-src 'self' https://cdn.example; media-src blob: 'self' https://cdn.example; worker-src blob:; " +
			"base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
	}
	for name, value := range want {
		if got := res.Header.Get(name); got != value {
			t.Errorf("%s: got %q, want %q", name, got, value)
		}
	}
	if again := get(h, "GET", "/", "Accept-Encoding", "gzip", "If-None-Match", res.Header.Get("ETag")); again.StatusCode != 304 {
		t.Errorf("asked again: got %d, want 304", again.StatusCode)
	}
	if plain := get(h, "GET", "/"); plain.Header.Get("ETag") == res.Header.Get("ETag") || !strings.HasPrefix(body(t, plain), "<!doctype html>") {
		t.Error("the plain page is the gzip one")
	}
	for path, contentType := range map[string]string{
		"/page/weir.js": "text/javascript; charset=utf-8", "/page/weir.css": "text/css; charset=utf-8", "/page/icon.svg": "image/svg+xml",
		"/page/vendor/hls.js/LICENSE": "text/plain; charset=utf-8", "/page/vendor/hls.js/hls.min.js": "text/javascript; charset=utf-8",
	} {
		if res := get(h, "HEAD", path); res.StatusCode != 200 || res.Header.Get("Content-Type") != contentType {
			t.Errorf("%s: got %d %s", path, res.StatusCode, res.Header.Get("Content-Type"))
		}
	}
}

// The page is made of files of this server, and nothing in it asks for another
// host's: neither by what it loads nor by what it styles.
func TestPageNamesNoHost(t *testing.T) {
	err := fs.WalkDir(pageFiles, "page", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.Contains(name, "vendor") {
			return err
		}
		text, err := pageFiles.ReadFile(name)
		for line := range strings.Lines(string(text)) {
			line = strings.ReplaceAll(line, "http://www.w3.org/2000/svg", "") // a name, not an address
			if strings.Contains(line, "//") && strings.Contains(line, "http") {
				t.Errorf("%s: %s", name, line)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// shown is a registry that a test changes while the page looks.
type shown struct {
	mu   sync.Mutex
	list []api.Stream
}

func (s *shown) Streams(context.Context) ([]api.Stream, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.list, nil
}

func (*shown) Scale(context.Context) (api.Scale, error) { return api.Scale{}, nil }
func (*shown) Health(context.Context, media.Stream) (health.Report, error) {
	return health.Report{}, api.ErrNotLive
}
func (*shown) Kick(context.Context, media.Stream) error { return nil }

func (s *shown) set(list ...api.Stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = list
}

// withAPI is an origin of a directory with the API that its page asks.
func withAPI(dir string, cfg api.Config) http.Handler {
	cfg.Playlists = NewEntries(directory(dir), nil)
	return New(Config{Objects: directory(dir), API: api.New(cfg)})
}

// clean fails the test for everything that the page complained of, and for
// requests that left the server.
func clean(t *testing.T, tab *chromium.Tab, server string) {
	t.Helper()
	for _, c := range tab.Complaints() {
		t.Error("console:", c)
	}
	requests := tab.Requests()
	for _, r := range requests {
		// data: are the icons of the browser's own video controls.
		if !strings.HasPrefix(r, server) && !strings.HasPrefix(r, "blob:"+server) && !strings.HasPrefix(r, "data:") {
			t.Error("a request to elsewhere:", r)
		}
	}
	if len(requests) == 0 {
		t.Error("no request was seen: this test sees nothing")
	}
}

// publishHLS lets ffmpeg write a live stream into dir, in real time, until the
// test ends.
func publishHLS(t *testing.T, dir string) {
	t.Helper()
	publishHLSOf(t, dir, "320x180")
}

func publishHLSOf(t *testing.T, dir, size string) {
	t.Helper()
	external.Need(t, "ffmpeg")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "ffmpeg", "-v", "error", "-nostdin", "-re", "-f", "lavfi", "-i", "testsrc2=r=25:s="+size, "-f", "lavfi", "-i", "sine",
		"-t", "90", "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "25", "-c:a", "aac",
		"-f", "hls", "-hls_time", "1", "-hls_list_size", "20", "-hls_flags", "temp_file", filepath.Join(dir, "index.m3u8"))
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal("the page is tested with a real stream: install ffmpeg:", err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // killed
		if stderr.Len() > 0 {
			t.Log("ffmpeg:", stderr.String())
		}
	})
	for range 200 {
		if _, err := os.Stat(filepath.Join(dir, "index.m3u8")); err == nil {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal("ffmpeg wrote no playlist within 20 s:", stderr.String())
}

// A page that was opened when nothing was live shows a stream that begins, by
// itself: the picture moves, has the right size, and nothing is complained of.
func TestPagePlays(t *testing.T) {
	dir := t.TempDir()
	registry := &shown{}
	refused := func() []api.Refusal {
		return []api.Refusal{{Time: time.Now(), Times: 3, Reason: "name", Text: "The stream key is empty.", Remote: "192.0.2.1", Transport: "rtmp", Encoder: "<b>OBS</b>"}}
	}
	addr, stop := listen(t, withAPI(dir, api.Config{Registry: registry, Refusals: refused, Publish: api.Publish{Port: 1936, Open: true}, Version: "1.2.3"}), time.Second)
	defer stop()
	server := "http://" + addr + "/"
	tab := chromium.Open(t)
	tab.Load(server, 1280, 900)

	tab.Wait("the empty page says what to do", `document.getElementById("empty").checkVisibility() && document.getElementById("publish").checkVisibility()`)
	want := `["rtmp://127.0.0.1:1936/live","alice","ffmpeg -re -i video.mp4 -c copy -f flv rtmp://127.0.0.1:1936/live/alice","weir 1.2.3"]`
	if got := tab.Eval(`["obs-server", "obs-key", "ffmpeg-file", "version"].map((id) => document.getElementById(id).textContent)`); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	tab.Do("copy a line", chromedp.Click(chromedp.CSS(`[data-copy="ffmpeg-test"]`)))
	tab.Wait("a copied line is announced", `document.getElementById("said").textContent === "Copied"`)

	since := time.Now().Add(-3 * time.Second)
	alice := api.Stream{Name: "live/alice", State: api.Live, Broadcast: "b1", Since: since, Ingest: "node-1", Worker: "worker-7", Epoch: 4, EncoderLagSeconds: new(0.0), WorkerLagSeconds: new(0.2),
		Video: &api.Video{Codec: "avc1.64001f", Width: 320, Height: 180, FrameRate: 25}, Audio: &api.Audio{Codec: "mp4a.40.2", SampleRate: 44100, Channels: 1}}
	other := api.Stream{Name: "live/<img src=x onerror=alert(1)>", State: api.Ended}
	registry.set(alice, other)
	tab.Wait("what has no segment yet is waited for", `document.getElementById("notice").textContent === "The first segment is on its way…"`)
	publishHLS(t, filepath.Join(dir, "live", "alice", "b1"))
	alice.Segments, alice.Advice = 3, api.AdviseKeyframes(4*time.Second, 25*time.Second/3)
	registry.set(alice, other)
	tab.Wait("the stream begins by itself", `document.querySelector("video").currentTime > 0.5 && !document.querySelector("video").paused`)
	first := tab.Eval(`document.querySelector("video").currentTime`)
	tab.Wait("the picture moves on", `document.querySelector("video").currentTime > 1 + `+first)
	if got := tab.Eval(`(({videoWidth, videoHeight, muted, error}) => [videoWidth, videoHeight, muted, error])(document.querySelector("video"))`); got != `[320,180,true,null]` {
		t.Errorf("width, height, muted, error: got %s", got)
	}
	// Names are text, never markup. What is over is asked for less often.
	tab.Wait("both are listed", `[...document.querySelectorAll("#list .name")].map((e) => e.textContent).join() === "live/alice,live/<img src=x onerror=alert(1)>"`)
	tab.Wait("how far the picture is behind is told", `document.getElementById("facts").textContent.includes("behind live")`)
	facts := tab.Eval(`[...document.querySelectorAll("#facts li")].slice(0, 4).map((e) => e.textContent)`)
	if facts != `["320×180","25 fps","H.264 High","AAC 44.1 kHz mono"]` {
		t.Errorf("the facts are %s", facts)
	}
	row := tab.Eval(`[...document.querySelectorAll("#rows tr:first-child > *")].map((e) => e.textContent)`)
	if row != `["live/alice","Live","node-1","worker-7","0.0 s","0.2 s","4","–"]` {
		t.Errorf("the operator's row is %s", row)
	}
	tab.Wait("a refused publish is listed", `[...document.querySelectorAll("#refused tr > *")].slice(1).map((e) => e.textContent).join(" | ") === "3 | 192.0.2.1 rtmp | <b>OBS</b> | The stream key is empty."`)

	if got := tab.Eval(`document.getElementById("advice").textContent`); !strings.Contains(got, "a key frame each 8.3 s") || !strings.Contains(got, "Keyframe Interval") {
		t.Errorf("what would make it better: %s", got)
	}
	tab.Do("copy the playlist", chromedp.Click(chromedp.ID("copy-playlist")))
	clean(t, tab, server)
}

// The next show of a stream is not the one before: from its publish on the page
// waits for its first segment, and then plays it, whatever the stream's entry
// point still names.
func TestPagePlaysTheNextShow(t *testing.T) {
	dir := t.TempDir()
	registry := &shown{}
	first := api.Stream{Name: "live/alice", State: api.Live, Broadcast: "b1", Segments: 3}
	// Of different sizes, so that the picture tells them apart.
	publishHLS(t, filepath.Join(dir, "live", "alice", "b1"))
	if err := os.WriteFile(filepath.Join(dir, "live", "alice", "index.m3u8"), []byte("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1000000\nb1/index.m3u8\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	registry.set(first)
	addr, stop := listen(t, withAPI(dir, api.Config{Registry: registry}), time.Second)
	defer stop()
	server := "http://" + addr + "/"
	tab := chromium.Open(t)
	tab.Load(server+"?stream=live/alice", 800, 600)
	const size = `[document.querySelector("video").videoWidth, document.querySelector("video").currentTime > 0.2 && !document.querySelector("video").paused].join()`
	tab.Wait("the first show plays", size+` === "320,true"`)

	second := api.Stream{Name: "live/alice", State: api.Live, Broadcast: "b2"}
	registry.set(second)
	tab.Wait("the next show is waited for", `document.getElementById("notice").textContent === "The first segment is on its way…"`)
	if got := tab.Eval(`document.querySelector("video").readyState`); got != "0" {
		t.Errorf("the show before is shown as live: readyState %s", got)
	}
	publishHLSOf(t, filepath.Join(dir, "live", "alice", "b2"), "640x360")
	second.Segments = 1
	registry.set(second)
	tab.Wait("the next show plays", size+` === "640,true" && document.getElementById("badge").textContent === "Live"`)
	clean(t, tab, server)
}

// A link to a stream plays that one, muted, on a phone; the page fits the
// narrowest of them, and keeps the operator's view folded.
func TestPageDeepLink(t *testing.T) {
	dir := t.TempDir()
	publishHLS(t, filepath.Join(dir, "live", "bob", "b"))
	registry := &shown{}
	registry.set(api.Stream{Name: "live/alice", State: api.Ended}, api.Stream{Name: "live/bob", State: api.Live, Broadcast: "b", Segments: 3, Ingest: "ingest-with-a-rather-long-name.example", Worker: "worker-1"})
	addr, stop := listen(t, withAPI(dir, api.Config{Registry: registry, Publish: api.Publish{Port: 1935}}), time.Second)
	defer stop()
	server := "http://" + addr + "/"
	tab := chromium.Open(t)
	tab.Load(server+"?stream=live/bob", 320, 640)
	tab.Wait("the stream of the link plays", `document.querySelector("video").currentTime > 0.2 && document.querySelector("video").muted`)
	got := tab.Eval(`[document.title, document.querySelector("[aria-current]").dataset.stream, document.documentElement.scrollWidth, document.getElementById("operator").open]`)
	if got != `["live/bob · weir","live/bob",320,false]` {
		t.Errorf("title, stream, width, operator's view open: got %s", got)
	}
	if got := tab.Eval(`document.getElementById("ffmpeg-file").textContent`); !strings.HasSuffix(got, `/live/STREAM-KEY"`) {
		t.Errorf("where keys are secret, the page shows %s", got)
	}
	if unnamed := tab.Eval(`[...document.querySelectorAll("button, a, summary, video")].filter((e) => !(e.textContent.trim() || e.ariaLabel || e.getAttribute("aria-labelledby"))).map((e) => e.outerHTML)`); unnamed != `[]` {
		t.Errorf("a screen reader has no name for %s", unnamed)
	}
	tab.Do("turn the sound on", chromedp.Click(chromedp.ID("unmute")))
	tab.Wait("the sound is on", `!document.querySelector("video").muted && document.getElementById("unmute").hidden`)
	clean(t, tab, server)
}

func TestPageText(t *testing.T) {
	addr, stop := listen(t, New(Config{Objects: store()}), time.Second)
	defer stop()
	tab := chromium.Open(t)
	tab.Load("http://"+addr+"/", 800, 600)
	for _, tt := range []struct{ call, want string }{
		{`codec("avc1.64001f")`, `"H.264 High"`},
		{`codec("avc1.42C01E")`, `"H.264 Baseline"`},
		{`codec("avc1.4d401f")`, `"H.264 Main"`},
		{`codec("hvc1.1.6.L93.B0")`, `"HEVC"`},
		{`codec("av01.0.04M.08")`, `"AV1"`},
		{`codec("mp4a.40.2")`, `"AAC"`},
		{`codec("mp4a.40.5")`, `"HE-AAC"`},
		{`codec("opus")`, `"Opus"`},
		{`codec("new1.2")`, `"new1"`}, // better than nothing
		{`codec(undefined)`, `""`},
		{`bitrate(2641337)`, `"2.6 Mbit/s"`},
		{`bitrate(999499)`, `"999 kbit/s"`},
		{`bitrate(999500)`, `"1.0 Mbit/s"`},
		{`bitrate(128000)`, `"128 kbit/s"`},
		{`duration(7)`, `"0:07"`},
		{`duration(723)`, `"12:03"`},
		{`duration(7384)`, `"2:03:04"`},
		{`duration(49 * 3600)`, `"2 d 1 h"`},
		{`rate({ frame_rate: 30000 / 1001 })`, `"29.97 fps"`},
		{`sound({ codec: "mp4a.40.2", sample_rate: 48000, channels: 6 })`, `"AAC 48 kHz 5.1"`},
		{`sound(undefined)`, `""`},
		{`size({ width: 640 })`, `""`},
		{`summary([])`, `"Waiting for a stream"`},
		{`summary([{ state: "ended" }])`, `"Nothing is live now"`},
		{`summary([{ state: "live" }, { state: "waiting" }, { state: "live" }])`, `"2 live, 1 reconnecting"`},
		{`summary([{ state: "live" }], 300)`, `"1 live, 300 more"`},
	} {
		if diff := cmp.Diff(tt.want, tab.Eval(`import("./page/text.js").then((text) => text.`+tt.call+`)`)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.call, diff)
		}
	}
}
