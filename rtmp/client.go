package rtmp

import (
	"fmt"
	"time"
)

// ClientConfig configures a Client.
type ClientConfig struct {
	// App and TCURL are the application's name and its whole URL, as in live and
	// rtmp://localhost/live. Servers take their pick of them.
	App, TCURL string
	// Name is what to publish, with its query if there is one.
	Name string
	// FlashVersion names the encoder to the server. The default is one that
	// servers take for an encoder.
	FlashVersion string
	// ChunkSize is the most payload the client puts in one chunk, in bytes. The
	// default is 4096.
	ChunkSize uint32
	// Random fills C1. Zeros are as good.
	Random [1528]byte
	// Encryption is Encrypted, EncryptedXTEA or EncryptedBlowfish for RTMPE, and
	// zero for a connection in the clear. RTMPE takes the private key Secret,
	// made anew for each connection.
	Encryption uint8
	Secret     [32]byte
}

// Client is the publisher's end of one connection. It is not safe for
// concurrent use.
type Client struct {
	conn
	config ClientConfig
	state  clientState
	stream uint32
	events []ClientEvent
}

// clientState is how far the dialogue is: each state but the last two waits
// for the answer to the command that it is named by.
type clientState uint8

const (
	stateConnect clientState = iota
	stateCreateStream
	statePublish
	statePublishing
	stateEnded
)

// The transaction ids of the commands. Encoders count them so, all in a row.
const (
	transactionConnect = iota + 1
	transactionReleaseStream
	transactionFCPublish
	transactionCreateStream
	transactionPublish
	transactionFCUnpublish
	transactionDeleteStream
)

// ClientEventType is what a ClientEvent tells.
type ClientEventType uint8

// The types of a client's events.
const (
	// ClientPublishing: the server accepted the publish. WriteTag may be called.
	ClientPublishing ClientEventType = iota + 1
	// ClientStatus: the server tells something that is not an error.
	ClientStatus
	// ClientReconnect: the server asks to connect anew, to TCURL if that is not
	// empty. Until then the publish goes on [E-RTMP, "Reconnect Request"].
	ClientReconnect
)

// ClientEvent is one thing that the server told a client.
type ClientEvent struct {
	Type ClientEventType
	// Code is the server's, as in NetStream.Publish.BadName. Description is its
	// text, the name and query of the stream blanked out.
	Code, Description string
	// TCURL is set in ClientReconnect. It may be relative, or empty.
	TCURL string
}

// RefusedError tells that the server refused a command or ended the publish.
// The connection cannot go on.
type RefusedError struct {
	// Code is the server's, as in NetStream.Publish.BadName. Description is its
	// text, the name and query of the stream blanked out.
	Code, Description string
}

// Error returns the code and description.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("rtmp: the server refused: %s: %s", e.Code, e.Description)
}

// NewClient returns the publisher's end of a connection of which no byte was
// written. Its Output already holds the beginning of the handshake.
func NewClient(config ClientConfig) *Client {
	if config.ChunkSize == 0 {
		config.ChunkSize = defaultChunkSize
	}
	config.ChunkSize = min(config.ChunkSize, maxMessageLength)
	if config.FlashVersion == "" {
		config.FlashVersion = "FMLE/3.0 (compatible; weir)"
	}
	h := newHandshake(false, &config.Random, &config.Secret)
	if config.Encryption != 0 {
		h.version = config.Encryption
	}
	config.Random, config.Secret = [1528]byte{}, [32]byte{}
	c := &Client{config: config}
	c.conn = conn{
		handshake: h,
		in:        newChunkReader(maxCommand),
		out:       newChunkWriter(),
		acks:      acks{window: defaultWindow},
		side:      c,
	}
	c.out.buf = h.appendClientHello(c.out.buf)
	return c
}

// Receive takes bytes that arrived at the time now and returns the events in
// them, valid until the next Receive. An error is final and of type *PeerError
// when the server broke the protocol, *RefusedError when it said no.
func (c *Client) Receive(now time.Time, p []byte) ([]ClientEvent, error) {
	c.events = c.events[:0]
	err := c.receive(now, p)
	return c.events, err
}

// Output returns the bytes to send since the last Output. They are valid until
// the next call of any method.
func (c *Client) Output() []byte { return c.output() }

// Publishing reports whether the server accepted the publish and it goes on.
func (c *Client) Publishing() bool { return c.state == statePublishing && c.err == nil }
