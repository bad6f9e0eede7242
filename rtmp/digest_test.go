package rtmp

import (
	"bytes"
	"encoding/hex"
	"math/rand/v2"
	"testing"
	"time"
)

// random1528 is the same in every run.
func random1528(seed uint64) (b [1528]byte) {
	r := rand.New(rand.NewPCG(seed, 0))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// TestDigestOfFFmpeg: ffmpeg's C1 is the same in every session and version, as
// it seeds its random numbers with a constant.
func TestDigestOfFFmpeg(t *testing.T) {
	for _, name := range []string{"ffmpeg-5.1.9-h264-aac", "ffmpeg-9.0.2-h264-aac"} {
		c1 := capture(t, name).bytes[1 : 1+handshakeSize]
		l, digest, ok := findDigest(c1, clientKey[:clientKeyName])
		const want = "650bfb9b65f953d848e3456965d0d76b627a84e35e9ddabd8b43f0fadaee458c"
		if !ok || l != layoutA || hex.EncodeToString(digest) != want {
			t.Errorf("%s: found %t in layout %+v: %x", name, ok, l, digest)
		}
		if &digest[0] != &c1[494] {
			t.Errorf("%s: the digest is not at 494", name)
		}
	}
}

// signed makes the C1 of a Flash client.
func signed(l layout, seed uint64) []byte {
	random := random1528(seed)
	c1 := append([]byte{0, 0, 0, 7, 0x09, 0, 0x7c, 2}, random[:]...)
	l.sign(c1, clientKey[:clientKeyName])
	return c1
}

// answerTo is what a server with a secret answers to C0 and C1.
func answerTo(t *testing.T, c0 byte, c1 []byte) (s0 byte, s1, s2 []byte) {
	t.Helper()
	s := NewServer(ServerConfig{Random: random1528(1), Secret: [32]byte{1, 2, 3}})
	receive(t, s, start, append([]byte{c0}, c1...))
	out := s.Output()
	if len(out) != 1+2*handshakeSize {
		t.Fatalf("answered %d bytes", len(out))
	}
	return out[0], out[1 : 1+handshakeSize], out[1+handshakeSize:]
}

// TestSignedAnswer: who signs is answered signed, in its own layout: clients of
// Flash's time play H.264 only then, and ffmpeg as a player hangs up on a wrong
// signature.
func TestSignedAnswer(t *testing.T) {
	for seed := range uint64(50) {
		for _, want := range []layout{layoutA, layoutB} {
			c1 := signed(want, seed)
			s0, s1, s2 := answerTo(t, 3, c1)
			if s0 != 3 || bytes.Equal(s1[4:8], make([]byte, 4)) {
				t.Fatalf("S0 is %d, S1's version %x", s0, s1[4:8])
			}
			if l, _, ok := findDigest(s1, serverKey[:serverKeyName]); !ok || l != want {
				t.Fatalf("seed %d: S1 is signed: %t, in layout %+v, want %+v", seed, ok, l, want)
			}
			key := hmacSHA256(serverKey, want.digest(c1))
			if !bytes.Equal(s2[1504:], hmacSHA256(key, s2[:1504])) {
				t.Fatal("S2 is not signed")
			}
		}
	}
}

// TestWrongSignature: a C1 that does not hold what it promises is answered
// plainly, whatever was asked.
func TestWrongSignature(t *testing.T) {
	for _, c0 := range []byte{3, Encrypted, EncryptedXTEA, EncryptedBlowfish} {
		for _, at := range []int{4, 600, 1535} {
			c1 := signed(layoutA, 1)
			c1[at]++
			s0, s1, s2 := answerTo(t, c0, c1)
			if s0 != 3 || !bytes.Equal(s1[:8], make([]byte, 8)) || !bytes.Equal(s2[8:], c1[8:]) {
				t.Errorf("C0 %d, byte %d wrong: S0 %d, S1 begins with %x", c0, at, s0, s1[:8])
			}
		}
	}
	// A client without a version does not look for a signature, even if there is one.
	c1 := signed(layoutA, 1)
	copy(c1[4:], make([]byte, 4))
	layoutA.sign(c1, clientKey[:clientKeyName])
	if _, s1, _ := answerTo(t, 3, c1); !bytes.Equal(s1[4:8], make([]byte, 4)) {
		t.Error("signed for a client that has no version")
	}
}

// BenchmarkHandshake is what a stranger costs by each form of handshake.
func BenchmarkHandshake(b *testing.B) {
	client := func(encryption uint8) []byte {
		c := NewClient(ClientConfig{Random: random1528(2), Encryption: encryption, Secret: [32]byte{9}})
		return bytes.Clone(c.Output())
	}
	for name, hello := range map[string][]byte{
		"plain": client(0), "signed": append([]byte{3}, signed(layoutB, 1)...), "rtmpe": client(Encrypted),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s := NewServer(ServerConfig{Secret: [32]byte{0xFF, 2, 3}})
				if _, err := s.Receive(time.Time{}, hello); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
