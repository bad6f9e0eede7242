package rtmp

import "encoding/binary"

// The chunk streams that this package sends on. Only the first is prescribed
// [RTMP 5.4]; the others are those of the common encoders.
const (
	chunkStreamControl = 2
	chunkStreamCommand = 3
	chunkStreamData    = 4
	chunkStreamAudio   = 5
	chunkStreamVideo   = 6
)

// chunkWriter cuts messages into chunks [RTMP 5.3] and collects them.
type chunkWriter struct {
	chunkSize int
	buf       []byte
}

func newChunkWriter() chunkWriter {
	// "The maximum chunk size defaults to 128 bytes" [RTMP 5.4.1].
	return chunkWriter{chunkSize: 128}
}

// write appends a message as a type 0 chunk and as many of type 3 as it takes.
// A shorter header would save four to eight bytes a message, and cost a state
// that both ends must keep alike.
func (w *chunkWriter) write(id uint8, m message) {
	wide := m.timestamp >= extended
	field := min(m.timestamp, extended)
	n := len(m.payload)
	w.buf = append(w.buf, id,
		byte(field>>16), byte(field>>8), byte(field),
		byte(n>>16), byte(n>>8), byte(n), byte(m.typ))
	w.buf = binary.LittleEndian.AppendUint32(w.buf, m.stream)
	if wide {
		w.buf = binary.BigEndian.AppendUint32(w.buf, m.timestamp)
	}
	for p := m.payload; ; {
		k := min(len(p), w.chunkSize)
		w.buf = append(w.buf, p[:k]...)
		if p = p[k:]; len(p) == 0 {
			return
		}
		w.buf = append(w.buf, 3<<6|id)
		if wide {
			// "This field is present in Type 3 chunks when the most recent Type 0,
			// 1, or 2 chunk for the same chunk stream ID indicated the presence of
			// an extended timestamp field" [RTMP 5.3.1.3]. ffmpeg hangs up on those
			// who leave it out.
			w.buf = binary.BigEndian.AppendUint32(w.buf, m.timestamp)
		}
	}
}

// control appends a protocol control or user control message: they go "in
// message stream ID 0 ... and sent in chunk stream ID 2" [RTMP 5.4, 6.2].
func (w *chunkWriter) control(t messageType, payload ...byte) {
	w.write(chunkStreamControl, message{typ: t, payload: payload})
}

// control32 appends a protocol control message of one number.
func (w *chunkWriter) control32(t messageType, n uint32) {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], n)
	w.control(t, b[:]...)
}

// setChunkSize tells the peer the chunk size of all that follows [RTMP 5.4.1].
func (w *chunkWriter) setChunkSize(n uint32) {
	w.control32(typeSetChunkSize, n)
	w.chunkSize = int(n)
}

// maxIdleOutput is the largest buffer that is kept when nothing waits in it.
const maxIdleOutput = 1 << 20

// take returns what waits to be sent, valid until the next write.
func (w *chunkWriter) take() []byte {
	out := w.buf
	w.buf = w.buf[:0]
	if cap(w.buf) > maxIdleOutput {
		w.buf = nil
	}
	return out
}
