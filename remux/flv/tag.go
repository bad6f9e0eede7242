package flv

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
)

// TagScriptAMF3 is a script tag whose values are AMF3 [E-RTMP v2, AMF3 data].
const TagScriptAMF3 TagType = 15

// String returns the type's name, for logs.
func (t TagType) String() string {
	switch t {
	case TagAudio:
		return "audio"
	case TagVideo:
		return "video"
	case TagScript, TagScriptAMF3:
		return "script"
	}
	return fmt.Sprintf("type %d", uint8(t))
}

// Sizes of the fixed parts, in bytes.
const (
	// TagOverhead is what a tag takes beside its body: an 11-byte header and
	// the 4-byte PreviousTagSize behind it [FLV E.3, E.4.1].
	TagOverhead = tagHeader + tagTrailer
	// FileHeader is the file header with PreviousTagSize0 [FLV E.2, E.3].
	FileHeader = 13
	// MaxBody is the longest body a tag can hold: DataSize is 24 bits [FLV E.4.1].
	MaxBody = 1<<24 - 1

	tagHeader  = 11
	tagTrailer = 4
)

// ErrMalformed is wrapped by every error about bytes that are no FLV.
var ErrMalformed = errors.New("malformed FLV")

// The errors of a tag run are values made once: hot paths return them without
// allocating.
var (
	// ErrShortTag says that the input ends inside a tag. It wraps
	// io.ErrUnexpectedEOF: a reader that gets more bytes may try again.
	ErrShortTag = fmt.Errorf("%w: input ends inside a tag [FLV E.4.1]: %w", ErrMalformed, io.ErrUnexpectedEOF)

	errFilter   = fmt.Errorf("%w: encrypted or reserved tag type [FLV E.4.1]", ErrMalformed)
	errPrevSize = fmt.Errorf("%w: PreviousTagSize is not the size of the tag before it [FLV E.3]", ErrMalformed)
)

// AppendTag appends t as it stands in a file: header, body, PreviousTagSize.
// The body must not be longer than MaxBody, as no RTMP message is; AppendTag
// panics where it is, rather than write a length that lies.
func AppendTag(dst []byte, t Tag) []byte {
	n := len(t.Data)
	if n > MaxBody {
		panic("flv: the body of a tag is longer than MaxBody")
	}
	ts := t.Timestamp
	dst = append(dst, byte(t.Type),
		byte(n>>16), byte(n>>8), byte(n),
		byte(ts>>16), byte(ts>>8), byte(ts), byte(ts>>24), // TimestampExtended is the high byte
		0, 0, 0)
	dst = append(dst, t.Data...)
	return binary.BigEndian.AppendUint32(dst, uint32(tagHeader+n))
}

// NextTag reads the first tag of a run, as AppendTag writes it, and returns
// how many bytes it took. The tag's Data aliases p. Where p ends inside the
// tag, also where p is empty, the error is ErrShortTag.
func NextTag(p []byte) (t Tag, n int, err error) {
	if len(p) < tagHeader {
		return Tag{}, 0, ErrShortTag
	}
	t, size, err := parseTagHeader(p)
	if err != nil {
		return Tag{}, 0, err
	}
	n = tagHeader + size + tagTrailer
	if len(p) < n {
		return Tag{}, 0, ErrShortTag
	}
	if binary.BigEndian.Uint32(p[n-tagTrailer:]) != uint32(tagHeader+size) {
		return Tag{}, 0, errPrevSize
	}
	t.Data = p[tagHeader : tagHeader+size : tagHeader+size]
	return t, n, nil
}

// parseTagHeader reads the 11 bytes before a body [FLV E.4.1]. StreamID
// "always 0" is not looked at: nothing depends on it.
func parseTagHeader(p []byte) (t Tag, size int, err error) {
	if p[0]&0xe0 != 0 { // Reserved and Filter: the body would be encrypted
		return Tag{}, 0, errFilter
	}
	t.Type = TagType(p[0])
	t.Timestamp = uint32(p[7])<<24 | uint32(p[4])<<16 | uint32(p[5])<<8 | uint32(p[6])
	return t, int(p[1])<<16 | int(p[2])<<8 | int(p[3]), nil
}

// Tags ranges over a run of tags. A run that is damaged or cut short ends with
// one error; an empty run yields nothing. Data aliases p.
func Tags(p []byte) iter.Seq2[Tag, error] {
	return func(yield func(Tag, error) bool) {
		for len(p) > 0 {
			t, n, err := NextTag(p)
			if !yield(t, err) || err != nil {
				return
			}
			p = p[n:]
		}
	}
}
