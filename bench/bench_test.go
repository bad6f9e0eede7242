package bench

import (
	"bytes"
	"encoding/json"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/remux/flv"
	"weir/rtmp"
)

// ear is an RTMP server that keeps what it is told.
type ear struct {
	listener net.Listener
	refuse   bool
	deaf     time.Duration // it reads nothing for so long after the publish

	wg    sync.WaitGroup
	mu    sync.Mutex
	tags  map[string][]flv.Tag // without data, by stream
	ended int                  // clean ends
}

func listen(t *testing.T, e *ear) *ear {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e.listener, e.tags = l, map[string][]flv.Tag{}
	e.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			e.wg.Go(func() { e.serve(c) })
		}
	})
	t.Cleanup(func() { l.Close(); e.wg.Wait() })
	return e
}

func (e *ear) url() string { return "rtmp://" + e.listener.Addr().String() + "/live/x" }

func (e *ear) serve(c net.Conn) {
	defer c.Close()
	s, name := rtmp.NewServer(rtmp.ServerConfig{}), ""
	buf := make([]byte, 64<<10)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		events, err := s.Receive(time.Now(), buf[:n])
		e.mu.Lock()
		for _, ev := range events {
			switch ev.Type {
			case rtmp.EventPublish:
				if name = ev.Name; e.refuse {
					s.Refuse(ev.StreamID, "NetStream.Publish.BadName", "no")
				} else {
					s.Accept(ev.StreamID)
				}
			case rtmp.EventTag:
				e.tags[name] = append(e.tags[name], flv.Tag{Type: ev.Tag.Type, Timestamp: ev.Tag.Timestamp})
			case rtmp.EventUnpublish:
				e.ended++
			}
		}
		e.mu.Unlock()
		if err != nil {
			return
		}
		if _, err := c.Write(s.Output()); err != nil {
			return
		}
		if name != "" {
			time.Sleep(e.deaf)
		}
	}
}

var small = ClipConfig{FPS: 25, GOP: time.Second, Video: 200_000, Audio: 64_000}

// TestRun: each stream comes with headers first, then frames that are never
// early; all of them end cleanly.
func TestRun(t *testing.T) {
	e := listen(t, &ear{})
	began := time.Now()
	r, err := Run(t.Context(), Config{URL: e.url(), Streams: 3, Clip: small, Window: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	e.listener.Close()
	e.wg.Wait()
	if len(e.tags) != 3 || e.ended != 3 {
		t.Fatalf("%d streams came, %d ended cleanly, want 3", len(e.tags), e.ended)
	}
	var video int64
	for name, tags := range e.tags {
		if !strings.HasPrefix(name, "x-") || tags[0].Type != flv.TagScript || len(tags) < 20 {
			t.Fatalf("%s begins with %v, %d tags", name, tags[0].Type, len(tags))
		}
		last := uint32(0)
		for _, tag := range tags {
			if tag.Timestamp < last {
				t.Errorf("%s goes back from %d to %d", name, last, tag.Timestamp)
			}
			if last = tag.Timestamp; tag.Type == flv.TagVideo {
				video++
			}
		}
		if sent := time.Duration(last) * time.Millisecond; sent > took {
			t.Errorf("%v of %s came in %v", sent, name, took)
		}
	}
	if video -= 3; r.SentVideo != video { // less the sequence headers
		t.Errorf("%d pictures came, it says that it sent %d", video, r.SentVideo)
	}
}

// TestRunFast: of each stream as much is sent as was asked for, to the frame.
func TestRunFast(t *testing.T) {
	e := listen(t, &ear{})
	r, err := Run(t.Context(), Config{URL: e.url(), Streams: 2, Clip: small, Fast: 20 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if r.SentVideo != 2*20*25 || r.StreamSeconds != 40 {
		t.Errorf("%d pictures of %.0f s, want 1000 of 40 s", r.SentVideo, r.StreamSeconds)
	}
}

// TestRunDeaf: a server that reads now and then gets whole messages all the
// same, and other streams are not held up by it.
func TestRunDeaf(t *testing.T) {
	e := listen(t, &ear{deaf: 30 * time.Millisecond})
	r, err := Run(t.Context(), Config{URL: e.url(), Streams: 2, Clip: ClipConfig{FPS: 60, GOP: time.Second, Video: 60_000_000}, Window: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if r.Full == 0 {
		t.Error("no socket was ever full: the test shows nothing")
	}
	e.listener.Close()
	e.wg.Wait()
	for name, tags := range e.tags {
		for i := 3; i < len(tags); i++ { // behind the headers
			if step := tags[i].Timestamp - tags[i-1].Timestamp; step > 17 {
				t.Fatalf("%s: %d ms from one tag to the next: one is missing", name, step)
			}
		}
	}
}

func TestRunFails(t *testing.T) {
	refusing := listen(t, &ear{refuse: true})
	ok := Config{URL: refusing.url(), Streams: 1, Clip: small, Window: time.Second}
	for _, tt := range []struct {
		name, want string
		change     func(c *Config)
	}{
		{"refused", "NetStream.Publish.BadName", func(*Config) {}},
		{"nobody there", "refused", func(c *Config) { c.URL = "rtmp://127.0.0.1:1/live/x" }},
		{"no URL", "want rtmp://", func(c *Config) { c.URL = "http://localhost/live/secret" }},
		{"no name", "want rtmp://", func(c *Config) { c.URL = "rtmp://localhost/live" }},
		{"no streams", "want 1 to", func(c *Config) { c.Streams = 0 }},
		{"no window", "a second at least", func(c *Config) { c.Window = 0 }},
		{"a window of a day", "too long", func(c *Config) { c.Window = 24 * time.Hour }},
		{"less than no streams to watch", "cannot be watched", func(c *Config) { c.Watch = -1 }},
		{"a bad clip", "pictures a second", func(c *Config) { c.Clip.FPS = 1 }},
		{"a playlist for all", "{name}", func(c *Config) { c.Playlist = "/tmp/a.m3u8" }},
	} {
		c := ok
		tt.change(&c)
		_, err := Run(t.Context(), c)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

// TestLost: a server that goes away in mid-show ends the run: figures of fewer
// streams would mislead.
func TestLost(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		s, buf := rtmp.NewServer(rtmp.ServerConfig{}), make([]byte, 64<<10)
		for tags := 0; tags < 30; {
			n, err := c.Read(buf)
			if err != nil {
				return
			}
			events, _ := s.Receive(time.Now(), buf[:n])
			for _, ev := range events {
				if ev.Type == rtmp.EventPublish {
					s.Accept(ev.StreamID)
				}
				tags++
			}
			if _, err := c.Write(s.Output()); err != nil {
				return
			}
		}
	}()
	if _, err := Run(t.Context(), Config{URL: "rtmp://" + l.Addr().String() + "/live/x", Streams: 1, Clip: small, Window: time.Minute}); err == nil {
		t.Error("the stream was lost, and it says nothing")
	}
}

// TestSpread: medians and the like of known figures.
func TestSpread(t *testing.T) {
	var all []time.Duration
	for i := range 101 {
		all = append(all, time.Duration(100-i)*time.Millisecond)
	}
	if got, want := spreadOf(all), (Spread{101, 0, 50, 95, 100}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := spreadOf(nil); got != (Spread{}) {
		t.Errorf("of nothing: %+v", got)
	}
	if got := spreadOf([]time.Duration{time.Second}); got != (Spread{1, 1000, 1000, 1000, 1000}) {
		t.Errorf("of one: %+v", got)
	}
}

// TestResult: what people read and what machines read say the same.
func TestResult(t *testing.T) {
	r := Result{Streams: 10, Seconds: 15, StreamSeconds: 150, Processes: 1, CPU: 0.6, PSS: 100 << 20, Watched: 2, listed: []time.Duration{40 * time.Millisecond}, Frames: tally{Checked: 7, Lost: 1}}
	r.perStreamSecond()
	r.summarize()
	var text, blob bytes.Buffer
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"4.00 ms per stream-second", "10.00 MiB per stream", "median 40 ms", "1 lost", "not seen"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the text lacks %q:\n%s", want, &text)
		}
	}
	if err := json.NewEncoder(&blob).Encode(r); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"cpu_ms_per_stream_second":4,`, `"lost":1`, `"median":40`} {
		if !strings.Contains(blob.String(), want) {
			t.Errorf("the JSON lacks %s: %s", want, &blob)
		}
	}
}
