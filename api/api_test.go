package api

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"weir/media"
	"weir/media/health"
)

var update = flag.Bool("update", false, "write golden files")

// known is a registry of the test.
type known struct {
	list  []Stream
	scale Scale
	err   error
	live  string // the one that may be kicked
}

func (k known) Streams(context.Context) ([]Stream, error) { return k.list, k.err }
func (k known) Scale(context.Context) (Scale, error)      { return k.scale, k.err }
func (k known) Health(_ context.Context, s media.Stream) (health.Report, error) {
	if k.err == nil && s.String() != k.live {
		return health.Report{}, fmt.Errorf("health: %w", ErrNotLive)
	}
	return health.New(time.Now().Add(-time.Minute)).Report(time.Now()), k.err
}
func (k known) Kick(_ context.Context, s media.Stream) error {
	if k.err == nil && s.String() != k.live {
		return fmt.Errorf("kick: %w", ErrNotLive)
	}
	return k.err
}

// located is an origin that has some playlists.
type located map[string]string

func (l located) Locate(context.Context, []string) map[string]string { return l }

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// ask asks h from this machine and returns the answer.
func ask(h http.Handler, method, path string, change ...func(*http.Request)) *http.Response {
	r := httptest.NewRequest(method, "http://localhost:8080"+path, nil)
	r.RemoteAddr = "127.0.0.1:4711"
	for _, c := range change {
		c(r)
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

// sampleStreams are of every kind: all known, little known, away, over.
func sampleStreams(now time.Time) []Stream {
	return []Stream{
		{
			Name: "live/bob", State: Waiting, Broadcast: "20261121T014000Z-5t7wz0q2m4x8k3v9", Since: now.Add(-83 * time.Second),
			Video: &Video{Codec: "avc1.4d401f", Width: 854, Height: 480, FrameRate: 29.97}, Advice: AdviseKeyframes(4*time.Second, 8333*time.Millisecond), Ingest: "ingest-2", Epoch: 3, Restarts: new(0),
		},
		{
			Name: "live/alice", State: Live, Broadcast: "20261121T014500Z-k3v9m2x8q0r7t5wz", Since: now.Add(-(2*time.Hour + 3*time.Minute + 4500*time.Millisecond)),
			Video:   &Video{Codec: "avc1.64001f", Width: 1280, Height: 720, FrameRate: 30, Bitrate: 2_500_000},
			Audio:   &Audio{Codec: "mp4a.40.2", SampleRate: 48000, Channels: 2, Bitrate: 128_000},
			Bitrate: 2_641_337, Ingest: "ingest-1", Worker: "segment-7f2a", Epoch: 1, Segments: 1846, EncoderLagSeconds: new(0.0), WorkerLagSeconds: new(0.42), Restarts: new(2),
		},
		{Name: "live/new", State: Live},
		{Name: "radio/night", State: Ended, Broadcast: "20261120T230000Z-x8q0r7t5wzk3v9m2", Since: now.Add(-4 * time.Hour), Until: now.Add(-3 * time.Hour), Audio: &Audio{Codec: "mp4a.40.2"}},
	}
}

// The API's JSON is what other programs read: a change here changes them.
func TestStreamsJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // where the clock stands still
		h := New(Config{Registry: known{list: sampleStreams(time.Now())}, Playlists: located{"live/alice/20261121T014500Z-k3v9m2x8q0r7t5wz/index.m3u8": "/hls/live/alice/20261121T014500Z-k3v9m2x8q0r7t5wz/index.m3u8"}})
		res := ask(h, "GET", "/api/v1/streams")
		got := strings.ReplaceAll(body(t, res), `},{"name"`, "},\n{\"name\"")
		if res.StatusCode != 200 || res.Header.Get("Content-Type") != "application/json" || res.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("got %d %v", res.StatusCode, res.Header)
		}
		const golden = "testdata/streams.json"
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
}

// What is answered to whom, and how errors read.
func TestAnswers(t *testing.T) {
	two := []Stream{{Name: "live/b", State: Live}, {Name: "live/alice", State: Live, Since: time.Now().Add(time.Hour)}}
	full := known{list: two, live: "live/alice", scale: Scale{Broadcasts: 2, Owned: 1, Unowned: 1, BehindSeconds: 4.5}}
	away := known{err: errors.New("nats: no servers at nats://secret@bus")}
	const unavailable = `{"title":"Service Unavailable","status":503,"detail":"the registry does not answer, try again","code":"unavailable"}`
	for _, tt := range []struct {
		name, method, path string
		registry           Registry
		code               int
		body               string
	}{
		{"no registry", "GET", "/api/v1/streams", nil, 200, `{"streams":[],"total":0}`},
		{"no stream", "GET", "/api/v1/streams", known{}, 200, `{"streams":[],"total":0}`},
		{"registry away", "GET", "/api/v1/streams", away, 503, unavailable},
		{"a clock that runs ahead makes no negative uptime", "GET", "/api/v1/streams/live/alice", full, 200, `{"name":"live/alice","state":"live","since":"` + two[1].Since.Format(time.RFC3339Nano) + `"}`},
		{"one stream", "GET", "/api/v1/streams/live/b", full, 200, `{"name":"live/b","state":"live"}`},
		{"an unknown stream", "GET", "/api/v1/streams/live/c", full, 404, `{"title":"Not Found","status":404,"detail":"no such stream is known","code":"not_found"}`},
		{"one stream, registry away", "GET", "/api/v1/streams/live/c", away, 503, unavailable},
		{"kick", "POST", "/api/v1/streams/live/alice/kick", full, 204, ``},
		{"kick what is not live", "POST", "/api/v1/streams/live/c/kick", full, 404, `{"title":"Not Found","status":404,"detail":"the stream is not live","code":"not_live"}`},
		{"kick without a registry", "POST", "/api/v1/streams/live/c/kick", nil, 404, `{"title":"Not Found","status":404,"detail":"the stream is not live","code":"not_live"}`},
		{"kick, ingest away", "POST", "/api/v1/streams/live/c/kick", away, 503, `{"title":"Service Unavailable","status":503,"detail":"its ingest does not answer, try again","code":"unavailable"}`},
		{"kick by GET", "GET", "/api/v1/streams/live/alice/kick", full, 405, `{"title":"Method Not Allowed","status":405,"detail":"this takes POST, OPTIONS","code":"method_not_allowed"}`},
		{"list by POST", "POST", "/api/v1/streams", full, 405, `{"title":"Method Not Allowed","status":405,"detail":"this takes GET, HEAD, OPTIONS","code":"method_not_allowed"}`},
		{"what is not there", "GET", "/api/v2/streams", full, 404, `{"title":"Not Found","status":404,"detail":"there is nothing here; see /api/v1/openapi.json","code":"not_found"}`},
		{"no metrics", "GET", "/metrics", full, 404, `{"title":"Not Found","status":404,"detail":"there is nothing here; see /api/v1/openapi.json","code":"not_found"}`},
		{"what may be done", "OPTIONS", "/api/v1/streams", full, 204, ``},
		{"scale", "GET", "/api/v1/scale", full, 200, `{"broadcasts":2,"unowned":1,"owned":1,"capacity":0,"workers":0,"behind_seconds":4.5}`},
		{"scale, registry away", "GET", "/api/v1/scale", away, 503, unavailable},
		{"alive", "GET", "/healthz", away, 200, "ok"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			res := ask(New(Config{Registry: tt.registry, Access: Access{Own: true}, Log: quiet()}), tt.method, tt.path)
			if got := strings.TrimSuffix(body(t, res), "\n"); res.StatusCode != tt.code || got != tt.body {
				t.Errorf("got %d %s, want %d %s", res.StatusCode, got, tt.code, tt.body)
			}
			if res.StatusCode >= 400 && res.Header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("an error is a %s (RFC 9457, 3: application/problem+json)", res.Header.Get("Content-Type"))
			}
			if res.StatusCode == 503 && res.Header.Get("Retry-After") == "" {
				t.Error("a client is not told when to try again")
			}
		})
	}
	// The registry's own slice stays as it was.
	if two[0].Name != "live/b" || two[0].Playlist != "" {
		t.Errorf("the registry's slice was changed: %+v", two)
	}
}

// The probe is told of each part. Why one is not ready stands in the log, once
// for each time that it begins, and nowhere else: the port may be open to the
// world.
func TestReady(t *testing.T) {
	var nats, store error
	var log bytes.Buffer
	h := New(Config{Log: slog.New(slog.NewTextHandler(&log, nil)), Parts: []Part{
		{Name: "nats", Optional: true, Check: func(context.Context) error { return nats }},
		{Name: "store", Check: func(context.Context) error { return store }},
	}})
	check := func(code int, want string) {
		t.Helper()
		for _, p := range h.ready.parts {
			p.expires = time.Time{} // a second later
		}
		for range 3 {
			if res := ask(h, "GET", "/readyz"); res.StatusCode != code || body(t, res) != want {
				t.Errorf("got %d, want %d %q", res.StatusCode, code, want)
			}
		}
	}
	check(200, "ready\nnats: ok\nstore: ok\n")
	store = errors.New("no answer from s3://secret@bucket")
	check(503, "not ready\nnats: ok\nstore: not ready\n")
	store, nats = nil, errors.New("no answer from nats://secret@bus")
	check(200, "ready\nnats: away\nstore: ok\n")
	nats = nil
	check(200, "ready\nnats: ok\nstore: ok\n")
	if bad, good := strings.Count(log.String(), "no answer"), strings.Count(log.String(), "ready again"); bad != 2 || good != 2 {
		t.Errorf("reasons are logged %d times, and their ends %d times: %q", bad, good, log.String())
	}
	if res := ask(New(Config{Log: quiet()}), "GET", "/readyz"); res.StatusCode != 200 || body(t, res) != "ready\n" {
		t.Error("what needs nothing is not ready")
	}
}

// A store that takes three seconds for each answer takes work; one that has not
// answered yet, or does not any more, does not. A probe waits two seconds at most.
func TestReadySlowPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var late atomic.Int64
		late.Store(int64(3 * time.Second))
		h := New(Config{Log: quiet(), Parts: []Part{{Name: "store", Check: func(ctx context.Context) error {
			select {
			case <-time.After(time.Duration(late.Load())):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}}}})
		probe := func(code int, most time.Duration) {
			t.Helper()
			began := time.Now()
			if res := ask(h, "GET", "/readyz"); res.StatusCode != code {
				t.Errorf("after %v: got %d, want %d", time.Duration(late.Load()), res.StatusCode, code)
			}
			if took := time.Since(began); took > most {
				t.Errorf("a probe took %v, want %v at most", took, most)
			}
		}
		probe(503, readyWait)
		probe(200, readyWait)
		for range 5 {
			time.Sleep(2 * readyFresh)
			probe(200, readyWait)
		}
		late.Store(int64(time.Hour))
		for began := time.Now(); time.Since(began) < readyTimeout+readyWait; {
			time.Sleep(readyFresh)
			ask(h, "GET", "/readyz")
		}
		probe(503, readyWait)
		time.Sleep(readyTimeout)
	})
}

func TestServerJSON(t *testing.T) {
	for _, tt := range []struct {
		name    string
		publish Publish
		host    string
		want    string
	}{
		{"no ingest here", Publish{}, "localhost:8080", `{"version":"1.0","operator":true}`},
		{"the usual port", Publish{Port: 1935, Open: true}, "localhost:8080", `{"version":"1.0","publish":{"url":"rtmp://localhost/live","open":true},"operator":true}`},
		{"another port", Publish{Port: 19350}, "weir.example", `{"version":"1.0","publish":{"url":"rtmp://weir.example:19350/live","open":false},"operator":true}`},
		{"by TLS", Publish{Port: 443, Secure: true}, "weir.example", `{"version":"1.0","publish":{"url":"rtmps://weir.example/live","open":false},"operator":true}`},
		{"by TLS, another port", Publish{Port: 1936, Secure: true}, "weir.example", `{"version":"1.0","publish":{"url":"rtmps://weir.example:1936/live","open":false},"operator":true}`},
		{"IPv6", Publish{Port: 1935}, "[::1]:8080", `{"version":"1.0","publish":{"url":"rtmp://[::1]/live","open":false},"operator":true}`},
		{"IPv6, another port", Publish{Port: 1936}, "[::1]", `{"version":"1.0","publish":{"url":"rtmp://[::1]:1936/live","open":false},"operator":true}`},
		{"told", Publish{URL: "rtmps://in.example/app", Port: 1935}, "localhost", `{"version":"1.0","publish":{"url":"rtmps://in.example/app","open":false},"operator":true}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := New(Config{Version: "1.0", Publish: tt.publish})
			r := httptest.NewRequest(http.MethodGet, "/api/v1/server", nil)
			r.Host = tt.host
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if got := strings.TrimSpace(w.Body.String()); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}
