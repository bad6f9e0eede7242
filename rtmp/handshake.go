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

// handshake is the simple handshake of either side [RTMP 5.2]. Both send a
// byte (C0, S0), a block (C1, S1) and the echo of the peer's block (C2, S2):
//
//	time (4) | zero (4) | random (1528)
//
// The digest that some clients put into C1 is not answered; a zero in the
// second field of S1 tells them not to look for one.
type handshake struct {
	server bool
	// epoch is the time of the first byte received, zero on this side's clock.
	epoch time.Time
	// in collects the peer's first byte and block.
	in  [1 + handshakeSize]byte
	got int
	// echo is how many bytes of the peer's C2 or S2 are still to come.
	echo int
}

func newHandshake(server bool) handshake {
	return handshake{server: server, echo: handshakeSize}
}

// done reports whether all of the peer's handshake was received.
func (h *handshake) done() bool { return h.echo == 0 }

// appendHello appends this side's byte and block.
func (h *handshake) appendHello(dst []byte, random *[1528]byte) []byte {
	dst = append(dst, version)
	dst = append(dst, make([]byte, 8)...)
	return append(dst, random[:]...)
}

// receive reads the peer's handshake, appends what it asks for to dst, and
// returns the bytes it took.
func (h *handshake) receive(now time.Time, p []byte, dst []byte, random *[1528]byte) (n int, out []byte, err error) {
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
			dst = h.appendHello(dst, random)
		}
		dst = h.appendEcho(now, dst)
	}
	// What the echo holds is not checked: encoders send their digest, an echo, or
	// anything at all.
	k := min(len(p)-n, h.echo)
	h.echo -= k
	return n + k, dst, nil
}

// checkVersion checks C0 or S0. A server "that does not recognize the client's
// requested version SHOULD respond with 3" and leave it to the client to go on
// [RTMP 5.2.2], as those that ask for RTMPE do.
func (h *handshake) checkVersion() error {
	v := h.in[0]
	if h.server && v >= 32 {
		return brokeGot("RTMP 5.2.2", "a connection begins with a version below 32", "%d: this is not RTMP", v)
	}
	if !h.server && v != version {
		return brokeGot("RTMP 5.2.2", "the server answers with version 3", "%d", v)
	}
	return nil
}

// appendEcho appends C2 or S2: the peer's block, its second field replaced by
// the time it was read at [RTMP 5.2.4].
func (h *handshake) appendEcho(now time.Time, dst []byte) []byte {
	at := len(dst)
	dst = append(dst, h.in[1:]...)
	binary.BigEndian.PutUint32(dst[at+4:], uint32(now.Sub(h.epoch).Milliseconds()))
	return dst
}
