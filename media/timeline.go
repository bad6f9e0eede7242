package media

// Timeline turns whatever timestamps the sessions of a broadcast send into
// strictly increasing DTS per track on the 90 kHz clock, with PTS >= DTS and
// A/V sync kept. It is a plain value: copying it is a snapshot, and its JSON
// form is part of a segmenter's State. The zero Timeline is ready.
//
// What it survives, and how:
//   - RTMP's 32-bit millisecond wrap: differences are taken modulo 2^32.
//   - A start at any value: the first timestamp of a session is placed
//     SessionLead after the end of the session before.
//   - Jumps ahead of more than MaxGap and steps back of more than MaxStepBack:
//     the track goes on where it was, one frame later, and the other track
//     follows when it jumps too. Output time has no hole, so no discontinuity
//     is needed. Smaller jumps are gaps in the media and are kept.
//   - Smaller steps back and repeated stamps: one tick after the frame before.
//   - Tracks on different clocks: first stamps more than MaxGap apart are
//     aligned by arrival.
//   - Milliseconds for audio: the audio clock counts samples, and follows the
//     stamps only where they leave the sample clock for good.
//   - Composition offsets that are negative, or absurd.
type Timeline struct {
	// End is where the media so far ends: no frame of the next session begins
	// before it.
	End int64 `json:"end,omitempty"`
	// Base is added to a session's timestamps (in ticks). Generation counts
	// how often it was set anew.
	Base       int64      `json:"base,omitempty"`
	Generation uint32     `json:"gen,omitempty"`
	Video      TrackClock `json:"video"`
	Audio      TrackClock `json:"audio"`
}

// TrackClock is one track's side of a Timeline.
type TrackClock struct {
	// Seen tells that the session has brought a frame of this track.
	Seen bool `json:"seen,omitempty"`
	// Raw is the last timestamp as sent, In the same in ticks, unwrapped.
	Raw uint32 `json:"raw,omitempty"`
	In  int64  `json:"in,omitempty"`
	// Base and Generation are the Timeline's that the track goes by.
	Base       int64  `json:"base,omitempty"`
	Generation uint32 `json:"gen,omitempty"`
	// Out is the last DTS given out, Step how long its frame lasts, as far as
	// the frames before tell.
	Out  int64 `json:"out,omitempty"`
	Step int64 `json:"step,omitempty"`
	// Anchor, Samples and Rate are the audio clock: the next frame is due at
	// Anchor + Samples/Rate.
	Anchor  int64 `json:"anchor,omitempty"`
	Samples int64 `json:"samples,omitempty"`
	Rate    int   `json:"rate,omitempty"`
}

// The Timeline's tolerances, in ticks of the 90 kHz clock.
const (
	// SessionLead is how long after the end of the session before (or after
	// 0) a session begins. It leaves room for a second track whose stamps
	// begin earlier, and for the PCR's lead.
	SessionLead = 10 * Clock
	// MaxGap is the longest jump ahead that is believed to be a gap.
	MaxGap = 10 * Clock
	// MaxStepBack is the longest step back that is believed to be jitter.
	MaxStepBack = 1 * Clock

	// maxComposition bounds PTS - DTS. H.264 allows 16 reordered pictures: at
	// one picture a second that is more than any encoder sends.
	maxComposition = 10 * Clock
	// maxAudioSkew is how far the stamps may leave the sample clock before it
	// is set by them: silence was left out, or frames were lost.
	maxAudioSkew = Clock / 10
	// audioJitter is what rounding to milliseconds does to a stamp, both ways.
	audioJitter = 2 * Clock / 1000
	// audioSlew is the share of a lasting skew that each frame takes back: 64
	// AAC frames are a second and a half.
	audioSlew = 64

	// defaultVideoStep and defaultAudioStep stand in for a frame's duration
	// where a track has had one frame only.
	defaultVideoStep = Clock / 30
	defaultAudioStep = 1920

	// maxStep is the longest step that is believed at once to be a picture's
	// duration. It may double with each picture.
	maxStep = Clock / 2

	ticksPerMilli = Clock / 1000
)

// BeginSession tells that what follows comes from another connection, with
// timestamps of its own.
func (t *Timeline) BeginSession() {
	t.End = t.now()
	t.Video = TrackClock{Out: t.Video.Out}
	t.Audio = TrackClock{Out: t.Audio.Out}
}

// Skip tells that frames were lost before the one with the timestamp ts, in
// milliseconds: however far that is ahead, the encoder's clock has not jumped.
func (t *Timeline) Skip(ts uint32) {
	for _, k := range []*TrackClock{&t.Video, &t.Audio} {
		if k.Seen { // from there on it is believable
			k.Out = max(k.Out, k.In+int64(int32(ts-k.Raw))*ticksPerMilli+k.Base-MaxGap/2)
		}
	}
}

// now returns where the media so far ends.
func (t *Timeline) now() int64 {
	return max(t.End, t.Video.End(), t.Audio.End())
}

// End is where the track so far ends, 0 where the session has none of it.
func (k *TrackClock) End() int64 {
	if !k.Seen {
		return 0
	}
	return k.Out + k.Step
}

// PlaceVideo gives a picture its place. ts is the tag's timestamp and cts its
// composition offset, both in milliseconds.
func (t *Timeline) PlaceVideo(ts uint32, cts int32) (dts, pts int64) {
	k := &t.Video
	first := !k.Seen
	dts = t.place(k, &t.Audio, ts)
	pts = dts
	if c := int64(cts) * ticksPerMilli; c >= -maxComposition && c <= maxComposition {
		pts += c
	}
	// A negative offset: rather a picture decoded early than shown late.
	dts = max(min(dts, pts), k.Out+1)
	pts = max(pts, dts)
	switch {
	case !first:
		// A hole in the media is not how long a picture lasts; a slide show
		// is believed when it goes on.
		k.Step = min(dts-k.Out, max(2*k.Step, maxStep))
	default:
		k.Step = defaultVideoStep
	}
	k.Out = dts
	return dts, pts
}

// PlaceAudio gives an audio frame its place. ts is the tag's timestamp in
// milliseconds; the frame holds samples samples at rate Hz.
func (t *Timeline) PlaceAudio(ts uint32, samples, rate int) int64 {
	k := &t.Audio
	first := !k.Seen
	// An encoder that may not send negative times (GStreamer's flvmux) gives
	// the priming frame the stamp of the one behind it: that one is right.
	clamped := !first && ts == k.Raw && k.Samples == int64(samples)
	stamp := t.place(k, &t.Video, ts)
	if rate <= 0 || samples <= 0 {
		rate, samples = Clock, defaultAudioStep
	}
	if rate != k.Rate {
		k.Anchor, k.Samples, k.Rate = k.Out+k.Step, 0, rate
	}
	due := k.Anchor + k.Samples*Clock/int64(rate)
	skew := stamp - due
	switch {
	case first || skew > maxAudioSkew || skew < -maxAudioSkew:
		k.Anchor, k.Samples, due = stamp, 0, stamp
	case skew > audioJitter || skew < -audioJitter:
		k.Anchor += skew / audioSlew
		due += skew / audioSlew
	}
	if clamped {
		k.Anchor, k.Samples, due = stamp, 0, stamp
	}
	pts := max(due, k.Out+1)
	if pts != due && !clamped {
		k.Anchor, k.Samples = pts, 0
	}
	k.Samples += int64(samples)
	if k.Samples >= int64(rate)*3600 {
		// Keeps the product above far from overflow; whole seconds lose nothing.
		s := k.Samples / int64(rate)
		k.Anchor += s * Clock
		k.Samples -= s * int64(rate)
	}
	k.Step = int64(samples) * Clock / int64(rate)
	k.Out = pts
	return pts
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
		k.Anchor, k.Samples, k.Rate = due, 0, rate
	}
	k.Samples += int64(samples)
	k.Step = int64(samples) * Clock / int64(rate)
	k.Out = due
	return due
}

// place unwraps ts and moves it to the broadcast's clock, without regard to
// the frame before; other is the other track.
func (t *Timeline) place(k, other *TrackClock, ts uint32) int64 {
	if !k.Seen {
		k.Seen = true
		k.Raw, k.In = ts, int64(ts)*ticksPerMilli
		t.placeFirst(k, other)
		return k.In + k.Base
	}
	k.In += int64(int32(ts-k.Raw)) * ticksPerMilli
	k.Raw = ts
	// Where the other track jumped first, this one may follow. A jump of about
	// MaxGap is one for both or for none, whatever each would make of it.
	out, moved := k.In+k.Base, k.In+t.Base
	jumped := k.Generation != t.Generation && believable(moved-k.Out)
	switch {
	case jumped && distance(moved, other.Out) < distance(out, other.Out), jumped && !believable(out-k.Out):
		k.Base, k.Generation = t.Base, t.Generation
		return moved
	case believable(out - k.Out), k.Base == other.Base && other.Seen && distance(out, other.Out) <= MaxStepBack:
		return out
	}
	t.Base = k.Out + k.Step - k.In
	t.Generation++
	k.Base, k.Generation = t.Base, t.Generation
	return k.In + k.Base
}

// placeFirst sets the base of a track's first frame of the session.
func (t *Timeline) placeFirst(k, other *TrackClock) {
	switch {
	case !other.Seen:
		t.Base = t.End + SessionLead - k.In
	case k.In+other.Base-other.Out > MaxGap || k.In+other.Base-other.Out < -MaxGap:
		k.Base, k.Generation = other.Out-k.In, t.Generation
		// 32 bits may lie between two tracks that are on one clock: the later
		// one was read as ahead of the wrap.
		if wrapped := int64(int32(k.Raw-other.Raw)) * ticksPerMilli; wrapped > -MaxGap && wrapped < MaxGap {
			k.In = other.In + wrapped
			k.Base = other.Base
		}
		return
	}
	k.Base, k.Generation = t.Base, t.Generation
	if other.Seen {
		k.Base, k.Generation = other.Base, other.Generation
	}
}

func distance(a, b int64) int64 { return max(a-b, b-a) }

func believable(step int64) bool { return step <= MaxGap && step >= -MaxStepBack }
