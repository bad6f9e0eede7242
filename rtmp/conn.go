package rtmp

import (
	"encoding/binary"
	"time"
)

// conn is what both ends of a connection share: the handshake, the chunk
// streams of both directions and the protocol control messages.
type conn struct {
	// handshake is nil when it is done.
	handshake *handshake
	// cipher is nil in the clear. Of what waits in out, the first clear bytes
	// are the handshake's, which is never encrypted.
	cipher *cipher
	clear  int
	in     chunkReader
	out    chunkWriter
	acks   acks
	// replies is how many bytes of what waits in out answer the peer.
	replies int
	side    side
	// now is the time of the Receive that goes on.
	now time.Time
	// rest is what the last Receive left because the side was full.
	rest []byte
	// err is the first error: a connection that failed stays failed.
	err error
}

// side is the Server or Client around a conn.
type side interface {
	// handshook is called once, when the handshake is done.
	handshook()
	// handle is called with each message that is not about the connection itself.
	handle(m message) error
	// full tells whether the messages that follow wait for the next Receive.
	full() bool
}

// acks is the bookkeeping of the acknowledgement window [RTMP 5.4.3, 5.4.4].
// Bytes are counted from the end of the handshake on, as encoders do.
type acks struct {
	received, acked uint32
	// window is how many bytes the peer may send before it waits.
	window uint32
	// sent is the window that this side announced last, and hard whether the
	// peer insisted on it.
	sent uint32
	hard bool
}

// receive feeds p to the connection.
func (c *conn) receive(now time.Time, p []byte) error {
	if c.err == nil {
		c.err = c.process(now, p)
	}
	return c.err
}

func (c *conn) process(now time.Time, p []byte) error {
	c.in.recycle()
	c.now = now
	if len(c.rest) > 0 {
		p, c.rest = c.rest, nil
		return c.messages(p)
	}
	if c.handshake != nil {
		n, err := c.shake(now, p)
		if err != nil || c.handshake != nil {
			return err
		}
		p = p[n:]
	}
	if c.cipher != nil {
		c.cipher.in.XORKeyStream(p, p)
	}
	c.acks.received += uint32(len(p)) // modulo 2^32, as peers count
	return c.messages(p)
}

// messages obeys the messages in p, until the side is full.
func (c *conn) messages(p []byte) error {
	for {
		if c.side.full() {
			c.rest = p
			break
		}
		m, n, ok, err := c.in.next(p)
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		p = p[n:]
		if err := c.answer(m); err != nil {
			return err
		}
	}
	c.acknowledge()
	return nil
}

// shake feeds p to the handshake and returns the bytes it took.
func (c *conn) shake(now time.Time, p []byte) (int, error) {
	n, out, err := c.handshake.receive(now, p, c.out.buf)
	c.out.buf = out
	if err == nil && c.handshake.done() {
		c.cipher, c.handshake = c.handshake.cipher, nil
		c.clear = len(out)
		c.side.handshook()
	}
	return n, err
}

// answer obeys a message and bounds what that makes wait to be sent: a peer
// that asks and never reads would fill the memory.
func (c *conn) answer(m message) error {
	before := len(c.out.buf)
	if err := c.dispatch(m); err != nil {
		return err
	}
	c.replies += len(c.out.buf) - before
	if c.replies > maxOutput {
		return brokeGot("RTMP 5.4.3", "a peer reads the answers to what it sends", "more than %d bytes of them wait", maxOutput)
	}
	return nil
}

// output returns what waits to be sent, valid until the next call.
func (c *conn) output() []byte {
	c.replies = 0
	out := c.out.take()
	if c.cipher != nil {
		behind := out[c.clear:]
		c.cipher.out.XORKeyStream(behind, behind)
	}
	c.clear = 0
	return out
}

// acknowledge tells the peer how much arrived. "The client or the server MUST
// send an acknowledgment to the peer after receiving bytes equal to the window
// size" [RTMP 5.4.3]; half of it is early enough that the peer never waits.
func (c *conn) acknowledge() {
	if a := &c.acks; a.received-a.acked >= max(a.window/2, 1) {
		a.acked = a.received
		c.out.control32(typeAcknowledgement, a.received)
	}
}

// announceWindow tells the peer how often it must acknowledge [RTMP 5.4.4].
func (c *conn) announceWindow(window uint32) {
	c.acks.sent = window
	c.out.control32(typeWindowAckSize, window)
}

// dispatch handles protocol and user control messages, on whatever chunk
// stream they come, and hands the others to the side.
func (c *conn) dispatch(m message) error {
	switch m.typ {
	case typeSetChunkSize:
		return c.handleSetChunkSize(m.payload)
	case typeAbort:
		id, err := number(m.payload, "RTMP 5.4.2")
		if err == nil {
			c.in.abort(id)
		}
		return err
	case typeAcknowledgement:
		// Nothing waits for it: the caller's socket has flow control.
		_, err := number(m.payload, "RTMP 5.4.3")
		return err
	case typeWindowAckSize:
		window, err := number(m.payload, "RTMP 5.4.4")
		if err == nil {
			c.acks.window = window
		}
		return err
	case typeSetPeerBandwidth:
		return c.handleSetPeerBandwidth(m.payload)
	case typeUserControl:
		return c.handleUserControl(m.payload)
	}
	return c.side.handle(m)
}

// number reads the 4 bytes that a protocol control message begins with.
func number(payload []byte, section string) (uint32, error) {
	if len(payload) < 4 {
		return 0, brokeGot(section, "a protocol control message holds 4 bytes", "%d", len(payload))
	}
	return binary.BigEndian.Uint32(payload), nil
}

// handleSetChunkSize obeys a Set Chunk Size, which "MUST be at least 1" and
// whose first bit "MUST be zero" [RTMP 5.4.1].
func (c *conn) handleSetChunkSize(payload []byte) error {
	size, err := number(payload, "RTMP 5.4.1")
	if err != nil {
		return err
	}
	if size == 0 || size > 1<<31-1 {
		return brokeGot("RTMP 5.4.1", "a chunk size is at least 1 and below 2^31", "%d", size)
	}
	c.in.chunkSize = int(size)
	return nil
}

// The limit types of Set Peer Bandwidth [RTMP 5.4.5].
const (
	limitHard    = 0
	limitSoft    = 1
	limitDynamic = 2
)

// handleSetPeerBandwidth obeys a Set Peer Bandwidth: the receiver "SHOULD
// respond with a Window Acknowledgement Size message if the window size is
// different from the last one sent" [RTMP 5.4.5].
func (c *conn) handleSetPeerBandwidth(payload []byte) error {
	window, err := number(payload, "RTMP 5.4.5")
	if err != nil {
		return err
	}
	limit := byte(limitHard)
	if len(payload) > 4 {
		limit = payload[4]
	}
	a := &c.acks
	switch limit {
	case limitHard:
		a.hard = true
	case limitSoft:
		// "the peer SHOULD limit its output bandwidth to the window indicated ...
		// or the limit already in effect, whichever is smaller".
		a.hard = false
		if a.sent != 0 {
			window = min(window, a.sent)
		}
	case limitDynamic:
		// "If the previous Limit Type was Hard, treat this message as though it
		// was marked Hard, otherwise ignore this message."
		if !a.hard {
			return nil
		}
	default:
		return brokeGot("RTMP 5.4.5", "a limit type is 0, 1 or 2", "%d", limit)
	}
	if window != a.sent {
		c.announceWindow(window)
	}
	return nil
}

// The user control events that matter here [RTMP 7.1.7].
const (
	eventPingRequest  = 6
	eventPingResponse = 7
)

// handleUserControl answers a ping with its own timestamp and passes over all
// other events: they are about playing.
func (c *conn) handleUserControl(payload []byte) error {
	if len(payload) < 2 {
		return brokeGot("RTMP 7.1.7", "a user control message holds an event type", "%d bytes", len(payload))
	}
	if binary.BigEndian.Uint16(payload) != eventPingRequest {
		return nil
	}
	timestamp, err := number(payload[2:], "RTMP 7.1.7")
	if err != nil {
		return err
	}
	var pong [6]byte
	binary.BigEndian.PutUint16(pong[:], eventPingResponse)
	binary.BigEndian.PutUint32(pong[2:], timestamp)
	c.out.control(typeUserControl, pong[:]...)
	return nil
}
