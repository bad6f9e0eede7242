package endpoint

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"weir/media"
)

// canary is a stream key that must appear nowhere.
const canary = "c4n4ry-k3y"

// TestSecrets publishes in a keyed mode, in every way that a publish can go,
// and looks for key and query in all that leaves the package.
func TestSecrets(t *testing.T) {
	alice := media.Stream{App: "live", Name: "alice"}
	registry := prometheus.NewRegistry()
	to := newRecorder()
	var fail atomic.Pointer[error]
	to.publish = func(media.Stream) error { return *fail.Load() }
	auth := authFunc(func(r Request) (media.Stream, error) {
		if r.Name == canary && r.Query == "sign="+canary {
			return alice, nil
		}
		return media.Stream{}, errors.New("no such key")
	})
	s := listen(t, Config{Publisher: to, Auth: auth, Metrics: NewMetrics(registry)})
	var said []string
	note := func(err error) {
		if err != nil {
			said = append(said, err.Error())
		}
	}
	for _, err := range []error{nil, refusal{"busy", badName}, errors.New("no servers")} {
		fail.Store(&err)
		for _, path := range []string{canary + "?sign=" + canary, canary, canary + "?sign=wrong" + canary, "%2e%2e" + canary} {
			p, err := Dial(t.Context(), "rtmp://"+s.addr+"/live/"+path)
			note(err)
			if err != nil {
				continue
			}
			send(t, p, avcHeader(0), key(0))
			// A message that is too long breaks a rule.
			for err = nil; err == nil; {
				err = p.WriteTag(video(40, make([]byte, 9<<20)...))
			}
			note(err)
			note(p.Close())
		}
	}
	for _, url := range []string{"rtmp://127.0.0.1:1/live/", "http://h/live/", "rtmp://%zz/live/", "rtmp:///live/"} {
		_, err := Dial(t.Context(), url+canary)
		note(err)
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range to.sessions {
		said = append(said, fmt.Sprintf("%v %s %+v", x.stream, x.peer.Remote, x.why))
	}
	all := s.text.String() + strings.Join(said, "\n") + fmt.Sprint(families)
	if strings.Contains(all, canary) {
		t.Errorf("a stream key came out:\n%s", all)
	}
	for _, want := range []string{"live/alice", "reason=auth", "reason=busy", "Reason:protocol", "weir_ingest_refused_total"} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is not in what was searched: the test looks at less than it says", want)
		}
	}
}

// A peer that has ended its publish may not go on with a message of its size.
func TestPartialAfterPublish(t *testing.T) {
	s := listen(t, Config{})
	c := dialRaw(t, s.addr)
	c.connect("live")
	c.command(4, 0, "createStream")
	c.publish(1, "alice")
	c.command(5, 0, "deleteStream", 1.0)
	m := rawMessage(4, 9, 1, 0, make([]byte, 4<<20))
	_, _ = c.nc.Write(m[:2<<20]) // the server may have hung up by now
	if took, _ := c.end(); took > 5*time.Second {
		t.Errorf("the peer stayed for %v, want it to end with its first bytes too many", took)
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(s.text.String(), "small messages only") {
		t.Errorf("the rule is not named:\n%s", s.text)
	}
}

// A peer that talks and talks, and never publishes, is ended: each byte of it
// costs us more than it.
func TestTalkWithoutPublish(t *testing.T) {
	s := listen(t, Config{})
	c := dialRaw(t, s.addr)
	c.connect("live")
	go func() { _, _ = io.Copy(io.Discard, c.nc) }()
	ping := bytes.Repeat(rawMessage(2, 4, 0, 0, []byte{0, 6, 1, 2, 3, 4}), 500)
	sent := 0
	for err := error(nil); err == nil && sent < 64<<20; {
		var n int
		n, err = c.nc.Write(ping)
		sent += n
	}
	if sent >= 64<<20 {
		t.Errorf("%d bytes were taken of a peer that publishes nothing", sent)
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(s.text.String(), "publishes within") {
		t.Errorf("the rule is not named:\n%s", s.text)
	}
}

// attacks are what a port on the internet gets to hear. Each has a connection
// and a capture of a real publish to spoil.
var attacks = map[string]func(*rand.Rand, net.Conn, []byte){
	"random bytes": func(r *rand.Rand, nc net.Conn, _ []byte) { scribble(nc, noise(r, 20_000)) },
	"handshake, then random bytes": func(r *rand.Rand, nc net.Conn, capture []byte) {
		scribble(nc, capture[:3073], noise(r, 50_000))
	},
	"another protocol": func(_ *rand.Rand, nc net.Conn, _ []byte) {
		scribble(nc, []byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"))
	},
	"cut short": func(r *rand.Rand, nc net.Conn, capture []byte) { scribble(nc, capture[:r.IntN(len(capture))]) },
	"bytes flipped": func(r *rand.Rand, nc net.Conn, capture []byte) {
		p := bytes.Clone(capture)
		for range 20 {
			p[3073+r.IntN(len(p)-3073)] ^= byte(1 << r.IntN(8))
		}
		scribble(nc, p)
	},
	"bytes lost": func(r *rand.Rand, nc net.Conn, capture []byte) {
		at := 3073 + r.IntN(len(capture)-3100)
		scribble(nc, capture[:at], capture[at+1+r.IntN(20):])
	},
	"declared lengths": func(_ *rand.Rand, nc net.Conn, capture []byte) {
		p := bytes.Clone(capture[:3073])
		for id := byte(3); id < 60; id++ { // 16 MiB each, and one chunk of it
			p = append(append(p, id, 0, 0, 0, 0xff, 0xff, 0xff, 9, 1, 0, 0, 0), make([]byte, 128)...)
		}
		scribble(nc, p)
	},
	"never reads": func(_ *rand.Rand, nc net.Conn, capture []byte) {
		p := bytes.Clone(capture[:3073])
		ping := rawMessage(2, 4, 0, 0, []byte{0, 6, 1, 2, 3, 4})
		for range 20_000 {
			p = append(p, ping...)
		}
		scribble(nc, p)
	},
	"silence":     func(_ *rand.Rand, nc net.Conn, _ []byte) { time.Sleep(100 * time.Millisecond) },
	"at once off": func(*rand.Rand, net.Conn, []byte) {},
}

// scribble writes for a short while, whatever comes of it.
func scribble(nc net.Conn, all ...[]byte) {
	_ = nc.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
	for _, p := range all {
		if _, err := nc.Write(p); err != nil {
			return
		}
	}
}

func noise(r *rand.Rand, n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	return p
}

// TestHostile runs every attack again and again beside a real publisher, which
// must lose nothing.
func TestHostile(t *testing.T) {
	capture, err := os.ReadFile("../testdata/captures/ffmpeg-5.1.9-h264-aac.c2s")
	if err != nil {
		t.Fatal(err)
	}
	s := listen(t, Config{MaxMessage: 1 << 20})
	s.to.only = "alice"
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)

	ctx, cancel := context.WithCancel(t.Context())
	var attackers sync.WaitGroup
	var rounds atomic.Int64
	for name, attack := range attacks {
		attackers.Go(func() {
			r := rand.New(rand.NewPCG(uint64(len(name)), uint64(name[0])))
			for ctx.Err() == nil {
				nc, err := net.Dial("tcp", s.addr)
				if err != nil {
					t.Errorf("%s: %v", name, err)
					return
				}
				attack(r, nc, capture)
				_ = nc.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
				_, _ = io.Copy(io.Discard, nc)
				_ = nc.Close()
				rounds.Add(1)
			}
		})
	}
	tags := show()
	p := s.dial(t, "live/alice")
	var most uint64
	for i, tag := range tags {
		send(t, p, tag)
		if i%20 == 0 {
			var now runtime.MemStats
			runtime.GC() // what lives counts, not how much of the rest is left
			runtime.ReadMemStats(&now)
			most = max(most, now.HeapAlloc)
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	cancel()
	attackers.Wait()
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	found := false
	for _, x := range s.to.sessions {
		if x.stream.Name == "alice" {
			found = bytes.Equal(run(x.tags...), run(tags...))
		}
	}
	if !found {
		t.Error("the publisher beside the attackers has lost something")
	}
	if n := rounds.Load(); n < int64(len(attacks)) {
		t.Errorf("only %d attacks", n)
	}
	// Each connection may hold twice MaxMessage, and its buffers for more as much.
	grown, bound := int64(most)-int64(before.HeapAlloc), int64(len(attacks))*4<<20
	t.Logf("%d attacks, the heap grew by %d bytes", rounds.Load(), grown)
	if grown > bound {
		t.Errorf("the heap grew by %d bytes, want at most %d", grown, bound)
	}
	for line := range strings.Lines(s.text.String()) {
		if strings.Contains(line, "level=ERROR") {
			t.Errorf("a bad peer is not our fault: %s", line)
		}
	}
}
