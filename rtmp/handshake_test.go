package rtmp

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
)

// start is when the handshakes of the tests begin.
var start = time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)

// block makes a C1 or S1 of time, second field and bytes that count up.
func block(at, second uint32) []byte {
	b := make([]byte, handshakeSize)
	for i := range b {
		b[i] = byte(i)
	}
	copy(b, []byte{byte(at >> 24), byte(at >> 16), byte(at >> 8), byte(at)})
	copy(b[4:], []byte{byte(second >> 24), byte(second >> 16), byte(second >> 8), byte(second)})
	return b
}

// handshakeCases are what clients begin with. They also seed the fuzzer.
var handshakeCases = []struct {
	name, why string
	c0        byte
	second    uint32
	// broke is the section that is broken, or none.
	broke string
}{
	{"plain", "OBS, librtmp and GStreamer have zero in the second field", 3, 0, ""},
	{"digest", "ffmpeg sends a version and a digest, and does without an answer to it", 3, 0x09007c02, ""},
	{"RTMPE", "a version that is not supported is answered with 3", 6, 0x80000302, ""},
	{"deprecated", "below 32 all are answered", 0, 0, ""},
	{"HTTP", "GET is not RTMP", 'G', 0, "RTMP 5.2.2"},
	{"space", "32 is the first that is not allowed", 32, 0, "RTMP 5.2.2"},
}

func TestHandshake(t *testing.T) {
	for _, c := range handshakeCases {
		t.Run(c.name, func(t *testing.T) {
			s := NewServer(ServerConfig{Random: [1528]byte{1, 2, 3}})
			c1 := block(7, c.second)
			_, err := s.Receive(start, []byte{c.c0})
			if e, ok := errors.AsType[*PeerError](err); ok && e.Section == c.broke {
				return
			}
			if err != nil || c.broke != "" {
				t.Fatalf("%s: error %v, want one of [%s]", c.why, err, c.broke)
			}
			if len(s.Output()) > 0 {
				t.Error("the server speaks before it has C1")
			}
			receive(t, s, start.Add(time.Second), c1)
			checkAnswer(t, s.Output(), c1)
			if s.HandshakeDone() {
				t.Error("the handshake is done before C2")
			}
			receive(t, s, start, bytes.Repeat([]byte{0xA5}, handshakeSize-1))
			if s.HandshakeDone() {
				t.Error("the handshake is done before all of C2")
			}
			receive(t, s, start, []byte{0xA5})
			if !s.HandshakeDone() {
				t.Error("the handshake is not done, though C2 came: what it holds is not checked")
			}
		})
	}
}

// checkAnswer checks S0, S1 and S2 as an answer to a C1 that was read one
// second after the connection's beginning.
func checkAnswer(t *testing.T, out, c1 []byte) {
	t.Helper()
	if len(out) != 1+2*handshakeSize {
		t.Fatalf("S0, S1 and S2 are %d bytes: the client waits for all before C2", len(out))
	}
	if out[0] != 3 {
		t.Errorf("S0 is %d, want the version that is answered to all", out[0])
	}
	s1, s2 := out[1:1+handshakeSize], out[1+handshakeSize:]
	if !bytes.Equal(s1[:11], []byte{0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3}) {
		t.Errorf("S1 begins with %x: a zero second field keeps ffmpeg from looking for a digest", s1[:11])
	}
	if want := append(bytes.Clone(c1[:4]), 0, 0, 3, 0xe8); !bytes.Equal(s2[:8], want) {
		t.Errorf("S2 begins with %x, want C1's time and the time it was read, %x [RTMP 5.2.4]", s2[:8], want)
	}
	if !bytes.Equal(s2[8:], c1[8:]) {
		t.Error("S2 does not echo C1")
	}
}

// receive feeds p to a server that has to like it.
func receive(t testing.TB, s *Server, now time.Time, p []byte) []Event {
	t.Helper()
	events, err := s.Receive(now, p)
	if err != nil {
		t.Fatal(err)
	}
	return events
}

// TestClientHandshake: the client's echo goes out with S1, and connect only
// after S2, as [RTMP 5.2.1] wants it.
func TestClientHandshake(t *testing.T) {
	c := NewClient(ClientConfig{App: "live", Name: "alice", Random: [1528]byte{9}})
	out := bytes.Clone(c.Output())
	if len(out) != 1+handshakeSize || out[0] != 3 || out[9] != 9 {
		t.Fatalf("the client begins with %d bytes: %x", len(out), out[:10])
	}
	s1 := block(5, 0)
	if _, err := c.Receive(start, append([]byte{3}, s1...)); err != nil {
		t.Fatal(err)
	}
	if out := c.Output(); len(out) != handshakeSize || !bytes.Equal(out[8:], s1[8:]) {
		t.Errorf("%d bytes after S1, want C2, its echo", len(out))
	}
	if _, err := c.Receive(start, block(0, 0)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(c.Output(), []byte("connect")) {
		t.Error("no connect after S2")
	}
}

func TestClientHandshakeBroken(t *testing.T) {
	c := NewClient(ClientConfig{})
	_, err := c.Receive(start, []byte("HTTP/1.1 400 Bad Request\r\n"))
	if e, ok := errors.AsType[*PeerError](err); !ok || e.Section != "RTMP 5.2.2" {
		t.Errorf("error %v, want one of [RTMP 5.2.2]", err)
	}
	if !strings.Contains(err.Error(), "72") {
		t.Errorf("error %q does not tell the byte", err)
	}
	if _, again := c.Receive(start, []byte{3}); !errors.Is(again, err) {
		t.Errorf("a connection that failed goes on: %v", again)
	}
}
