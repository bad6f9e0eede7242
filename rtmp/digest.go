package rtmp

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
)

// The signed handshake is not in the specification; this is what Flash Player,
// Flash Media Server and ffmpeg do, and what was measured of them. C1 and S1
// hold a digest, an HMAC-SHA256 over the other 1504 bytes, at a place that four
// of those bytes tell. C2 and S2 are 1504 random bytes and an HMAC over them by
// a key that was made from the digest of the block that they answer.

const digestSize = sha256.Size

// The keys begin with a name, by which C1 and S1 are signed. C2 and S2 are
// signed by the whole.
const (
	clientKeyName = 30
	serverKeyName = 36
	keyTail       = "\xf0\xee\xc2\x4a\x80\x68\xbe\xe8\x2e\x00\xd0\xd1\x02\x9e\x7e\x57" +
		"\x6e\xec\x5d\x2d\x29\x80\x6f\xab\x93\xb8\xe6\x36\xcf\xeb\x31\xae"
)

var (
	clientKey = []byte("Genuine Adobe Flash Player 001" + keyTail)
	serverKey = []byte("Genuine Adobe Flash Media Server 001" + keyTail)
)

// layout is one of the two ways in which a block holds its digest and, for
// RTMPE, its public key:
//
//	A: time (4) | version (4) | offset (4), digest somewhere in 760 | key somewhere in 760, offset (4)
//	B: time (4) | version (4) | key somewhere in 760, offset (4) | offset (4), digest somewhere in 760
type layout struct {
	// digestAt and keyAt are where the four bytes stand whose sum tells the
	// distance to digestBase and keyBase.
	digestAt, digestBase int
	keyAt, keyBase       int
}

var (
	layoutA = layout{digestAt: 8, digestBase: 12, keyAt: 1532, keyBase: 772}
	layoutB = layout{digestAt: 772, digestBase: 776, keyAt: 768, keyBase: 8}
)

// The digest and the key lie within 728 + 32 and 632 + 128 bytes.
const (
	digestRoom = 728
	keyRoom    = 632
)

func sum4(b []byte) int { return int(b[0]) + int(b[1]) + int(b[2]) + int(b[3]) }

// digest returns the place of a block's digest.
func (l layout) digest(block []byte) []byte {
	at := sum4(block[l.digestAt:])%digestRoom + l.digestBase
	return block[at : at+digestSize]
}

// publicKey returns the place of a block's public key.
func (l layout) publicKey(block []byte) []byte {
	at := sum4(block[l.keyAt:])%keyRoom + l.keyBase
	return block[at : at+dhSize]
}

// sign writes a block's digest by key into it.
func (l layout) sign(block, key []byte) { copy(l.digest(block), l.hmac(block, key)) }

// hmac is the digest that a block should hold: that of all other bytes.
func (l layout) hmac(block, key []byte) []byte {
	at := sum4(block[l.digestAt:])%digestRoom + l.digestBase
	return hmacSHA256(key, block[:at], block[at+digestSize:])
}

// findDigest returns the layout and digest of a block that is signed by key.
func findDigest(block, key []byte) (l layout, digest []byte, ok bool) {
	for _, l := range []layout{layoutA, layoutB} {
		if digest := l.digest(block); bytes.Equal(digest, l.hmac(block, key)) {
			return l, digest, true
		}
	}
	return layout{}, nil, false
}

func hmacSHA256(key []byte, parts ...[]byte) []byte {
	h := hmac.New(sha256.New, key)
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

// serverVersion is what S1 says in the second field: that of a Flash Media
// Server that signs.
var serverVersion = [4]byte{4, 5, 0, 1}

// appendSignedAnswer appends S0, S1 in the layout l, and S2, the answer to a C1
// of that digest.
func (h *handshake) appendSignedAnswer(dst []byte, v byte, l layout, digest []byte) []byte {
	copy(h.hello[4:], serverVersion[:])
	l.sign(h.hello[:], serverKey[:serverKeyName])
	dst = append(append(dst, v), h.hello[:]...)
	return h.appendSignature(dst, v, hmacSHA256(serverKey, digest))
}

// appendSignature appends C2 or S2: random bytes and what they sign to by key.
func (h *handshake) appendSignature(dst []byte, v byte, key []byte) []byte {
	at := len(dst)
	dst = append(dst, h.random[:handshakeSize-digestSize]...)
	signature := hmacSHA256(key, dst[at:])
	sealSignature(signature, v, key)
	return append(dst, signature...)
}
