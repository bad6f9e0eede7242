package media

import "slices"

// maxReorder is the most pictures that are put in order: what encoders use is
// up to four; the specification allows 16 (ITU-T H.264, E.2.1,
// max_num_reorder_frames).
const maxReorder = 8

// order makes DTS out of PTS, where what was sent is no DTS: pictures are
// decoded in the order in which they come, so that the DTS are the PTS in
// increasing order, delayed by as many pictures as may be reordered.
type order struct {
	// Depth is how many pictures that is; 0: the stamps are DTS.
	Depth int `json:"depth,omitempty"`
	// PTS are those that are no DTS yet, the smallest first.
	PTS [maxReorder + 1]int64 `json:"pts,omitzero"`
}

// expect looks at the pictures that follow the first one of a session, at at:
// whether one of them is shown before another was decoded by its stamp. Where
// too few are known, what the parameter sets say is enough, as long as none has
// a composition offset.
func (o *order) expect(s Stamp, ahead []Stamp, at, step int64) {
	*o = order{}
	if s.Reorder == 0 {
		return
	}
	pts := []int32{s.Composition}
	latest, clash, offsets := int32(0), false, s.Composition != 0
	depth := 0
	for i := range ahead {
		if ahead[i].Kind != Video {
			continue
		}
		ts := int32(ahead[i].Timestamp - s.Timestamp)
		shown := ts + ahead[i].Composition
		if distance(int64(shown), 0) > MaxGap/ticksPerMilli || len(pts) == 4*maxReorder {
			break
		}
		clash = clash || shown < latest
		latest = max(latest, ts)
		offsets = offsets || ahead[i].Composition != 0
		later := 0
		for _, p := range pts {
			if p > shown {
				later++
			}
		}
		depth = max(depth, later)
		pts = append(pts, shown)
	}
	switch {
	case clash:
		o.Depth = min(max(depth, s.Reorder), maxReorder)
	case !offsets && len(pts) < s.Reorder+2:
		o.Depth = min(s.Reorder, maxReorder)
	}
	for i := range o.Depth {
		o.PTS[1+i] = at - int64(o.Depth-i)*step
	}
}

// dts returns the times of a picture at at that is to be shown at pts, behind
// one decoded at out.
func (o *order) dts(at, pts, out int64, reorder int) (int64, int64) {
	if o.Depth == 0 {
		// A negative offset: rather a picture decoded early than shown late.
		if d := min(at, pts); d > out {
			return d, pts
		}
		// Nor is it shown late where its stamp is the one before's.
		if pts > out {
			return out + 1, pts
		}
		if reorder == 0 || out-pts > maxComposition {
			return out + 1, max(pts, out+1)
		}
		o.grow(out)
	} else if pts <= out && o.Depth < maxReorder {
		o.grow(out)
	}
	// The smallest was the DTS of the picture before: pts takes its place.
	o.PTS[0] = pts
	for i := 0; i < o.Depth && o.PTS[i] > o.PTS[i+1]; i++ {
		o.PTS[i], o.PTS[i+1] = o.PTS[i+1], o.PTS[i]
	}
	d := max(min(o.PTS[0], pts), pts-maxComposition, out+1)
	return d, max(pts, d)
}

// grow delays DTS by one more picture, from here on.
func (o *order) grow(out int64) {
	copy(o.PTS[2:], o.PTS[1:o.Depth+1])
	o.PTS[1] = out
	o.Depth++
}

// shown are the pictures so far that have the last one's stamp, by their
// composition offsets: those make PTS of their own.
type shown struct {
	N       int                   `json:"n,omitempty"`
	Offsets [maxReorder + 1]int32 `json:"offsets,omitzero"`
}

// begin notes the first picture with its stamp.
func (o *shown) begin(composition int32) {
	*o = shown{}
	o.add(composition)
}

func (o *shown) add(composition int32) {
	o.Offsets[o.N] = composition
	o.N++
}

// parts tells whether a picture that repeats the stamp, and those ahead that do,
// are each shown at another time. There are no more of them than may be
// reordered: a clock that stands still says the same again and again.
func (o shown) parts(s Stamp, ahead []Stamp) bool {
	if !o.takes(s) {
		return false
	}
	o.add(s.Composition)
	for i := range ahead {
		switch next := &ahead[i]; {
		case next.Kind != Video:
		case next.Timestamp != s.Timestamp:
			return true
		case !o.takes(*next):
			return false
		default:
			o.add(next.Composition)
		}
	}
	return true
}

// before tells whether a picture whose stamp is step after the last one's is
// shown behind that.
func (o *shown) before(s Stamp, step int64) bool {
	if o.N == 0 {
		return false
	}
	last := Stamp{Composition: o.Offsets[o.N-1]}
	return step+s.composition() > last.composition()
}

// takes tells whether nothing speaks against one more picture.
func (o *shown) takes(s Stamp) bool {
	absurd := s.Composition != 0 && s.composition() == 0
	return o.N < len(o.Offsets) && !absurd && !slices.Contains(o.Offsets[:o.N], s.Composition)
}
