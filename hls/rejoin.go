package hls

import (
	"weir/media"
	"weir/media/framelog"
)

// rejoining is a segment that cannot begin with its own batch: one without a
// picture, or one behind a discontinuity in the middle of a group of pictures,
// where the sound's configuration changes, or frames are missing for longer than a
// segment may last. What a viewer has seen last comes first, the pictures since the
// last key frame: the batch waits until the caller has read them from the log
// (Recall, Replay).
type rejoining struct {
	batch  *framelog.Batch // nil: nothing waits
	before media.Timeline  // in front of it
}

// rejoins tells whether a segment that begins with r is such a one.
func (c *Cutter) rejoins(r *reading) bool {
	st := &c.state
	if !st.Kinds.Video || c.pauses.Key == 0 {
		return false
	}
	for i := r.first(); i < len(r.frames); i++ {
		if r.frames[i].Kind == media.Video {
			return st.Break && !r.frames[i].Key
		}
	}
	return true
}

// mayRepeat tells whether pictures are shown again in the segment that begins. Its
// sender has more of them repeated than it sends: a few bytes begin a segment, by
// another configuration of the sound. So what is repeated is paid for by media
// time, RecallBytes for each segment of the wished duration, and one in advance.
func (c *Cutter) mayRepeat() bool { return c.pauses.Repeated < RecallBytes }

// repeats is what reading batches again counts as, in bytes. What cannot be read,
// or is too much, counts as all that may be.
func repeats(batches []*framelog.Batch) (n int64) {
	for _, b := range batches {
		n += int64(len(b.Tags))
	}
	if n == 0 {
		n = RecallBytes
	}
	return n
}

// pay has a segment of a duration, in milliseconds, pay for what was repeated.
func (p *Pauses) pay(durationMS, segmentMS int64) {
	p.Repeated = max(0, p.Repeated-RecallBytes*durationMS/segmentMS)
}

// leaveOutPictures has the segment that is to begin list sound only: the log does
// not hold the last pictures any more, and a track without a frame is one that
// players wait for. It stands between discontinuities.
func (c *Cutter) leaveOutPictures() {
	o := &c.open
	sound := Tracks{Audio: o.tracks.Audio}
	w, err := c.format.NewWriter(sound, c.state.Carry)
	if err != nil || c.reading.firstPicture() > 0 {
		return
	}
	o.writer, o.tracks, o.force = w, sound, sound
	c.state.Break = c.state.Next() > 0
	c.body = w.Begin(c.body[:0])
}

// lacksPictures tells whether the open segment has to end because pictures come
// that it does not list.
func (c *Cutter) lacksPictures(r *reading) bool {
	return c.state.Kinds.Video && c.open.tracks.Video == nil && r.firstPicture() > 0
}

// goOn writes the batch that waits, if one does.
func (c *Cutter) goOn() {
	b := c.rejoining.batch
	if b == nil {
		return
	}
	c.rejoining.batch = nil
	c.writeWhole(b, &c.reading, &c.rejoining.before)
}

// again gives pictures that are shown once more their times. Each is decoded, and
// shown, a tick after the one before it: where a batch waits, right in front of
// its own. false: there is no room for them.
func (c *Cutter) again(pictures []media.Frame) bool {
	n, o := int64(len(pictures)), &c.open
	shown, depth := ranks(pictures), 0
	for i, rank := range shown {
		depth = max(depth, i-rank)
	}
	decoded := max(c.timeline.Video.Out+1, c.timeline.Video.Floor+1, o.start)
	displayed := max(decoded+int64(depth), c.pauses.Top+1)
	if next := c.reading.firstPicture(); c.rejoining.batch != nil && next > 0 {
		decoded = next - n
		if decoded <= max(c.rejoining.before.Video.Out, c.rejoining.before.Video.Floor) {
			return false
		}
		displayed = max(decoded+int64(depth), o.start-n)
	} else {
		c.timeline.Video.Floor = decoded + n - 1
	}
	for i := range pictures {
		pictures[i].DTS, pictures[i].PTS = decoded+int64(i), displayed+int64(shown[i])
	}
	return true
}

// firstPicture is the DTS of the first picture that the batch brings, 0 where it
// has none.
func (r *reading) firstPicture() int64 {
	for i := r.first(); i < len(r.frames); i++ {
		if f := &r.frames[i]; f.Kind == media.Video {
			return f.DTS
		}
	}
	return 0
}
