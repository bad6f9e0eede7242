package endpoint

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/rc4"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"math/big"
	"math/rand/v2"
	"net"
	"os"
	"testing"

	"weir/internal/captures"
	"weir/remux/flv"
)

// A client of RTMPE that shares nothing with the server's implementation.

// skipped returns RC4 behind the bytes that RTMPE throws away.
func skipped(t *testing.T, key []byte) *rc4.Cipher {
	t.Helper()
	c, err := rc4.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	c.XORKeyStream(make([]byte, 1536), make([]byte, 1536))
	return c
}

// decryptCapture returns what ffmpeg sent behind its handshake.
func decryptCapture(t *testing.T) []byte {
	t.Helper()
	const name = "../testdata/captures/ffmpeg-9.0.2-rtmpe"
	var keys struct {
		Key string `json:"rc4_key_client_to_server"`
	}
	text, err := os.ReadFile(name + ".keys.json")
	if err == nil {
		err = json.Unmarshal(text, &keys)
	}
	if err != nil {
		t.Fatal(err)
	}
	key, err := hex.DecodeString(keys.Key)
	if err != nil {
		t.Fatal(err)
	}
	p, err := os.ReadFile(name + ".c2s")
	if err != nil {
		t.Fatal(err)
	}
	p = p[1+2*1536:]
	skipped(t, key).XORKeyStream(p, p)
	return p
}

// encryptingClient shakes hands on nc as ffmpeg does, and returns what encrypts.
func encryptingClient(t *testing.T, nc net.Conn) func([]byte) []byte {
	t.Helper()
	mac := func(key []byte, parts ...[]byte) []byte {
		h := hmac.New(sha256.New, key)
		h.Write(bytes.Join(parts, nil))
		return h.Sum(nil)
	}
	prime, ok := new(big.Int).SetString("FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7EDEE386BFB5A899FA5AE9F24117C4B1FE649286651ECE65381FFFFFFFFFFFFFFFF", 16)
	if !ok {
		t.Fatal("no prime")
	}
	r := rand.New(rand.NewPCG(5, 6))
	c1 := make([]byte, 1536)
	for i := range c1[8:] {
		c1[8+i] = byte(r.Uint32())
	}
	copy(c1[4:], "\x80\x00\x03\x02")
	at := func(b []byte, from, modulo, base int) int {
		return (int(b[from])+int(b[from+1])+int(b[from+2])+int(b[from+3]))%modulo + base
	}
	private := big.NewInt(0).SetBytes(c1[100:228])
	public := c1[at(c1, 768, 632, 8):][:128]
	new(big.Int).Exp(big.NewInt(2), private, prime).FillBytes(public)
	d := at(c1, 772, 728, 776)
	copy(c1[d:], mac([]byte("Genuine Adobe Flash Player 001"), c1[:d], c1[d+32:]))
	if _, err := nc.Write(append([]byte{6}, c1...)); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 1+2*1536)
	if _, err := io.ReadFull(bufio.NewReader(nc), answer); err != nil {
		t.Fatal(err)
	}
	s1 := answer[1:][:1536]
	if answer[0] != 6 {
		t.Fatalf("S0 is %d", answer[0])
	}
	server := s1[at(s1, 1532, 632, 772):][:128]
	shared := new(big.Int).Exp(new(big.Int).SetBytes(server), private, prime).FillBytes(make([]byte, 128))
	out := skipped(t, mac(shared, server)[:16])
	if _, err := nc.Write(s1); err != nil { // ffmpeg's C2 is an echo
		t.Fatal(err)
	}
	return func(p []byte) []byte {
		p = bytes.Clone(p)
		out.XORKeyStream(p, p)
		return p
	}
}

// TestEncryptedCapture replays what ffmpeg sent over RTMPE, decrypted by the
// recorded keys and encrypted anew by those that the server agrees to: over a
// socket and through a tunnel.
func TestEncryptedCapture(t *testing.T) {
	plain := decryptCapture(t)
	want := captures.Understand(t, append(append([]byte{3}, make([]byte, 2*1536)...), plain...))[0]
	if v, a := count(want.Tags, flv.TagVideo), count(want.Tags, flv.TagAudio); v != 77 || a != 132 {
		t.Fatalf("the capture holds %d of video, %d of audio", v, a)
	}
	for name, begin := range map[string]func(t *testing.T) (*station, net.Conn){
		"rtmpe": func(t *testing.T) (*station, net.Conn) {
			s := listen(t, Config{})
			nc, err := net.Dial("tcp", s.addr)
			if err != nil {
				t.Fatal(err)
			}
			return s, nc
		},
		"rtmpte": func(t *testing.T) (*station, net.Conn) {
			s := listenTunnel(t, Config{})
			return s, dialTunnel(t, s.addr)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, nc := begin(t)
			encrypt := encryptingClient(t, nc)
			heard := make(chan struct{})
			go func() {
				defer close(heard)
				_, _ = io.Copy(io.Discard, nc)
			}()
			r := rand.New(rand.NewPCG(1, 2))
			for p := plain; len(p) > 0; {
				n := min(len(p), 1+r.IntN(8000))
				if _, err := nc.Write(encrypt(p[:n])); err != nil {
					t.Fatal(err)
				}
				p = p[n:]
			}
			if err := nc.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			x := s.to.ended(t, 0)
			if x.peer.Transport != name || !x.why.Clean || !bytes.Equal(run(x.tags...), run(want.Tags...)) {
				t.Errorf("%d tags of %d over %s, %+v", len(x.tags), len(want.Tags), x.peer.Transport, x.why)
			}
			_ = nc.Close()
			<-heard
		})
	}
}
