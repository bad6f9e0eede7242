package origin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"weir/media/object"
)

// slowStore is a store that takes its time, and counts what it is asked for.
type slowStore struct {
	took  time.Duration
	text  atomic.Value // string
	asked atomic.Int64
}

func (s *slowStore) Open(ctx context.Context, key string) (io.ReadSeekCloser, object.Info, error) {
	s.asked.Add(1)
	select {
	case <-time.After(s.took):
	case <-ctx.Done():
		return nil, object.Info{}, ctx.Err()
	}
	text := s.text.Load().(string)
	return readSeekCloser{strings.NewReader(text)}, object.Info{Key: key, Size: int64(len(text)), ETag: fmt.Sprint(len(text)), Modified: modified}, nil
}

// However many viewers a stream has, the store is asked for its playlist five
// times a second, and nobody gets one that is older than that.
func TestPlaylistIsAskedForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slowStore{took: 20 * time.Millisecond}
		s.text.Store(livePlaylist)
		h := New(Config{Objects: s, Log: quiet()})
		began := time.Now()
		var viewers sync.WaitGroup
		for i := range 2000 {
			viewers.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				for range 5 {
					if res := get(h, "GET", "/hls/live/alice/b/source/live.m3u8"); res.StatusCode != 200 || body(t, res) != livePlaylist {
						t.Errorf("got %d", res.StatusCode)
					}
					time.Sleep(2 * time.Second)
				}
			})
		}
		viewers.Wait()
		if n, most := s.asked.Load(), int64(time.Since(began)/playlistFresh)+1; n > most {
			t.Errorf("2000 viewers asked the store %d times in %v, want at most %d", n, time.Since(began), most)
		}
		s.text.Store(endedPlaylist)
		time.Sleep(playlistFresh)
		if got := body(t, get(h, "GET", "/hls/live/alice/b/source/live.m3u8")); got != endedPlaylist {
			t.Errorf("after %v the old playlist is still there", playlistFresh)
		}
	})
}

// A store that does not answer holds no viewer for long: a player asks again
// after a 503 (RFC 9110, 15.6.4), and gives up where its connection ends
// without an answer.
func TestStoreHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(Config{Objects: &slowStore{took: time.Hour}, Log: quiet()})
		for _, key := range []string{"live/alice/b/source/live.m3u8", "live/alice/b/source/00000042.ts"} {
			began := time.Now()
			res := get(h, "GET", "/hls/"+key)
			if took := time.Since(began); res.StatusCode != 503 || res.Header.Get("Retry-After") != "1" || took > storePatience {
				t.Errorf("%s: got %d %v after %v, want a 503 within %v", key, res.StatusCode, res.Header, took, storePatience)
			}
		}
	})
}

// What is kept of playlists, and of those that are being sent, is bounded; what
// is beyond it is sent all the same.
func TestPlaylistsAreBounded(t *testing.T) {
	const size = 4 << 20
	s := &slowStore{}
	s.text.Store(strings.Repeat("#", size))
	p := newPlaylists(s)
	var releases []func()
	for i := range 100 {
		_, release, err := p.hold(t.Context(), fmt.Sprint(i, ".m3u8"))
		if errors.Is(err, errNoRoom) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		releases = append(releases, release)
	}
	if n := len(releases); n < 8 || n*size > playlistsMost {
		t.Errorf("%d of 4 MB each are held, want as many as fit %d bytes", n, playlistsMost)
	}
	h := New(Config{Objects: s, Log: quiet()})
	h.playlists = p
	if res := get(h, "GET", "/hls/live/one-more.m3u8"); res.StatusCode != 200 || len(body(t, res)) != size || res.Header.Get("Cache-Control") != "no-cache" {
		t.Errorf("one more: got %d %v", res.StatusCode, res.Header)
	}
	for _, release := range releases {
		release()
	}
	time.Sleep(playlistFresh)
	if _, release, err := p.hold(t.Context(), "another.m3u8"); err != nil {
		t.Errorf("when they have been sent: %v", err)
	} else {
		release()
	}
	if p.bytes > playlistsMost/2+2*size { // up to half of it is kept for who may come
		t.Errorf("%d bytes are counted when all have been sent", p.bytes)
	}
}

// 500 viewers who read a long vod.m3u8 slowly hold one copy of it.
func TestSlowReadersShareTheirPlaylist(t *testing.T) {
	const size = 900 << 10
	s := &slowStore{}
	s.text.Store(strings.Repeat("#EXTINF:4,\n00000042.ts\n", size/23))
	addr, stop := listen(t, New(Config{Objects: s, Log: quiet()}), 100*time.Millisecond)
	defer stop()
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc + m.StackInuse)
	}
	before := heap()
	for range 500 {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.(*net.TCPConn).SetReadBuffer(4096) // a hint
		fmt.Fprint(c, "GET /hls/live/alice/b/source/vod.m3u8 HTTP/1.1\r\nHost: x\r\n\r\n")
		if _, err := io.ReadFull(c, make([]byte, 512)); err != nil {
			t.Fatal(err)
		}
	}
	if took := heap() - before; took > 64<<20 {
		t.Errorf("500 slow readers of a playlist of %d bytes take %d MB", size, took>>20)
	}
}

// Several ranges of one of the page's files are answered as none: each would
// be a part of its own.
func TestManyRanges(t *testing.T) {
	h := New(Config{Objects: store()})
	ranges := "bytes=" + strings.TrimSuffix(strings.Repeat("0-100,", 200), ",")
	for _, path := range []string{"/page/vendor/hls.js/hls.min.js", "/", "/hls/live/alice/b/source/00000042.ts", "/hls/live/alice/b/source/live.m3u8"} {
		if res := get(h, "GET", path, "Range", ranges); res.StatusCode != http.StatusOK || strings.HasPrefix(res.Header.Get("Content-Type"), "multipart") {
			t.Errorf("%s: got %d %s", path, res.StatusCode, res.Header.Get("Content-Type"))
		}
	}
}

// Many viewers of the live edge want the same segment: the store is asked for
// it twice, whoever comes. One viewer who goes through a recording gets each of
// its segments as the store gives it.
func TestSegmentIsReadForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slowStore{took: 50 * time.Millisecond}
		s.text.Store(strings.Repeat("x", 100_000))
		h := New(Config{Objects: s, Log: quiet()})
		var viewers sync.WaitGroup
		for i := range 500 {
			viewers.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				headers := [][]string{nil, {"Range", "bytes=10-19"}, {"If-None-Match", `"100000"`}}[i%3]
				res := get(h, "GET", "/hls/live/alice/b/source/00000042.ts", headers...)
				want, length := []int{200, 206, 304}[i%3], []int{100_000, 10, 0}[i%3]
				if got := body(t, res); res.StatusCode != want || len(got) != length || res.Header.Get("Cache-Control") != object.CacheForever || res.Header.Get("ETag") != `"100000"` {
					t.Errorf("%v: got %d, %d bytes, %v", headers, res.StatusCode, len(got), res.Header)
				}
			})
		}
		viewers.Wait()
		if n := s.asked.Load(); n > 3 {
			t.Errorf("500 viewers of one segment asked the store %d times", n)
		}
		s.asked.Store(0)
		for i := range 100 {
			get(h, "GET", fmt.Sprintf("/hls/live/alice/old/source/%08d.ts", i))
		}
		if n := s.asked.Load(); n != 100 || len(h.segments.known) > 1 {
			t.Errorf("a viewer of 100 segments asked the store %d times, and %d are kept", n, len(h.segments.known))
		}
	})
}
