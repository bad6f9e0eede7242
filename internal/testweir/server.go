//go:build unix

package testweir

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// impatient gives up where an answer does not come: nothing may hang a test.
var impatient = http.Client{Timeout: 10 * time.Second}

// Get returns the status and the body that a URL answers, 0 for no answer.
func Get(url string) (int, []byte) {
	resp, err := impatient.Get(url)
	if err != nil {
		return 0, nil
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, nil
	}
	return resp.StatusCode, body
}

// Metric returns a value of /metrics at an address. The name includes the
// labels.
func Metric(t testing.TB, address, name string) (value float64) {
	t.Helper()
	_, body := Get("http://" + address + "/metrics")
	for line := range strings.Lines(string(body)) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			if _, err := fmt.Sscan(rest, &value); err != nil {
				t.Fatal(err)
			}
			return value
		}
	}
	t.Fatalf("/metrics has no %s", name)
	return 0
}

// Server is a weir serve, on addresses of its own: HOST:PORT. Of a cluster it
// is what viewers see of it.
type Server struct {
	*Process
	Data, RTMP, HTTP string
	// Admin is where operators connect.
	Admin string
}

// NewServer chooses a directory and addresses, and starts nothing.
func NewServer(t testing.TB) *Server {
	t.Helper()
	return &Server{Data: t.TempDir(), RTMP: FreeAddress(t), HTTP: FreeAddress(t), Admin: FreeAddress(t)}
}

// Serve starts a weir serve, and waits until it takes work.
func Serve(t testing.TB, args ...string) *Server {
	t.Helper()
	return ServeIn(t, nil, args...)
}

// ServeIn is Serve with an environment.
func ServeIn(t testing.TB, env []string, args ...string) *Server {
	t.Helper()
	s := NewServer(t)
	s.Process = StartIn(t, env, s.Args("serve", args...)...)
	s.WaitReady(t)
	return s
}

// Args are the arguments of a verb, serve or demo, that serves as s.
func (s *Server) Args(verb string, args ...string) []string {
	args = append([]string{verb, "--data", s.Data, "--rtmp", s.RTMP, "--http", s.HTTP, "--admin-http", s.Admin}, args...)
	if !slices.Contains(args, "--log-max") {
		args = append(args, "--log-max", "1GB")
	}
	return args
}

// WaitReady returns when the server takes work.
func (s *Server) WaitReady(t testing.TB) {
	t.Helper()
	Eventually(t, 20*time.Second, "serve is ready", func() bool {
		code, _ := Get("http://" + s.HTTP + "/readyz")
		return code == http.StatusOK
	})
}

// URL is where live/name is published.
func (s *Server) URL(name string) string { return "rtmp://" + s.RTMP + "/live/" + name }

// Object is where viewers find a key.
func (s *Server) Object(key string) string { return "http://" + s.HTTP + "/hls/" + key }

// Objects is the file of a key.
func (s *Server) Objects(key string) string { return filepath.Join(s.Data, "objects", key) }

// Metric returns a value of /metrics.
func (s *Server) Metric(t testing.TB, name string) float64 {
	t.Helper()
	return Metric(t, s.Admin, name)
}

// Stream is what tests want to know of a row of the API, see docs/api.md.
type Stream struct {
	Name, State, Broadcast string
	Epoch, Segments        uint64
	Bitrate                int64
	Restarts               *int
	Video                  *struct{ Width, Height int }
}

// Stream returns what the API says of live/name.
func (s *Server) Stream(t testing.TB, name string) (Stream, bool) {
	t.Helper()
	code, body := Get("http://" + s.Admin + "/api/v1/streams?limit=1000")
	var answer struct{ Streams []Stream }
	if code != http.StatusOK || json.Unmarshal(body, &answer) != nil {
		return Stream{}, false
	}
	for _, x := range answer.Streams {
		if x.Name == "live/"+name {
			return x, true
		}
	}
	return Stream{}, false
}

// Broadcast returns the id of the newest broadcast of live/name.
func (s *Server) Broadcast(t testing.TB, name string) string {
	t.Helper()
	var x Stream
	Eventually(t, 10*time.Second, "the API lists live/"+name, func() (ok bool) { x, ok = s.Stream(t, name); return ok })
	return x.Broadcast
}

// Source is the prefix of the newest broadcast of live/name, when there is one.
func (s *Server) Source(t testing.TB, name string) string {
	t.Helper()
	return "live/" + name + "/" + s.Broadcast(t, name) + "/source/"
}

// WaitForEnd returns when the playlists of live/name say that it is over.
func (s *Server) WaitForEnd(t testing.TB, name string, most time.Duration) (prefix string) {
	t.Helper()
	prefix = "live/" + name + "/" + s.Broadcast(t, name) + "/source/"
	Eventually(t, most, "live.m3u8 has ENDLIST", func() bool {
		_, body := Get(s.Object(prefix + "live.m3u8"))
		return strings.Contains(string(body), "#EXT-X-ENDLIST")
	})
	own := strings.TrimSuffix(prefix, "source/")
	Eventually(t, most, "the multivariants point to vod.m3u8", func() bool {
		_, body := Get(s.Object("live/" + name + "/index.m3u8"))
		_, ownBody := Get(s.Object(own + "index.m3u8"))
		return strings.Contains(string(body), "vod.m3u8") && strings.Contains(string(ownBody), "vod.m3u8")
	})
	return prefix
}

// Closed waits until the last checkpoint of live/name: everything is written.
func (s *Server) Closed(t testing.TB, name string) {
	t.Helper()
	Eventually(t, 5*time.Second, name+" is closed", func() bool { return strings.Contains(s.Output.String(), "broadcast closed") })
}
