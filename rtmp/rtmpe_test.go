package rtmp

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weir/remux/flv"
)

// rtmpeKeys is what the recorder of an encrypted capture wrote down.
type rtmpeKeys struct {
	Private string `json:"server_dh_private_hex"`
	Shared  string `json:"shared_secret_hex"`
	In      string `json:"rc4_key_client_to_server"`
	Out     string `json:"rc4_key_server_to_client"`
}

func readKeys(tb testing.TB) (k rtmpeKeys) {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join(captures, "ffmpeg-9.0.2-rtmpe.keys.json"))
	if err == nil {
		err = json.Unmarshal(text, &k)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

func readCapture(tb testing.TB, name string) []byte {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join(captures, name))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// TestKeysOfFFmpeg: from the recorded blocks and the recorded server's private
// key come the secret and the keys that another implementation computed.
func TestKeysOfFFmpeg(t *testing.T) {
	keys := readKeys(t)
	private, err := hex.DecodeString(keys.Private)
	if err != nil {
		t.Fatal(err)
	}
	c1, s1 := readCapture(t, "ffmpeg-9.0.2-rtmpe.c2s")[1:][:handshakeSize], readCapture(t, "ffmpeg-9.0.2-rtmpe.s2c")[1:][:handshakeSize]
	client, _, ok := findDigest(c1, clientKey[:clientKeyName])
	if !ok || client != layoutB {
		t.Fatalf("C1 is signed: %t, in layout %+v; ffmpeg has B", ok, client)
	}
	server, _, ok := findDigest(s1, serverKey[:serverKeyName])
	if !ok {
		t.Fatal("S1 is not signed")
	}
	if got := dhPublic(private); !bytes.Equal(got, server.publicKey(s1)) {
		t.Errorf("public key %x", got)
	}
	shared := dhShared(private, client.publicKey(c1))
	if got := hex.EncodeToString(shared); got != keys.Shared {
		t.Errorf("shared secret %s", got)
	}
	if got := hex.EncodeToString(hmacSHA256(shared, server.publicKey(s1))[:rc4Key]); got != keys.In {
		t.Errorf("key from the client %s, want %s", got, keys.In)
	}
	if got := hex.EncodeToString(hmacSHA256(shared, client.publicKey(c1))[:rc4Key]); got != keys.Out {
		t.Errorf("key to the client %s, want %s", got, keys.Out)
	}
}

// decrypted is the encrypted capture in the clear.
func decrypted(tb testing.TB) []byte {
	tb.Helper()
	keys := readKeys(tb)
	private, err := hex.DecodeString(keys.Private)
	if err != nil {
		tb.Fatal(err)
	}
	p := readCapture(tb, "ffmpeg-9.0.2-rtmpe.c2s")
	c := newCipher(dhShared(private, layoutB.publicKey(p[1:])), dhPublic(private), layoutB.publicKey(p[1:]))
	behind := p[1+2*handshakeSize:]
	c.in.XORKeyStream(behind, behind)
	p[0] = version
	return p
}

// TestEncryptedCapture: what ffmpeg sent encrypted is, decrypted, what it
// publishes: 75 pictures of 3 s and 131 frames of sound, with a header each.
func TestEncryptedCapture(t *testing.T) {
	s := NewServer(ServerConfig{})
	count := map[flv.TagType]int{}
	for _, e := range receive(t, s, start, decrypted(t)) {
		if e.Type == EventTag {
			count[e.Tag.Type]++
		}
	}
	// A header each, and video's end of sequence.
	if count[flv.TagVideo] != 75+2 || count[flv.TagAudio] != 131+1 {
		t.Errorf("got %v tags", count)
	}
}

// TestEncrypted: both ends agree, whatever the type of RTMPE and however the
// bytes are cut, and nothing of the dialogue is to be read on the way.
func TestEncrypted(t *testing.T) {
	for _, encryption := range []uint8{Encrypted, EncryptedXTEA, EncryptedBlowfish} {
		for seed := range uint64(6) {
			t.Run(fmt.Sprintf("type %d, seed %d", encryption, seed), func(t *testing.T) {
				split := randomly(rand.New(rand.NewPCG(seed, uint64(encryption))))
				if seed == 0 {
					split = bytewise
				}
				var seen []byte
				w := &wire{
					client: NewClient(ClientConfig{
						App: "live", TCURL: "rtmpe://localhost/live", Name: key,
						Random: random1528(seed), Encryption: encryption, Secret: [32]byte{0x80, byte(seed)},
					}),
					server: NewServer(ServerConfig{Random: random1528(100 + seed), Secret: [32]byte{0x90, byte(seed)}, Window: 3000}),
					split:  func(left int) int { return split(left) },
				}
				w.seen = func(p []byte) { seen = append(seen, p...) }
				if err := w.run(); err != nil {
					t.Fatal(err)
				}
				if !w.server.Encrypted() {
					t.Fatal("the connection is in the clear")
				}
				want := flv.Tag{Type: flv.TagVideo, Timestamp: 40, Data: bytes.Repeat([]byte("picture"), 2000)}
				if err := w.client.WriteTag(want); err != nil {
					t.Fatal(err)
				}
				w.client.Unpublish()
				if err := w.run(); err != nil {
					t.Fatal(err)
				}
				sameTags(t, []flv.Tag{want}, []flv.Tag{w.events[2].Tag})
				for _, secret := range []string{key, "picture", "connect", "_result"} {
					if bytes.Contains(seen, []byte(secret)) {
						t.Errorf("%q is to be read on the way", secret)
					}
				}
			})
		}
	}
}

// TestEncryptedSignatures: S2 and C2 are signed as each type wants it, the
// signature's blocks encrypted by the keys of the protocol.
func TestEncryptedSignatures(t *testing.T) {
	for _, encryption := range []uint8{Encrypted, EncryptedXTEA, EncryptedBlowfish} {
		c := NewClient(ClientConfig{Random: random1528(1), Encryption: encryption, Secret: [32]byte{0x80}})
		hello := bytes.Clone(c.Output())
		s0, s1, s2 := answerTo(t, hello[0], hello[1:])
		if s0 != encryption {
			t.Fatalf("S0 is %d, want %d", s0, encryption)
		}
		check := func(what string, block, signingKey, peer []byte) {
			k := hmacSHA256(signingKey, peer)
			want := hmacSHA256(k, block[:1504])
			sealSignature(want, encryption, k)
			if !bytes.Equal(block[1504:], want) {
				t.Errorf("type %d: %s is not signed", encryption, what)
			}
		}
		check("S2", s2, serverKey, layoutB.digest(hello[1:]))
		if _, err := c.Receive(start, append([]byte{s0}, s1...)); err != nil {
			t.Fatal(err)
		}
		check("C2", c.Output(), clientKey, layoutA.digest(s1))
	}
	// Of another implementation each: XTEA by hand, Blowfish by OpenSSL, with
	// words in little endian and key 0.
	for v, want := range map[byte]string{EncryptedXTEA: "c7c82aca95daa419", EncryptedBlowfish: "a031fb6d807be57d", Encrypted: "0001020304050607", version: "0001020304050607"} {
		signature := []byte{0, 1, 2, 3, 4, 5, 6, 7}
		sealSignature(signature, v, []byte{15})
		if got := hex.EncodeToString(signature); got != want {
			t.Errorf("type %d seals to %s, want %s", v, got, want)
		}
	}
}

// TestNoEncryption: a server without a secret answers in the clear, and a
// client that insists is told what is wrong.
func TestNoEncryption(t *testing.T) {
	c := NewClient(ClientConfig{Encryption: Encrypted, Secret: [32]byte{0x80}})
	s := NewServer(ServerConfig{})
	receive(t, s, start, c.Output())
	out := s.Output()
	if out[0] != version {
		t.Errorf("S0 is %d", out[0])
	}
	_, err := c.Receive(start, out)
	if e, ok := errors.AsType[*PeerError](err); !ok || !strings.Contains(e.Got, "3 in place of 6") {
		t.Errorf("error %v", err)
	}
}

// TestPublicKeys: a key that makes a secret which everybody knows is refused.
func TestPublicKeys(t *testing.T) {
	last := make([]byte, dhSize)
	one := append(make([]byte, dhSize-1), 1)
	copy(last, dhPrime.Bytes())
	last[dhSize-1]--
	for name, peer := range map[string][]byte{
		"0": make([]byte, dhSize), "1": one, "the prime less 1": last, "the prime": dhPrime.Bytes(), "more": bytes.Repeat([]byte{0xFF}, dhSize),
	} {
		if dhShared([]byte{3}, peer) != nil {
			t.Errorf("took %s", name)
		}
	}
	// A C1 that is signed but has no key is answered in the clear.
	c1 := signed(layoutB, 1)
	copy(layoutB.publicKey(c1), make([]byte, dhSize))
	layoutB.sign(c1, clientKey[:clientKeyName])
	if s0, _, _ := answerTo(t, Encrypted, c1); s0 != version {
		t.Errorf("S0 is %d", s0)
	}
}

// FuzzSignedHandshake: whatever is in a C1 that is signed, a server answers it
// in full, alike for every split; and whatever is in an S1 that is signed, a
// client does not panic and goes on or names a rule.
func FuzzSignedHandshake(f *testing.F) {
	for _, c0 := range []byte{3, Encrypted, EncryptedXTEA, EncryptedBlowfish, 7} {
		f.Add(c0, []byte("\x00\x00\x00\x00\x80\x00\x03\x02"), false, uint64(1))
		f.Add(c0, bytes.Repeat([]byte{0xFF}, handshakeSize), true, uint64(2))
	}
	f.Fuzz(func(t *testing.T, v byte, begin []byte, inB bool, seed uint64) {
		l := layoutA
		if inB {
			l = layoutB
		}
		v %= 32
		block := make([]byte, handshakeSize)
		copy(block, begin)
		l.sign(block, clientKey[:clientKeyName])
		config := ServerConfig{Random: random1528(3), Secret: [32]byte{0x80, 1}}
		whole, split := NewServer(config), NewServer(config)
		receive(t, whole, start, append([]byte{v}, block...))
		answer := bytes.Clone(whole.Output())
		if len(answer) != 1+2*handshakeSize || answer[0] != v && answer[0] != version {
			t.Fatalf("answered %d bytes, S0 %d to C0 %d", len(answer), answer[0], v)
		}
		next := randomly(rand.New(rand.NewPCG(seed, 0)))
		for p := append([]byte{v}, block...); len(p) > 0; {
			n := next(len(p))
			receive(t, split, start, p[:n])
			p = p[n:]
		}
		if !bytes.Equal(split.Output(), answer) {
			t.Fatal("answered otherwise when split")
		}
		if !encrypted(v) {
			return
		}
		l.sign(block, serverKey[:serverKeyName])
		c := NewClient(ClientConfig{Encryption: v, Secret: [32]byte{0x80}})
		c.Output()
		_, err := c.Receive(start, append([]byte{v}, block...))
		if e, ok := errors.AsType[*PeerError](err); err != nil && (!ok || e.Section != "RTMPE") {
			t.Fatalf("error %v", err)
		}
	})
}
