package media

// Timeline turns whatever timestamps the sessions of a broadcast send into
// strictly increasing DTS per track on the 90 kHz clock, with PTS >= DTS and
// A/V sync kept. It is a plain value: copying it is a snapshot, and its JSON
// form is part of a cutter's State. The zero Timeline is ready.
//
// Where stamps are sound they are kept: differences are taken modulo RTMP's 32
// bits, the first stamp of a session is placed SessionLead after the end of the
// session before, and both tracks go by one base. Where a track's stamps break
// (they jump, step back, stand still, begin anew or count another unit) the
// order in which frames came says what to do: pictures and sound that come
// together are shown together. See TrackClock.judge.
//
// PTS are as sent wherever that is possible. DTS give way to them: to negative
// composition offsets, and to PTS that were sent as DTS. Sound is spaced by its
// samples, and follows its stamps slowly.
type Timeline struct {
	// End is where the media so far ends: no frame of the next session begins
	// before it.
	End int64 `json:"end,omitempty"`
	// Base is that of the track that was set anew last. A release before this
	// one goes by it.
	Base  int64      `json:"base,omitempty"`
	Video TrackClock `json:"video"`
	Audio TrackClock `json:"audio"`
}

// Stamp is a frame's place in time as its encoder sent it.
type Stamp struct {
	Kind Kind
	// Timestamp is in milliseconds, modulo 2^32. Composition is what is to be
	// added to it for the PTS.
	Timestamp   uint32
	Composition int32
	// Samples is how many samples an audio frame holds, at Rate Hz.
	Samples, Rate int
	// Reorder is how many pictures may come before one in decoding order and
	// behind it in output order, -1 where nobody says. Lasts is how long a
	// picture is shown by its parameter sets, in ticks, 0 where they do not say.
	Reorder int
	Lasts   int64
}

// composition is what is added to the stamp's place for the PTS, in ticks: none
// where what was sent is absurd.
func (s *Stamp) composition() int64 {
	if c := int64(s.Composition) * ticksPerMilli; c >= -maxComposition && c <= maxComposition {
		return c
	}
	return 0
}

// The Timeline's tolerances, in ticks of the 90 kHz clock.
const (
	// SessionLead is how long after the end of the session before (or after
	// 0) a session begins. It leaves room for a second track whose stamps
	// begin earlier, and for the PCR's lead.
	SessionLead = 10 * Clock
	// MaxGap is the longest jump ahead of both tracks, or of the only one, that
	// is believed to be a gap in the media. It also bounds how far from each
	// other two tracks may be sent.
	MaxGap = 10 * Clock

	// maxComposition bounds PTS - DTS. H.264 allows 16 reordered pictures: at
	// one picture a second that is more than any encoder sends.
	maxComposition = 10 * Clock

	ticksPerMilli = Clock / 1000
)

// BeginSession tells that what follows comes from another connection, with
// timestamps of its own.
func (t *Timeline) BeginSession() {
	t.End = max(t.End, t.Video.End(), t.Audio.End())
	t.Video = TrackClock{Out: t.Video.Out, Floor: t.Video.Floor}
	t.Audio = TrackClock{Out: t.Audio.Out}
}

// Skip tells that frames were lost before the one with the timestamp ts, in
// milliseconds: however far that is ahead, the encoder's clock has not jumped.
func (t *Timeline) Skip(ts uint32) {
	for _, k := range []*TrackClock{&t.Video, &t.Audio} {
		if k.Seen {
			k.Skipped = true
			// A release before this one believes what is no more than MaxGap ahead.
			k.Out = max(k.Out, k.In+int64(int32(ts-k.Raw))*ticksPerMilli+k.Base-MaxGap/2)
		}
	}
}

// Place gives a frame its place. ahead are the stamps of the frames that came
// behind it, as far as they are known: where they end, and where none are
// given, decisions are made without them. What is placed is a function of the
// Timeline, s and ahead.
func (t *Timeline) Place(s Stamp, ahead []Stamp) (dts, pts int64) {
	k, other := &t.Video, &t.Audio
	if s.Kind == Audio {
		k, other = other, k
	}
	k.inherit()
	other.inherit()
	base, first := k.Base, !k.Seen && !other.Seen
	if s.Kind == Audio {
		pts = t.placeAudio(s, ahead)
		dts = pts
	} else {
		dts, pts = t.placeVideo(s, ahead)
	}
	if first || k.Base != base && k.Still == 0 {
		t.Base = k.Base
	}
	return dts, pts
}

func (t *Timeline) placeVideo(s Stamp, ahead []Stamp) (dts, pts int64) {
	k, other := &t.Video, &t.Audio
	first, still := !k.Seen, k.Still
	at := t.locate(k, other, s, ahead)
	if first {
		k.Shown.begin(s.Composition)
		k.Step = defaultVideoStep
		if s.Lasts > 0 {
			k.Step = min(s.Lasts, maxStep)
		}
		k.Pace = k.Step
		k.Order.expect(s, ahead, at, k.Pace)
	}
	dts, pts = k.Order.dts(at, at+s.composition(), max(k.Out, k.Floor), s.Reorder)
	if step := dts - k.Out; !first && step > 1 && k.Still == 0 && still == 0 {
		// A DTS that gave way tells nothing. A hole in the media is not how long
		// a picture lasts; a slide show is believed when it goes on.
		switch {
		case k.Pace == k.Step: // nothing but a guess so far
			k.Pace = min(step, maxStep)
		case step <= maxStep, distance(step, k.Step) <= step/8:
			k.Pace += (step - k.Pace) / 4
		}
		k.Step = min(step, max(2*k.Step, maxStep))
	}
	k.Out = dts
	k.meet(other, first)
	return dts, pts
}

// The steps that stand in for a frame's duration where a track has had one
// frame only, and the longest that is believed at once to be a picture's: it
// may double with each picture.
const (
	defaultVideoStep = Clock / 30
	defaultAudioStep = 1920
	maxStep          = Clock / 2
)

// locate finds a picture's place by its stamp.
func (t *Timeline) locate(k, other *TrackClock, s Stamp, ahead []Stamp) int64 {
	if !k.Seen {
		t.first(k, other, s.Timestamp)
		return k.At
	}
	step := k.advance(s.Timestamp)
	if step == 0 {
		return k.repeat(other, s, ahead)
	}
	v := verdict{p: k.In + k.Base, e: k.At + k.Pace, near: max(near, k.Pace/2)}
	back := k.window(s.Reorder)
	if k.Shown.before(s, step) { // a DTS that trembles
		back = max(back, near)
	}
	k.Shown.begin(s.Composition)
	if k.Still > 0 { // those before were spaced by a guess
		back = max(back, tolerance)
	}
	switch {
	case v.p > k.At-back && v.p <= v.e+v.near && !k.stalled(other, v.p, s, ahead), k.Skipped && v.p > k.At:
		if k.Still > 0 && step > 0 {
			k.Pace = min(step/int64(k.Still+1), maxStep)
		}
		if !k.Skipped {
			k.sound(other, v.p)
		}
		k.Still, k.At = 0, v.p
	default:
		v.judge(k, other, s, ahead)
		switch {
		case v.x == v.p:
			k.Still = 0
		case k.Still > 0:
			v.x = k.pace(other, v.e)
			fallthrough
		default:
			k.Still++
			k.Base += v.x - v.p
		}
		k.At = v.x
	}
	k.Skipped = false
	return k.At
}

// repeat places a picture with the stamp of the one before. Where each is shown
// at a time of its own, the stamp is kept: GStreamer sends no DTS below 0, and
// so repeats the first. Others follow each other; so do those of a clock that
// stands still, as fast as they come.
func (k *TrackClock) repeat(other *TrackClock, s Stamp, ahead []Stamp) int64 {
	if k.Still == 0 && k.Shown.parts(s, ahead) {
		k.Shown.add(s.Composition)
		return k.At
	}
	expected := k.At + k.Pace*int64(max(1, k.Shown.N))
	k.Shown = shown{}
	k.Still++
	k.At = k.pace(other, expected)
	return k.At
}

// first places the first frame of a track in its session.
func (t *Timeline) first(k, other *TrackClock, ts uint32) {
	k.Seen, k.Raw, k.In = true, ts, int64(ts)*ticksPerMilli
	switch {
	case !other.Seen:
		k.Base = t.End + SessionLead - k.In
	case distance(k.In+other.Base, other.At) <= MaxGap:
		k.Base = other.Base
	default:
		// 32 bits may lie between two tracks that are on one clock: the later
		// one was read as ahead of the wrap. Tracks on different clocks are
		// aligned by arrival.
		if wrapped := int64(int32(k.Raw-other.Raw)) * ticksPerMilli; distance(wrapped, 0) < MaxGap {
			k.In, k.Base = other.In+wrapped, other.Base
		} else {
			k.Base = other.At - k.In
		}
	}
	k.At = k.In + k.Base
	if other.Seen {
		k.sound(other, k.At)
	}
}

func (t *Timeline) placeAudio(s Stamp, ahead []Stamp) int64 {
	k, other := &t.Audio, &t.Video
	if s.Rate <= 0 || s.Samples <= 0 {
		s.Rate, s.Samples = Clock, defaultAudioStep
	}
	first := !k.Seen
	pts := t.listen(k, other, s, ahead)
	pts = max(pts, k.Out+1)
	k.count(s)
	k.Step = int64(s.Samples) * Clock / int64(s.Rate)
	k.Out, k.At = pts, pts
	k.meet(other, first)
	return pts
}

// listen finds the place of an audio frame: where its samples are due, unless
// its stamps say for good that there is a hole, or another clock.
func (t *Timeline) listen(k, other *TrackClock, s Stamp, ahead []Stamp) int64 {
	if !k.Seen {
		t.first(k, other, s.Timestamp)
		k.anchor(k.At, s.Rate)
		return k.At
	}
	if s.Rate != k.Rate {
		k.anchor(k.Out+k.Step, s.Rate)
	}
	if k.primed(s, ahead) {
		k.anchor(k.In+k.Base, s.Rate)
		return k.Anchor
	}
	step := k.advance(s.Timestamp)
	v := verdict{p: k.In + k.Base, e: k.due(), near: near}
	skew := v.p - v.e
	switch {
	case step == 0:
		return k.stamped(other, v.e)
	case k.Skipped && skew > 0, k.Filled && skew > 0 && k.arrives(other, v.p):
		k.anchor(v.p, s.Rate)
	case k.stalled(other, v.p, s, ahead) && v.p <= v.e+near:
		v.judge(k, other, s, ahead)
		k.believe(&v, s.Rate)
	case distance(v.p, v.e) <= near:
		k.Off = 0
		k.Still = 0
		k.sound(other, v.e)
		if distance(skew, 0) > audioJitter {
			k.Anchor += clamp(skew/audioSlew, maxSlew)
		}
	case v.follows(k, other), v.obvious(k, other), k.persists(skew, s, ahead):
		v.judge(k, other, s, ahead)
		k.believe(&v, s.Rate)
	case distance(skew, 0) <= jitter:
		k.Anchor += clamp(skew/audioSlew, maxSlew)
	}
	k.Skipped, k.Filled = false, false
	return k.due()
}

// Missed tells whether a frame is sound that comes too late: by its stamp, it
// belongs where silence was put in its place.
func (t *Timeline) Missed(s Stamp) bool {
	k := &t.Audio
	if s.Kind != Audio || !k.Seen || !k.Filled || s.Rate != k.Rate {
		return false
	}
	at := k.In + int64(int32(s.Timestamp-k.Raw))*ticksPerMilli + k.Base
	return at > k.Silence-near && at < k.due()-max(k.Step, near)
}

// SoundEnd is where the sound so far ends, the silence that was put in
// included, or from, where the session has none before that.
func (t *Timeline) SoundEnd(from int64) int64 {
	if t.Audio.Rate == 0 {
		return from
	}
	return max(from, t.Audio.Out+t.Audio.Step)
}

// PlaceSilence gives an audio frame that the encoder did not send its place:
// behind the sound so far, on its clock, and not before from. The frame holds
// samples samples at rate Hz.
func (t *Timeline) PlaceSilence(from int64, samples, rate int) int64 {
	k := &t.Audio
	due := k.Anchor + k.Samples*Clock/int64(rate)
	if k.Rate != rate || due < from {
		due = t.SoundEnd(from)
		k.anchor(due, rate)
	}
	k.count(Stamp{Samples: samples, Rate: rate})
	k.Step = int64(samples) * Clock / int64(rate)
	if !k.Filled {
		k.Silence = due
	}
	k.Out, k.At, k.Filled = due, due, true
	return due
}

// The audio clock's tolerances, in ticks.
const (
	// audioJitter is what rounding to milliseconds does to a stamp, both ways.
	audioJitter = 2 * Clock / 1000
	// audioSlew is the share of a lasting skew that each frame takes back: 64
	// AAC frames are a second and a half. maxSlew bounds it.
	audioSlew = 64
	maxSlew   = 3 * Clock / 2000
	// jitter is how far single stamps may be off at random. It takes persistent
	// stamps in a row that are further off to make a hole or another clock, and
	// jittering of those that are not.
	jitter     = 3 * near
	persistent = 3
	jittering  = 8
)

func distance(a, b int64) int64 { return max(a-b, b-a) }

func clamp(v, most int64) int64 { return max(-most, min(v, most)) }
