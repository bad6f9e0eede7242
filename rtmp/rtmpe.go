package rtmp

import (
	"crypto/rc4"
	"math/big"
	"slices"

	"golang.org/x/crypto/blowfish"
	"golang.org/x/crypto/xtea"
)

// RTMPE is not in the specification; this is what librtmp and ffmpeg do. A
// Diffie-Hellman exchange in C1 and S1 makes two RC4 keys, one for each
// direction, and everything behind the handshake is encrypted by them as it is.
//
// Nothing proves who the peer is, RC4 is broken, and the group is small: it
// keeps a stream from being read by the way, and is no protection against who
// wants to. RTMPS is.

// The types of RTMPE, C0 and S0. They differ in how C2 and S2 are signed.
const (
	// Encrypted is RTMPE as librtmp and ffmpeg ask for it.
	Encrypted = 6
	// EncryptedXTEA is RTMPE of Flash Player 9 to 10: signatures are encrypted
	// by XTEA.
	EncryptedXTEA = 8
	// EncryptedBlowfish is the same with Blowfish.
	EncryptedBlowfish = 9
)

// encrypted tells whether C0 or S0 means RTMPE.
func encrypted(v byte) bool {
	return v == Encrypted || v == EncryptedXTEA || v == EncryptedBlowfish
}

// dhSize is the size of a public key and of the shared secret.
const dhSize = 128

// dhPrime is the prime of the group, 1024 bits long; the generator is 2
// [RFC 2409 6.2].
var (
	dhPrime, _ = new(big.Int).SetString("FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD1"+
		"29024E088A67CC74020BBEA63B139B22514A08798E3404DD"+
		"EF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245"+
		"E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED"+
		"EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE65381"+
		"FFFFFFFFFFFFFFFF", 16)
	dhGenerator = big.NewInt(2)
	one         = big.NewInt(1)
)

// dhPublic returns the public key of a secret.
func dhPublic(secret []byte) []byte {
	x := new(big.Int).SetBytes(secret)
	return x.Exp(dhGenerator, x, dhPrime).FillBytes(make([]byte, dhSize))
}

// dhShared returns what a secret and the peer's public key make, or nil for a
// key that makes what everybody knows. A secret of 256 bits is more than the
// group is worth and costs a quarter of one of 1024.
func dhShared(secret, peer []byte) []byte {
	y := new(big.Int).SetBytes(peer)
	if y.Cmp(one) <= 0 || y.Cmp(new(big.Int).Sub(dhPrime, one)) >= 0 {
		return nil
	}
	return y.Exp(y, new(big.Int).SetBytes(secret), dhPrime).FillBytes(make([]byte, dhSize))
}

// cipher is the encryption behind the handshake.
type cipher struct{ in, out *rc4.Cipher }

// rc4Key and rc4Skip are the size of a direction's key and how much of its key
// stream is thrown away.
const (
	rc4Key  = 16
	rc4Skip = handshakeSize
)

// newCipher returns the cipher of a side: each direction's key is made from the
// public key of its receiver.
func newCipher(shared, own, peer []byte) *cipher {
	return &cipher{in: newRC4(shared, own), out: newRC4(shared, peer)}
}

func newRC4(shared, receiver []byte) *rc4.Cipher {
	// It fails on keys of other sizes only.
	c, _ := rc4.NewCipher(hmacSHA256(shared, receiver)[:rc4Key])
	var skip [rc4Skip]byte
	c.XORKeyStream(skip[:], skip[:])
	return c
}

// encryptServer makes the cipher from a C1 of the layout l and puts the public
// key into S1. Where it reports false, RTMPE is not offered, or C1's key is
// none.
//
// S1 is in layout A whatever C1's is: ffmpeg, when it publishes, does not look
// for another, and all others find either.
func (h *handshake) encryptServer(l layout) bool {
	if h.secret == [32]byte{} {
		return false
	}
	peer := l.publicKey(h.in[1:])
	shared := dhShared(h.secret[:], peer)
	if shared == nil {
		return false
	}
	own := dhPublic(h.secret[:])
	copy(layoutA.publicKey(h.hello[:]), own)
	h.cipher = newCipher(shared, own, peer)
	return true
}

// clientVersion is what C1 of RTMPE says in the second field, as ffmpeg does.
var clientVersion = [4]byte{0x80, 0, 3, 2}

// signClientHello puts the public key and the digest into C1, in the layout
// that librtmp and ffmpeg have.
func (h *handshake) signClientHello() {
	copy(h.hello[4:], clientVersion[:])
	copy(layoutB.publicKey(h.hello[:]), dhPublic(h.secret[:]))
	layoutB.sign(h.hello[:], clientKey[:clientKeyName])
}

// appendEncryptedAnswer makes the cipher from S1 and appends C2.
func (h *handshake) appendEncryptedAnswer(dst []byte) ([]byte, error) {
	s1 := h.in[1:]
	l, digest, ok := findDigest(s1, serverKey[:serverKeyName])
	if !ok {
		return dst, broke("RTMPE", "the server's block is signed")
	}
	peer := l.publicKey(s1)
	shared := dhShared(h.secret[:], peer)
	if shared == nil {
		return dst, broke("RTMPE", "a public key is between 1 and the prime less 1")
	}
	h.cipher = newCipher(shared, layoutB.publicKey(h.hello[:]), peer)
	return h.appendSignature(dst, h.version, hmacSHA256(clientKey, digest)), nil
}

// sealSignature encrypts the signature of C2 or S2 in blocks of 8 bytes, each by
// a key of the protocol's that the signing key chooses. Types 3 and 6 leave it
// as it is.
func sealSignature(signature []byte, v byte, key []byte) {
	for i := 0; i < len(signature); i += 8 {
		block, n := signature[i:i+8], int(key[i])%len(xteaKeys)
		switch v {
		case EncryptedXTEA:
			// Key and data are words in little endian; the library's are in big.
			k := []byte(xteaKeys[n])
			swapWords(k)
			c, _ := xtea.NewCipher(k) // it fails on keys of other sizes only
			swapWords(block)
			c.Encrypt(block, block)
			swapWords(block)
		case EncryptedBlowfish:
			c, _ := blowfish.NewCipher([]byte(blowfishKeys[n])) // as above
			swapWords(block)
			c.Encrypt(block, block)
			swapWords(block)
		}
	}
}

// swapWords turns the bytes of each 32-bit word around.
func swapWords(b []byte) {
	for ; len(b) >= 4; b = b[4:] {
		slices.Reverse(b[:4])
	}
}
