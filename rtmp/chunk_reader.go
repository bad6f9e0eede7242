package rtmp

import (
	"bytes"
	"encoding/binary"
)

// maxChunkHeader is the longest chunk header: a basic header of 3 bytes, a
// type 0 message header of 11 and an extended timestamp of 4 [RTMP 5.3.1].
const maxChunkHeader = 3 + 11 + 4

// extended in the 3-byte timestamp field says that the 32-bit field holds the
// timestamp or delta [RTMP 5.3.1.3].
const extended = 0xFFFFFF

// chunkReader puts messages together from chunks [RTMP 5.3]. It is fed with
// next until that returns no message.
type chunkReader struct {
	// maxMessage is the limit of a message's length in force.
	maxMessage int
	// maxPartial is the limit of the bytes in all partial messages together.
	maxPartial int
	// chunkSize is the most payload that the peer puts in one chunk. It needs
	// no limit: nothing is allocated from it.
	chunkSize int

	// low holds the chunk streams of the one-byte basic header, high the others.
	low   [64]*chunkStream
	high  map[uint32]*chunkStream
	count int

	// cur is the chunk stream of the chunk being read, nil between chunks, and
	// left what is still to come of the chunk's payload.
	cur  *chunkStream
	left int

	// head keeps the bytes of a header that is not whole yet.
	head  [maxChunkHeader]byte
	nHead int

	// partial is how many bytes all partial messages hold.
	partial int
	buffers buffers
}

// chunkStream is what a chunk stream remembers from chunk to chunk.
type chunkStream struct {
	started   bool
	typ       messageType
	stream    uint32
	length    int
	timestamp uint32
	// field is the last timestamp or delta that came, and extended whether it
	// came in the extended field.
	field    uint32
	extended bool

	// inMessage is set between a message's first chunk and its last.
	inMessage bool
	// buf holds what came of the message, when it came in pieces.
	buf []byte
}

func newChunkReader(maxMessage int) chunkReader {
	return chunkReader{
		maxMessage: maxMessage,
		maxPartial: 2 * maxMessage,
		// "The maximum chunk size defaults to 128 bytes" [RTMP 5.4.1].
		chunkSize: 128,
	}
}

// recycle takes back the buffers of all messages returned so far.
func (r *chunkReader) recycle() { r.buffers.recycle() }

// next reads p up to the end of a message. It returns how many bytes it took;
// without a message, that is all of them. The message lies in p where it was
// whole there, and in a buffer that recycle takes back where not.
func (r *chunkReader) next(p []byte) (m message, n int, ok bool, err error) {
	for {
		if r.cur == nil {
			k, err := r.readHeader(p[n:])
			n += k
			if err != nil || r.cur == nil {
				return message{}, n, false, err
			}
		}
		k, m, ok, err := r.readPayload(p[n:])
		n += k
		if err != nil || ok {
			return m, n, ok, err
		}
		if r.cur != nil {
			return message{}, n, false, nil
		}
	}
}

// readHeader reads a chunk's header and makes its chunk stream the current
// one. Without a whole header it keeps the bytes for the next call.
func (r *chunkReader) readHeader(p []byte) (int, error) {
	if r.nHead == 0 {
		size, err := r.parseHeader(p)
		if err != nil || size > 0 {
			return size, err
		}
		r.nHead = copy(r.head[:], p)
		return len(p), nil
	}
	kept := r.nHead
	taken := copy(r.head[kept:], p)
	size, err := r.parseHeader(r.head[:kept+taken])
	if err != nil {
		return 0, err
	}
	if size == 0 {
		r.nHead += taken
		return taken, nil
	}
	if size >= kept {
		r.nHead = 0
		return size - kept, nil
	}
	// Bytes that looked like an extended timestamp were not: they stay in head
	// for whom they belong to.
	r.nHead = copy(r.head[:], r.head[size:kept])
	return 0, nil
}

// parseHeader parses the chunk header that b begins with, and returns its
// size, or 0 when b is too short to tell.
//
//	 0 1 2 3 4 5 6 7
//	+-+-+-+-+-+-+-+-+
//	|fmt|   cs id   |   0: id 64..319 in 1 more byte, 1: 64..65599 in 2 more
//	+-+-+-+-+-+-+-+-+
//
// [RTMP 5.3.1.1]
func (r *chunkReader) parseHeader(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	format, id, size := b[0]>>6, uint32(b[0]&0x3F), 1
	switch id {
	case 0:
		size = 2
	case 1:
		size = 3
	}
	if len(b) < size {
		return 0, nil
	}
	switch id {
	case 0:
		id = 64 + uint32(b[1])
	case 1:
		id = 64 + uint32(b[1]) + uint32(b[2])<<8
	}
	cs, err := r.chunkStream(id, format)
	if err != nil {
		return 0, err
	}
	rest, ok := cs.parseMessageHeader(format, b[size:])
	if !ok {
		return 0, nil
	}
	return size + rest, r.begin(cs)
}

// messageHeaderSize is the size of the message header by type of chunk
// [RTMP 5.3.1.2].
var messageHeaderSize = [4]int{11, 7, 3, 0}

// parseMessageHeader parses what follows the basic header: b is
//
//	timestamp or delta (3)   types 0, 1, 2
//	length (3), type (1)     types 0, 1
//	message stream id (4)    type 0, "stored in little-endian format"
//	extended timestamp (4)   if the first field is FFFFFF
//
// It reports false, and changes nothing, when b is too short.
func (cs *chunkStream) parseMessageHeader(format uint8, b []byte) (size int, ok bool) {
	if format == 3 {
		return cs.parseType3(b)
	}
	size = messageHeaderSize[format]
	if len(b) < size {
		return 0, false
	}
	field, wide := uint24(b), false
	if field == extended {
		if len(b) < size+4 {
			return 0, false
		}
		field, wide = binary.BigEndian.Uint32(b[size:]), true
	}
	if format <= 1 {
		cs.length, cs.typ = int(uint24(b[3:])), messageType(b[6])
	}
	if format == 0 {
		cs.stream = binary.LittleEndian.Uint32(b[7:])
		cs.timestamp = 0
	}
	cs.timestamp += field // modulo 2^32: the clock wraps after 49.7 days
	cs.field, cs.extended, cs.started = field, wide, true
	if wide {
		size += 4
	}
	return size, true
}

// parseType3 parses a type 3 chunk, which has no message header but may repeat
// the extended timestamp. The specification wants that [RTMP 5.3.1.3], and
// OBS up to 30.0 and other users of old librtmp do not do it, so the four bytes
// are skipped only if they are what they would have to be.
func (cs *chunkStream) parseType3(b []byte) (size int, ok bool) {
	if cs.extended {
		var want [4]byte
		binary.BigEndian.PutUint32(want[:], cs.field)
		seen := min(len(b), len(want))
		if bytes.Equal(b[:seen], want[:seen]) {
			if seen < len(want) {
				return 0, false
			}
			size = len(want)
		}
	}
	if !cs.inMessage {
		// "If a Type 3 chunk follows a Type 0 chunk, then the timestamp delta for
		// this Type 3 chunk is the same as the timestamp of the Type 0 chunk"
		// [RTMP 5.3.1.2.4]; after types 1 and 2 it is their delta.
		cs.timestamp += cs.field
	}
	return size, true
}

// chunkStream returns the chunk stream of that id, and makes it if a chunk of
// this type may begin one.
func (r *chunkReader) chunkStream(id uint32, format uint8) (*chunkStream, error) {
	var cs *chunkStream
	if id < uint32(len(r.low)) {
		cs = r.low[id]
	} else {
		cs = r.high[id]
	}
	if cs == nil {
		return r.newChunkStream(id, format)
	}
	if format < 3 && cs.inMessage {
		return nil, brokeGot("RTMP 5.3.1", "a message is whole before the next begins on its chunk stream",
			"a type %d chunk on chunk stream %d after %d of %d bytes", format, id, len(cs.buf), cs.length)
	}
	if !cs.started && format >= 2 {
		return nil, notStarted(id, format)
	}
	return cs, nil
}

// newChunkStream makes a chunk stream. Type 1 may begin one too: it lacks only
// the message stream, and librtmp begins its control messages so.
func (r *chunkReader) newChunkStream(id uint32, format uint8) (*chunkStream, error) {
	if format >= 2 {
		return nil, notStarted(id, format)
	}
	if r.count == maxChunkStreams {
		return nil, brokeGot("RTMP 5.3.1.1", "a connection has a limited number of chunk streams", "more than %d", maxChunkStreams)
	}
	r.count++
	cs := new(chunkStream)
	if id < uint32(len(r.low)) {
		r.low[id] = cs
		return cs, nil
	}
	if r.high == nil {
		r.high = make(map[uint32]*chunkStream)
	}
	r.high[id] = cs
	return cs, nil
}

func notStarted(id uint32, format uint8) error {
	return brokeGot("RTMP 5.3.1.2", "a chunk stream begins with a full header", "a type %d chunk on chunk stream %d", format, id)
}

// begin makes cs the chunk stream whose chunk is being read.
func (r *chunkReader) begin(cs *chunkStream) error {
	if limit := r.limit(cs.typ); cs.length > limit {
		return brokeGot("RTMP 5.3.1.2", "a message is not longer than the limit",
			"%d bytes of type %d, the limit is %d", cs.length, cs.typ, limit)
	}
	cs.inMessage = true
	r.cur = cs
	r.left = min(cs.length-len(cs.buf), r.chunkSize)
	return nil
}

// readPayload reads the current chunk's payload as far as it came. A message
// that is whole in p is returned without a copy.
func (r *chunkReader) readPayload(p []byte) (n int, m message, ok bool, err error) {
	cs := r.cur
	if r.nHead == 0 && r.left == cs.length && len(p) >= r.left {
		r.cur, cs.inMessage = nil, false
		return cs.length, cs.message(p[:cs.length:cs.length]), true, nil
	}
	if r.nHead > 0 {
		k := min(r.nHead, r.left)
		if err := r.keep(cs, r.head[:k]); err != nil {
			return 0, message{}, false, err
		}
		r.nHead = copy(r.head[:], r.head[k:r.nHead])
	}
	n = min(len(p), r.left)
	if err := r.keep(cs, p[:n]); err != nil {
		return 0, message{}, false, err
	}
	if r.left > 0 {
		return n, message{}, false, nil
	}
	r.cur = nil
	if len(cs.buf) < cs.length {
		return n, message{}, false, nil
	}
	return n, r.finish(cs), true, nil
}

// keep copies a piece of the current chunk's payload to its message's buffer.
func (r *chunkReader) keep(cs *chunkStream, piece []byte) error {
	if len(piece) == 0 {
		return nil
	}
	r.left -= len(piece)
	r.partial += len(piece)
	if r.partial > r.maxPartial {
		return brokeGot("RTMP 5.3.1", "partial messages together are not larger than the limit", "more than %d bytes", r.maxPartial)
	}
	cs.buf = r.buffers.append(cs.buf, piece, cs.length)
	return nil
}

// finish returns the message that is whole in cs.buf.
func (r *chunkReader) finish(cs *chunkStream) message {
	m := cs.message(cs.buf[:len(cs.buf):len(cs.buf)])
	r.partial -= len(cs.buf)
	r.buffers.lend(cs.buf)
	cs.buf, cs.inMessage = nil, false
	return m
}

func (cs *chunkStream) message(payload []byte) message {
	return message{typ: cs.typ, stream: cs.stream, timestamp: cs.timestamp, payload: payload}
}

// abort throws away what came of the message on a chunk stream [RTMP 5.4.2].
// It is called between chunks.
func (r *chunkReader) abort(id uint32) {
	cs := r.high[id]
	if id < uint32(len(r.low)) {
		cs = r.low[id]
	}
	if cs == nil {
		return
	}
	r.partial -= len(cs.buf)
	r.buffers.lend(cs.buf)
	cs.buf, cs.inMessage = nil, false
}

func uint24(b []byte) uint32 { return uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2]) }
