package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestWhere: a media playlist is found directly and through a multivariant
// playlist, in a directory and over HTTP; what is absent is told from what is
// broken.
func TestWhere(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	media := "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:7\n#EXTINF:2.000,\nx/7.ts\n"
	write("a/index.m3u8", "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nshow/live.m3u8?x=1\n")
	write("a/show/live.m3u8", media)
	write("a/show/x/7.ts", "seven")
	write("b/index.m3u8", media)
	write("loop/index.m3u8", "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nindex.m3u8\n")
	server := httptest.NewServer(http.FileServer(http.Dir(dir)))
	defer server.Close()
	for _, root := range []string{dir, server.URL} {
		w, err := newWhere(root + "/{name}/index.m3u8")
		if err != nil {
			t.Fatal(err)
		}
		l, err := w.media(t.Context(), w.entry("a"))
		if err != nil || len(l.entries) != 1 || l.entries[0].Sequence != 7 {
			t.Fatalf("%s: %+v, %v", root, l, err)
		}
		if body, err := w.read(t.Context(), w.resolve(l.address, l.entries[0].URI)); err != nil || string(body) != "seven" {
			t.Errorf("%s: the segment is %q, %v", root, body, err)
		}
		if l, err := w.media(t.Context(), w.entry("b")); err != nil || l.address != w.entry("b") {
			t.Errorf("%s: %+v, %v", root, l, err)
		}
		if _, err := w.media(t.Context(), w.entry("none")); !errors.Is(err, errAbsent) {
			t.Errorf("%s: what is absent: %v", root, err)
		}
		if _, err := w.media(t.Context(), w.entry("loop")); err == nil || errors.Is(err, errAbsent) {
			t.Errorf("%s: a playlist that names itself: %v", root, err)
		}
	}
	if _, err := newWhere("http://localhost/index.m3u8"); err == nil {
		t.Error("an address without {name} was taken")
	}
}

// TestWatcher: the first listing and the later ones are told from the pictures
// that they follow; a listing whose end no key picture is near is not.
func TestWatcher(t *testing.T) {
	name := filepath.Join(t.TempDir(), "a.m3u8")
	list := func(durations ...string) {
		t.Helper()
		text := "#EXTM3U\n#EXT-X-TARGETDURATION:3\n"
		for i, d := range durations {
			text += fmt.Sprintf("#EXTINF:%s,\n%d.ts\n", d, i)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	where, err := newWhere(strings.Replace(name, "a.m3u8", "{name}.m3u8", 1))
	if err != nil {
		t.Fatal(err)
	}
	w := newWatcher(where, "a")
	if err := w.look(t.Context()); !errors.Is(err, errAbsent) {
		t.Errorf("before there is a playlist: %v", err)
	}
	began := time.Now()
	second := func(n int) time.Duration { return time.Duration(n) * time.Second }
	w.events <- cutEvent{at: 0, key: began.Add(-second(5)), first: true}
	w.events <- cutEvent{at: second(2), last: began.Add(-second(3)), key: began.Add(-second(2))}
	list("2.000")
	if err := w.look(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(w.listed) != 1 || w.listed[0] < second(3) || w.listed[0] > second(60) {
		t.Errorf("listed after %v, want a little more than 3 s", w.listed)
	}
	if w.playable < second(5) || w.playable > second(60) {
		t.Errorf("playable after %v, want a little more than 5 s", w.playable)
	}
	if !w.idle() {
		t.Error("all that was cut is listed, and it goes on looking")
	}
	w.events <- cutEvent{at: second(4), last: began}
	list("2.000", "1.500") // no key picture is at 3.5 s
	w.modified = time.Time{}
	if err := w.look(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(w.listed) != 1 || len(w.segments) != 2 {
		t.Errorf("%d listings of %d segments, want 1 of 2", len(w.listed), len(w.segments))
	}
	if w.idle() {
		t.Error("the picture at 4 s is not listed, and it does not look")
	}
}

// TestWatcherEnds: a watcher ends with its context, also where nothing ever is
// listed.
func TestWatcherEnds(t *testing.T) {
	where, err := newWhere(filepath.Join(t.TempDir(), "{name}.m3u8"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	w := newWatcher(where, "a")
	go func() { w.run(ctx); close(done) }()
	cancel()
	<-done
	if w.err != nil || len(w.listed) > 0 {
		t.Errorf("%v, %v", w.err, w.listed)
	}
}
