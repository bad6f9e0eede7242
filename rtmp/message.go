package rtmp

// messageType is the type of a message [RTMP 5.4, 7.1].
type messageType uint8

const (
	typeSetChunkSize     messageType = 1
	typeAbort            messageType = 2
	typeAcknowledgement  messageType = 3
	typeUserControl      messageType = 4
	typeWindowAckSize    messageType = 5
	typeSetPeerBandwidth messageType = 6
	typeAudio            messageType = 8
	typeVideo            messageType = 9
	typeDataAMF3         messageType = 15
	typeCommandAMF3      messageType = 17
	typeDataAMF0         messageType = 18
	typeCommandAMF0      messageType = 20
	typeAggregate        messageType = 22
)

// message is one message put together from its chunks.
type message struct {
	typ messageType
	// stream is the message stream id.
	stream uint32
	// timestamp is in milliseconds and wraps at 2^32.
	timestamp uint32
	// payload is valid until the next Receive.
	payload []byte
}

// limit returns how long a message of type t may be. Data in AMF3 is decoded,
// which costs a multiple of its bytes, so it is bounded like a command.
func (r *chunkReader) limit(t messageType) int {
	switch t {
	case typeAudio, typeVideo, typeDataAMF0, typeAggregate:
		return r.maxMessage
	}
	return min(maxCommand, r.maxMessage)
}

// allow raises the limit of a message's length from the next chunk on.
func (r *chunkReader) allow(maxMessage int) {
	r.maxMessage = maxMessage
	r.maxPartial = 2 * maxMessage
}
