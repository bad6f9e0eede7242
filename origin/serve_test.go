package origin

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"weir/media/object"
)

// listen starts Serve on loopback and returns its address, and a function that
// stops it and returns what Serve returned.
func listen(t testing.TB, h http.Handler, drain time.Duration) (addr string, stop func() error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, l, h, Limits{}, drain, quiet()) }()
	return l.Addr().String(), func() error { cancel(); return <-done }
}

// A response under way when the server is told to stop goes out whole; new
// connections are refused meanwhile.
func TestServeDrains(t *testing.T) {
	defer goleak.VerifyNone(t)
	started, release := make(chan bool), make(chan bool)
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		started <- true
		<-release
		fmt.Fprint(w, "whole")
	})
	addr, stop := listen(t, h, 10*time.Second)
	got := make(chan string, 1)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	go func() {
		res, err := client.Get("http://" + addr)
		if err != nil {
			got <- err.Error()
			return
		}
		b, err := io.ReadAll(res.Body)
		got <- fmt.Sprint(string(b), err, res.Body.Close())
	}()
	<-started
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	for { // until the listener is closed
		c, err := net.Dial("tcp", addr)
		if err != nil {
			break
		}
		c.Close()
	}
	close(release)
	if s := <-got; s != "whole<nil> <nil>" {
		t.Errorf("the response under way: %s", s)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

// A response that does not end holds the server for no longer than drain.
func TestServeGivesUp(t *testing.T) {
	defer goleak.VerifyNone(t)
	started := make(chan bool)
	h := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(started)
		<-r.Context().Done()
	})
	addr, stop := listen(t, h, 50*time.Millisecond)
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	<-started
	if err := stop(); err != nil {
		t.Errorf("Serve: %v; a client that reads slowly makes no failure of an end that was asked for", err)
	}
}

func TestServeListenerFails(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := Serve(t.Context(), l, http.NotFoundHandler(), Limits{}, time.Second, quiet()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

// endless is a store with one object that is larger than all socket buffers.
type endless struct{ size int64 }

type zeros struct{ at, size int64 }

func (z *zeros) Read(p []byte) (int, error) {
	if z.at >= z.size {
		return 0, io.EOF
	}
	n := min(int64(len(p)), z.size-z.at)
	z.at += n
	return int(n), nil
}

func (z *zeros) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekStart:
		z.at = offset
	case io.SeekCurrent:
		z.at += offset
	case io.SeekEnd:
		z.at = z.size + offset
	}
	return z.at, nil
}

func (z *zeros) Close() error { return nil }

func (e endless) Open(_ context.Context, key string) (io.ReadSeekCloser, object.Info, error) {
	return &zeros{size: e.size}, object.Info{Key: key, Size: e.size, ETag: "z", Modified: modified}, nil
}

// A client that asks and does not read is let go after Grace + size / Rate.
func TestSlowClient(t *testing.T) {
	const size = 64 << 20
	ended := make(chan time.Duration, 1)
	origin := New(Config{Objects: endless{size}, Grace: 100 * time.Millisecond, Rate: 4 * size})
	addr, stop := listen(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		origin.ServeHTTP(w, r)
		ended <- time.Since(start)
	}), time.Second)
	defer stop()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "GET /hls/live/alice/0.ts HTTP/1.1\r\nHost: x\r\n\r\n")
	select {
	case took := <-ended:
		if took < 350*time.Millisecond {
			t.Errorf("let go after %v, allowed were 350 ms", took)
		}
	case <-time.After(time.Minute):
		t.Fatal("a client that reads nothing still holds its goroutine")
	}
	if n, _ := io.Copy(io.Discard, c); n >= size {
		t.Errorf("the client got %d bytes: it was never slow", n)
	}
}

// The deadline belongs to each response: a connection lives for longer than
// one of them allows, for as long as its client reads.
func TestKeptConnection(t *testing.T) {
	h := New(Config{Objects: store(), Grace: 200 * time.Millisecond})
	addr, stop := listen(t, h, time.Second)
	defer stop()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	answers := bufio.NewReader(c)
	for range 4 {
		fmt.Fprint(c, "GET /hls/live/alice/b/source/00000042.ts HTTP/1.1\r\nHost: x\r\n\r\n")
		res, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatal("the connection was closed between two requests:", err)
		}
		if b, err := io.ReadAll(res.Body); err != nil || string(b) != ts {
			t.Fatalf("got %q, %v", b, err)
		}
		time.Sleep(150 * time.Millisecond)
	}
}

// A request's head is bounded.
func TestLongHead(t *testing.T) {
	addr, stop := listen(t, New(Config{Objects: store()}), time.Second)
	defer stop()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: x\r\nCookie: %s\r\n\r\n", strings.Repeat("a", 64<<10))
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || res.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("got %v, %v, want a 431", res, err)
	}
}

// directory is a store whose objects are files, which the kernel sends.
type directory string

func (d directory) Open(_ context.Context, key string) (io.ReadSeekCloser, object.Info, error) {
	f, err := os.Open(filepath.Join(string(d), filepath.FromSlash(key)))
	if errors.Is(err, os.ErrNotExist) {
		return nil, object.Info{}, fmt.Errorf("%w: %s", object.ErrNotExist, key)
	}
	if err != nil {
		return nil, object.Info{}, err
	}
	stat, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, object.Info{}, err
	}
	tag := fmt.Sprintf("%x-%x", stat.ModTime().UnixNano(), stat.Size())
	return f, object.Info{Key: key, Size: stat.Size(), ETag: tag, Modified: stat.ModTime()}, nil
}

// BenchmarkSegment serves a segment of 1.5 MB (4 s at 3 Mbit/s) over loopback
// to one client; client and server share the processors.
func BenchmarkSegment(b *testing.B) {
	const size = 1_500_000
	segment := strings.Repeat("G", size)
	dir := b.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "0.ts"), []byte(segment), 0o644); err != nil {
		b.Fatal(err)
	}
	b.Run("memory", func(b *testing.B) {
		benchmarkGet(b, &memory{objects: map[string]string{"0.ts": segment}}, "/hls/0.ts", size)
	})
	b.Run("file", func(b *testing.B) { benchmarkGet(b, directory(dir), "/hls/0.ts", size) })
}

// BenchmarkPlaylist serves a live playlist of 15 segments, which viewers ask
// for most.
func BenchmarkPlaylist(b *testing.B) {
	text := livePlaylist + strings.Repeat("#EXTINF:4.000,\n00000042.ts\n", 15)
	benchmarkGet(b, &memory{objects: map[string]string{"live.m3u8": text}}, "/hls/live.m3u8", len(text))
}

func benchmarkGet(b *testing.B, objects Objects, path string, size int) {
	addr, stop := listen(b, New(Config{Objects: objects}), time.Second)
	defer stop()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	request := []byte("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n")
	answers := bufio.NewReaderSize(c, 64<<10)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Write(request); err != nil {
			b.Fatal(err)
		}
		for { // the head, without parsing it: the client is not what is measured
			line, err := answers.ReadSlice('\n')
			if err != nil {
				b.Fatal(err)
			}
			if len(line) == 2 {
				break
			}
		}
		if _, err := answers.Discard(size); err != nil {
			b.Fatal(err)
		}
	}
}
