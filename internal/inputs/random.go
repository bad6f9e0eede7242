package inputs

import (
	"fmt"
	"math/rand/v2"
	"time"

	"weir/media"
	"weir/remux/flv"
)

// Event is a fault at its time, as a torture tells of it.
type Event struct {
	At, Long time.Duration
	Name     string
	Fault    Fault
	// Loses tells that frames are left out, Holds that they come when what stands
	// in for them may have been shown.
	Loses, Holds bool
}

func (e Event) String() string {
	return fmt.Sprintf("%v: %s, %v", e.At.Round(time.Millisecond), e.Name, e.Long.Round(time.Millisecond))
}

// Draw draws an event at at, of long at most: one of every kind that an encoder
// goes on after.
// headers are the sequence headers in force.
func Draw(rng *rand.Rand, at, most time.Duration, headers ...Tag) Event {
	long := time.Duration(rng.Int64N(int64(most))) + 100*time.Millisecond
	to := at + long
	which, name := Of(media.Video), "pictures"
	switch rng.IntN(3) {
	case 0:
		which, name = Of(media.Audio), "sound"
	case 1:
		which, name = Both, "both"
	}
	pictures := Of(media.Video)
	jump := time.Duration(rng.Int64N(int64(200*time.Second))) - 100*time.Second
	e := Event{At: at, Long: long}
	switch rng.IntN(14) {
	case 0:
		e.Name, e.Loses, e.Fault = name+" pause", true, Lost(which.Between(at, to))
	case 1:
		e.Name, e.Loses = name+" pause, and come back with a clock of their own", true
		base := rng.Uint32()
		e.Fault = func(in Input) Input {
			return in.After(Lost(which.Between(at, to)), Stamped(which.Between(to, 0), func(t *Tag) uint32 { return base + t.Timestamp - millis(to) }))
		}
	case 2:
		e.Name, e.Fault = fmt.Sprintf("the clock of %s jumps by %v", name, jump.Round(time.Second)), Jump(which.Between(at, 0), jump)
	case 3:
		e.Name, e.Fault = fmt.Sprintf("the clock of %s steps by %v", name, (jump/100).Round(time.Millisecond)), Jump(which.Between(at, 0), jump/100)
	case 4:
		e.Name = name + " all have one stamp"
		e.Fault = Stamped(which.Between(at, to), func(*Tag) uint32 { return millis(at) })
	case 5:
		e.Name, e.Fault = "sound stamped at random, pictures a little", func(in Input) Input {
			return in.After(Jitter(Of(media.Audio).Between(at, to), 90*time.Millisecond, rng), Jitter(pictures.Between(at, to), 8*time.Millisecond, rng))
		}
	case 6:
		e.Name, e.Fault = name+" are stamped in blocks", InBlocks(which.Between(at, to), 2+rng.IntN(6))
	case 7:
		e.Name, e.Fault = "pictures are flagged at random", Flagged(pictures.Between(at, to), byte(1+rng.IntN(3)))
	case 8:
		e.Name, e.Fault = "pictures behind start codes", AnnexB(pictures.Between(at, to))
	case 9:
		e.Name, e.Fault = "zeros behind pictures, and empty units in front", func(in Input) Input {
			return in.After(EmptyUnits(pictures.Between(at, to)), Behind(pictures.Between(at, to), 3))
		}
	case 10:
		e.Name, e.Fault = "headers again and again", Inserted(again(headers, at, to)...)
	case 11:
		e.Name, e.Fault = "data of which nobody knows", Inserted(Junk(at, to)...)
	case 12:
		e.Name, e.Loses, e.Fault = "damaged pictures", true, damaged(pictures.Between(at, to), rng)
	case 13:
		e.Holds = true
		e.Name, e.Fault = name+" held up and sent at once", held(which, at, min(to, at+time.Second))
	}
	return e
}

// again repeats the sequence headers five times a second.
func again(headers []Tag, from, to time.Duration) (all []Tag) {
	for at := from; at < to; at += 200 * time.Millisecond {
		for _, h := range headers {
			h.At, h.Shown, h.Timestamp = at, at, millis(at)
			all = append(all, h)
		}
	}
	return all
}

// Junk are tags that hold none of what is packaged.
func Junk(from, to time.Duration) (all []Tag) {
	for at := from; at < to; at += 250 * time.Millisecond {
		for _, x := range []flv.Tag{
			{Type: flv.TagScript, Data: []byte("\x02\x00\x0aonCuePoint")},
			{Type: flv.TagAudio, Data: []byte{0x2f, 1, 2, 3}},                   // MP3
			{Type: flv.TagVideo, Data: []byte{0x22, 1, 2, 3}},                   // H.263
			{Type: flv.TagVideo, Data: []byte{0x57, 0}},                         // a command
			{Type: flv.TagVideo, Data: []byte{0x17, 0, 0, 0, 0, 1, 2, 3}},       // half a header
			{Type: flv.TagVideo, Data: []byte{0x27, 1, 0, 0, 0, 0, 0, 9, 0x41}}, // half a picture
		} {
			x.Timestamp = millis(at)
			all = append(all, Tag{Tag: x, At: at, Shown: at})
		}
	}
	return all
}

// damaged cuts the bodies of some pictures short, which are no key pictures.
func damaged(w Which, rng *rand.Rand) Fault {
	return body(func(t *Tag) bool { return w(t) && !t.Key && rng.IntN(8) == 0 }, func(b []byte) []byte { return b[:5+rng.IntN(4)] })
}

// held holds frames up, which then come at once.
func held(w Which, from, to time.Duration) Fault {
	return func(in Input) Input {
		out := each(w.Between(from, to), func(t *Tag) { t.At = to })(in)
		out.sort()
		return out
	}
}
