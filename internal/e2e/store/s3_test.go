//go:build unix

package store

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir/internal/chromium"
	"weir/internal/testmedia"
	"weir/internal/testweir"
	"weir/internal/versitygw"
)

// From the encoder to the bucket, and from the bucket to the viewer: what is
// read from S3, with no origin in between, is every frame that was sent.
func TestS3Frames(t *testing.T) {
	t.Parallel()
	b := testweir.NewBucket(t)
	s := testweir.ServeIn(t, versitygw.Environ(), "--store", b.StoreURL("shows"), "--segment", "2s")
	spec := testweir.ShortShow(20)
	input := testmedia.MP4(t, spec)
	testweir.FFmpeg(t, 2, input, s.URL("alice"))
	prefix := s.WaitForEnd(t, "alice", 5*time.Second)
	if err := testmedia.SameFrames(testmedia.Probe(t, input), testmedia.Probe(t, b.Object("shows", prefix+"vod.m3u8"))); err != nil {
		t.Error(err)
	}
	testweir.CheckSegments(t, b.Objects("shows", prefix), spec)
	testweir.Conforms(t, b.Objects("shows", ""))
	for key, want := range map[string][2]string{
		prefix + "00000000.ts":   {"video/mp2t", "public, max-age=31536000, immutable"},
		prefix + "vod.m3u8":      {"application/vnd.apple.mpegurl", "public, max-age=86400"},
		"live/alice/index.m3u8":  {"application/vnd.apple.mpegurl", "public, max-age=86400"},
		prefix + "live.m3u8":     {"application/vnd.apple.mpegurl", "public, max-age=86400"},
		prefix + "../index.m3u8": {"application/vnd.apple.mpegurl", "public, max-age=86400"},
	} {
		response, err := http.Head(b.Object("shows", filepath.Clean(key)))
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close() // HEAD has none
		if got := [2]string{response.Header.Get("Content-Type"), response.Header.Get("Cache-Control")}; got != want {
			t.Errorf("%s: Content-Type and Cache-Control are %q, want %q", key, got, want)
		}
	}
}

// A page of anybody's plays a live stream in Chromium, by hls.js, straight from
// the bucket.
func TestS3Chromium(t *testing.T) {
	t.Parallel()
	b := testweir.NewBucket(t)
	s := testweir.ServeIn(t, versitygw.Environ(), "--store", b.StoreURL("shows"), "--segment", "1s", "--window", "10s")
	show := testweir.Publish(t, testmedia.MP4(t, testweir.ShortShow(40)), s.URL("alice"))
	entry := b.Object("shows", "live/alice/index.m3u8")
	testweir.Eventually(t, 20*time.Second, "the entry point is in the bucket", func() bool {
		code, _ := testweir.Get(entry)
		return code == http.StatusOK
	})
	page := playerPage(t, entry)
	tab := chromium.Open(t)
	tab.Load(page, 800, 600)
	type playback struct {
		Time, Width, Frames float64
		Errors, Loaded      []string
	}
	look := func() (p playback) {
		text := tab.Eval(`({
			Time: video.currentTime, Width: video.videoWidth, Frames: video.getVideoPlaybackQuality().totalVideoFrames,
			Errors: errors, Loaded: performance.getEntriesByType("resource").map((e) => e.name)})`)
		if err := json.Unmarshal([]byte(text), &p); err != nil {
			t.Fatal(err)
		}
		return p
	}
	var began playback
	testweir.Eventually(t, 20*time.Second, "Chromium plays", func() bool {
		began = look()
		return began.Time > 0 && began.Frames > 10
	})
	testweir.Eventually(t, 20*time.Second, "the picture moves on for 5 s", func() bool { return look().Time > began.Time+5 })
	p := look()
	if p.Width != 640 || len(p.Errors) > 0 {
		t.Errorf("the picture is %v wide, want 640; errors: %q", p.Width, p.Errors)
	}
	segments := 0
	for _, url := range p.Loaded {
		if strings.HasSuffix(url, ".ts") {
			segments++
		}
		if !strings.HasPrefix(url, b.URL) && !strings.HasPrefix(url, page) {
			t.Errorf("the page loaded %s", url)
		}
	}
	if segments < 5 {
		t.Errorf("%d segments from the bucket: %q", segments, p.Loaded)
	}
	if show.Over() {
		t.Error("the show ended before: this was no live stream")
	}
}

// playerPage serves a page with a player of url and nothing else, on an
// address of its own, and returns its URL.
func playerPage(t testing.TB, url string) string {
	t.Helper()
	script, err := os.ReadFile(filepath.Join("..", "..", "..", "origin", "page", "vendor", "hls.js", "hls.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /hls.js", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/javascript")
		_, _ = w.Write(script)
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `<!doctype html><link rel="icon" href="data:,"><video id="video" muted autoplay></video><script src="hls.js"></script><script>
			const video = document.getElementById("video"), errors = [], hls = new Hls();
			hls.on(Hls.Events.ERROR, (_, e) => errors.push(e.type + " " + e.details + (e.fatal ? " fatal" : "")));
			hls.loadSource(%q); hls.attachMedia(video);</script>`, url)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL + "/"
}
