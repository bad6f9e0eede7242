package rtmp

import (
	"encoding/binary"

	"weir/remux/flv"
)

// Cut is a tag in chunks, cut once to be sent many times: over many
// connections, or again and again with later timestamps. It is for those who
// play many encoders at once and have no time to cut for each.
type Cut struct {
	id      uint8
	message message
	size    int
	chunks  []byte
}

// NewCut cuts a tag as a Client of that chunk size does in WriteTag. The tag's
// data must not change while the Cut is in use.
func NewCut(t flv.Tag, chunkSize uint32) (*Cut, error) {
	id, m, err := messageOf(t)
	if err != nil {
		return nil, err
	}
	c := &Cut{id: id, message: m, size: int(chunkSize)}
	c.message.timestamp = 0
	c.chunks = c.write(nil)
	return c, nil
}

// At returns the chunks with a timestamp in milliseconds, on a message stream:
// Client.Stream tells which. They are valid until the next At.
func (c *Cut) At(timestamp, stream uint32) []byte {
	c.message.timestamp, c.message.stream = timestamp, stream
	if timestamp >= extended { // longer headers [RTMP 5.3.1.3]
		return c.write(nil)
	}
	// The header of a type 0 chunk [RTMP 5.3.1.2.1].
	c.chunks[1], c.chunks[2], c.chunks[3] = byte(timestamp>>16), byte(timestamp>>8), byte(timestamp)
	binary.LittleEndian.PutUint32(c.chunks[8:], stream)
	return c.chunks
}

func (c *Cut) write(dst []byte) []byte {
	w := chunkWriter{chunkSize: c.size, buf: dst}
	w.write(c.id, c.message)
	return w.buf
}

// Stream is the message stream that the server gave the publish, once it is
// Publishing.
func (c *Client) Stream() uint32 { return c.stream }
