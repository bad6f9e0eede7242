package rtmp

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"weir/remux/flv"
	"weir/rtmp/amf"
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

// The errors of WriteTag.
var (
	// ErrNotPublishing: the server has not accepted the publish, or it is over.
	ErrNotPublishing = errors.New("rtmp: not publishing")
	// ErrTagTooLong: the tag does not fit in a message.
	ErrTagTooLong = errors.New("rtmp: the tag is longer than a message can be")
)

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
	c := &Client{config: config}
	c.conn = conn{
		handshake: newHandshake(false),
		random:    &c.config.Random,
		in:        newChunkReader(maxCommand),
		out:       newChunkWriter(),
		acks:      acks{window: defaultWindow},
		side:      c,
	}
	c.out.buf = c.handshake.appendHello(c.out.buf, c.random)
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

// onMetaData is the AMF0 string that the metadata of a stream begins with.
var onMetaData = amf.Append(nil, amf.String("onMetaData"))

// WriteTag appends a tag to the output. Metadata goes out behind
// "@setDataFrame", so that the server keeps it for those who come later.
func (c *Client) WriteTag(t flv.Tag) error {
	if !c.Publishing() {
		return ErrNotPublishing
	}
	m := message{typ: messageType(t.Type), stream: c.stream, timestamp: t.Timestamp, payload: t.Data}
	id := uint8(chunkStreamData)
	switch t.Type {
	case flv.TagAudio:
		id = chunkStreamAudio
	case flv.TagVideo:
		id = chunkStreamVideo
	case flv.TagScript:
		if bytes.HasPrefix(t.Data, onMetaData) {
			m.payload = append(bytes.Clone(setDataFrame), t.Data...)
		}
	}
	if len(m.payload) > maxMessageLength {
		return ErrTagTooLong
	}
	c.out.write(id, m)
	return nil
}

// Unpublish appends the clean end of the publish to the output. The caller
// closes the connection when that is written.
func (c *Client) Unpublish() {
	if c.err == nil && (c.state == statePublish || c.state == statePublishing) {
		name := amf.String(c.config.Name)
		c.writeCommand(0, "FCUnpublish", transactionFCUnpublish, amf.Null{}, name)
		c.writeCommand(0, "deleteStream", transactionDeleteStream, amf.Null{}, amf.Number(c.stream))
	}
	c.state = stateEnded
}
