package endpoint

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/internal/captures"
	"weir/internal/testlog"
	"weir/media"
	"weir/remux/flv"
	"weir/rtmp"
)

// listenTunnel starts a Server of tunnels; the test's end stops it.
func listenTunnel(t testing.TB, cfg Config) *station {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	to, ok := cfg.Publisher.(*recorder)
	if !ok {
		to = newRecorder()
		cfg.Publisher = to
	}
	text := new(testlog.Buffer)
	cfg.Logger = slog.New(slog.NewTextHandler(text, nil))
	s := &station{Server: NewServer(cfg), to: to, text: text, addr: ln.Addr().String()}
	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan error, 1)
	go func() { result <- s.ServeTunnel(ctx, ln, "rtmpt") }()
	s.stop = sync.OnceValue(func() error {
		cancel()
		return <-result
	})
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return s
}

// tunnelClient is an RTMPT client as a connection: a POST for each Write, and
// one now and then to hear.
type tunnelClient struct {
	net.Conn // nil; for the methods that nobody calls
	client   *http.Client
	base, id string
	done     chan struct{}
	polls    sync.WaitGroup
	hear     *io.PipeReader
	said     *io.PipeWriter

	mu     sync.Mutex // one request at a time
	number int
	ended  bool
}

func dialTunnel(t testing.TB, addr string) *tunnelClient {
	t.Helper()
	c := &tunnelClient{
		client: &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1}}, base: "http://" + addr, done: make(chan struct{}),
	}
	c.hear, c.said = io.Pipe()
	id, err := c.post("/open/1", []byte{0})
	if err != nil {
		t.Fatal(err)
	}
	c.id = strings.TrimSpace(string(id))
	c.polls.Go(func() {
		for {
			select {
			case <-c.done:
				return
			case <-time.After(10 * time.Millisecond):
			}
			if _, err := c.request("idle", []byte{0}); err != nil {
				_ = c.said.CloseWithError(err)
				return
			}
		}
	})
	return c
}

var errGone = errors.New("the server does not know the tunnel")

func (c *tunnelClient) post(path string, body []byte) ([]byte, error) {
	r, err := c.client.Post(c.base+path, "application/x-fcs", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%w: %s", errGone, r.Status)
	}
	return io.ReadAll(r.Body)
}

func (c *tunnelClient) request(command string, body []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return 0, net.ErrClosed
	}
	b, err := c.post(fmt.Sprintf("/%s/%s/%d", command, c.id, c.number), body)
	c.number++
	if err != nil {
		return 0, err
	}
	if len(b) > 1 {
		_, err = c.said.Write(b[1:])
	}
	c.ended = command == "close"
	return len(body), err
}

func (c *tunnelClient) Read(p []byte) (int, error)  { return c.hear.Read(p) }
func (c *tunnelClient) Write(p []byte) (int, error) { return c.request("send", p) }

func (c *tunnelClient) SetDeadline(time.Time) error     { return nil }
func (c *tunnelClient) SetReadDeadline(time.Time) error { return nil }

// CloseWrite is the client's end.
func (c *tunnelClient) CloseWrite() error { return c.Close() }

// Close ends the tunnel.
func (c *tunnelClient) Close() error {
	_, err := c.request("close", []byte{0})
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	c.vanish()
	if errors.Is(err, errGone) {
		return nil
	}
	return err
}

// vanish is a client whose machine is switched off.
func (c *tunnelClient) vanish() {
	close(c.done)
	_ = c.said.Close()
	_ = c.hear.Close()
	c.polls.Wait()
	c.client.CloseIdleConnections()
}

// push publishes through the tunnel.
func (c *tunnelClient) push(t testing.TB, name string) *Push {
	t.Helper()
	p, err := publish(t.Context(), c, target{app: "live", tcURL: "rtmpt://localhost/live", name: name})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestTunnel publishes through a tunnel: everything is as over a socket.
func TestTunnel(t *testing.T) {
	s := listenTunnel(t, Config{})
	p := dialTunnel(t, s.addr).push(t, "alice")
	send(t, p, show()...)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	x := s.to.ended(t, 0)
	if !x.why.Clean || x.peer.Transport != "rtmpt" || !bytes.Equal(run(x.tags...), run(show()...)) {
		t.Errorf("%d tags over %s, %+v", len(x.tags), x.peer.Transport, x.why)
	}
	if host, _, err := net.SplitHostPort(x.peer.Remote); err != nil || host != "127.0.0.1" {
		t.Errorf("the peer is %q", x.peer.Remote)
	}
}

// TestTunnelRefusal: the status arrives before the tunnel is unknown.
func TestTunnelRefusal(t *testing.T) {
	s := listenTunnel(t, Config{Auth: authFunc(func(Request) (media.Stream, error) { return media.Stream{}, errors.New("no") })})
	_, err := publish(t.Context(), dialTunnel(t, s.addr), target{app: "live", name: "alice"})
	if refused := (*rtmp.RefusedError)(nil); !errors.As(err, &refused) || refused.Code != denied {
		t.Errorf("%v, want a refusal", err)
	}
}

// TestTunnelEncrypted is RTMPTE.
func TestTunnelEncrypted(t *testing.T) {
	s := listenTunnel(t, Config{})
	p, err := publish(t.Context(), dialTunnel(t, s.addr), target{app: "live", name: "alice", encrypted: true})
	if err != nil {
		t.Fatal(err)
	}
	send(t, p, show()...)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	x := s.to.ended(t, 0)
	if x.peer.Transport != "rtmpte" || !bytes.Equal(run(x.tags...), run(show()...)) {
		t.Errorf("%d tags over %s", len(x.tags), x.peer.Transport)
	}
}

// TestTunnelDrain: an encoder in a tunnel is asked to reconnect, and told.
func TestTunnelDrain(t *testing.T) {
	s := listenTunnel(t, Config{})
	p := dialTunnel(t, s.addr).push(t, "alice")
	send(t, p, avcHeader(0), key(0))
	s.to.got(t, 0, 2)
	done := s.stopped(t)
	<-p.Reconnect()
	send(t, p, inter(40))
	s.to.got(t, 0, 3)
	if err := p.Abandon(); err != nil {
		t.Error(err)
	}
	<-done
}

// TestTunnelVanishes: a client that is gone without a word keeps its stream for
// seconds, not for ever.
func TestTunnelVanishes(t *testing.T) {
	t.Parallel()
	s := listenTunnel(t, Config{})
	c := dialTunnel(t, s.addr)
	send(t, c.push(t, "alice"), avcHeader(0), key(0))
	s.to.got(t, 0, 2)
	began := time.Now()
	c.vanish()
	x := s.to.ended(t, 0)
	if took := time.Since(began); x.why.Clean || took > tunnelIdle/2 {
		t.Errorf("after %v: %+v", took, x.why)
	}
}

// TestTunnelAnswers is what requests get that are none of a tunnel.
func TestTunnelAnswers(t *testing.T) {
	elsewhere := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Error(w, "another node's", http.StatusTeapot) })
	s := listenTunnel(t, Config{Elsewhere: elsewhere})
	for _, c := range []struct {
		method, path string
		want         int
	}{
		{"POST", "/fcs/ident2", 404},
		{"GET", "/", 404},
		{"GET", "/open/1", 405},
		{"POST", "/open/1", 200},
		{"POST", "/send/0123456789abcdef/1", http.StatusTeapot},
		{"POST", "/send/0123456789abcdef/x", 404},
	} {
		r, err := http.NewRequestWithContext(t.Context(), c.method, "http://"+s.addr+c.path, strings.NewReader("\x00"))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != c.want {
			t.Errorf("%s %s: %s, want %d", c.method, c.path, answer.Status, c.want)
		}
		if c.want == 200 && (answer.Header.Get("Content-Type") != "application/x-fcs" || answer.Header.Get("Cache-Control") != "no-cache") {
			t.Errorf("%s: %v", c.path, answer.Header)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

// postText is a request as it goes over the wire.
func postText(path string, body []byte) []byte {
	head := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-fcs\r\nContent-Length: %d\r\n\r\n", path, len(body))
	return append([]byte(head), body...)
}

// openRaw opens a tunnel on a connection of its own and returns both.
func openRaw(t *testing.T, addr string) (nc net.Conn, r *bufio.Reader, id string) {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	r = bufio.NewReader(nc)
	if _, err := nc.Write(postText("/open/1", []byte{0})); err != nil {
		t.Fatal(err)
	}
	return nc, r, strings.TrimSpace(string(readAnswer(t, r)))
}

func readAnswer(t *testing.T, r *bufio.Reader) []byte {
	t.Helper()
	answer, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if answer.ContentLength != int64(len(b)) {
		t.Fatalf("Content-Length %d of %d bytes: librtmp reads no chunks", answer.ContentLength, len(b))
	}
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %v", answer.Status, err)
	}
	return b
}

// TestTunnelPipeline: librtmp writes its requests without reading an answer,
// idle ones among them.
func TestTunnelPipeline(t *testing.T) {
	s := listenTunnel(t, Config{})
	nc, r, id := openRaw(t, s.addr)
	capture, err := os.ReadFile("../testdata/captures/librtmp-2.4-h264-aac.c2s")
	if err != nil {
		t.Fatal(err)
	}
	want := captures.Understand(t, bytes.Clone(capture))[0]
	var all []byte
	requests := 0
	post := func(command string, body []byte) {
		all = append(all, postText(fmt.Sprintf("/%s/%s/%d", command, id, requests), body)...)
		requests++
	}
	for p := capture; len(p) > 0; {
		n := min(len(p), 1000)
		post("send", p[:n])
		if p = p[n:]; requests%20 == 0 {
			post("idle", []byte{0})
		}
	}
	post("close", []byte{0})
	go func() { _, _ = nc.Write(all) }() // what is missing is missed below
	for range requests {
		readAnswer(t, r)
	}
	x := s.to.ended(t, 0)
	if !x.why.Clean || !bytes.Equal(run(x.tags...), run(want.Tags...)) {
		t.Errorf("%d tags of %d, %+v", len(x.tags), len(want.Tags), x.why)
	}
}

// TestTunnelOrder: requests on two connections go in by their numbers, one that
// broke off comes again and goes on, and one whose answer was lost is answered
// again and not taken twice.
func TestTunnelOrder(t *testing.T) {
	s := listenTunnel(t, Config{})
	a, ra, id := openRaw(t, s.addr)
	b, rb, _ := openRaw(t, s.addr)
	capture, err := os.ReadFile("../testdata/captures/gst-1.22.0-rtmp2sink.c2s")
	if err != nil {
		t.Fatal(err)
	}
	want := captures.Understand(t, bytes.Clone(capture))[0]
	number := 0
	post := func(nc net.Conn, command string, n int, body []byte) {
		t.Helper()
		if _, err := nc.Write(postText(fmt.Sprintf("/%s/%s/%d", command, id, n), body)); err != nil {
			t.Fatal(err)
		}
	}
	post(a, "send", number, capture[:100])
	readAnswer(t, ra)
	capture, number = capture[100:], 1
	const piece = 2000
	for p := capture; len(p) > 0; number += 2 {
		first := p[:min(piece, len(p))]
		p = p[len(first):]
		second := p[:min(piece, len(p))]
		p = p[len(second):]
		// The second one comes first, on the other connection.
		post(b, "send", number+1, second)
		switch number % 3 {
		case 1: // the first breaks off
			broken, err := net.Dial("tcp", s.addr)
			if err != nil {
				t.Fatal(err)
			}
			text := postText(fmt.Sprintf("/send/%s/%d", id, number), first)
			if _, err := broken.Write(text[:len(text)-len(first)/2]); err != nil {
				t.Fatal(err)
			}
			_ = broken.Close()
		}
		post(a, "send", number, first)
		readAnswer(t, ra)
		answer := readAnswer(t, rb)
		if number%3 == 2 { // the second's answer was lost
			post(a, "send", number+1, second)
			if again := readAnswer(t, ra); !bytes.Equal(again, answer) {
				t.Fatalf("request %d was answered %x, then %x", number+1, answer, again)
			}
		}
	}
	post(a, "close", number, []byte{0})
	readAnswer(t, ra)
	x := s.to.ended(t, 0)
	if !x.why.Clean || !bytes.Equal(run(x.tags...), run(want.Tags...)) {
		t.Errorf("%d tags of %d, %+v", len(x.tags), len(want.Tags), x.why)
	}
}

// TestTunnelCapture replays ffmpeg's requests as they were, but for the session
// that they name.
func TestTunnelCapture(t *testing.T) {
	s := listenTunnel(t, Config{})
	capture, err := os.ReadFile("../testdata/captures/ffmpeg-5.1.9-rtmpt.c2s")
	if err != nil {
		t.Fatal(err)
	}
	nc, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	answers := bufio.NewReader(nc)
	id, requests := "", 0
	for r := bufio.NewReader(bytes.NewReader(capture)); ; requests++ {
		request, err := http.ReadRequest(r)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(request.Body)
		if err != nil {
			t.Fatal(err)
		}
		path := strings.Replace(request.URL.Path, "9575bd01e0f97a5d", id, 1)
		if _, err := nc.Write(postText(path, body)); err != nil {
			t.Fatal(err)
		}
		if b := readAnswer(t, answers); requests == 0 {
			id = strings.TrimSpace(string(b))
		}
	}
	x := s.to.ended(t, 0)
	// 75 pictures of 3 s, a header and the end; 131 frames of sound and a header.
	if v, a := count(x.tags, flv.TagVideo), count(x.tags, flv.TagAudio); v != 77 || a != 132 || !x.why.Clean {
		t.Errorf("%d of video and %d of audio in %d requests, %+v", v, a, requests, x.why)
	}
	if first, last := x.tags[0].Timestamp, x.tags[len(x.tags)-1].Timestamp; first != 0 || last < 2900 || last > 3100 {
		t.Errorf("from %d to %d ms", first, last)
	}
}

func count(tags []flv.Tag, typ flv.TagType) (n int) {
	for _, t := range tags {
		if t.Type == typ {
			n++
		}
	}
	return n
}

// TestTunnelBackPressure: a session that is full makes the client wait, with
// bounded memory, and nothing is lost.
func TestTunnelBackPressure(t *testing.T) {
	to := newRecorder()
	full := true
	to.plan = func(_ *recordedSession, _ Turn, p Plan) Plan {
		p.Full = full
		return p
	}
	s := listenTunnel(t, Config{Publisher: to})
	c := dialTunnel(t, s.addr)
	p := c.push(t, "alice")
	sent := make(chan error, 1)
	var tags []flv.Tag
	for ts := range uint32(200) {
		tags = append(tags, video(ts, append([]byte{0x27, 1, 0, 0, 0}, make([]byte, 10_000)...)...))
	}
	go func() {
		var err error
		for _, tag := range tags {
			err = errors.Join(err, p.WriteTag(tag))
		}
		sent <- err
	}()
	select {
	case <-sent:
		t.Error("2 MB went into a tunnel that nobody reads")
	case <-time.After(500 * time.Millisecond):
	}
	to.Lock()
	full = false
	to.Unlock()
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if x := s.to.ended(t, 0); !bytes.Equal(run(x.tags...), run(tags...)) {
		t.Errorf("%d tags of %d", len(x.tags), len(tags))
	}
}

// TestTunnelConn: Reads and Writes keep to their deadlines, and see the ends of
// both sides, like those of a socket.
func TestTunnelConn(t *testing.T) {
	tun := newTunnel(&net.TCPAddr{}, "rtmpt", http.NotFoundHandler())
	c := newTunnelConn(tun, "a", &net.TCPAddr{})
	buf := make([]byte, 10)
	if err := c.SetReadDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(buf); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read: %v", err)
	}
	if err := c.SetDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	woken := make(chan error, 1)
	go func() {
		_, err := c.Read(buf)
		woken <- err
	}()
	time.Sleep(10 * time.Millisecond)
	if err := c.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if err := <-woken; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a read that waits is not woken: %v", err)
	}
	if err := c.SetDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Write(make([]byte, tunnelOut+1)); n != tunnelOut || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("wrote %d: %v", n, err)
	}
	if n := len(c.fetch()); n != tunnelOut {
		t.Errorf("fetched %d", n)
	}
	if err := c.SetDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	if n, err := c.put(t.Context(), []byte("last")); n != 4 || err != nil {
		t.Fatal(n, err)
	}
	c.hangUp(io.EOF)
	if n, err := c.Read(buf); n != 4 || err != nil {
		t.Errorf("what came before the end: %d, %v", n, err)
	}
	if _, err := c.Read(buf); !errors.Is(err, io.EOF) {
		t.Errorf("the end: %v", err)
	}
	if _, err := c.Write(buf); err == nil {
		t.Error("wrote to a client that has gone")
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if _, err := c.Read(buf); !errors.Is(err, net.ErrClosed) {
		t.Errorf("read behind Close: %v", err)
	}
	if err := c.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Close again: %v", err)
	}
}
