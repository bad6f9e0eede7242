package ingest

// goneSounds is how many sounds come meanwhile at the least: a
// clock that jumps, or that does not count milliseconds, is no picture's absence.
const goneSounds = 5

// soundClock decides where audio opens key batches: at each whole second of
// audio timestamps since the first one, while there are no pictures.
type soundClock struct {
	heard bool
	last  uint32 // timestamp of the last audio
	next  uint32 // where the next key batch begins

	seen      bool   // there has been a picture
	seenSound bool   // and audio with or after it
	seenAt    uint32 // the audio timestamp when the last picture came
	since     int    // sounds since then
}

// opensKey tells whether audio of the timestamp begins a new second.
func (c *soundClock) opensKey(timestamp uint32) bool {
	if !c.heard {
		return !c.seen
	}
	return c.alone(timestamp) && c.passed(timestamp)
}

// passed tells whether the timestamp lies behind the boundary, or so far before
// it that the encoder's clock has stepped back.
func (c *soundClock) passed(timestamp uint32) bool {
	ahead := int32(timestamp - c.next)
	return ahead >= 0 || ahead < -3*audioKey
}

func (c *soundClock) alone(timestamp uint32) bool {
	return !c.seen || c.seenSound && int32(timestamp-c.seenAt) >= videoGone && c.since >= goneSounds
}

// sound notes audio of the timestamp. Boundaries stay on one grid, so that
// they do not drift with the length of an audio frame; a step of the clock
// begins a new grid.
func (c *soundClock) sound(timestamp uint32) {
	switch ahead := int32(timestamp - c.next); {
	case !c.heard || ahead < -3*audioKey || ahead >= 60*audioKey:
		c.next = timestamp + audioKey
	case ahead >= 0:
		c.next += uint32(ahead)/audioKey*audioKey + audioKey
	}
	c.heard, c.last, c.since = true, timestamp, c.since+1
	if c.seen && !c.seenSound {
		c.seenSound, c.seenAt = true, timestamp
	}
}

func (c *soundClock) picture() {
	c.seen, c.seenSound, c.seenAt, c.since = true, c.heard, c.last, 0
}
