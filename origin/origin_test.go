package origin

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"weir/api"
	"weir/media/object"
)

// memory is a store as the origin sees one. It counts what it opened and what
// was closed again.
type memory struct {
	mu      sync.Mutex
	objects map[string]string
	err     error
	open    int
}

var modified = time.Date(2026, 11, 21, 1, 45, 0, 0, time.UTC)

func (m *memory) Open(_ context.Context, key string) (io.ReadSeekCloser, object.Info, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return nil, object.Info{}, m.err
	}
	body, ok := m.objects[key]
	if !ok {
		return nil, object.Info{}, fmt.Errorf("open %s: %w", key, object.ErrNotExist)
	}
	m.open++
	info := object.Info{Key: key, Size: int64(len(body)), ETag: fmt.Sprintf("%d-%s", len(body), key[len(key)-2:]), Modified: modified}
	return &opened{strings.NewReader(body), m}, info, nil
}

type opened struct {
	*strings.Reader
	m *memory
}

func (o *opened) Close() error {
	o.m.mu.Lock()
	defer o.m.mu.Unlock()
	o.m.open--
	return nil
}

const (
	livePlaylist  = "#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\n00000042.ts\n"
	shortPlaylist = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n00000042.ts\n"
	endedPlaylist = livePlaylist + "#EXT-X-ENDLIST\n"
	multivariant  = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nb/source/live.m3u8\n"
	ts            = "G23456789"
)

func store() *memory {
	return &memory{objects: map[string]string{
		"live/alice/index.m3u8":             multivariant,
		"live/alice/b/source/live.m3u8":     livePlaylist,
		"live/alice/b/source/vod.m3u8":      endedPlaylist,
		"live/alice/b/source/short.m3u8":    shortPlaylist,
		"live/alice/b/source/crlf.m3u8":     strings.ReplaceAll(endedPlaylist, "\n", "\r\n"),
		"live/alice/b/source/00000042.ts":   ts,
		"live/alice/b/source/index/0.json":  "{}",
		"live/alice/b/source/.00000043.ts":  "half written",
		"live/alice/b/source/..hidden.m3u8": livePlaylist,
		"secret.ts":                         "",
	}}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// get asks h and returns the answer. Headers come in pairs.
func get(h http.Handler, method, target string, headers ...string) *http.Response {
	r := httptest.NewRequest(method, "http://weir.example:8080/", nil)
	// As the wire has it: NewRequest would refuse or clean some of these.
	r.URL.RawPath = target
	r.URL.Path, _ = url.PathUnescape(target)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, res *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestObjects(t *testing.T) {
	const dir = "/hls/live/alice/b/source/"
	immutable := "public, max-age=31536000, immutable"
	for _, tt := range []struct {
		name    string
		method  string
		path    string
		headers []string
		code    int
		body    string
		want    map[string]string // "" wants the header absent
	}{
		{"segment", "GET", dir + "00000042.ts", nil, 200, ts, map[string]string{
			"Content-Type": "video/mp2t", "Cache-Control": immutable, "Content-Length": "9",
			"Accept-Ranges": "bytes", "Etag": `"9-ts"`, "Last-Modified": "Sat, 21 Nov 2026 01:45:00 GMT",
			"X-Content-Type-Options": "nosniff", "Access-Control-Allow-Origin": "*", "Vary": "", "Content-Encoding": "",
		}},
		{"a segment is not compressed again", "GET", dir + "00000042.ts", []string{"Accept-Encoding", "gzip"}, 200, ts, map[string]string{"Content-Encoding": ""}},
		{"head", "HEAD", dir + "00000042.ts", nil, 200, "", map[string]string{"Content-Length": "9", "Content-Type": "video/mp2t", "Cache-Control": immutable}},
		{"first bytes", "GET", dir + "00000042.ts", []string{"Range", "bytes=0-1"}, 206, "G2", map[string]string{"Content-Range": "bytes 0-1/9", "Content-Length": "2", "Cache-Control": immutable}},
		{"last bytes", "GET", dir + "00000042.ts", []string{"Range", "bytes=-2"}, 206, "89", map[string]string{"Content-Range": "bytes 7-8/9"}},
		{"from the middle on", "GET", dir + "00000042.ts", []string{"Range", "bytes=5-"}, 206, "6789", map[string]string{"Content-Range": "bytes 5-8/9"}},
		{"past the end", "GET", dir + "00000042.ts", []string{"Range", "bytes=9-"}, 416, "invalid range: failed to overlap\n", map[string]string{"Content-Range": "bytes */9", "Cache-Control": ""}},
		{"several ranges are ignored", "GET", dir + "00000042.ts", []string{"Range", "bytes=0-1,3-4"}, 200, ts, nil},
		{"range of the same entity", "GET", dir + "00000042.ts", []string{"Range", "bytes=0-1", "If-Range", `"9-ts"`}, 206, "G2", nil},
		{"range of another entity", "GET", dir + "00000042.ts", []string{"Range", "bytes=0-1", "If-Range", `"8-ts"`}, 200, ts, nil},
		{"not modified", "GET", dir + "00000042.ts", []string{"If-None-Match", `"9-ts"`}, 304, "", map[string]string{"Cache-Control": immutable, "Etag": `"9-ts"`, "Access-Control-Allow-Origin": "*"}},
		{"not modified, weakly", "GET", dir + "00000042.ts", []string{"If-None-Match", `"x", W/"9-ts"`}, 304, "", nil},
		{"modified", "GET", dir + "00000042.ts", []string{"If-None-Match", `"8-ts"`}, 200, ts, nil},
		{"not modified since", "HEAD", dir + "00000042.ts", []string{"If-Modified-Since", "Sat, 21 Nov 2026 01:45:00 GMT"}, 304, "", nil},

		{"a live playlist holds for half its target duration", "GET", dir + "live.m3u8", nil, 200, livePlaylist, map[string]string{
			"Content-Type": "application/vnd.apple.mpegurl", "Cache-Control": "public, max-age=3", "Vary": "Accept-Encoding", "Etag": `"55-u8"`,
		}},
		{"half of 1 s is no whole second", "GET", dir + "short.m3u8", nil, 200, shortPlaylist, map[string]string{"Cache-Control": "no-cache"}},
		{"an ended playlist does not change", "GET", dir + "vod.m3u8", nil, 200, endedPlaylist, map[string]string{"Cache-Control": "public, max-age=86400"}},
		{"other line ends", "GET", dir + "crlf.m3u8", nil, 200, strings.ReplaceAll(endedPlaylist, "\n", "\r\n"), map[string]string{"Cache-Control": "public, max-age=86400"}},
		{"a multivariant playlist holds for half of --segment", "GET", "/hls/live/alice/index.m3u8", nil, 200, multivariant, map[string]string{"Cache-Control": "public, max-age=2"}},
		{"playlist, head", "HEAD", dir + "live.m3u8", nil, 200, "", map[string]string{"Content-Length": "55"}},
		{"playlist not modified", "GET", dir + "live.m3u8", []string{"If-None-Match", `"55-u8"`}, 304, "", map[string]string{"Cache-Control": "public, max-age=3"}},
		{"playlist, other representation", "GET", dir + "live.m3u8", []string{"If-None-Match", `"55-u8-gzip"`}, 200, livePlaylist, nil},
		{"gzip not modified", "GET", dir + "live.m3u8", []string{"If-None-Match", `"55-u8-gzip"`, "Accept-Encoding", "br, gzip"}, 304, "", nil},
		{"gzip refused", "GET", dir + "live.m3u8", []string{"Accept-Encoding", "gzip;q=0"}, 200, livePlaylist, map[string]string{"Content-Encoding": ""}},
		{"ranges are of the plain text", "GET", dir + "live.m3u8", []string{"Range", "bytes=0-6", "Accept-Encoding", "gzip"}, 206, "#EXTM3U", map[string]string{"Content-Encoding": "", "Etag": `"55-u8"`}},

		{"missing", "GET", dir + "00000043.ts", nil, 404, "not found\n", map[string]string{"Cache-Control": "public, max-age=1", "Access-Control-Allow-Origin": "*", "Content-Type": "text/plain; charset=utf-8"}},
		{"missing, head", "HEAD", dir + "live2.m3u8", nil, 404, "", nil},
		{"put", "PUT", dir + "00000042.ts", nil, 405, "method not allowed\n", map[string]string{"Allow": "GET, HEAD, OPTIONS"}},
		{"delete", "DELETE", dir + "00000042.ts", nil, 405, "method not allowed\n", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := store()
			res := get(New(Config{Objects: m, Log: quiet()}), tt.method, tt.path, tt.headers...)
			if got := body(t, res); res.StatusCode != tt.code || got != tt.body && tt.method != "HEAD" {
				t.Errorf("got %d %q, want %d %q", res.StatusCode, got, tt.code, tt.body)
			}
			for name, want := range tt.want {
				if got := res.Header.Get(name); got != want {
					t.Errorf("%s: got %q, want %q", name, got, want)
				}
			}
			if m.open != 0 {
				t.Errorf("%d objects were left open", m.open)
			}
		})
	}
}

// Nothing but playlists and segments goes out, whatever the store would give.
func TestHiddenKeys(t *testing.T) {
	h := New(Config{Objects: anything{}, Log: quiet()})
	for _, path := range []string{
		"/hls/", "/hls/live", "/hls/live/", "/hls/live/alice/", "/hls//live/alice/index.m3u8",
		"/hls/live//alice/index.m3u8", "/hls/../secret.ts", "/hls/live/../../secret.ts", "/hls/./live/index.m3u8",
		"/hls/%2e%2e/secret.ts", "/hls/live/%2e%2e%2f%2e%2e%2fsecret.ts", "/hls/..%5csecret.ts", "/hls/%2fetc/x.ts",
		"/hls/live/alice/b/source/index/0.json", "/hls/live/alice/b/source/.00000043.ts", "/hls/live/..hidden.m3u8",
		"/hls/live/alice/index.m3u8/", "/hls/live/a%00.ts", "/hls/live/a%0a.ts", "/hls/live/a%20b.ts", "/hls/live/é.ts",
		"/hls/live/alice/index.m3u8%3fx", "/hls/C:/secret.ts", "/hls/.ts", "/hls/" + strings.Repeat("a", 600) + ".ts",
		"/hls", "/hlsx/live/alice/index.m3u8", "/page", "/page/", "/page/vendor/", "/page/../page.go", "/index.html",
		"/api", "/api/v1", "/metrics", "/favicon.ico", "/.git/config", "", "*",
	} {
		if res := get(h, "GET", path); res.StatusCode != 404 || body(t, res) != "not found\n" {
			t.Errorf("%s: got %d, want a 404", path, res.StatusCode)
		}
	}
	// What the segmenter names must pass: the check is not simply deaf.
	for _, path := range []string{"/hls/live/alice/index.m3u8", "/hls/a-b/c_d.e/20261121T014500Z-k3v9/source/00000042-0a1b2c3d.ts"} {
		if res := get(h, "GET", path); res.StatusCode != 200 {
			t.Errorf("%s: got %d, want 200", path, res.StatusCode)
		}
	}
}

// anything is a store with an object under every key.
type anything struct{}

func (anything) Open(_ context.Context, key string) (io.ReadSeekCloser, object.Info, error) {
	m := &memory{objects: map[string]string{"key": "secret"}}
	return m.Open(context.Background(), "key")
}

func FuzzKind(f *testing.F) {
	for key := range store().objects {
		f.Add(key)
	}
	f.Add("../x.ts")
	f.Add("a/./b.m3u8")
	f.Fuzz(func(t *testing.T, key string) {
		if kindOf(key) == object.Other {
			return
		}
		if strings.Contains("/"+key, "/.") || strings.Contains(key+"/", "//") || strings.ContainsAny(key, "\\\x00\r\n% ") {
			t.Errorf("%q may leave the store's root or hide in it", key)
		}
	})
}

func TestGzip(t *testing.T) {
	long := livePlaylist + strings.Repeat("#EXTINF:6,\n00000042.ts\n", 100)
	m := &memory{objects: map[string]string{"live.m3u8": long}}
	h := New(Config{Objects: m})
	for range 2 { // a compressor is used again
		res := get(h, "GET", "/hls/live.m3u8", "Accept-Encoding", "deflate, gzip;q=0.5")
		z, err := gzip.NewReader(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		plain, err := io.ReadAll(z)
		if err != nil || string(plain) != long {
			t.Errorf("the text did not come through: %v", err)
		}
		if res.ContentLength <= 0 || res.ContentLength > int64(len(long)/4) || res.Header.Get("Content-Encoding") != "gzip" {
			t.Errorf("got %d bytes of %d, encoding %q", res.ContentLength, len(long), res.Header.Get("Content-Encoding"))
		}
	}
}

// A playlist beyond all measure costs bounded memory and is no viewer's fault.
func TestLongPlaylist(t *testing.T) {
	m := &memory{objects: map[string]string{"live.m3u8": strings.Repeat("#", maxPlaylist+1)}}
	res := get(New(Config{Objects: m, Log: quiet()}), "GET", "/hls/live.m3u8")
	if res.StatusCode != 503 || res.Header.Get("Etag") != "" || m.open != 0 {
		t.Errorf("got %d %v, %d left open", res.StatusCode, res.Header, m.open)
	}
}

func TestStoreAway(t *testing.T) {
	var log bytes.Buffer
	h := New(Config{Objects: &memory{err: errors.New("dial 10.0.0.1: refused")}, Log: slog.New(slog.NewTextHandler(&log, nil))})
	for range 100 {
		res := get(h, "GET", "/hls/live/alice/index.m3u8")
		got := body(t, res)
		if res.StatusCode != 503 || res.Header.Get("Retry-After") != "1" || res.Header.Get("Cache-Control") != "no-store" {
			t.Fatalf("got %d %v: players give up on anything but a 503", res.StatusCode, res.Header)
		}
		if strings.Contains(got, "10.0.0.1") {
			t.Fatalf("the store's address went to a viewer: %q", got)
		}
	}
	if n := strings.Count(log.String(), "\n"); n < 1 || n > 3 || !strings.Contains(log.String(), "refused") {
		t.Errorf("100 failures in well under 3 s wrote %d lines: %s", n, log.String())
	}
}

// A viewer who went away is not the store's failure.
func TestViewerGone(t *testing.T) {
	var log bytes.Buffer
	h := New(Config{Objects: &memory{err: context.Canceled}, Log: slog.New(slog.NewTextHandler(&log, nil))})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", "/hls/live/alice/index.m3u8", nil))
	if w.Code != 499 || log.Len() != 0 {
		t.Errorf("got %d, logged %q", w.Code, log.String())
	}
}

func TestCORS(t *testing.T) {
	const key = "/hls/live/alice/index.m3u8"
	for _, tt := range []struct {
		name          string
		allow         []string
		method, path  string
		origin        string
		code          int
		want          string
		vary, methods string
	}{
		{"open", nil, "GET", key, "https://a.example", 200, "*", "Accept-Encoding", ""},
		{"open, preflight", nil, "OPTIONS", key, "https://a.example", 204, "*", "", "GET, HEAD, OPTIONS"},
		{"star", []string{"*"}, "GET", key, "https://a.example", 200, "*", "Accept-Encoding", ""},
		{"listed", []string{"https://a.example", "https://b.example"}, "GET", key, "https://b.example", 200, "https://b.example", "Origin, Accept-Encoding", ""},
		{"listed, preflight", []string{"https://a.example"}, "OPTIONS", key, "https://a.example", 204, "https://a.example", "Origin", "GET, HEAD, OPTIONS"},
		{"not listed", []string{"https://a.example"}, "GET", key, "https://c.example", 200, "", "Origin, Accept-Encoding", ""},
		{"not listed, preflight", []string{"https://a.example"}, "OPTIONS", key, "https://c.example", 204, "", "Origin", ""},
		{"no origin", []string{"https://a.example"}, "GET", key, "", 200, "", "Origin, Accept-Encoding", ""},
		{"the API is this page's own", nil, "GET", "/api/v1/streams", "https://a.example", 200, "", "", ""},
		{"the API, preflight", nil, "OPTIONS", "/api/v1/streams", "https://a.example", 204, "", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := New(Config{Objects: store(), AllowOrigins: tt.allow, API: api.New(api.Config{})})
			var headers []string
			if tt.origin != "" {
				headers = []string{"Origin", tt.origin, "Access-Control-Request-Method", "GET", "Access-Control-Request-Headers", "range"}
			}
			res := get(h, tt.method, tt.path, headers...)
			got := []string{res.Header.Get("Access-Control-Allow-Origin"), strings.Join(res.Header.Values("Vary"), ", "), res.Header.Get("Access-Control-Allow-Methods")}
			if diff := cmp.Diff([]string{tt.want, tt.vary, tt.methods}, got); res.StatusCode != tt.code || diff != "" {
				t.Errorf("got %d (-want +got):\n%s", res.StatusCode, diff)
			}
			if got[0] != "" && !strings.Contains(res.Header.Get("Access-Control-Expose-Headers"), "Content-Range") {
				t.Error("a player could not read Content-Range")
			}
		})
	}
}

// What is the API's is handed on, with every method, and counted.
func TestAPI(t *testing.T) {
	reg := prometheus.NewRegistry()
	h := New(Config{Objects: store(), Registerer: reg, API: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Method, r.URL.Path) })})
	for _, path := range []string{"/api/v1/streams", "/healthz", "/readyz", "/metrics"} {
		if res := get(h, "POST", path); res.StatusCode != 200 || body(t, res) != "POST"+path {
			t.Errorf("%s: got %d", path, res.StatusCode)
		}
		if res := get(New(Config{Objects: store()}), "GET", path); res.StatusCode != 404 {
			t.Errorf("%s without an API: got %d", path, res.StatusCode)
		}
	}
	want := `# HELP weir_origin_requests_total HTTP requests answered, by route and status code.
# TYPE weir_origin_requests_total counter
weir_origin_requests_total{code="200",route="api"} 1
weir_origin_requests_total{code="200",route="health"} 2
weir_origin_requests_total{code="200",route="metrics"} 1
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "weir_origin_requests_total"); err != nil {
		t.Error(err)
	}
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	h := New(Config{Objects: store(), Registerer: reg})
	get(h, "GET", "/hls/live/alice/b/source/00000042.ts")
	get(h, "GET", "/hls/live/alice/b/source/00000042.ts", "Range", "bytes=0-1")
	get(h, "GET", "/hls/live/alice/b/source/00000043.ts")
	get(h, "POST", "/hls/live/alice/index.m3u8")
	get(h, "GET", "/anything/a-viewer/chose")
	want := `# HELP weir_origin_requests_total HTTP requests answered, by route and status code.
# TYPE weir_origin_requests_total counter
weir_origin_requests_total{code="200",route="segment"} 1
weir_origin_requests_total{code="206",route="segment"} 1
weir_origin_requests_total{code="404",route="other"} 1
weir_origin_requests_total{code="404",route="segment"} 1
weir_origin_requests_total{code="405",route="playlist"} 1
# HELP weir_origin_response_bytes_total Bytes of response bodies sent, by route.
# TYPE weir_origin_response_bytes_total counter
weir_origin_response_bytes_total{route="other"} 10
weir_origin_response_bytes_total{route="playlist"} 19
weir_origin_response_bytes_total{route="segment"} 21
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "weir_origin_requests_total", "weir_origin_response_bytes_total"); err != nil {
		t.Error(err)
	}
	if n, err := testutil.GatherAndCount(reg, "weir_origin_request_seconds"); err != nil || n != 3 {
		t.Errorf("%d durations, %v: want one for each route", n, err)
	}
}
