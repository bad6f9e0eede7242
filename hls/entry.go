package hls

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"weir/media/object"
)

// Entry is one segment as playlists list it.
type Entry struct {
	DurationMS int64
	Bytes      int64
	// WallMS is the PROGRAM-DATE-TIME, in Unix milliseconds.
	WallMS int64
	Flags  EntryFlags
	// URI is set where it is not the one that the media sequence gives.
	URI string
}

// EntryFlags mark an Entry.
type EntryFlags uint8

// The flags of an Entry.
const (
	// Discontinuity goes before the segment.
	Discontinuity EntryFlags = 1 << iota
	// Gap: the segment is missing for good (EXT-X-GAP).
	Gap
)

// MarshalJSON writes [duration, bytes, wall, flags] or, with a URI of its
// own, [duration, bytes, wall, flags, "uri"]: 24 hours of State stay small.
func (e Entry) MarshalJSON() ([]byte, error) {
	b := fmt.Appendf(make([]byte, 0, 48), "[%d,%d,%d,%d", e.DurationMS, e.Bytes, e.WallMS, e.Flags)
	if e.URI != "" {
		b = fmt.Appendf(b, ",%q", e.URI)
	}
	return append(b, ']'), nil
}

// UnmarshalJSON is the inverse of MarshalJSON.
func (e *Entry) UnmarshalJSON(p []byte) error {
	var raw []json.RawMessage
	if err := json.Unmarshal(p, &raw); err != nil {
		return err
	}
	if len(raw) != 4 && len(raw) != 5 {
		return fmt.Errorf("entry of %d fields, want 4 or 5", len(raw))
	}
	to := []any{&e.DurationMS, &e.Bytes, &e.WallMS, &e.Flags, &e.URI}
	for i, r := range raw {
		if err := json.Unmarshal(r, to[i]); err != nil {
			return fmt.Errorf("entry field %d: %w", i, err)
		}
	}
	return nil
}

func (e *Entry) check() error {
	if e.DurationMS < 0 || e.DurationMS > 1000*int64(MaxTarget/time.Second+1) || e.Bytes < 0 {
		return errors.New("entry out of range")
	}
	return nil
}

func countBreaks(entries []Entry) uint64 {
	var n uint64
	for _, e := range entries {
		if e.Flags&Discontinuity != 0 {
			n++
		}
	}
	return n
}

// SegmentName is the object name within its rendition of a segment.
func (s *State) SegmentName(sequence uint64) string {
	return object.SegmentName(sequence, s.extension())
}

// AlternativeName is the object name of a segment whose own name has other
// bytes; mark tells the bytes apart.
func (s *State) AlternativeName(sequence uint64, mark [4]byte) string {
	return object.AlternativeName(sequence, mark, s.extension())
}

func (s *State) extension() string {
	f, err := formatNamed(s.Format)
	if err != nil {
		panic(err) // a State names a format that there is
	}
	return f.Extension()
}

// EntryName returns the object name of the entry of a sequence.
func (s *State) EntryName(sequence uint64, e *Entry) string {
	if e.URI != "" {
		return e.URI
	}
	return s.SegmentName(sequence)
}
