package h264

import "bytes"

// The bounds of a Glance: behind as many NAL units or bytes, a message's own
// flags must do.
const (
	maxGlanceUnits = 32
	maxGlanceBytes = 8 << 10
)

// Glance is what the beginning of a message with coded pictures shows.
type Glance struct {
	// Picture tells that a slice was met, Begins that it is a picture's first
	// (first_mb_in_slice is 0).
	Picture, Begins bool
	// IDR, Recovery and Intra are of what was met up to that slice: an IDR
	// slice, a recovery point, a slice that needs no other picture.
	IDR, Recovery, Intra bool
	// Found tells that a NAL unit was met, Sets that an SPS was, and Parameters
	// that a parameter set of any kind was, before the slice.
	Found, Sets, Parameters bool
}

// RandomAccess tells whether decoding can start with the picture that the
// message begins, or leads up to by parameter sets that stand alone in it.
// flagged is what the container says: it is believed where no slice was met
// and nothing else, or a slice that bears it out.
func (g Glance) RandomAccess(flagged bool) bool {
	switch {
	case g.Picture && !g.Begins:
		return false
	case g.IDR || g.Recovery:
		return true
	case g.Picture:
		return flagged && g.Intra
	}
	return g.Sets || flagged
}

// Look looks at a message's NAL units up to its first slice, however they are
// framed (Split). It is for those who sort messages and leave the pictures
// alone: its work is bounded, and it allocates nothing.
func Look(p []byte, lengthSize int) (g Glance) {
	c := newCursor(p, lengthSize)
	for range maxGlanceUnits {
		nal, ok := c.next()
		if !ok {
			return g
		}
		g.Found = true
		switch TypeOf(nal) {
		case SEI:
			g.Recovery = g.Recovery || hasRecoveryPoint(nal)
		case SequenceParams:
			g.Sets, g.Parameters = true, true
		case PictureParams, SPSExtension:
			g.Parameters = true
		case Slice, PartitionA, IDR:
			s := parseSlice(nal, &sets{})
			g.Picture, g.Begins = true, s.first == 0
			g.IDR, g.Intra = s.idr, s.intra()
			return g
		}
	}
	return g
}

// InBand returns a record in which the parameter sets of a message are in force,
// those before its first slice: record itself where it holds them, and a new one
// where it does not. It allocates nothing where nothing is new.
func InBand(record, p []byte, lengthSize int) []byte {
	var in *sets
	c := newCursor(p, lengthSize)
	for range maxGlanceUnits {
		nal, ok := c.next()
		t := TypeOf(nal)
		if !ok || t >= Slice && t <= IDR {
			break
		}
		set := t == SequenceParams || t == PictureParams || t == SPSExtension
		if nal = trimZeros(nal); !set || bytes.Contains(record, nal) {
			continue
		}
		if in == nil {
			config, err := ReadConfig(record)
			if err != nil {
				config = Config{LengthSize: PartLengthSize}
			}
			in = newSets(config, nil)
		}
		in = in.with(nal)
	}
	if in == nil || len(in.config.SPS) == 0 {
		return record
	}
	return in.config.Append(nil)
}

// cursor walks over the units at a message's beginning. A size of 0 stands for
// start codes.
type cursor struct {
	rest []byte
	size int
}

// newCursor guesses the framing by the first units.
func newCursor(p []byte, lengthSize int) cursor {
	if c := (cursor{p, lengthSize}); c.sound() && !(startsWithCode(p) && !c.evenAfterFirst()) {
		return c
	}
	if startsWithCode(p) {
		p = p[:min(len(p), maxGlanceBytes)]
		return cursor{p[max(0, afterStartCode(p, 0)):], 0}
	}
	for _, size := range [...]int{4, 2, 3} {
		if c := (cursor{p, size}); c.sound() && c.evenAfterFirst() {
			return c
		}
	}
	return cursor{}
}

// sound tells whether the first unit can be one.
func (c cursor) sound() bool {
	nal, ok := c.next()
	return ok && len(nal) > 0 && known(nal[0])
}

// evenAfterFirst tells whether another unit, or the end, follows the first.
func (c cursor) evenAfterFirst() bool {
	c.next()
	return allZero(c.rest[:min(len(c.rest), maxGlanceUnits)]) || c.sound()
}

// next returns the next unit that is not empty. The last one may be cut short.
func (c *cursor) next() ([]byte, bool) {
	for range maxGlanceUnits {
		if len(c.rest) == 0 {
			break
		}
		if c.size == 0 {
			return c.nextCoded()
		}
		n, ok := unitLength(c.rest, c.size)
		if !ok {
			break
		}
		nal := c.rest[c.size : c.size+n]
		c.rest = c.rest[c.size+n:]
		if n == 0 {
			continue
		}
		if t := TypeOf(nal); t < Slice || t > IDR {
			head := nal[:min(len(nal), maxGlanceBytes)]
			if at := afterStartCode(head, 0); at > 0 && at < len(head) && known(head[at]) {
				*c = cursor{head, 0} // several units under one length (splitInside)
				return c.nextCoded()
			}
		}
		return nal, true
	}
	return nil, false
}

// nextCoded is next between start codes.
func (c *cursor) nextCoded() ([]byte, bool) {
	for len(c.rest) > 0 {
		nal := c.rest
		next := afterStartCode(nal, 0)
		if next < 0 {
			c.rest = nil
			return nal, true
		}
		c.rest = nal[next:]
		if nal = trimZeros(nal[:next-3]); len(nal) > 0 {
			return nal, true
		}
	}
	return nil, false
}
