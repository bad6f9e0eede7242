package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/api"
	"weir/check"
)

// freeAddress returns a loopback address that nobody listens on.
func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// transcript is what a command printed, safe to read while it runs.
type transcript struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (t *transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.Write(p)
}

func (t *transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.String()
}

// command runs weir in this process, until the test ends or stop is called.
type command struct {
	cancel context.CancelFunc
	ended  chan struct{}
	code   int
	output transcript
}

func start(t testing.TB, args ...string) *command {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c := &command{cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(c.ended)
		c.code = run(ctx, args, &c.output, &c.output)
	}()
	t.Cleanup(func() {
		c.stop()
		if t.Failed() {
			t.Logf("weir %s said:\n%s", strings.Join(args, " "), c.output.String())
		}
	})
	return c
}

// stop tells the command to end, and returns its exit code.
func (c *command) stop() int {
	c.cancel()
	<-c.ended
	return c.code
}

// server is a weir serve on addresses of its own.
type server struct {
	*command
	data, rtmp, http string
}

func serve(t testing.TB, args ...string) *server {
	t.Helper()
	s := &server{data: t.TempDir(), rtmp: freeAddress(t), http: freeAddress(t)}
	s.command = start(t, append([]string{"serve", "--data", s.data, "--rtmp", s.rtmp, "--http", s.http, "--log-max", "1GB"}, args...)...)
	s.wait(t)
	return s
}

// wait returns when the server takes work.
func (s *server) wait(t testing.TB) {
	t.Helper()
	eventually(t, 10*time.Second, "serve is ready", func() bool {
		code, _ := get("http://" + s.http + "/readyz")
		return code == http.StatusOK
	})
}

func (s *server) url(name string) string    { return "rtmp://" + s.rtmp + "/live/" + name }
func (s *server) object(key string) string  { return "http://" + s.http + "/hls/" + key }
func (s *server) objects(key string) string { return filepath.Join(s.data, "objects", key) }

// stream returns what the API says of live/name.
func (s *server) stream(t testing.TB, name string) (api.Stream, bool) {
	t.Helper()
	code, body := get("http://" + s.http + "/api/v1/streams")
	var answer struct{ Streams []api.Stream }
	if code != http.StatusOK || json.Unmarshal(body, &answer) != nil {
		return api.Stream{}, false
	}
	for _, x := range answer.Streams {
		if x.Name == "live/"+name {
			return x, true
		}
	}
	return api.Stream{}, false
}

// broadcast returns the id of the newest broadcast of live/name.
func (s *server) broadcast(t testing.TB, name string) string {
	t.Helper()
	x, ok := s.stream(t, name)
	if !ok {
		t.Fatalf("the API does not list live/%s", name)
	}
	return x.Broadcast
}

// waitForEnd returns when the live playlist of live/name says that it is
// over.
func (s *server) waitForEnd(t testing.TB, name string, most time.Duration) string {
	t.Helper()
	broadcast := s.broadcast(t, name)
	prefix := "live/" + name + "/" + broadcast + "/source/"
	eventually(t, most, "live.m3u8 has ENDLIST", func() bool {
		_, body := get(s.object(prefix + "live.m3u8"))
		return strings.Contains(string(body), "#EXT-X-ENDLIST")
	})
	eventually(t, most, "the multivariant points to vod.m3u8", func() bool {
		_, body := get(s.object("live/" + name + "/index.m3u8"))
		return strings.Contains(string(body), "vod.m3u8")
	})
	return prefix
}

// conforms holds a directory of playlists to every rule of weir check, the
// warnings included; but for those rules that the show itself breaks.
func conforms(t testing.TB, dir string, but ...string) {
	t.Helper()
	r, err := check.Directory(os.DirFS(dir), ".")
	if err != nil {
		t.Fatal(err)
	}
	for _, rule := range but {
		delete(r.Counts, rule)
	}
	if r.Errors() == 0 && r.Warnings() == 0 {
		return
	}
	complain(t, dir, r)
}

// deserves wants a report to have no errors but these.
func deserves(t testing.TB, r check.Report, rules ...string) {
	t.Helper()
	for _, rule := range rules {
		delete(r.Counts, rule)
	}
	if r.Errors() > 0 {
		complain(t, "of the show", r)
	}
}

// complain fails a test with what weir check says of something.
func complain(t testing.TB, what string, r check.Report) {
	t.Helper()
	var text strings.Builder
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	t.Errorf("weir check %s:\n%s", what, text.String())
}

// impatient gives up where an answer does not come: nothing may hang a test.
var impatient = http.Client{Timeout: 10 * time.Second}

func get(url string) (int, []byte) {
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

func eventually(t testing.TB, most time.Duration, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(most); ; time.Sleep(20 * time.Millisecond) {
		if is() {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", most, what)
		}
	}
}

// tool runs an encoder to its end.
func tool(t testing.TB, name string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// ffmpeg publishes a file, speed times as fast as real time. Faster than the
// server reads would be no test of it: ffmpeg hangs up with our
// acknowledgements unread, and TCP then throws away what it has yet to send.
func ffmpeg(t testing.TB, speed int, file, url string) {
	t.Helper()
	tool(t, "ffmpeg", "-v", "error", "-nostdin", "-readrate", fmt.Sprint(speed), "-i", file,
		"-c", "copy", "-f", "flv", "-flvflags", "no_duration_filesize", url)
}

// gstreamer publishes an FLV file in real time through rtmp2sink, and returns
// the file of what its muxer made of it: the timestamps are GStreamer's own.
func gstreamer(t testing.TB, file, url string) (sent string) {
	t.Helper()
	sent = filepath.Join(t.TempDir(), "sent.flv")
	tool(t, "gst-launch-1.0", "-q", "filesrc", "location="+file, "!", "flvdemux", "name=in",
		"flvmux", "streamable=true", "name=out", "!", "tee", "name=both", "!", "queue", "!", "rtmp2sink", "location="+url,
		"both.", "!", "queue", "!", "filesink", "location="+sent,
		"in.video", "!", "h264parse", "!", "video/x-h264,stream-format=avc,alignment=au", "!", "queue", "!", "out.",
		"in.audio", "!", "aacparse", "!", "queue", "!", "out.")
	return sent
}

func TestUsage(t *testing.T) {
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"version"}, 0, "weir "},
		{[]string{"--help"}, 0, "serve"},
		{[]string{"serve", "--help"}, 0, "WEIR_RTMP"},
		{[]string{"nonsense"}, exitUsage, "weir --help"},
		{[]string{"ingest"}, exitUsage, "--nats"},
		{[]string{"segment"}, exitUsage, "--store"},
		{[]string{"serve", "--segment", "40s"}, exitUsage, "segment duration"},
		{[]string{"serve", "--store", "ftp://x"}, exitUsage, "--store"},
		{[]string{"health", "--url", "http://127.0.0.1:1"}, exitFailed, "is it running"},
	} {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			c := start(t, tt.args...)
			<-c.ended
			if c.code != tt.code || !strings.Contains(c.output.String(), tt.want) {
				t.Errorf("exit code %d, said %q; want %d and %q", c.code, c.output.String(), tt.code, tt.want)
			}
		})
	}
}

// Flags and variables agree: each flag of serve can be set by its variable.
func TestVariables(t *testing.T) {
	t.Setenv("WEIR_SEGMENT", "40s")
	c := start(t, "serve", "--data", t.TempDir())
	<-c.ended
	if c.code != exitUsage {
		t.Errorf("WEIR_SEGMENT=40s: exit code %d, want %d as for the flag", c.code, exitUsage)
	}
}

func TestByteSize(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "512": 512, "64KB": 64 << 10, "8mb": 8 << 20, "1.5GB": 3 << 29} {
		var b byteSize
		if err := b.UnmarshalText([]byte(text)); err != nil || int64(b) != want {
			t.Errorf("%s: %d, %v; want %d", text, b, err, want)
		}
	}
	for _, text := range []string{"", "x", "-1", "1PB", "8MBx"} {
		var b byteSize
		if err := b.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q: accepted as %d", text, b)
		}
	}
}
