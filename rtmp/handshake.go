package rtmp

import (
	"encoding/binary"
	"time"
)

// handshakeSize is the size of C1, C2, S1 and S2 [RTMP 5.2.3].
const handshakeSize = 1536

// version is the only version of RTMP in the clear: "0-2 are deprecated values
// used by earlier proprietary products; 4-31 are reserved ...; and 32-255 are
// not allowed" [RTMP 5.2.2].
const version = 3

// handshake is the handshake of either side [RTMP 5.2]. Both send a byte (C0,
// S0), a block (C1, S1) and an answer to the peer's block (C2, S2):
//
//	time (4) | zero (4) | random (1528)
//
// It comes in three forms, and the client's first byte and block choose:
//
//   - plain: the answer is the peer's block, its second field replaced by the
//     time it was read at [RTMP 5.2.4]. OBS, librtmp and GStreamer do so.
//   - signed: the second field is a version, and the block holds a digest (see
//     digest.go). Clients of Flash's time decode H.264 only for servers that
//     sign too.
//   - encrypted, RTMPE: signed, the first byte is 6, 8 or 9, and the block holds
//     a Diffie-Hellman key besides (see rtmpe.go).
//
// What asks for a signed answer and is signed wrong is answered plainly.
type handshake struct {
	server bool
	// version is C0, of a client.
	version byte
	// random fills this side's block, and secret is the private key that RTMPE
	// needs; zero does without RTMPE.
	random [1528]byte
	secret [32]byte
	// hello is this side's block, once it was made.
	hello [handshakeSize]byte
	// epoch is the time of the first byte received, zero on this side's clock.
	epoch time.Time
	// in collects the peer's first byte and block.
	in  [1 + handshakeSize]byte
	got int
	// left is how many bytes of the peer's C2 or S2 are still to come.
	left int
	// cipher is what the bytes behind the handshake are encrypted with; nil in
	// the clear.
	cipher *cipher
}

func newHandshake(server bool, random *[1528]byte, secret *[32]byte) *handshake {
	return &handshake{server: server, version: version, random: *random, secret: *secret, left: handshakeSize}
}

// done reports whether all of the peer's handshake was received.
func (h *handshake) done() bool { return h.left == 0 }

// appendClientHello appends C0 and C1.
func (h *handshake) appendClientHello(dst []byte) []byte {
	copy(h.hello[8:], h.random[:])
	if encrypted(h.version) {
		h.signClientHello()
	}
	return append(append(dst, h.version), h.hello[:]...)
}

// receive reads the peer's handshake, appends what it asks for to dst, and
// returns the bytes it took.
func (h *handshake) receive(now time.Time, p []byte, dst []byte) (n int, out []byte, err error) {
	if h.epoch.IsZero() {
		h.epoch = now
	}
	if h.got < len(h.in) {
		n = copy(h.in[h.got:], p)
		h.got += n
		if h.got > 0 {
			if err := h.checkVersion(); err != nil {
				return n, dst, err
			}
		}
		if h.got < len(h.in) {
			return n, dst, nil
		}
		if h.server {
			dst = h.appendServerAnswer(now, dst)
		} else if dst, err = h.appendClientAnswer(now, dst); err != nil {
			return n, dst, err
		}
	}
	// What C2 and S2 hold is not checked: encoders send their digest, an echo, or
	// anything at all.
	k := min(len(p)-n, h.left)
	h.left -= k
	return n + k, dst, nil
}

// checkVersion checks C0 or S0. A server "that does not recognize the client's
// requested version SHOULD respond with 3" and leave it to the client to go on
// [RTMP 5.2.2].
func (h *handshake) checkVersion() error {
	v := h.in[0]
	if h.server && v >= 32 {
		return brokeGot("RTMP 5.2.2", "a connection begins with a version below 32", "%d: this is not RTMP", v)
	}
	if !h.server && v != h.version {
		return brokeGot("RTMP 5.2.2", "the server answers with the version that was asked for", "%d in place of %d", v, h.version)
	}
	return nil
}

// appendServerAnswer appends S0, S1 and S2 in the form that C0 and C1 ask for.
func (h *handshake) appendServerAnswer(now time.Time, dst []byte) []byte {
	copy(h.hello[8:], h.random[:])
	c1 := h.in[1:]
	if binary.BigEndian.Uint32(c1[4:]) != 0 {
		if l, digest, ok := findDigest(c1, clientKey[:clientKeyName]); ok {
			if encrypted(h.in[0]) && h.encryptServer(l) {
				return h.appendSignedAnswer(dst, h.in[0], layoutA, digest)
			}
			return h.appendSignedAnswer(dst, version, l, digest)
		}
	}
	dst = append(dst, version)
	dst = append(dst, h.hello[:]...)
	return h.appendEcho(now, dst)
}

// appendClientAnswer appends C2.
func (h *handshake) appendClientAnswer(now time.Time, dst []byte) ([]byte, error) {
	if encrypted(h.version) {
		return h.appendEncryptedAnswer(dst)
	}
	return h.appendEcho(now, dst), nil
}

// appendEcho appends C2 or S2: the peer's block, its second field replaced by
// the time it was read at [RTMP 5.2.4].
func (h *handshake) appendEcho(now time.Time, dst []byte) []byte {
	at := len(dst)
	dst = append(dst, h.in[1:]...)
	binary.BigEndian.PutUint32(dst[at+4:], uint32(now.Sub(h.epoch).Milliseconds()))
	return dst
}
