package rtmp

import (
	"bytes"

	"weir/rtmp/amf"
)

// setDataFrame is the AMF0 string "@setDataFrame". In front of script data it
// tells the server to keep the rest for those who come later; the rest is what
// an FLV file holds.
var setDataFrame = amf.Append(nil, amf.String("@setDataFrame"))

// scriptData returns the body of the FLV script tag in a data message
// [RTMP 7.1.2], or nil where that cannot be read. AMF0 is taken as it is; AMF3
// becomes AMF0.
func scriptData(m message) []byte {
	body := m.payload
	if m.typ == typeDataAMF3 {
		vs, err := amf.DecodeAll(skipFormat(body))
		if err != nil {
			return nil
		}
		body = amf.Append(nil, vs...)
	}
	body = bytes.TrimPrefix(body, setDataFrame)
	if len(body) > len(onMetaData) && !bytes.HasPrefix(body, onMetaData) && bytes.EqualFold(body[:len(onMetaData)], onMetaData) {
		// Spelled onMetadata, as some encoders do, no player finds it.
		body = append(bytes.Clone(onMetaData), body[len(onMetaData):]...)
	}
	return body
}

// tagHeader and backPointer surround each message in an aggregate.
const (
	tagHeader   = 11
	backPointer = 4
)

// nextOfAggregate cuts the first message off the body of an aggregate message:
// FLV tags, of which only the types, times and data count [RTMP 7.1.6]:
//
//	type (1) | size (3) | time (3) | its high byte (1) | stream id (3) | data | back pointer (4)
func nextOfAggregate(body []byte) (m message, rest []byte, err error) {
	if len(body) < tagHeader {
		return message{}, nil, brokeGot("RTMP 7.1.6", "an aggregate is made of whole messages", "%d bytes of a header", len(body))
	}
	size := int(uint24(body[1:]))
	m = message{
		typ:       messageType(body[0]),
		timestamp: uint24(body[4:]) | uint32(body[7])<<24,
	}
	if body = body[tagHeader:]; len(body) < size {
		return message{}, nil, brokeGot("RTMP 7.1.6", "an aggregate is made of whole messages", "%d of %d bytes", len(body), size)
	}
	m.payload, body = body[:size:size], body[size:]
	return m, body[min(backPointer, len(body)):], nil
}

// maxAggregate bounds the messages of an aggregate, which together are events
// before anything can be done with them. Real ones hold some dozens.
const maxAggregate = 1024

// eachOfAggregate calls fn for the messages in an aggregate. Their times keep
// their distances, and the first is at the aggregate's own [RTMP 7.1.6].
func eachOfAggregate(a message, fn func(m message)) error {
	var offset uint32
	for n, body := 0, a.payload; len(body) > 0; n++ {
		if n == maxAggregate {
			return brokeGot("RTMP 7.1.6", "an aggregate holds a limited number of messages", "more than %d", maxAggregate)
		}
		m, rest, err := nextOfAggregate(body)
		if err != nil {
			return err
		}
		if n == 0 {
			offset = a.timestamp - m.timestamp
		}
		m.timestamp += offset
		m.stream = a.stream
		body = rest
		if m.typ == typeAggregate {
			continue
		}
		fn(m)
	}
	return nil
}
