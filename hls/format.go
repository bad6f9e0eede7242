package hls

import (
	"encoding/json"
	"fmt"

	"weir/media"
)

// Format is a container that segments are made in. Its bytes are a pure
// function of the tracks, of what the segment before hands on, and of the
// frames.
type Format interface {
	// Name is what State calls the format. Another release may read it.
	Name() string
	// Extension is that of a segment's name, as in ".ts". Package object knows
	// what such a segment is served as.
	Extension() string
	// Check tells what is wrong with a carry that a State holds.
	Check(carry json.RawMessage) error
	// Fits tells why a segment has no form for a codec; nil where it has.
	Fits(c media.Codec) error
	// NewWriter returns a Writer of segments with these tracks that goes on
	// from carry: what the Writer before left, nil at the begin of a broadcast.
	NewWriter(tracks Tracks, carry json.RawMessage) (Writer, error)
}

// Writer makes the bytes of one segment: Begin, AppendFrame for each of its
// frames, Flush. All of them append to dst.
type Writer interface {
	// Begin appends what stands in front of the first frame.
	Begin(dst []byte) []byte
	// AppendFrame appends what f completes. On an error dst is returned as it
	// came: the frame is left out, the segment goes on.
	AppendFrame(dst []byte, f *media.Frame) ([]byte, error)
	// EndPart appends what is held back of the frames so far, so that dst holds
	// all of them. The segment goes on.
	EndPart(dst []byte) []byte
	// Flush ends the segment.
	Flush(dst []byte) []byte
	// Carry is what the next Writer goes on from, right after EndPart or Flush.
	Carry() json.RawMessage
}

// TS is MPEG-TS, the first of the formats.
var TS Format = ts{}

// formats are all there are.
var formats = []Format{TS}

// formatNamed returns the format that a State names.
func formatNamed(name string) (Format, error) {
	for _, f := range formats {
		if f.Name() == name {
			return f, nil
		}
	}
	return nil, fmt.Errorf("unknown segment format %q", name)
}
