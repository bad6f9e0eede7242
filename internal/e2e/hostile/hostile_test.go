//go:build linux

package hostile

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/internal/testmedia"
	"weir/internal/testweir"
	"weir/rtmp/amf"
)

// The memory that TestHostile allows a weir serve, see docs/limits.md: what it
// needs anyhow, what frames may take twice over (for the garbage collector),
// what each connection may hold before it publishes, and what packaging takes.
const (
	hostileFrames      = 32 << 20
	hostileConnections = 200
	hostileShows       = 5 // the attackers' and the encoder's
	hostileBudget      = 160<<20 + 2*hostileFrames + hostileConnections*(128<<10) + hostileShows*(16<<20)
)

// attack is what a port on the internet gets to hear: bytes, with a connection
// for those that must wait in between.
type attack struct {
	name string
	do   func(r *rand.Rand, nc net.Conn, capture []byte)
}

var attacks = []attack{
	{"random bytes", func(r *rand.Rand, nc net.Conn, _ []byte) { say(nc, noise(r, 50_000)) }},
	{"random bytes after a handshake", func(r *rand.Rand, nc net.Conn, _ []byte) { say(nc, shake(), noise(r, 50_000)) }},
	{"HTTP", func(_ *rand.Rand, nc net.Conn, _ []byte) {
		say(nc, []byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"))
	}},
	{"TLS", func(_ *rand.Rand, nc net.Conn, _ []byte) {
		_ = nc.SetDeadline(time.Now().Add(patience))
		_ = tls.Client(nc, &tls.Config{InsecureSkipVerify: true}).Handshake() // it cannot succeed
	}},
	{"half a handshake", func(r *rand.Rand, nc net.Conn, _ []byte) { say(nc, shake()[:1+r.IntN(3072)]); linger(nc) }},
	{"silence", func(_ *rand.Rand, nc net.Conn, _ []byte) { linger(nc) }},
	{"a real publish, cut short", func(r *rand.Rand, nc net.Conn, capture []byte) { say(nc, capture[:r.IntN(len(capture))]) }},
	{"a real publish, bits flipped", func(r *rand.Rand, nc net.Conn, capture []byte) {
		p := bytes.Clone(capture)
		for range 20 {
			p[3073+r.IntN(len(p)-3073)] ^= byte(1 << r.IntN(8))
		}
		say(nc, p)
	}},
	{"a real publish, bytes missing", func(r *rand.Rand, nc net.Conn, capture []byte) {
		at := 3073 + r.IntN(len(capture)-3200)
		say(nc, capture[:at], capture[at+1+r.IntN(100):])
	}},
	{"16 MB declared by a stranger, and dribbled", func(_ *rand.Rand, nc net.Conn, _ []byte) {
		say(nc, shake(), rawHeader(4, 9, 1, 1<<24-1))
		dribble(nc)
	}},
	{"16 MB declared by a publisher", func(r *rand.Rand, nc net.Conn, _ []byte) {
		say(nc, hello(r), rawHeader(4, 9, 1, 1<<24-1))
		dribble(nc)
	}},
	{"8 MB declared, nearly sent, and held", func(r *rand.Rand, nc net.Conn, _ []byte) {
		say(nc, hello(r), rawHeader(4, 9, 1, 8<<20), make([]byte, 7<<20))
		dribble(nc)
	}},
	{"thousands of chunk streams", func(_ *rand.Rand, nc net.Conn, _ []byte) {
		p := shake()
		for id := range 5000 { // three-byte form [RTMP 5.3.1.1]
			p = append(p, 1, byte(id), byte(id>>8), 0, 0, 0, 0, 0xff, 0xff, 9, 1, 0, 0, 0)
			p = append(p, make([]byte, 128)...)
		}
		say(nc, p)
	}},
	{"pings, and no reading", func(_ *rand.Rand, nc net.Conn, _ []byte) {
		ping := rawMessage(2, 4, 0, []byte{0, 6, 1, 2, 3, 4})
		say(nc, shake(), bytes.Repeat(ping, 50_000))
	}},
	{"deep AMF", func(_ *rand.Rand, nc net.Conn, _ []byte) {
		deep := amf.Append(nil, amf.String("connect"))
		deep = amf.Append(deep, amf.Number(1))
		deep = append(deep, bytes.Repeat([]byte{3, 0, 1, 'a'}, 8000)...) // objects in objects
		say(nc, shake(), setChunk(1<<20), rawMessage(3, 20, 0, deep))
	}},
	{"wide AMF", func(_ *rand.Rand, nc net.Conn, _ []byte) {
		wide := amf.Append(nil, amf.String("connect"))
		wide = append(wide, 10, 0xff, 0xff, 0xff, 0xff) // a strict array of 2^32 - 1
		say(nc, shake(), rawMessage(3, 20, 0, wide))
	}},
	{"chunks of 0 bytes", func(_ *rand.Rand, nc net.Conn, _ []byte) { say(nc, shake(), setChunk(0), make([]byte, 10_000)) }},
	{"chunks of 1 byte", func(r *rand.Rand, nc net.Conn, _ []byte) {
		say(nc, hello(r), setChunk(1), rawHeader(4, 9, 1, 100_000), bytes.Repeat([]byte{0, 0xc4}, 100_000))
	}},
	{"messages of 0 bytes", func(r *rand.Rand, nc net.Conn, _ []byte) {
		say(nc, hello(r), bytes.Repeat(rawMessage(4, 9, 1, nil), 20_000))
	}},
	{"publish after publish", func(r *rand.Rand, nc net.Conn, _ []byte) {
		say(nc, hello(r))
		for i := range 50 {
			say(nc, rawCommand(5, 1, "publish", fmt.Sprintf("evil%d", i%3), "live"))
		}
	}},
}

// patience is how long one attack takes at most.
const patience = 1500 * time.Millisecond

// say writes for a while, whatever comes of it.
func say(nc net.Conn, all ...[]byte) {
	_ = nc.SetWriteDeadline(time.Now().Add(patience))
	for _, p := range all {
		if _, err := nc.Write(p); err != nil {
			return
		}
	}
}

// linger stays, and says nothing.
func linger(nc net.Conn) {
	_ = nc.SetReadDeadline(time.Now().Add(patience))
	_, _ = io.Copy(io.Discard, nc)
}

// dribble says little.
func dribble(nc net.Conn) {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if _, err := nc.Write(make([]byte, 128)); err != nil {
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

// shake is a client's handshake [RTMP 5.2].
func shake() []byte {
	p := make([]byte, 1+1536+1536)
	p[0] = 3
	return p
}

// rawHeader is a type 0 chunk header [RTMP 5.3.1.2.1].
func rawHeader(chunkStream, typ byte, stream uint32, length int) []byte {
	p := []byte{chunkStream, 0, 0, 0, byte(length >> 16), byte(length >> 8), byte(length), typ}
	return binary.LittleEndian.AppendUint32(p, stream)
}

// rawMessage is a message in one chunk.
func rawMessage(chunkStream, typ byte, stream uint32, payload []byte) []byte {
	return append(rawHeader(chunkStream, typ, stream, len(payload)), payload...)
}

func setChunk(size uint32) []byte {
	return rawMessage(2, 1, 0, binary.BigEndian.AppendUint32(nil, size))
}

func rawCommand(transaction float64, stream uint32, name string, args ...string) []byte {
	p := amf.Append(nil, amf.String(name))
	p = amf.Append(p, amf.Number(transaction))
	p = amf.Append(p, amf.Null{})
	for _, a := range args {
		p = amf.Append(p, amf.String(a))
	}
	return rawMessage(3, 20, stream, p)
}

// hello is all that a client says until it publishes, as one of three streams
// that attackers take from each other.
func hello(r *rand.Rand) []byte { return helloAs(fmt.Sprintf("evil%d", r.IntN(3))) }

// helloAs publishes a stream of that name.
func helloAs(name string) []byte {
	connect := amf.Append(nil, amf.String("connect"))
	connect = amf.Append(connect, amf.Number(1))
	connect = amf.Append(connect, amf.Object{{Name: "app", Value: amf.String("live")}})
	p := append(shake(), setChunk(8<<20)...)
	p = append(p, rawMessage(3, 20, 0, connect)...)
	p = append(p, rawCommand(4, 0, "createStream")...)
	return append(p, rawCommand(5, 1, "publish", name, "live")...)
}

// Whatever a port on the internet gets to hear, the encoder beside it loses
// nothing, viewers are served, and memory stays within its budget.
func TestHostile(t *testing.T) {
	capture, err := os.ReadFile("../../../testdata/captures/ffmpeg-5.1.9-h264-aac.c2s")
	if err != nil {
		t.Fatal(err)
	}
	s := testweir.NewServer(t)
	weir := testweir.Spawn(t, nil, testweir.Release(t), "serve", "--data", s.Data, "--rtmp", s.RTMP, "--http", s.HTTP,
		"--log-max", "1GB", "--ingest-memory", strconv.Itoa(hostileFrames), "--max-connections", strconv.Itoa(hostileConnections), "--max-publishes-per-address", "1000000")
	s.WaitReady(t)

	// The encoder comes first: whether there is room for one more connection in
	// a storm is another question.
	spec := testmedia.Spec{Seconds: 15, Video: true, Audio: true, BFrames: 2}
	input := testmedia.MP4(t, spec)
	encoder := exec.CommandContext(t.Context(), "ffmpeg", "-v", "error", "-nostdin", "-re", "-i", input,
		"-c", "copy", "-f", "flv", "-flvflags", "no_duration_filesize", s.URL("alice"))
	if err := encoder.Start(); err != nil {
		t.Fatal(err)
	}
	testweir.Eventually(t, 20*time.Second, "the encoder publishes", func() bool { _, live := s.Stream(t, "alice"); return live })

	ctx, cancel := context.WithCancel(t.Context())
	var attackers sync.WaitGroup
	rounds := make([]atomic.Int64, len(attacks))
	for i, a := range attacks {
		for second := range uint64(2) {
			attackers.Go(func() {
				r := rand.New(rand.NewPCG(uint64(i), second))
				for ; ctx.Err() == nil; rounds[i].Add(1) {
					nc, err := net.Dial("tcp", s.RTMP)
					if err != nil {
						t.Errorf("%s: %v", a.name, err)
						return
					}
					a.do(r, nc, capture)
					_ = nc.Close()
					time.Sleep(time.Duration(r.IntN(20)) * time.Millisecond)
				}
			})
		}
	}
	if err := encoder.Wait(); err != nil {
		t.Errorf("the encoder ended with %v", err)
	}
	cancel()
	attackers.Wait()
	prefix := s.WaitForEnd(t, "alice", 5*time.Second)
	if err := testmedia.SameFrames(testweir.Increasing(testmedia.Probe(t, input)), testmedia.Probe(t, s.Object(prefix+"vod.m3u8"))); err != nil {
		t.Error(err)
	}
	most := weir.Memory(t, "VmHWM")
	t.Logf("%d MB at most, of a budget of %d MB", most>>20, hostileBudget>>20)
	if most > hostileBudget {
		t.Errorf("the process took %d bytes of memory, want at most %d", most, hostileBudget)
	}
	for i, a := range attacks {
		if n := rounds[i].Load(); n < 2 {
			t.Errorf("%s: only %d times: this test tries less than it says", a.name, n)
		}
	}
	if code, body := testweir.Get("http://" + s.HTTP + "/healthz"); code != http.StatusOK {
		t.Errorf("healthz: %d %s", code, body)
	}
	for line := range strings.Lines(weir.Output.String()) {
		// Attackers that take one stream from each other may not all get it in time.
		storm := strings.Contains(line, `"publish refused"`) && !strings.Contains(line, "alice")
		if strings.Contains(line, `"ERROR"`) && !storm || strings.Contains(line, "panic") {
			t.Errorf("a bad peer is not our fault: %s", line)
		}
	}
}
