package inputs

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"time"

	"weir/media"
	"weir/media/h264"
	"weir/remux/flv"
)

// Fault changes what a session sends. It leaves its argument as it is.
type Fault func(Input) Input

// After applies faults one after the other.
func (in Input) After(faults ...Fault) Input {
	for _, f := range faults {
		in = f(in)
	}
	return in
}

// Which picks tags.
type Which func(*Tag) bool

// Of picks frames of a kind.
func Of(k media.Kind) Which { return func(t *Tag) bool { return t.Kind == k } }

// Both picks frames of either kind.
func Both(t *Tag) bool { return t.Kind != 0 }

// Between are those of w that come from from on and before to; 0 stands for the
// end.
func (w Which) Between(from, to time.Duration) Which {
	return func(t *Tag) bool { return w(t) && t.At >= from && (to == 0 || t.At < to) }
}

// each makes a Fault of a change of single tags.
func each(w Which, change func(*Tag)) Fault {
	return func(in Input) Input {
		out := slices.Clone(in)
		for i := range out {
			if w(&out[i]) {
				change(&out[i])
			}
		}
		return out
	}
}

// Stamped gives tags other timestamps.
func Stamped(w Which, stamp func(*Tag) uint32) Fault {
	return each(w, func(t *Tag) { t.Timestamp = stamp(t) })
}

// Jump has clocks go on by so much ahead, or back.
func Jump(w Which, by time.Duration) Fault {
	return Stamped(w, func(t *Tag) uint32 { return t.Timestamp + uint32(by/time.Millisecond) })
}

// Lost leaves tags out.
func Lost(w Which) Fault {
	return func(in Input) Input { return slices.DeleteFunc(slices.Clone(in), func(t Tag) bool { return w(&t) }) }
}

// SentLate sends tags that much later, by good stamps.
func SentLate(w Which, by time.Duration) Fault {
	return func(in Input) Input {
		out := each(w, func(t *Tag) { t.At += by })(in)
		out.sort()
		return out
	}
}

// Faster sends everything in a fraction of its time.
func Faster(times int) Fault {
	return func(in Input) Input {
		out := slices.Clone(in)
		for i := range out {
			out[i].At /= time.Duration(times)
		}
		return out
	}
}

// body gives tags other bodies.
func body(w Which, change func([]byte) []byte) Fault {
	return each(w, func(t *Tag) { t.Data = change(bytes.Clone(t.Data)) })
}

// Flagged sets FLV's frame type of pictures: 1 is a key frame.
func Flagged(w Which, frameType byte) Fault {
	return body(w, func(b []byte) []byte { b[0] = frameType<<4 | b[0]&15; return b })
}

// AnnexB writes start codes in place of lengths.
func AnnexB(w Which) Fault {
	return body(w, func(b []byte) []byte {
		out := b[:5:5]
		for _, nal := range Units(b) {
			out = append(append(out, 0, 0, 0, 1), nal...)
		}
		return out
	})
}

// CodesInside gives one length to all units of a message, with start codes
// between them.
func CodesInside(w Which) Fault {
	return body(w, func(b []byte) []byte {
		all := bytes.Join(Units(b), []byte{0, 0, 0, 1})
		return appendUnit(b[:5:5], all)
	})
}

// Behind puts bytes behind the last unit of each message, one more each time, up
// to most.
func Behind(w Which, most int) Fault {
	n := 0
	return body(w, func(b []byte) []byte { n++; return append(b, make([]byte, 1+n%most)...) })
}

// EmptyUnits puts a unit without a byte in front of each message's others.
func EmptyUnits(w Which) Fault {
	return body(w, func(b []byte) []byte { return slices.Insert(b, 5, 0, 0, 0, 0) })
}

// InFront puts units in front of those of each message.
func InFront(w Which, nals ...[]byte) Fault {
	return body(w, func(b []byte) []byte {
		out := b[:5:5]
		for _, nal := range append(slices.Clone(nals), Units(b)...) {
			out = appendUnit(out, nal)
		}
		return out
	})
}

// OneUnitAMessage sends each unit in a message of its own.
func OneUnitAMessage(in Input) (out Input) {
	for _, t := range in {
		units := [][]byte(nil)
		if t.Kind == media.Video {
			units = Units(t.Data)
		}
		if len(units) < 2 {
			out = append(out, t)
			continue
		}
		for _, nal := range units {
			part := t
			part.Data = appendUnit(bytes.Clone(t.Data[:5]), nal)
			out = append(out, part)
		}
	}
	return out
}

// AsPTS stamps pictures with when they are to be shown.
func AsPTS(w Which) Fault {
	return each(w, func(t *Tag) {
		t.Timestamp += uint32(composition(t.Data))
		t.Data = bytes.Clone(t.Data)
		putComposition(t.Data, 0)
	})
}

// Offset adds to pictures' composition offsets.
func Offset(w Which, by time.Duration) Fault {
	return each(w, func(t *Tag) {
		t.Data = bytes.Clone(t.Data)
		putComposition(t.Data, composition(t.Data)+int32(by/time.Millisecond))
		t.Shown += by
	})
}

func composition(b []byte) int32 {
	return int32(uint32(b[2])<<24|uint32(b[3])<<16|uint32(b[4])<<8) >> 8
}

// InBlocks stamps frames in blocks of n with the stamp of the first.
func InBlocks(w Which, n int) Fault {
	i, first := 0, uint32(0)
	return Stamped(w, func(t *Tag) uint32 {
		if i%n == 0 {
			first = t.Timestamp
		}
		i++
		return first
	})
}

// Jitter has stamps be off at random, to both sides.
func Jitter(w Which, most time.Duration, rng *rand.Rand) Fault {
	ms := int(most / time.Millisecond)
	return Stamped(w, func(t *Tag) uint32 { return uint32(max(0, int(int32(t.Timestamp))+rng.IntN(2*ms+1)-ms)) })
}

// Inserted puts tags in at their time, in front of what comes then.
func Inserted(more ...Tag) Fault {
	return func(in Input) Input {
		out := append(slices.Clone(Input(more)), in...)
		out.sort()
		return out
	}
}

// WithoutHeaders leaves the sequence headers of a type out.
func WithoutHeaders(typ flv.TagType) Fault {
	return Lost(func(t *Tag) bool { return t.Type == typ && flv.IsSequenceHeader(t.Tag) })
}

// Replaced goes on with what another film sends of a kind, from from on: it is
// on the same clock, and its header comes first.
func Replaced(kind media.Kind, from time.Duration, with Input) Fault {
	return func(in Input) Input {
		out := Lost(Of(kind).Between(from, 0))(in)
		var more Input
		for _, t := range with {
			if t.Kind != kind || t.At < from || len(more) == 0 && kind == media.Video && !t.Key {
				continue
			}
			if len(more) == 0 {
				for _, h := range with {
					if h.Type == t.Type && flv.IsSequenceHeader(h.Tag) {
						h.At, h.Shown, h.Timestamp = t.At, t.At, t.Timestamp
						more = append(more, h)
					}
				}
			}
			more = append(more, t)
		}
		out = append(out, more...)
		out.sort()
		return out
	}
}

// Sets returns the parameter sets of a record, as they come in band.
func Sets(record []byte) [][]byte {
	c, err := h264.ReadConfig(record)
	if err != nil {
		panic(err)
	}
	return slices.Concat(c.SPS, c.PPS)
}
