//go:build linux

package hostile

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/rtmp/amf"
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
var patience = 300 * time.Millisecond

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

// hello is all that a client says until it publishes, as one of three streams
// that attackers take from each other.
func hello(r *rand.Rand) []byte { return helloAs(fmt.Sprintf("evil%d", r.IntN(3))) }

// Whatever a port on the internet gets to hear, the encoder beside it loses
// nothing, viewers are served, and memory stays within its budget: each attack
// twice, four at a time, which leaves the encoder the most of two processors.
func TestHostile(t *testing.T) { storm(t, 8, 4, 2) }

// storm tries each attack so many times, or for as long as the show is, so many
// at a time.
func storm(t *testing.T, seconds, atOnce, times int) {
	const memory, connections, shows = 32 << 20, 200, 5 // the attackers' and the encoder's
	capture, err := os.ReadFile("../../../testdata/captures/ffmpeg-5.1.9-h264-aac.c2s")
	if err != nil {
		t.Fatal(err)
	}
	s := showFor(t, seconds, "--ingest-memory", fmt.Sprint(memory), "--max-connections", fmt.Sprint(connections), "--max-publishes-per-address", "1000000")
	next := make(chan int)
	go func() {
		defer close(next)
		for round := 0; times == 0 && !s.encoder.Over() || round < times; round++ {
			for i := range attacks {
				next <- i
			}
		}
	}()
	var attackers sync.WaitGroup
	rounds := make([]atomic.Int64, len(attacks))
	for worker := range atOnce {
		attackers.Go(func() {
			r := rand.New(rand.NewPCG(uint64(worker), 0))
			for i := range next {
				nc, err := net.Dial("tcp", s.RTMP)
				if err != nil {
					t.Errorf("%s: %v", attacks[i].name, err)
					continue
				}
				attacks[i].do(r, nc, capture)
				_ = nc.Close()
				rounds[i].Add(1)
				time.Sleep(time.Duration(r.IntN(20)) * time.Millisecond)
			}
		})
	}
	attackers.Wait()
	for i, a := range attacks {
		if n := rounds[i].Load(); n < int64(max(times, 1)) {
			t.Errorf("%s: only %d times: this test tries less than it says", a.name, n)
		}
	}
	t.Logf("%d rounds of %d attacks", rounds[0].Load(), len(attacks))
	s.end(t, budget(memory, connections, shows))
}
