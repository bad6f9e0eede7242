package origin

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"weir/media/object"
)

var update = flag.Bool("update", false, "write golden files")

// streamList is a registry of the test.
type streamList struct {
	list []Stream
	err  error
}

func (s streamList) Streams(context.Context) ([]Stream, error) { return s.list, s.err }

// sampleStreams are of every kind: all known, little known, away, over.
func sampleStreams(now time.Time) []Stream {
	return []Stream{
		{
			Name: "live/bob", State: Waiting, Broadcast: "20261121T014000Z-5t7wz0q2m4x8k3v9", Since: now.Add(-83 * time.Second),
			Video: &Video{Codec: "avc1.4d401f", Width: 854, Height: 480, FrameRate: 29.97}, Ingest: "ingest-2", Epoch: 3, Restarts: new(0),
		},
		{
			Name: "live/alice", State: Live, Broadcast: "20261121T014500Z-k3v9m2x8q0r7t5wz", Since: now.Add(-(2*time.Hour + 3*time.Minute + 4500*time.Millisecond)),
			Video:   &Video{Codec: "avc1.64001f", Width: 1280, Height: 720, FrameRate: 30, Bitrate: 2_500_000},
			Audio:   &Audio{Codec: "mp4a.40.2", SampleRate: 48000, Channels: 2, Bitrate: 128_000},
			Bitrate: 2_641_337, Ingest: "ingest-1", Worker: "segment-7f2a", Epoch: 1, LagSeconds: new(0.42), Restarts: new(2),
		},
		{Name: "live/new", State: Live},
		{Name: "radio/night", State: Ended, Broadcast: "20261120T230000Z-x8q0r7t5wzk3v9m2", Since: now.Add(-4 * time.Hour), Audio: &Audio{Codec: "mp4a.40.2"}},
	}
}

// The API's JSON is what other programs read: a change here changes them.
func TestStreamsJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // where the clock stands still
		h := New(Config{Objects: store(), Streams: streamList{list: sampleStreams(time.Now())}})
		res := get(h, "GET", "/api/v1/streams")
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

func TestStreams(t *testing.T) {
	given := []Stream{{Name: "live/b", State: Live}, {Name: "live/alice", State: Live, Since: time.Now().Add(time.Hour)}}
	baseURL, err := url.Parse("https://cdn.example/weir/")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		cfg  Config
		code int
		body string
	}{
		{"no registry", Config{}, 200, `{"streams":[]}`},
		{"none", Config{Streams: streamList{}}, 200, `{"streams":[]}`},
		{"registry away", Config{Streams: streamList{err: errors.New("nats: no servers")}}, 503, `{"error":"the registry does not answer, try again"}`},
		{"behind a CDN", Config{Streams: streamList{list: []Stream{{Name: "live/alice", State: Live}}}, BaseURL: baseURL}, 200, `{"streams":[{"name":"live/alice","state":"live","playlist":"https://cdn.example/weir/hls/live/alice/index.m3u8"}]}`},
		{"no segment yet", Config{Streams: streamList{list: given[:1]}, BaseURL: baseURL}, 200, `{"streams":[{"name":"live/b","state":"live"}]}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.cfg.Objects, tt.cfg.Log = store(), quiet()
			res := get(New(tt.cfg), "GET", "/api/v1/streams")
			if got := body(t, res); res.StatusCode != tt.code || got != tt.body+"\n" {
				t.Errorf("got %d %s, want %d %s", res.StatusCode, got, tt.code, tt.body)
			}
		})
	}
	// A node whose clock runs ahead makes no negative uptime, and the
	// registry's own slice stays as it was.
	res := get(New(Config{Objects: store(), Streams: streamList{list: given}}), "GET", "/api/v1/streams")
	if got := body(t, res); strings.Contains(got, "uptime") || strings.Index(got, "live/alice") > strings.Index(got, "live/b") {
		t.Errorf("got %s", got)
	}
	if given[0].Name != "live/b" || given[0].Playlist != "" {
		t.Errorf("the registry's slice was changed: %+v", given)
	}
}

// asked is a store that counts what it is asked for, and answers as told.
type asked struct {
	there map[string]bool
	fails error
	count atomic.Int64
}

func (a *asked) Open(_ context.Context, key string) (io.ReadSeekCloser, object.Info, error) {
	a.count.Add(1)
	if a.fails != nil {
		return nil, object.Info{}, a.fails
	}
	if !a.there[key] {
		return nil, object.Info{}, fmt.Errorf("open %s: %w", key, object.ErrNotExist)
	}
	return readSeekCloser{strings.NewReader("")}, object.Info{}, nil
}

type readSeekCloser struct{ io.ReadSeeker }

func (readSeekCloser) Close() error { return nil }

// A playlist is named as soon as it is there, and no longer than that; the
// store is not asked for what it has just said, and one that does not answer
// changes nothing.
func TestPlaylistIsNamedWhenThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		objects := &asked{there: map[string]bool{"live/a/index.m3u8": true}}
		list := []Stream{{Name: "live/a", State: Live}, {Name: "live/b", State: Live}, {Name: "live/../x", State: Ended}}
		h := New(Config{Objects: objects, Streams: streamList{list: list}})
		look := func(want string, asked int64) {
			t.Helper()
			objects.count.Store(0)
			var answer struct{ Streams []Stream }
			if err := json.NewDecoder(get(h, "GET", "/api/v1/streams").Body).Decode(&answer); err != nil {
				t.Fatal(err)
			}
			var named []string
			for _, s := range answer.Streams {
				if s.Playlist != "" {
					named = append(named, s.Name)
				}
			}
			if got := strings.Join(named, " "); got != want || objects.count.Load() != asked {
				t.Errorf("a playlist have %q, want %q; the store was asked %d times, want %d", got, want, objects.count.Load(), asked)
			}
		}
		look("live/a", 2)
		look("live/a", 0)
		objects.there["live/b/index.m3u8"] = true
		time.Sleep(entryAgain)
		look("live/a live/b", 1)
		look("live/a live/b", 0)
		delete(objects.there, "live/a/index.m3u8")
		time.Sleep(entryFresh)
		look("live/b", 2)
		objects.fails = errors.New("the store is away")
		time.Sleep(entryFresh)
		look("live/b", 2)
		look("live/b", 0)
		time.Sleep(entryAgain)
		look("live/b", 2)
	})
}

func TestServerJSON(t *testing.T) {
	for _, tt := range []struct {
		name    string
		publish Publish
		host    string
		want    string
	}{
		{"no ingest here", Publish{}, "localhost:8080", `{"version":"1.0"}`},
		{"the usual port", Publish{Port: 1935, Open: true}, "localhost:8080", `{"version":"1.0","publish":{"url":"rtmp://localhost/live","open":true}}`},
		{"another port", Publish{Port: 19350}, "weir.example", `{"version":"1.0","publish":{"url":"rtmp://weir.example:19350/live","open":false}}`},
		{"IPv6", Publish{Port: 1935}, "[::1]:8080", `{"version":"1.0","publish":{"url":"rtmp://[::1]/live","open":false}}`},
		{"IPv6, another port", Publish{Port: 1936}, "[::1]", `{"version":"1.0","publish":{"url":"rtmp://[::1]:1936/live","open":false}}`},
		{"told", Publish{URL: "rtmps://in.example/app", Port: 1935}, "localhost", `{"version":"1.0","publish":{"url":"rtmps://in.example/app","open":false}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := New(Config{Objects: store(), Version: "1.0", Publish: tt.publish})
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
