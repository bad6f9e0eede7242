package ingest

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
	"weir/remux/flv"
	"weir/rtmp"
)

// canary is a stream key that must appear nowhere.
const canary = "c4n4ry-k3y"

// TestSecrets publishes in a keyed mode, in every way that a publish can go,
// and looks for key and query in all that leaves the package.
func TestSecrets(t *testing.T) {
	alice := media.Stream{App: "live", Name: "alice"}
	registry := prometheus.NewRegistry()
	log := newRecordingLog()
	var fail atomic.Pointer[error]
	log.open = func(media.Stream) error { return *fail.Load() }
	auth := authFunc(func(r Request) (media.Stream, error) {
		if r.Name == canary && r.Query == "sign="+canary {
			return alice, nil
		}
		return media.Stream{}, errors.New("no such key")
	})
	s := listen(t, Config{Log: log, Auth: auth, Metrics: NewMetrics(registry)})
	var said []string
	note := func(err error) {
		if err != nil {
			said = append(said, err.Error())
		}
	}
	for _, err := range []error{nil, ErrBusy, ErrFenced, errors.New("no servers")} {
		fail.Store(&err)
		for _, path := range []string{canary + "?sign=" + canary, canary, canary + "?sign=wrong" + canary, "%2e%2e" + canary} {
			p, err := Dial(t.Context(), "rtmp://"+s.addr+"/live/"+path)
			note(err)
			if err != nil {
				continue
			}
			send(t, p, avcHeader(0), key(0))
			log.appended(t, log.last(), 0)
			said = append(said, fmt.Sprintf("%+v", s.Sessions()))
			// A tag that is too long breaks a rule.
			for err = nil; err == nil; {
				err = p.WriteTag(video(40, make([]byte, 9<<20)...))
			}
			note(err)
			note(p.Close())
		}
	}
	var nothing error
	fail.Store(&nothing)
	p := s.dial(t, "live/"+canary+"?sign="+canary)
	s.Kick(alice)
	note(sendUntilError(t, p))
	note(p.Close())
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
	for _, x := range log.sessions {
		for _, b := range x.batches {
			said = append(said, b.Header.String())
		}
	}
	all := s.text.String() + strings.Join(said, "\n") + fmt.Sprint(families)
	if strings.Contains(all, canary) {
		t.Errorf("a stream key came out:\n%s", all)
	}
	for _, want := range []string{"live/alice", "reason=auth", "reason=busy", "reason=protocol", "reason=kicked", "weir_ingest_refused_total"} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is not in what was searched: the test looks at less than it says", want)
		}
	}
}

// TestBackPressure stops the log: the encoder must feel it, memory must stay
// bounded, and when the log goes on nothing may be missing.
func TestBackPressure(t *testing.T) {
	log := newRecordingLog()
	log.gate = make(chan struct{})
	const message = 1 << 20
	s := listen(t, Config{Log: log, MaxMessage: message, Batch: 10 * time.Millisecond})
	p := s.dial(t, "live/stuck")
	tags := []flv.Tag{avcHeader(0)}
	for ts := range uint32(400) {
		tags = append(tags, video(ts*40, append([]byte{0x27, 1, 0, 0, 0, byte(ts)}, make([]byte, 100_000)...)...))
	}
	var sent atomic.Int64
	done := make(chan error, 1)
	go func() {
		for _, tag := range tags {
			if err := p.WriteTag(tag); err != nil {
				done <- err
				return
			}
			sent.Add(int64(len(tag.Data)))
		}
		done <- p.Close()
	}()
	stood := func() int64 { // until nothing has moved for a while
		for last := int64(-1); ; {
			now := sent.Load()
			if now == last && now > 2*message {
				return now
			}
			last = now
			time.Sleep(300 * time.Millisecond)
		}
	}
	taken := stood()
	infos := s.Sessions()
	if len(infos) != 1 {
		t.Fatalf("%d sessions", len(infos))
	}
	// One read of the socket may complete a message that was partial, and one
	// more stands whole in it.
	if most := 2*message + message + readBuffer; infos[0].Buffered > most {
		t.Errorf("%d bytes wait, want at most %d", infos[0].Buffered, most)
	}
	if used := s.used.Load(); used > 2*int64(infos[0].Buffered)+4*batchSize {
		t.Errorf("%d bytes of memory for %d bytes of batches", used, infos[0].Buffered)
	}
	if all := int64(400 * 100_000); taken > all/2 {
		t.Errorf("%d of %d bytes were taken off the encoder's hands while the log stood", taken, all)
	}
	close(log.gate)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	checkBatches(t, BatcherConfig{}, tags, log.ended(t, 0).pointers())
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if used := s.used.Load(); used != 0 {
		t.Errorf("%d bytes are held by no session", used)
	}
}

// TestLogTimeout is a log that does not come back.
func TestLogTimeout(t *testing.T) {
	log := newRecordingLog()
	log.gate = make(chan struct{})
	registry := prometheus.NewRegistry()
	s := listen(t, Config{Log: log, MaxMessage: 1 << 20, BusTimeout: 200 * time.Millisecond, Metrics: NewMetrics(registry)})
	p := s.dial(t, "live/stuck")
	var err error
	for ts := uint32(0); err == nil; ts += 40 {
		err = p.WriteTag(video(ts, append([]byte{0x27, 1, 0, 0, 0}, make([]byte, 100_000)...)...))
	}
	refused := new(rtmp.RefusedError)
	if !errors.As(err, &refused) || refused.Code != denied {
		t.Errorf("%v: the encoder is told why its session ends", err)
	}
	_ = p.Abandon()
	if x := log.ended(t, 0); x.clean {
		t.Error("the broadcast may go on: its encoder was cut off")
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(s.text.String(), "level=ERROR") {
		t.Errorf("a log that takes nothing is our fault:\n%s", s.text)
	}
	if lost := value(t, registry, "weir_ingest_lost_bytes_total"); lost < 2<<20 {
		t.Errorf("%v lost bytes counted, want what was received and not stored", lost)
	}
}

// value returns a counter or gauge without labels.
func value(t testing.TB, r *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			m := f.GetMetric()[0]
			return m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// TestBudget fills the memory of all sessions with one that is stuck: another
// one whose batches are taken must go on.
func TestBudget(t *testing.T) {
	log := newRecordingLog()
	log.gate = make(chan struct{})
	s := listen(t, Config{Log: log, MaxMessage: 2 << 20, Buffer: 1 << 20, BusTimeout: time.Minute})
	stuck := s.dial(t, "live/stuck")
	blocked := make(chan struct{})
	go func() {
		defer close(blocked)
		for ts := uint32(0); ; ts += 40 {
			if stuck.WriteTag(video(ts, append([]byte{0x27, 1, 0, 0, 0}, make([]byte, 50_000)...)...)) != nil {
				return
			}
		}
	}()
	for s.used.Load() < 1<<20 {
		time.Sleep(time.Millisecond)
	}
	tags := show()
	p := s.dial(t, "live/alice")
	send(t, p, tags...)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	checkBatches(t, BatcherConfig{}, tags, log.ended(t, 1).pointers())
	if used := s.used.Load(); used > 2<<20 {
		t.Errorf("the stuck session holds %d bytes of a budget of %d", used, 1<<20)
	}
	close(log.gate)
	_ = stuck.Abandon()
	<-blocked
}

// TestPartialBudget lets peers begin large messages that they never end: what
// they hold counts, and where it is too much they are ended, not the publisher
// beside them.
func TestPartialBudget(t *testing.T) {
	const message = 2 << 20
	s := listen(t, Config{Log: newRecordingLog(), MaxMessage: message, Buffer: 4 << 20, BusTimeout: 300 * time.Millisecond})
	var holders []*rawClient
	for i := range 4 {
		c := dialRaw(t, s.addr)
		c.connect("live")
		c.command(4, 0, "createStream")
		c.publish(1, fmt.Sprintf("holder%d", i))
		c.write(rawMessage(4, 9, 1, 0, make([]byte, message))[:message/4*3])
		holders = append(holders, c)
	}
	tags := show()
	log, ok := s.cfg.Log.(*recordingLog)
	if !ok {
		t.Fatal("not the log of this test")
	}
	for len(s.Sessions()) < len(holders) {
		time.Sleep(time.Millisecond)
	}
	p := s.dial(t, "live/alice")
	send(t, p, tags...)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	checkBatches(t, BatcherConfig{}, tags, log.ended(t, 4).pointers())
	for end := time.Now().Add(10 * time.Second); s.used.Load() >= 4<<20; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d bytes are still held, want less than the budget", s.used.Load())
		}
	}
	for _, c := range holders {
		_ = c.nc.Close() // those that the budget has room for stay
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if used := s.used.Load(); used != 0 {
		t.Errorf("%d bytes are held by no session", used)
	}
	if !strings.Contains(s.text.String(), "reason=log") {
		t.Errorf("nobody says why they were ended:\n%s", s.text)
	}
}

// A peer that has ended its publish may not go on with a message of its size.
func TestPartialAfterPublish(t *testing.T) {
	s := listen(t, Config{Log: newRecordingLog()})
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
	if !strings.Contains(s.text.String(), "large messages") {
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
	log := newRecordingLog()
	log.forget = func(s media.Stream) bool { return s.Name != "alice" }
	s := listen(t, Config{Log: log, MaxMessage: 1 << 20, Batch: 50 * time.Millisecond})
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
	for _, x := range log.sessions {
		if x.stream.Name == "alice" {
			checkBatches(t, BatcherConfig{}, tags, x.pointers())
		}
	}
	if n := rounds.Load(); n < int64(len(attacks)) {
		t.Errorf("only %d attacks", n)
	}
	// Each connection may hold twice MaxMessage, and the collector as much again;
	// the recording log keeps what it is given.
	if grown, bound := int64(most)-int64(before.HeapAlloc), int64(96<<20); grown > bound {
		t.Errorf("the heap grew by %d bytes, want at most %d", grown, bound)
	}
	for line := range strings.Lines(s.text.String()) {
		if strings.Contains(line, "level=ERROR") {
			t.Errorf("a bad peer is not our fault: %s", line)
		}
	}
}
