// Package flv reads and writes FLV: the file's tags, which are also the unit
// of the frame log, and the bodies of audio, video and script tags, which are
// also the payloads of RTMP messages.
//
// Source: Adobe, Video File Format Specification Version 10.1, annex E.
package flv

// TagType is the type of an FLV tag and of the RTMP message with the same
// payload [FLV E.4.1].
type TagType uint8

// The tag types.
const (
	TagAudio  TagType = 8
	TagVideo  TagType = 9
	TagScript TagType = 18
)

// Tag is one FLV tag without its header.
type Tag struct {
	Type TagType
	// Timestamp is in milliseconds, wrapping at 2^32.
	Timestamp uint32
	// Data is the tag's body. It aliases the buffer it was read from.
	Data []byte
}
