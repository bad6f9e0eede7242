package players_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"weir/internal/external"
	"weir/internal/players"
)

// serve makes a show of 6 s with ffmpeg's own HLS muxer and serves it.
func serve(t *testing.T) (dir, url string) {
	t.Helper()
	external.Need(t, "ffmpeg")
	dir = t.TempDir()
	cmd := exec.Command("ffmpeg", "-v", "error", "-nostdin", "-f", "lavfi", "-i", "testsrc2=size=160x90:rate=25:duration=6",
		"-f", "lavfi", "-i", "sine=duration=6", "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "50", "-c:a", "aac",
		"-f", "hls", "-hls_time", "2", "-hls_playlist_type", "vod", "-master_pl_name", "index.m3u8", filepath.Join(dir, "media.m3u8"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("ffmpeg: %v\n%s", err, out)
	}
	files := http.FileServer(http.Dir(dir))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		files.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return dir, server.URL + "/index.m3u8"
}

func TestPlay(t *testing.T) {
	_, url := serve(t)
	for _, r := range players.Play(t, players.All, url, 20*time.Second, time.Minute) {
		if !r.Ended || r.Position < 5.8 || len(r.Fatal) > 0 || r.Pictures < 140 || r.Skipped > 0 || r.Sound == 0 {
			t.Errorf("a sound show: %v", r)
		}
	}
}

// A report that says nothing of a stop would make every test that asks green.
func TestPlayThatStops(t *testing.T) {
	dir, url := serve(t)
	if err := os.WriteFile(filepath.Join(dir, "media1.ts"), []byte("no segment"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, r := range players.Play(t, []string{players.HLSJS, players.Shaka}, url, 5*time.Second, time.Minute) {
		if r.Ended && r.Stalled == 0 && r.Skipped == 0 && len(r.Fatal) == 0 && len(r.Events) == 0 {
			t.Errorf("with a broken segment: %v", r)
		}
	}
}
