package rtmp

import (
	"bytes"
	"errors"

	"weir/remux/flv"
	"weir/rtmp/amf"
)

// handshook connects. The chunk size goes first, as OBS sends it.
func (c *Client) handshook() {
	c.out.setChunkSize(c.config.ChunkSize)
	c.writeCommand(0, "connect", transactionConnect, amf.Object{
		{Name: "app", Value: amf.String(c.config.App)},
		{Name: "type", Value: amf.String("nonprivate")},
		{Name: "flashVer", Value: amf.String(c.config.FlashVersion)},
		{Name: "tcUrl", Value: amf.String(c.config.TCURL)},
		{Name: "capsEx", Value: amf.Number(reconnectBit)},
	})
}

// full is never: what servers say is short.
func (c *Client) full() bool { return false }

// handle obeys a message of the server's. A publisher needs commands only.
func (c *Client) handle(m message) error {
	if m.typ != typeCommandAMF0 && m.typ != typeCommandAMF3 {
		return nil
	}
	cmd, err := decodeCommand(m)
	if err != nil {
		return err
	}
	switch cmd.name {
	case "_result":
		return c.handleResult(&cmd)
	case "_error":
		return c.handleError(&cmd)
	case "onStatus":
		return c.handleStatus(&cmd)
	}
	// onBWDone, onFCPublish and the like ask for nothing.
	return nil
}

// handleResult takes the next step of a publish: connect, then releaseStream,
// FCPublish and createStream at once, then publish [RTMP 7.2.2.6].
func (c *Client) handleResult(cmd *command) error {
	name := amf.String(c.config.Name)
	switch {
	case c.state == stateConnect && cmd.transaction == transactionConnect:
		c.state = stateCreateStream
		c.writeCommand(0, "releaseStream", transactionReleaseStream, amf.Null{}, name)
		c.writeCommand(0, "FCPublish", transactionFCPublish, amf.Null{}, name)
		c.writeCommand(0, "createStream", transactionCreateStream, amf.Null{})
	case c.state == stateCreateStream && cmd.transaction == transactionCreateStream:
		id, ok := asNumber(cmd.arg)
		if !ok {
			return broke("RTMP 7.2.1.3", "the answer to createStream holds a stream's number")
		}
		c.state, c.stream = statePublish, flags(id)
		c.writeCommand(c.stream, "publish", transactionPublish, amf.Null{}, name, amf.String("live"))
	case cmd.transaction == transactionPublish:
		// Some servers answer publish with a result and no status.
		c.published("NetStream.Publish.Start", "")
	}
	return nil
}

// handleError ends the dialogue when a command that matters failed. Servers
// that do not know releaseStream and FCPublish do no harm.
func (c *Client) handleError(cmd *command) error {
	switch cmd.transaction {
	case transactionConnect, transactionCreateStream, transactionPublish:
		return c.refused(amf.PropertiesOf(cmd.arg))
	}
	return nil
}

// handleStatus reads an onStatus [RTMP 7.2.2].
func (c *Client) handleStatus(cmd *command) error {
	info := amf.PropertiesOf(cmd.arg)
	code := asString(info.Get("code"))
	switch {
	case asString(info.Get("level")) == "error":
		return c.refused(info)
	case code == "NetStream.Publish.Start":
		c.published(code, c.blank(info.Get("description")))
	case code == "NetConnection.Connect.ReconnectRequest":
		c.events = append(c.events, ClientEvent{
			Type: ClientReconnect, Code: code, Description: c.blank(info.Get("description")), TCURL: asString(info.Get("tcUrl")),
		})
	default:
		c.events = append(c.events, ClientEvent{
			Type: ClientStatus, Code: code, Description: c.blank(info.Get("description")),
		})
	}
	return nil
}

// published opens the door for tags, once.
func (c *Client) published(code, description string) {
	if c.state == statePublish {
		c.state = statePublishing
		c.events = append(c.events, ClientEvent{Type: ClientPublishing, Code: code, Description: description})
	}
}

func (c *Client) refused(info amf.Properties) error {
	return &RefusedError{Code: asString(info.Get("code")), Description: c.blank(info.Get("description"))}
}

// The errors of WriteTag.
var (
	// ErrNotPublishing: the server has not accepted the publish, or it is over.
	ErrNotPublishing = errors.New("rtmp: not publishing")
	// ErrTagTooLong: the tag does not fit in a message.
	ErrTagTooLong = errors.New("rtmp: the tag is longer than a message can be")
)

// onMetaData is the AMF0 string that the metadata of a stream begins with.
var onMetaData = amf.Append(nil, amf.String("onMetaData"))

// WriteTag appends a tag to the output. Metadata goes out behind
// "@setDataFrame", so that the server keeps it for those who come later.
func (c *Client) WriteTag(t flv.Tag) error {
	if !c.Publishing() {
		return ErrNotPublishing
	}
	id, m, err := messageOf(t)
	if err != nil {
		return err
	}
	m.stream = c.stream
	c.out.write(id, m)
	return nil
}

// messageOf is the message that a publisher sends for a tag, and the chunk
// stream that it goes on. Its message stream is not set.
func messageOf(t flv.Tag) (id uint8, m message, err error) {
	m = message{typ: messageType(t.Type), timestamp: t.Timestamp, payload: t.Data}
	id = chunkStreamData
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
		return 0, message{}, ErrTagTooLong
	}
	return id, m, nil
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
