package media

// anchor sets the audio clock: the next frame is due at at.
func (k *TrackClock) anchor(at int64, rate int) {
	k.Anchor, k.Samples, k.Rate = at, 0, rate
}

// due is where the next audio frame follows the samples before it.
func (k *TrackClock) due() int64 { return k.Anchor + k.Samples*Clock/int64(k.Rate) }

// count counts a frame's samples.
func (k *TrackClock) count(s Stamp) {
	k.Samples += int64(s.Samples)
	if k.Samples >= int64(s.Rate)*3600 {
		// Keeps the product above far from overflow; whole seconds lose nothing.
		whole := k.Samples / int64(s.Rate)
		k.Anchor += whole * Clock
		k.Samples -= whole * int64(s.Rate)
	}
}

// primed tells whether the first frame was stamped like this second one because
// the encoder may not send negative times (GStreamer's flvmux): this one's
// stamp is right. The third one's tells it from a block with one stamp.
func (k *TrackClock) primed(s Stamp, ahead []Stamp) bool {
	if s.Timestamp != k.Raw || k.Samples != int64(s.Samples) {
		return false
	}
	for _, next := range ahead {
		if next.Kind == Audio {
			step := int64(int32(next.Timestamp-s.Timestamp)) * ticksPerMilli
			return distance(step, k.Step) <= audioJitter
		}
	}
	return false
}

// stamped is the place of an audio frame with the stamp of the one before:
// frames of one block follow each other as their samples do. A hole shows only
// by the other track.
func (k *TrackClock) stamped(other *TrackClock, due int64) int64 {
	k.Still++
	if k.alive(other) && k.arrival(other)-due > 2*k.tolerance() {
		k.anchor(k.arrival(other), k.Rate)
		return k.Anchor
	}
	return due
}

// persists tells whether stamps go on to be off to one side, in this frame,
// those before it and those ahead: a few are jitter.
func (k *TrackClock) persists(skew int64, s Stamp, ahead []Stamp) bool {
	if (skew > 0) != (k.Off > 0) {
		k.Off = 0
	}
	if skew > 0 {
		k.Off = min(k.Off+1, jittering)
	} else {
		k.Off = max(k.Off-1, -jittering)
	}
	n, enough := max(k.Off, -k.Off), jittering
	if distance(skew, 0) > jitter {
		enough = persistent
	}
	due := k.due()
	for i := 0; i < len(ahead) && n < enough; i++ {
		next := &ahead[i]
		if next.Kind != Audio {
			continue
		}
		due += k.Step
		off := k.In + int64(int32(next.Timestamp-s.Timestamp))*ticksPerMilli + k.Base - due
		if off <= near && off >= -near || (off > 0) != (skew > 0) {
			return false
		}
		n++
	}
	return n >= enough
}

// believe acts on a verdict: sound never overlaps, so that it waits for stamps
// that are behind it, and leaves a hole where they are ahead.
func (k *TrackClock) believe(v *verdict, rate int) {
	if v.x == v.p {
		k.Off = 0
	}
	k.Base += v.x - v.p
	switch {
	case v.x > v.e+near:
		k.anchor(v.x, rate)
	case v.x < v.e:
		k.Anchor += clamp((v.x-v.e)/audioSlew, maxSlew)
	}
	k.Still++
	if v.x == v.p {
		k.Still = 0
	}
}
