package media

// TrackClock is one track's side of a Timeline.
type TrackClock struct {
	// Seen tells that the session has brought a frame of this track.
	Seen bool `json:"seen,omitempty"`
	// Raw is the last timestamp as sent, In the same in ticks, unwrapped. Base
	// is what is added to In.
	Raw  uint32 `json:"raw,omitempty"`
	In   int64  `json:"in,omitempty"`
	Base int64  `json:"base,omitempty"`
	// At is the place of the last frame: In + Base, where its stamp was
	// believed. Out is the last DTS given out, Step how long its frame lasts,
	// as far as the frames before tell.
	At   int64 `json:"at,omitempty"`
	Out  int64 `json:"out,omitempty"`
	Step int64 `json:"step,omitempty"`
	// Pace is how long frames last on the mean, holes left out.
	Pace int64 `json:"pace,omitempty"`

	// Floor is the last DTS of pictures that were shown again, beside Out.
	Floor int64 `json:"floor,omitempty"`

	// Met is the other track's Out when the last frame came. Skew is how far
	// frames are placed from the other track's last one, on the mean, and Spread
	// how far they are from that; both of Heard frames, as far as they count.
	Met    int64 `json:"met,omitempty"`
	Skew   int64 `json:"skew,omitempty"`
	Spread int64 `json:"spread,omitempty"`
	Heard  int64 `json:"heard,omitempty"`

	// Still is how many frames in a row had stamps that stand still, or that
	// were not believed. Off is how many stamps in a row were too late (or,
	// below 0, too early) for the samples before. Skipped: the next jump ahead
	// is none.
	Still   int  `json:"still,omitempty"`
	Off     int  `json:"off,omitempty"`
	Skipped bool `json:"skipped,omitempty"`
	// Filled: silence stands in front, which begins at Silence, and ends where
	// nobody said.
	Filled  bool  `json:"filled,omitempty"`
	Silence int64 `json:"silence,omitempty"`

	// Order makes DTS where the stamps are none.
	Order order `json:"order,omitzero"`
	// Shown tells pictures with one stamp apart.
	Shown shown `json:"shown,omitzero"`

	// Anchor, Samples and Rate are the audio clock: the next frame is due at
	// Anchor + Samples/Rate.
	Anchor  int64 `json:"anchor,omitempty"`
	Samples int64 `json:"samples,omitempty"`
	Rate    int   `json:"rate,omitempty"`
}

// The tolerances of a track's clock, in ticks.
const (
	// near is how far a stamp may be from where it is expected without being
	// looked at twice.
	near = Clock / 10
	// tolerance is how far a place may be from where the other track is, by
	// arrival, to be believed: and so much more, as arrival is uneven.
	tolerance    = Clock / 4
	maxTolerance = Clock
	// silent is how long a track goes on by itself before the other one says
	// nothing about where it is.
	silent = 2 * Clock
	// heardFrames are how many frames make the mean of Skew.
	heardFrames = 32
	// held is for how long a track may be held up while the other one comes.
	held = Clock
)

// End is where the track so far ends, 0 where the session has none of it.
func (k *TrackClock) End() int64 {
	if !k.Seen {
		return 0
	}
	return max(k.Out+k.Step, k.Floor+1)
}

// inherit fills in what a release before this one did not know.
func (k *TrackClock) inherit() {
	if k.Seen && k.At == 0 {
		k.At, k.Pace = k.Out, k.Step
		k.Skipped = k.Out-k.In-k.Base > near
	}
}

// advance takes the next timestamp, and returns how far it is from the last
// one, in ticks.
func (k *TrackClock) advance(ts uint32) int64 {
	step := int64(int32(ts-k.Raw)) * ticksPerMilli
	k.In += step
	k.Raw = ts
	return step
}

// meet notes where the other track is, by arrival.
func (k *TrackClock) meet(other *TrackClock, first bool) {
	k.Met = other.Out
	if first {
		other.Met = k.Out
	}
}

// alive tells whether the other track says where this one is: both have been
// heard together, and it has not been silent since.
func (k *TrackClock) alive(other *TrackClock) bool {
	return other.Seen && k.Heard+other.Heard > 0 && k.Out-other.Met <= silent
}

// arrival is where a frame belongs that comes now: as far from the other
// track's last frame as those before it.
func (k *TrackClock) arrival(other *TrackClock) int64 {
	if k.Heard == 0 {
		return other.At - other.Skew
	}
	return other.At + k.Skew
}

// stalled tells whether a frame comes so late behind the one before that its
// stamp, though it goes on from there, is of a clock that stood still
// meanwhile: the other track has gone on, and now both come at one rate. What
// was only held up comes faster.
func (k *TrackClock) stalled(other *TrackClock, place int64, s Stamp, ahead []Stamp) bool {
	if !k.alive(other) || other.Out-k.Met <= held || k.arrives(other, place) {
		return false
	}
	var mine, others int64
	for i := range ahead {
		if a := &ahead[i]; a.Kind == s.Kind {
			mine = max(mine, int64(int32(a.Timestamp-s.Timestamp))*ticksPerMilli)
		} else {
			others = max(others, int64(int32(a.Timestamp-other.Raw))*ticksPerMilli)
		}
	}
	return others > 0 && mine <= 2*others+near && others <= 2*mine+near
}

// sound notes a frame whose stamp is where it was expected. How
// far apart the tracks are is taken where one follows on the other, and not of
// one that goes by this one.
func (k *TrackClock) sound(other *TrackClock, at int64) {
	if !other.Seen || other.Still > 0 || k.Heard > 0 && k.Met == other.Out {
		return
	}
	skew := clamp(at-other.At, MaxGap)
	k.Heard = min(k.Heard+1, heardFrames)
	off := skew - k.Skew
	k.Skew += off / k.Heard
	k.Spread += (distance(off, 0) - k.Spread) / heardFrames
	if k.Heard == 1 {
		k.Spread = 0
	}
}

// tolerance is how far from arrival a place may be.
func (k *TrackClock) tolerance() int64 { return min(tolerance+2*k.Spread, maxTolerance) }

// pace is the place of a frame whose stamp says nothing: one step after the one
// before, and slowly to where the other track is.
func (k *TrackClock) pace(other *TrackClock, expected int64) int64 {
	if !k.alive(other) {
		return expected
	}
	off := k.arrival(other) - expected
	if distance(off, 0) <= k.tolerance() {
		off /= 8
	}
	return max(expected+off, k.At+1)
}

// window is how far back a picture's stamp may step where stamps are PTS: as
// many pictures as may be reordered.
func (k *TrackClock) window(reorder int) int64 {
	switch {
	case k.Order.Depth > 0:
		reorder = k.Order.Depth
	case reorder == 0:
		return 0
	case reorder < 0:
		reorder = 2
	}
	return int64(reorder+1)*min(k.Pace, maxStep) + near
}

// verdict is what there is to choose from where a stamp is not where it is
// expected.
type verdict struct {
	p    int64 // by the stamp
	e    int64 // where the frame is expected
	near int64
	x    int64 // what was chosen
}

// judge chooses a frame's place where its stamp is off. In this order:
//
//   - The stamp, where the other track is there by arrival: this track paused,
//     or lost frames.
//   - The stamp on the other track's clock, where that leads there, or on from
//     the frame before: the other track met the same event first.
//   - Where the other track's next stamp is off in the same way, both have met
//     it: a jump ahead of up to MaxGap is a gap in the media and is kept, what
//     is longer, or backwards, is taken out.
//   - Otherwise the stamp is wrong. The frame goes where it was expected if that
//     is where the other track is, and to the other track if it is not.
//
// A track alone has only its own stamps: gaps of up to MaxGap are kept.
func (v *verdict) judge(k, other *TrackClock, s Stamp, ahead []Stamp) {
	alive := k.alive(other)
	gap := v.p > v.e && v.p-v.e <= MaxGap
	switch {
	case k.arrives(other, v.p) && (!v.closer(k, other) || v.together(k, other, s.Kind, ahead)):
		v.x = v.p
	case v.follows(k, other):
		v.x = k.In + other.Base
	case !alive && gap, alive && gap && v.together(k, other, s.Kind, ahead):
		v.x = v.p
	case !alive || k.arrives(other, v.e):
		v.x = v.e
	default:
		v.x = k.arrival(other)
	}
	if v.x <= k.Out && v.x != v.p {
		v.x = v.e
	}
}

// arrives tells whether a place is where the other track is.
func (k *TrackClock) arrives(other *TrackClock, x int64) bool {
	return k.alive(other) && distance(x, k.arrival(other)) <= k.tolerance()
}

// closer tells whether the place where the frame was expected is clearly closer
// to the other track than the stamp's: many small steps are a long way.
func (v *verdict) closer(k, other *TrackClock) bool {
	there := k.arrival(other)
	return distance(v.e, there)+near/2 < distance(v.p, there)
}

// follows tells whether the stamp makes sense on the other track's clock.
func (v *verdict) follows(k, other *TrackClock) bool {
	if !other.Seen || other.Base == k.Base {
		return false
	}
	moved := k.In + other.Base
	return k.arrives(other, moved) || distance(moved, v.e) <= v.near
}

// obvious tells that the frame cannot be where it was expected, whatever its
// stamp says: the other track is far from there.
func (v *verdict) obvious(k, other *TrackClock) bool {
	return k.alive(other) && distance(v.e, k.arrival(other)) > 2*k.tolerance()
}

// together tells whether the other track's next frame is stamped as far from
// this one as its frames are: the two have jumped together.
func (v *verdict) together(k, other *TrackClock, kind Kind, ahead []Stamp) bool {
	for _, s := range ahead {
		if s.Kind != kind {
			at := other.In + int64(int32(s.Timestamp-other.Raw))*ticksPerMilli + other.Base
			off := distance(v.p-at, k.Skew)
			return off <= tolerance || off <= k.tolerance() && off <= distance(v.e-at, k.Skew)
		}
	}
	return false
}
