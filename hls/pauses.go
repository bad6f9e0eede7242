package hls

import (
	"bytes"

	"weir/media"
	"weir/media/framelog"
)

// Pauses is what goes on while a track sends nothing. Every segment holds
// every track of the show (see opening), so what an encoder leaves out is
// filled:
//
//   - Sound with silent frames of the same configuration, on its own clock.
//   - Pictures, once in each segment that begins without one, with the pictures
//     since the last key frame, a tick apart: a decoder then stands exactly
//     where it stood, shows the last picture, and can go on with the next one.
//
// Both are functions of the log and of State.
type Pauses struct {
	// Shown is how far the show was when the last sound came, in ticks; Lag is
	// how far the sound was behind the pictures then: it stays so. Block is how
	// far pictures usually go on before more sound comes.
	Shown int64 `json:"shown,omitempty"`
	Lag   int64 `json:"lag,omitempty"`
	Block int64 `json:"block,omitempty"`
	// Key is the stream sequence at which the last batch with a key picture
	// begins, in that Log, and Last the one at which the last batch with a
	// picture ends.
	Key  uint64 `json:"key,omitempty"`
	Last uint64 `json:"last,omitempty"`
	Log  string `json:"log,omitempty"`
	// Top is the highest PTS of a picture so far.
	Top int64 `json:"top,omitempty"`
	// Repeated is what was read to be shown again, in bytes of the log, and not
	// yet paid for by media time: see mayRepeat.
	Repeated int64 `json:"repeated,omitempty"`
	// Kept are the last sounds, see writeSound.
	Kept []keptSound `json:"kept,omitempty"`
}

// silenceAfter is how far pictures go on without sound before that counts as a
// pause, in ticks: sound that is only held up still has its place, and silence
// still comes before it is to be decoded (a second proved too long for that). For
// sound that is sent in blocks it is longer, see Block.
const silenceAfter = media.Clock * 3 / 4

// unknownBlock is what Block begins with: until an encoder's sound has come a
// few times, nobody knows in how large blocks it is sent.
const unknownBlock = media.Clock

// silence returns a silent frame of the sound in force, and how many samples
// it has at which rate. nil where none can be made.
func (c *Cutter) silence() (frame []byte, samples, rate int) {
	codec := c.open.force.Audio
	if !c.state.Kinds.Audio || codec == nil {
		return nil, 0, 0
	}
	if c.silent.codec != codec {
		c.silent.codec, c.silent.frame = codec, silentFrame(codec)
	}
	samples, rate = frameTime(codec)
	return c.silent.frame, samples, rate
}

// silentFrame makes a frame that decodes to silence, nil where none can be.
func silentFrame(codec media.Codec) []byte {
	switch codec := codec.(type) {
	case *media.AAC:
		if frame, err := codec.Config.AppendSilence(nil); err == nil {
			return frame
		}
	case *media.MP3:
		return codec.Config.AppendSilence(nil)
	}
	return nil
}

// writeWhole writes a batch's frames, and what is missing between them. before
// is where the tracks stood in front of it.
func (c *Cutter) writeWhole(b *framelog.Batch, r *reading, before *media.Timeline) {
	p := &c.pauses
	sound, pictures := before.SoundEnd(c.open.soundFrom), before.Video.End()
	if !before.Audio.Seen && !before.Video.Seen && !r.soundHeader {
		p.Block = 0 // a session without sound: nobody waits for it
	}
	changes, ahead := r.changes, c.state.Kinds.Video && r.timeline.Audio.Skew > media.Clock
	for i := range r.frames {
		changes = c.changeAt(changes, i)
		f := &r.frames[i]
		switch {
		case f.Kind == media.Audio:
			if before.Audio.Rate > 0 { // what comes first follows on nothing
				c.fillHole(sound, min(f.PTS, pictures))
			}
			sound = f.PTS + r.timeline.Audio.Step
			p.heard(pictures, sound)
		case !before.Video.Seen && p.Shown == 0: // a session that begins
			p.Shown = f.DTS
		}
		if f.Kind == media.Video {
			pictures = f.DTS + r.timeline.Video.Step
			p.Last, p.Top = b.Seq, max(p.Top, f.PTS)
			if f.Key {
				p.Key, p.Log = r.began(i), b.Log
			}
			if r.sounds == 0 && pictures-p.Shown >= max(silenceAfter, p.Block*3/2) {
				c.fillTo(pictures - p.Lag)
			}
		}
		if c.open.others.has(f.Kind) {
			c.drops.Count(media.DropUnfit)
		} else if f.Kind == media.Audio {
			c.writeSound(f, ahead)
		} else {
			c.write(f)
		}
	}
	c.changeAt(changes, len(r.frames))
}

// heard notes that sound has come that ends at sound, when the pictures had
// come to pictures.
func (p *Pauses) heard(pictures, sound int64) {
	if p.Shown > 0 {
		p.Block = max(min(pictures-p.Shown, unknownBlock), p.Block-p.Block/16)
	}
	p.Shown, p.Lag = max(pictures, sound), max(0, pictures-sound)
}

// fillHole fills a hole in the sound with silence, as far as pictures cover
// it: where both pause, nothing is missing.
func (c *Cutter) fillHole(from, to int64) {
	frame, samples, rate := c.silence()
	if frame == nil {
		return
	}
	length := int64(samples) * media.Clock / int64(rate)
	if from+length <= to {
		c.giveKept(0)
	}
	for n := int64(0); ; n++ {
		at := from + n*int64(samples)*media.Clock/int64(rate)
		if at+length > to {
			return
		}
		c.write(&media.Frame{Kind: media.Audio, DTS: at, PTS: at, Data: frame})
	}
}

// fillTo has the sound go on in silence, in whole frames, up to end.
func (c *Cutter) fillTo(end int64) {
	frame, samples, rate := c.silence()
	if frame == nil {
		return
	}
	c.giveKept(0)
	from := c.open.soundFrom
	length := int64(samples) * media.Clock / int64(rate)
	for c.timeline.SoundEnd(from)+length <= end {
		at := c.timeline.PlaceSilence(from, samples, rate)
		c.write(&media.Frame{Kind: media.Audio, DTS: at, PTS: at, Data: frame})
	}
}

// due tells that the open segment lacks a track that will come: sound that is
// sent long behind its pictures, or the show's first picture.
func (c *Cutter) due() bool {
	o, has := &c.open, c.state.Kinds
	return has.Audio && c.pauses.Lag > unknownBlock && o.frames == o.pictures ||
		has.Video && c.pauses.Key == 0 && o.pictures == 0
}

// fillSegment has the open segment hold sound, if the show does, before it is
// closed at boundary.
func (c *Cutter) fillSegment(boundary int64) {
	o := &c.open
	if !c.state.Kinds.Audio || o.frames > o.pictures {
		return
	}
	if len(c.pauses.Kept) > 0 {
		c.giveKept(len(c.pauses.Kept) - 1)
		return
	}
	if _, samples, rate := c.silence(); rate > 0 { // one frame at least
		from := c.timeline.SoundEnd(o.soundFrom)
		c.fillTo(max(boundary-c.pauses.Lag, from+int64(samples)*media.Clock/int64(rate)))
	}
}

// RecallBytes bounds what is shown again in a segment that begins without
// pictures; recallPictures does so, too.
const (
	RecallBytes    = 8 << 20
	recallPictures = 2000
)

// Recall tells whether the open segment needs the pictures of batches that
// were pushed before: those of the stream sequences from first to last. The
// caller reads them from the log once more, and gives them to Replay.
func (c *Cutter) Recall() (first, last uint64, needed bool) {
	if c.rejoining.batch == nil {
		return 0, 0, false
	}
	return c.pauses.Key, c.pauses.Last, true
}

// Replay puts the pictures of batches, those since the last key frame, into
// the open segment, so that it begins with what a viewer has seen last. Where
// the log does not hold all of them any more, it does without.
func (c *Cutter) Replay(batches []*framelog.Batch) {
	if c.rejoining.batch == nil {
		return
	}
	c.pauses.Repeated += repeats(batches)
	if !c.replay(batches) {
		c.leaveOutPictures()
	}
	c.goOn()
}

// replay writes the pictures of batches, where that can be done.
func (c *Cutter) replay(batches []*framelog.Batch) bool {
	o := &c.open
	pictures, codec := c.recalled(batches)
	if len(pictures) == 0 || !c.again(pictures) {
		return false
	}
	if !media.SameCodec(codec, o.tracks.Video) {
		// The encoder has come back with others, and has sent none yet: they
		// will begin a segment of their own.
		w, err := c.format.NewWriter(Tracks{Video: codec, Audio: o.force.Audio}, o.writer.Carry())
		if err != nil {
			return false
		}
		c.body = o.writer.EndPart(c.body)
		o.writer, o.tracks.Video, o.force.Video = w, codec, codec
	}
	o.dependent = !independent(codec, pictures[0].Data)
	for i := range pictures {
		c.write(&pictures[i])
	}
	o.shown, o.fresh = [2]int64{}, 0
	return true
}

// recalled returns the pictures from the last key frame in batches on, and
// their codec; nil where they are not there, or too many.
func (c *Cutter) recalled(batches []*framelog.Batch) (pictures []media.Frame, codec media.Codec) {
	if len(batches) == 0 || batches[0].First != c.pauses.Key || batches[0].Log != c.pauses.Log {
		return nil, nil
	}
	var timeline media.Timeline
	var r reading
	tracks, size, epoch := c.tracks, 0, uint64(0)
	for _, b := range batches {
		if b.Epoch < epoch {
			continue // of a session that was fenced
		}
		if b.Epoch > epoch {
			r.restart()
		}
		epoch = b.Epoch
		r.read(c.format, b, timeline, tracks, c.state.Kinds, c.split)
		timeline, tracks = r.timeline, r.tracks
		for _, f := range r.frames {
			if f.Kind != media.Video {
				continue
			}
			if f.Key {
				pictures, size, codec = pictures[:0], 0, tracks.Video
			}
			f.Data = bytes.Clone(f.Data) // of memory that is used again
			pictures, size = append(pictures, f), size+len(f.Data)
		}
		if size > RecallBytes || len(pictures) > recallPictures {
			return nil, nil
		}
	}
	if r.held.Data != nil {
		pictures = append(pictures, r.held)
	}
	if len(pictures) == 0 || !pictures[0].Key {
		return nil, nil
	}
	return pictures, codec
}

// ranks returns each picture's place in the order in which they are shown.
func ranks(pictures []media.Frame) []int {
	all := make([]int, len(pictures))
	for i := range pictures {
		for j := range pictures {
			if pictures[j].PTS < pictures[i].PTS {
				all[i]++
			}
		}
	}
	return all
}
