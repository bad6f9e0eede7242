//go:build linux

package hostile

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/internal/testweir"
)

// visit is what somebody does on a connection to the viewers' listener. It
// returns when it was sent away, or has had enough.
type visit struct {
	name string
	do   func(ctx context.Context, t *testing.T, s *show, nc net.Conn, r *rand.Rand)
}

var visits = []visit{
	{"silence", func(_ context.Context, _ *testing.T, _ *show, nc net.Conn, _ *rand.Rand) { drain(nc) }},
	{"a request a byte at a time", func(_ context.Context, _ *testing.T, s *show, nc net.Conn, _ *rand.Rand) {
		trickle(nc, []byte(get("/hls/live/alice/index.m3u8")))
		drain(nc)
	}},
	{"playlists that nobody reads", func(ctx context.Context, _ *testing.T, s *show, nc net.Conn, _ *rand.Rand) {
		_, _ = io.WriteString(nc, strings.Repeat(get("/"+s.playlist()), 500))
		<-ctx.Done()
	}},
	{"keys that are made up", func(ctx context.Context, _ *testing.T, _ *show, nc net.Conn, r *rand.Rand) {
		ask(ctx, nc, func() string { return get(fmt.Sprintf("/hls/live/s%d/%d.ts", r.IntN(1000), r.IntN(1000))) }, nil)
	}},
	{"paths that climb", func(ctx context.Context, t *testing.T, _ *show, nc net.Conn, r *rand.Rand) {
		paths := []string{"/hls/../nats/jetstream", "/hls/live/%2e%2e/%2e%2e/nats", "/hls//etc/passwd", "/hls/.weir/lock", "/admin/weir.sock"}
		ask(ctx, nc, func() string { return get(paths[r.IntN(len(paths))]) }, func(code int) {
			if code == http.StatusOK {
				t.Error("a path that climbs was answered")
			}
		})
	}},
	{"lists", func(ctx context.Context, _ *testing.T, _ *show, nc net.Conn, _ *rand.Rand) {
		ask(ctx, nc, func() string { return get("/api/v1/streams") }, nil)
	}},
	{"kicks", func(ctx context.Context, t *testing.T, _ *show, nc net.Conn, r *rand.Rand) {
		headers := []string{"Host: localhost", "Host: 127.0.0.1\r\nX-Forwarded-For: 127.0.0.1", "Host: x\r\nAuthorization: Bearer x", "Host: x\r\nOrigin: http://localhost"}
		ask(ctx, nc, func() string {
			return "POST /api/v1/streams/live/alice/kick HTTP/1.1\r\n" + headers[r.IntN(len(headers))] + "\r\nContent-Length: 0\r\n\r\n"
		}, func(code int) {
			if code < 400 {
				t.Errorf("a kick without the token: %d", code)
			}
		})
	}},
	{"many ranges", func(ctx context.Context, _ *testing.T, s *show, nc net.Conn, _ *rand.Rand) {
		ask(ctx, nc, func() string {
			return "GET /" + s.playlist() + " HTTP/1.1\r\nHost: x\r\nRange: bytes=0-0" + strings.Repeat(",0-", 2000) + "\r\n\r\n"
		}, nil)
	}},
	{"headers without an end", func(_ context.Context, _ *testing.T, _ *show, nc net.Conn, _ *rand.Rand) {
		_, _ = io.WriteString(nc, "GET / HTTP/1.1\r\n"+strings.Repeat("X: "+strings.Repeat("x", 1000)+"\r\n", 200))
		drain(nc)
	}},
	{"a body without an end", func(_ context.Context, _ *testing.T, _ *show, nc net.Conn, _ *rand.Rand) {
		_, _ = io.WriteString(nc, "GET /hls/live/alice/index.m3u8 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
		for i := 0; i < 1000; i++ {
			if _, err := io.WriteString(nc, "400\r\n"+strings.Repeat("x", 1024)+"\r\n"); err != nil {
				return
			}
			time.Sleep(time.Millisecond)
		}
	}},
	{"something else", func(_ context.Context, _ *testing.T, _ *show, nc net.Conn, r *rand.Rand) {
		_, _ = nc.Write(noise(r, 10_000))
		drain(nc)
	}},
}

// playlist is the key of the live playlist, below /.
func (s *show) playlist() string {
	_, key, _ := strings.Cut(s.viewer.URL, s.HTTP+"/")
	return key
}

func get(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n" }

func drain(nc net.Conn) { _, _ = io.Copy(io.Discard, nc) }

// ask sends request after request, ten a second, and looks at the answers.
func ask(ctx context.Context, nc net.Conn, request func() string, look func(code int)) {
	r := bufio.NewReader(nc)
	for ctx.Err() == nil {
		if _, err := io.WriteString(nc, request()); err != nil {
			return
		}
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			return
		}
		if look != nil {
			look(resp.StatusCode)
		}
		_, err = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close() // of a buffer
		if err != nil || resp.Close {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// What is done before the viewers' listener, by more connections than there may
// be, costs neither the encoder nor a viewer anything: each of a few attacks, by
// four connections from an address of its own.
func TestWeb(t *testing.T) { web(t, 8, 4, 30) }

// web keeps so many connections of each visit, each from an address of its own,
// before a weir that takes limit, for as long as the show lasts.
func web(t *testing.T, seconds, each, limit int) {
	s := showFor(t, seconds, "--http-connections", fmt.Sprint(limit))
	testweir.Eventually(t, 10*time.Second, "there is a playlist", func() bool { return comeToSee(s) == nil })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var visitors sync.WaitGroup
	for i, v := range visits {
		from := &net.TCPAddr{IP: net.IPv4(127, 0, 3, byte(i+1))}
		for n := range each {
			visitors.Go(func() {
				r := rand.New(rand.NewPCG(uint64(i), uint64(n)))
				for ctx.Err() == nil {
					nc, err := (&net.Dialer{LocalAddr: from, Timeout: 10 * time.Second}).DialContext(ctx, "tcp", s.HTTP)
					if err == nil {
						done := context.AfterFunc(ctx, func() { _ = nc.Close() })
						v.do(ctx, t, s, nc, r)
						done()
						_ = nc.Close()
					}
					select {
					case <-ctx.Done():
					case <-time.After(time.Second):
					}
				}
			})
		}
	}
	// A viewer who comes anew each time, as one without keep-alive does.
	came, refused := 0, 0
	for ; !s.encoder.Over(); time.Sleep(200 * time.Millisecond) {
		if err := comeToSee(s); err != nil {
			refused++
			t.Errorf("a new viewer: %v", err)
		}
		came++
	}
	cancel()
	visitors.Wait()
	t.Logf("%d new viewers came beside %d connections of %d attacks, %d were refused", came, each*len(visits), len(visits), refused)
	s.end(t, budget(0, limit, 1))
}

// comeToSee asks for the live playlist on a connection of its own.
func comeToSee(s *show) error {
	nc, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 4, 1)}, Timeout: time.Minute}).Dial("tcp", s.HTTP)
	if err != nil {
		return err
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(time.Minute)) // a real connection takes it
	if _, err := io.WriteString(nc, get("/"+s.playlist())); err != nil {
		return err
	}
	resp, err := http.ReadResponse(bufio.NewReader(nc), nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var body bytes.Buffer
	if _, err := body.ReadFrom(resp.Body); err != nil {
		return err
	}
	if p := testweir.ParseMediaPlaylist(body.Bytes()); resp.StatusCode != http.StatusOK || len(p.Segments) == 0 {
		return fmt.Errorf("%s with %d segments", resp.Status, len(p.Segments))
	}
	return nil
}
