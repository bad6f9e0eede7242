package endpoint

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"weir/remux/flv"
)

// trackEnd is where a track ends so far, in milliseconds.
type trackEnd struct {
	seen       bool
	last, step uint32
}

// rewound is how far back a track's timestamps step, in milliseconds, where
// another recording goes on in the same file.
const rewound = 10_000

// take notes the next timestamp, and tells whether the track has begun anew.
func (e *trackEnd) take(timestamp uint32) (anew bool) {
	ahead := int32(timestamp - e.last)
	anew = e.seen && ahead < -rewound
	if e.seen && ahead > 0 {
		e.step = uint32(ahead)
	}
	e.seen, e.last = true, timestamp
	return anew
}

// end is where the next round begins: where the longer track ends.
func (e *Encoder) end() (end uint32) {
	seen := false
	for _, track := range e.ends {
		if at := track.last + track.step; track.seen && (!seen || int32(at-end) > 0) {
			end, seen = at, true
		}
	}
	return end
}

// trackOf is which one of ends a tag's frames are of, -1 where it holds none.
func trackOf(t flv.Tag) int {
	switch t.Type {
	case flv.TagVideo:
		if v, err := flv.ParseVideo(t.Data); err == nil && v.Packet == flv.CodedFrames {
			return 0
		}
	case flv.TagAudio:
		if a, err := flv.ParseAudio(t.Data); err == nil && a.Packet == flv.CodedFrames {
			return 1
		}
	}
	return -1
}

// isEnd tells whether a tag says that nothing more follows.
func isEnd(t flv.Tag) bool {
	if t.Type != flv.TagVideo {
		return false
	}
	v, err := flv.ParseVideo(t.Data)
	return err == nil && v.Packet == flv.EndOfSequence
}

// reader reads a file as a round publishes it: from the first media on.
type reader struct {
	flv   *flv.Reader
	ahead []flv.Tag // read already
	err   error     // behind those
	first uint32    // timestamp of the first media
	media bool      // there is some
}

// How far a reader looks ahead for the begin of both tracks.
const (
	aheadTags  = 256
	aheadBytes = 4 << 20
)

// newReader finds where the media begins: with the track that does first.
// Headers may be stamped otherwise.
func newReader(file io.Reader) *reader {
	r := &reader{flv: flv.NewReader(file, 0)}
	var seen [2]bool
	for size := 0; len(r.ahead) < aheadTags && size < aheadBytes && !(seen[0] && seen[1]); {
		t, err := r.flv.Next()
		if err != nil {
			r.err = err
			break
		}
		if of := trackOf(t); of >= 0 && !seen[of] {
			if !r.media || int32(t.Timestamp-r.first) < 0 {
				r.first = t.Timestamp
			}
			seen[of], r.media = true, true
		}
		t.Data = bytes.Clone(t.Data)
		r.ahead, size = append(r.ahead, t), size+len(t.Data)
	}
	return r
}

// next returns the next tag, its timestamp counted from the first media. What is
// stamped before that comes with it.
func (r *reader) next() (t flv.Tag, err error) {
	switch {
	case len(r.ahead) > 0:
		t, r.ahead = r.ahead[0], r.ahead[1:]
	case r.err != nil:
		return t, r.err
	default:
		if t, err = r.flv.Next(); err != nil {
			return t, err
		}
	}
	if trackOf(t) < 0 && int32(t.Timestamp-r.first) < 0 {
		t.Timestamp = r.first
	}
	t.Timestamp -= r.first
	return t, nil
}

// over tells whether an error of the file's ends the round and nothing else: what
// a recorder leaves may end inside a tag, or in bytes that are none.
func (e *Encoder) over(err error, r *reader) error {
	switch {
	case !r.media && e.cfg.Loop && errors.Is(err, io.EOF):
		return errors.New("push: there is no audio and no video in the file")
	case errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		return nil
	case r.media && errors.Is(err, flv.ErrMalformed):
		if !e.warned {
			e.warned = true
			e.cfg.Log.Warn("the file is damaged: what stands in front of that is published", "err", err)
		}
		return nil
	}
	return fmt.Errorf("push: read the file: %w", err)
}

// round gives the tags of the file, once, with timestamps that count from offset.
func (e *Encoder) round(offset uint32, give func(flv.Tag) error) error {
	file, err := e.cfg.Open()
	if err != nil {
		return fmt.Errorf("push: %w", err)
	}
	defer file.Close()
	for r := newReader(bufio.NewReaderSize(file, 256<<10)); ; {
		t, err := r.next()
		if err != nil {
			return e.over(err, r)
		}
		if e.cfg.Loop && isEnd(t) {
			continue // it goes on in the next round
		}
		t.Timestamp += offset
		if err := give(t); err != nil {
			return err
		}
	}
}
