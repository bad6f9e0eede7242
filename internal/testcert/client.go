package testcert

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"net"
	"strings"
	"testing"
)

// Client is a client of TLS 1.3 that can ask for new keys, which those of
// crypto/tls never do.
type Client struct {
	*tls.Conn // which reads
	nc        net.Conn
	secret    []byte
	aead      cipher.AEAD
	iv        []byte
	sequence  uint64
}

// Dial shakes hands over nc, and believes any certificate.
func Dial(t testing.TB, nc net.Conn) *Client {
	t.Helper()
	var secrets bytes.Buffer
	c := &Client{nc: nc, Conn: tls.Client(nc, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13, KeyLogWriter: &secrets})}
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	if s := c.ConnectionState().CipherSuite; s != tls.TLS_AES_128_GCM_SHA256 {
		t.Skipf("this machine prefers %s, which Client does not know", tls.CipherSuiteName(s))
	}
	for line := range strings.Lines(secrets.String()) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "CLIENT_TRAFFIC_SECRET_0" {
			secret, err := hex.DecodeString(f[2])
			if err != nil {
				t.Fatal(err)
			}
			c.use(secret)
		}
	}
	return c
}

// use takes the keys that follow from a secret (RFC 8446, 7.3).
func (c *Client) use(secret []byte) {
	block, err := aes.NewCipher(expand(secret, "key", 16))
	if err != nil {
		panic(err) // of another length only
	}
	if c.aead, err = cipher.NewGCM(block); err != nil {
		panic(err)
	}
	c.secret, c.iv, c.sequence = secret, expand(secret, "iv", 12), 0
}

// expand is HKDF-Expand-Label without a context (RFC 8446, 7.1).
func expand(secret []byte, label string, n int) []byte {
	label = "tls13 " + label
	out, err := hkdf.Expand(sha256.New, secret, string([]byte{byte(n >> 8), byte(n), byte(len(label))})+label+"\x00", n)
	if err != nil {
		panic(err) // of too long ones only
	}
	return out
}

// record seals one (RFC 8446, 5.2).
func (c *Client) record(kind byte, p []byte) []byte {
	nonce := bytes.Clone(c.iv)
	var sequence [8]byte
	binary.BigEndian.PutUint64(sequence[:], c.sequence)
	for i, b := range sequence {
		nonce[4+i] ^= b
	}
	c.sequence++
	header := []byte{23, 3, 3, 0, 0}
	binary.BigEndian.PutUint16(header[3:], uint16(len(p)+1+c.aead.Overhead()))
	return c.aead.Seal(header, nonce, append(bytes.Clone(p), kind), header)
}

// Write sends p.
func (c *Client) Write(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		piece := p[n:min(len(p), n+1<<14)]
		_, err = c.nc.Write(c.record(23, piece))
		n += len(piece)
	}
	return n, err
}

// Update changes the keys, and asks the server for the same (RFC 8446, 4.6.3):
// it has to answer.
func (c *Client) Update() error {
	_, err := c.nc.Write(c.record(22, []byte{24, 0, 0, 1, 1}))
	c.use(expand(c.secret, "traffic upd", 32))
	return err
}

// Close closes what is below, without a word.
func (c *Client) Close() error { return c.nc.Close() }
