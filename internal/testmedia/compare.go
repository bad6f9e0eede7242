package testmedia

import (
	"errors"
	"fmt"
	"time"

	"weir/media"
)

// The bounds of SameFrames.
const (
	// tick is how finely FLV and RTMP tell time: what passes through them has
	// its timestamps rounded, one way or the other.
	tick = time.Millisecond
	// exact allows for a Packet's own rounding to nanoseconds.
	exact = 2 * time.Nanosecond
	// reported is how many single findings an error lists.
	reported = 5
)

// SameFrames compares what was published with what arrived. It returns nil
// when got holds every frame of want, once, unchanged and in order, and its
// timestamps differ from want's by one offset:
//
//   - the PTS and DTS of all video exactly; where want's are no whole
//     milliseconds, by less than the one millisecond that RTMP rounds by;
//   - those of audio by that same offset within one millisecond, so that sound
//     and picture stay together.
//
// Otherwise the error tells what is missing, doubled, changed or shifted.
func SameFrames(want, got []Packet) error {
	var errs []error
	for _, kind := range []media.Kind{media.Video, media.Audio} {
		if err := sameData(kind, ofKind(want, kind), ofKind(got, kind)); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	return sameTimes(want, got)
}

func ofKind(all []Packet, kind media.Kind) (some []Packet) {
	for _, p := range all {
		if p.Kind == kind {
			some = append(some, p)
		}
	}
	return some
}

// sameData compares the frames of one kind by their hashes.
func sameData(kind media.Kind, want, got []Packet) error {
	left := map[string][]int{} // hash to the indexes in want that are not met yet
	for i, p := range want {
		left[p.MD5] = append(left[p.MD5], i)
	}
	var doubled, foreign, disordered, missing []string
	last := -1
	known := map[string]bool{}
	for i, p := range got {
		switch met := left[p.MD5]; {
		case len(met) > 0:
			if met[0] < last {
				disordered = append(disordered, fmt.Sprintf("frame %d, PTS %v, comes after frame %d", met[0], p.PTS, last))
			}
			last, left[p.MD5] = met[0], met[1:]
		case known[p.MD5]:
			doubled = append(doubled, fmt.Sprintf("at %d, PTS %v", i, p.PTS))
		default:
			foreign = append(foreign, fmt.Sprintf("at %d, PTS %v, %d bytes", i, p.PTS, p.Size))
		}
		known[p.MD5] = true
	}
	for i, p := range want {
		if met := left[p.MD5]; len(met) > 0 && met[0] == i {
			left[p.MD5] = met[1:]
			missing = append(missing, fmt.Sprintf("frame %d, PTS %v, key %t", i, p.PTS, p.Key))
		}
	}
	var errs []error
	for _, f := range []struct {
		what string
		list []string
	}{{"missing", missing}, {"doubled", doubled}, {"of other bytes", foreign}, {"out of order", disordered}} {
		if len(f.list) > 0 {
			errs = append(errs, fmt.Errorf("%d of %d %s frames %s: %q", len(f.list), len(want), kind, f.what, f.list[:min(len(f.list), reported)]))
		}
	}
	return errors.Join(errs...)
}

// spread is the range that a track's timestamps are shifted by.
type spread struct {
	low, high time.Duration
	whole     bool // all of want's timestamps are whole milliseconds
}

func (s spread) width() time.Duration  { return s.high - s.low }
func (s spread) middle() time.Duration { return s.low + s.width()/2 }

// shift measures by how much got is later than want, frame by frame. Audio has
// no DTS of its own.
func shift(want, got []Packet) spread {
	s := spread{low: got[0].PTS - want[0].PTS, high: got[0].PTS - want[0].PTS, whole: true}
	add := func(w, g time.Duration) {
		s.low, s.high = min(s.low, g-w), max(s.high, g-w)
		s.whole = s.whole && (w-w.Round(tick)).Abs() <= exact
	}
	for i := range want {
		add(want[i].PTS, got[i].PTS)
		if want[i].Kind == media.Video {
			add(want[i].DTS, got[i].DTS)
		}
	}
	return s
}

// sameTimes compares the timestamps of equal sequences of frames.
func sameTimes(want, got []Packet) error {
	var offset time.Duration
	var errs []error
	wv, gv := ofKind(want, media.Video), ofKind(got, media.Video)
	if len(wv) > 0 {
		s := shift(wv, gv)
		offset = s.middle()
		bound := tick
		if s.whole {
			bound = exact
		}
		if s.width() > bound {
			errs = append(errs, fmt.Errorf("video timestamps are shifted by %v to %v, want one offset within %v", s.low, s.high, bound))
		}
	}
	wa, ga := ofKind(want, media.Audio), ofKind(got, media.Audio)
	if len(wa) > 0 {
		s := shift(wa, ga)
		if len(wv) == 0 {
			offset = s.middle()
		}
		if s.low < offset-tick-exact || s.high > offset+tick+exact {
			errs = append(errs, fmt.Errorf("audio timestamps are shifted by %v to %v, want %v within %v", s.low, s.high, offset, tick))
		}
	}
	return errors.Join(errs...)
}
