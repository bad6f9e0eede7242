package hls

import (
	"slices"

	"weir/media"
	"weir/media/framelog"
)

// opening holds the first batches of a broadcast until it is known which
// tracks the show has. Players make their buffers from the first segment: a
// track that comes later, or goes, stops them for good. So the set of tracks
// is decided once, and what the first segment has, every segment has.
//
// What is held is in no State: whoever goes on from there reads the same
// batches again, and decides the same.
type opening struct {
	held     []*framelog.Batch
	bytes    int
	timeline media.Timeline
	tracks   Tracks
	// has tells which tracks frames have come of; begin and end are what they
	// span, in ticks, if any has.
	has Kinds
	// missing is how long the show was shown before its first sound, late how far
	// the pictures had come when that came; in ticks.
	missing, late int64
	begin, end    int64
	reading       reading
}

// How long the show's first segment waits, in ticks and in bytes of log, for a
// track that no header has promised, and for one that a header has.
const (
	surpriseTrack = 2 * media.Clock
	promisedTrack = 8 * media.Clock
	openingBytes  = 8 << 20
)

// Kinds are the tracks that a show has; the zero value says that it is not
// decided.
type Kinds struct {
	Video bool `json:"video,omitempty"`
	Audio bool `json:"audio,omitempty"`
}

func (k Kinds) decided() bool { return k.Video || k.Audio }

// has tells whether k has a track of a kind.
func (k Kinds) has(kind media.Kind) bool {
	return kind == media.Video && k.Video || kind == media.Audio && k.Audio
}

// with is k with a track of a kind, or without it.
func (k Kinds) with(kind media.Kind, has bool) Kinds {
	if kind == media.Video {
		k.Video = has
	} else {
		k.Audio = has
	}
	return k
}

// lacks tells whether it is decided that the show has no such track.
func (k Kinds) lacks(kind media.Kind) bool {
	return k.decided() && !k.has(kind)
}

// hold takes a batch and tells whether the tracks are known by now.
func (o *opening) hold(f Format, b *framelog.Batch) (known bool) {
	r := &o.reading
	r.read(f, b, o.timeline, o.tracks, Kinds{}, r.split)
	o.timeline, o.tracks = r.timeline, r.tracks
	if r.ok {
		if !o.has.decided() {
			o.begin = r.begin
		}
		o.begin, o.end = min(o.begin, r.begin), max(o.end, r.end)
	}
	if i := slices.IndexFunc(r.frames, func(f media.Frame) bool { return f.Kind == media.Audio }); i >= 0 && !o.has.Audio {
		o.missing, o.late = r.frames[i].PTS-o.begin, o.end-r.frames[i].PTS
	}
	for i := range r.frames {
		if r.frames[i].Kind == media.Video {
			o.has.Video = true
		} else {
			o.has.Audio = true
		}
	}
	o.held = append(o.held, b)
	o.bytes += len(b.Tags)
	return o.known()
}

func (o *opening) known() bool {
	if o.has.Video && o.has.Audio || o.bytes > openingBytes {
		return true
	}
	if !o.has.decided() {
		return false
	}
	promised := o.tracks.Video != nil && !o.has.Video || o.tracks.Audio != nil && !o.has.Audio
	if promised {
		return o.end-o.begin > promisedTrack
	}
	return o.end-o.begin > surpriseTrack
}

// pauses is what the first frames tell of how the sound comes.
func (o *opening) pauses() Pauses {
	switch {
	case o.missing > unknownBlock:
		return Pauses{} // there is none at first: nobody waits for it
	case o.late > unknownBlock:
		// It is there from the start, and is sent long behind its pictures.
		return Pauses{Block: o.late, Lag: o.late}
	}
	return Pauses{Block: unknownBlock}
}

// wait holds a batch of a broadcast whose tracks are not known, and cuts what
// was held once they are.
func (c *Cutter) wait(b *framelog.Batch) (cuts []*Cut) {
	if c.behind(b) || c.state.Phase != Live {
		return nil
	}
	if b.Flags.Has(framelog.Fence) || b.Flags.Has(framelog.End) || b.Flags.Has(framelog.Final) {
		return append(c.settle(), c.cuts(c.push(b))...)
	}
	if held := c.opening.held; len(held) > 0 {
		switch last := held[len(held)-1]; {
		case b.Seq <= last.Seq && b.Log == last.Log || b.Epoch < last.Epoch:
			return nil
		case b.Epoch > last.Epoch:
			// Another session: a show of its own as long as there is no segment.
			if cuts = c.settle(); c.opening == nil {
				return append(cuts, c.cuts(c.push(b))...)
			}
		}
	}
	if c.skip && len(c.opening.held) == 0 && !b.Flags.Has(framelog.Key) {
		return cuts
	}
	if c.opening.hold(c.format, b) {
		cuts = append(cuts, c.settle()...)
	}
	return cuts
}

// settle decides the tracks of the show by the frames that have come, and cuts
// what was held. Where none has come, nothing is decided.
func (c *Cutter) settle() (cuts []*Cut) {
	o := c.opening
	if o == nil {
		return nil
	}
	c.opening = nil
	if c.state.Kinds = o.has; !o.has.decided() {
		c.opening = new(opening)
	} else {
		c.tracks = o.tracks // the first segment names them all from its start
		if !o.has.Audio {
			c.tracks.Audio = nil
		}
		if !o.has.Video {
			c.tracks.Video = nil
		}
		c.pauses = o.pauses()
	}
	for _, b := range o.held {
		cuts = append(cuts, c.cuts(c.push(b))...)
	}
	return cuts
}
