package hls

import (
	"weir/media"
	"weir/media/mp3"
	"weir/remux/flv"
)

func (r *reading) readAudio(t flv.Tag) {
	a, err := flv.ParseAudio(t.Data)
	if err != nil {
		r.drops.Count(media.DropUnread)
		return
	}
	id := audioCodec(a.Codec)
	// MP3 has a header in each frame.
	header := a.Packet == flv.SequenceHeader || id == media.CodecMP3
	if reason := r.excludes(media.Audio, id, a.Track, header); reason > 0 {
		if a.Packet == flv.CodedFrames {
			r.drops.Count(reason)
		}
		if reason == media.DropCodec && a.Packet == flv.CodedFrames {
			r.foreign[1] = a.Codec.String()
		}
		return
	}
	switch {
	case id == media.CodecMP3:
		if a.Packet == flv.CodedFrames {
			r.readMP3(t.Timestamp, a.Body)
		}
	case a.Packet == flv.SequenceHeader:
		r.soundHeader = true
		r.header(id, a.Body)
	case a.Packet == flv.CodedFrames:
		if r.tracks.Audio == nil || r.tracks.Audio.ID() != id {
			r.drops.Count(media.DropUnconfigured)
			return
		}
		r.sound(t.Timestamp, a.Body)
	}
}

// sound takes an audio frame of the codec in force.
func (r *reading) sound(timestamp uint32, frame []byte) {
	s := media.Stamp{Kind: media.Audio, Timestamp: timestamp}
	s.Samples, s.Rate = frameTime(r.tracks.Audio)
	r.sounds++
	r.frames = append(r.frames, media.Frame{Kind: media.Audio, Data: frame})
	r.stamps = append(r.stamps, s)
}

// readMP3 takes the frames of a message: nearly always one. What is between
// them, or no frame, is left out.
func (r *reading) readMP3(timestamp uint32, body []byte) {
	r.soundHeader = true
	ticks := int64(0) // of the frames so far
	for len(body) > 0 {
		h, err := mp3.ParseFrame(body)
		if err != nil {
			r.drops.Count(media.DropDamaged)
			at := mp3.Find(body)
			if at < 0 {
				return
			}
			body = body[at:]
			continue
		}
		if c, ok := r.tracks.Audio.(*media.MP3); !ok || c.Config != h.Config || r.tracks.unfit.Audio {
			r.header(media.CodecMP3, body[:mp3.HeaderSize])
		}
		if r.tracks.unfit.Audio {
			r.drops.Count(media.DropUnfit)
		} else {
			r.sound(timestamp+uint32((ticks+ticksPerMilli/2)/ticksPerMilli), body[:h.Size])
		}
		ticks += int64(h.FrameLength()) * media.Clock / int64(h.SampleRate)
		body = body[h.Size:]
	}
}

// frameTime returns how many samples an audio frame holds, and their rate in
// Hz.
func frameTime(c media.Codec) (samples, rate int) {
	switch c := c.(type) {
	case *media.AAC:
		return c.Config.FrameLength, c.Config.SampleRate
	case *media.MP3:
		return c.Config.FrameLength(), c.Config.SampleRate
	}
	return 0, 0
}
