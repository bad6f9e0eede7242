package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"weir/check"
	"weir/internal/external"
	"weir/internal/testweir"
)

// makeHLS makes a short VOD with ffmpeg.
func makeHLS(t *testing.T) string {
	t.Helper()
	external.Need(t, "ffmpeg")
	dir := t.TempDir()
	cmd := exec.Command("ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25", "-f", "lavfi", "-i", "sine=sample_rate=48000",
		"-t", "8", "-c:v", "libx264", "-preset", "ultrafast", "-g", "50", "-pix_fmt", "yuv420p", "-c:a", "aac",
		"-f", "hls", "-hls_time", "2", "-hls_playlist_type", "vod", "-hls_segment_filename", "%d.ts", "index.m3u8")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make HLS with ffmpeg: %v\n%s", err, out)
	}
	return dir
}

// roomy is a budget that no sound presentation of a test uses up.
var roomy = budget{time: 10 * time.Minute, bytes: 1 << 30}

// runCheck runs the verb, and returns what it printed and its exit code.
func runCheck(t *testing.T, c checkCmd) (string, int) {
	t.Helper()
	var out bytes.Buffer
	c.MaxTime, c.MaxBytes = roomy.time, byteSize(roomy.bytes)
	err := c.Run(t.Context(), &out)
	code := 0
	if err != nil {
		code = exitFailed
		if e := (*exitError)(nil); errors.As(err, &e) {
			code = e.code
		}
		fmt.Fprint(&out, err)
	}
	return out.String(), code
}

func TestCheckVerb(t *testing.T) {
	sound := makeHLS(t)
	broken := t.TempDir()
	if err := os.CopyFS(broken, os.DirFS(sound)); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(broken, "1.ts")); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.FileServer(http.Dir(sound)))
	defer server.Close()
	for _, tt := range []struct {
		name string
		c    checkCmd
		code int
		want string
	}{
		{"a sound directory", checkCmd{Target: sound}, 0, "0 errors"},
		{"a sound file", checkCmd{Target: filepath.Join(sound, "index.m3u8")}, 0, "in 1 playlist, 4 segments"},
		{"a sound URL", checkCmd{Target: server.URL + "/index.m3u8"}, 0, "in 1 playlist, 4 segments"},
		{"a URL without CORS", checkCmd{Target: server.URL + "/index.m3u8"}, 0, "warning OBJ-CORS"},
		{"a broken directory", checkCmd{Target: broken}, exitFailed, "error OBJ-MISSING"},
		{"a URL of nothing", checkCmd{Target: server.URL + "/none.m3u8"}, exitFailed, "HTTP 404 (see the path"},
		{"JSON", checkCmd{Target: broken, JSON: true}, exitFailed, `"rule": "OBJ-MISSING"`},
		{"the rules", checkCmd{Rules: true}, 0, "| `M3U-TARGETDURATION` | error | RFC 8216bis 4.4.3.1 |"},
		{"no target", checkCmd{}, exitUsage, "URL"},
		{"no such file", checkCmd{Target: filepath.Join(sound, "none.m3u8")}, exitUsage, "none.m3u8"},
		{"a directory to watch", checkCmd{Target: sound, Watch: time.Second}, exitUsage, "--watch"},
		{"a directory without playlists", checkCmd{Target: t.TempDir()}, exitFailed, "no .m3u8"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out, code := runCheck(t, tt.c)
			if code != tt.code || !strings.Contains(out, tt.want) {
				t.Errorf("exit code %d, want %d and %q; it printed:\n%s", code, tt.code, tt.want, out)
			}
		})
	}
}

// TestCheckJSON: the JSON is one object with the counts and the findings.
func TestCheckJSON(t *testing.T) {
	out, _ := runCheck(t, checkCmd{Target: makeHLS(t), JSON: true})
	var r struct {
		Errors, Warnings, Segments int
		Findings                   []check.Finding
	}
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%v in:\n%s", err, out)
	}
	if r.Errors != 0 || r.Segments != 4 || r.Warnings == 0 || len(r.Findings) == 0 || r.Findings[0].Severity != check.Warning {
		t.Errorf("the report is %+v", r)
	}
}

// TestCheckURLFollowsRedirects: what a redirected playlist lists is relative
// to where it was found, queries and all.
func TestCheckURLFollowsRedirects(t *testing.T) {
	dir := http.FileServer(http.Dir(makeHLS(t)))
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		switch {
		case r.URL.Path == "/live.m3u8":
			http.Redirect(w, r, "/deep/below/index.m3u8?token=secret", http.StatusFound)
		case strings.HasPrefix(r.URL.Path, "/deep/below/"):
			asked.Add(1)
			http.StripPrefix("/deep/below", dir).ServeHTTP(w, r)
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	r, err := checkURL(t.Context(), server.URL+"/live.m3u8", 0, roomy, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Err(); err != nil || asked.Load() != 5 {
		t.Errorf("%d requests, want a playlist and 4 segments: %v", asked.Load(), err)
	}
}

// TestCheckEnds: a check that is told to end does, and waits for its requests.
func TestCheckEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	}))
	defer server.Close()
	r, err := checkURL(ctx, server.URL+"/live.m3u8", time.Hour, roomy, nil)
	if err != nil || r.Errors() != 0 {
		t.Errorf("%v, %v: a check that was ended says nothing of what it did not see", err, r.Findings)
	}
}

// nginxConfig is nginx-rtmp with HLS, in one process, below one directory.
const nginxConfig = `load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;
daemon off; master_process off; pid %[1]s/nginx.pid; error_log %[1]s/error.log;
events { worker_connections 64; }
rtmp { server { listen 127.0.0.1:%[2]d; application live { live on; hls on; hls_path %[1]s/hls; hls_fragment 1s; hls_playlist_length 4s; } } }
http {
  access_log off; types { application/vnd.apple.mpegurl m3u8; video/mp2t ts; }
  client_body_temp_path %[1]s/t1; proxy_temp_path %[1]s/t2; fastcgi_temp_path %[1]s/t3; uwsgi_temp_path %[1]s/t4; scgi_temp_path %[1]s/t5;
  server { listen 127.0.0.1:%[3]d; root %[1]s/hls; }
}
`

// freePort finds a port that nobody listens on: nginx takes no port 0.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// background starts a program that ends with the test.
func background(t *testing.T, name string, args ...string) (ended <-chan error) {
	t.Helper()
	external.Need(t, name)
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = io.Discard, io.Discard
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	waited := make(chan struct{})
	go func() { done <- cmd.Wait(); close(waited) }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-waited })
	return done
}

// TestCheckNginxRTMP: a live show of nginx-rtmp gets what it deserves, over its
// end: tables that begin to count anew in each segment, a discontinuity before
// the first one that nobody counts when it slides out, no dates, no CORS, and no
// EXT-X-ENDLIST when the publisher has gone. And it gets no other error: its
// media is right.
func TestCheckNginxRTMP(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "hls"), 0o755); err != nil {
		t.Fatal(err)
	}
	rtmp, web := freePort(t), freePort(t)
	config := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, nginxConfig, dir, rtmp, web), 0o644); err != nil {
		t.Fatal(err)
	}
	background(t, "nginx", "-p", dir, "-c", config)
	waitFor(t, func() bool {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", rtmp))
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	background(t, "ffmpeg", "-v", "error", "-re", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25", "-f", "lavfi", "-i", "sine=sample_rate=44100",
		"-t", "7", "-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-sc_threshold", "0", "-pix_fmt", "yuv420p", "-c:a", "aac",
		"-f", "flv", fmt.Sprintf("rtmp://127.0.0.1:%d/live/a", rtmp))
	url := fmt.Sprintf("http://127.0.0.1:%d/a.m3u8", web)
	waitFor(t, func() bool {
		code, _ := testweir.Get(url)
		return code == http.StatusOK
	})
	r, err := checkURL(t.Context(), url, 10*time.Second, roomy, nil)
	if err != nil {
		t.Fatal(err)
	}
	deserved := []string{"TS-CONTINUITY-TABLES", "M3U-DISCONTINUITY-FIRST", "M3U-DISCONTINUITY-SEQUENCE", "M3U-PDT-MISSING", "OBJ-CORS", "SEG-INDEPENDENT-UNSAID", "LIVE-DISCONTINUITY-SEQUENCE", "LIVE-STALE"}
	for _, rule := range deserved {
		if !r.Has(rule) {
			t.Errorf("%s was not found", rule)
		}
	}
	for _, f := range r.Findings {
		if f.Severity == check.Error && !slices.Contains(deserved, f.Rule) {
			t.Errorf("not deserved: %s", f)
		}
	}
	if r.Segments < 6 {
		t.Errorf("%d segments were read of a show of 7", r.Segments)
	}
	t.Logf("found: %v", r.Counts)
}

// waitFor waits until something is so, 10 s at most.
func waitFor(t *testing.T, so func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !so(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it did not come about within 10 s")
		}
	}
}
