package hls

import (
	"weir/media"
	"weir/media/framelog"
	"weir/media/h264"
	"weir/remux/flv"
)

// reading is one batch out of its container: what Push decides on.
type reading struct {
	timeline media.Timeline // after the batch
	tracks   Tracks         // after the batch
	kinds    Kinds          // of the show: frames of other tracks are lost
	frames   []media.Frame  // reused
	// ok tells whether the batch has frames. Then dts is where on the segment
	// grid it begins, the DTS of its first picture, else of its first audio
	// frame; begin and end are when it is shown: from the least PTS of its
	// pictures, else of its audio, to where its last frame ends. Durations are
	// of what is shown: at their start some encoders' DTS stand still.
	ok         bool
	dts        int64
	begin, end int64
	// keyed tells that the batch's first picture is an IDR picture, so that
	// nothing after it needs anything before it; or that there is none at all.
	keyed    bool
	pictures int
	// soundHeader tells that the batch has a configuration of sound.
	soundHeader bool
	lost        uint64
	// foreign names a codec of a video and of an audio frame that MPEG-TS HLS
	// is not made with here.
	foreign [2]string
}

// read parses a batch of a show with these kinds of tracks as it follows on
// timeline and tracks. A bad tag is counted as lost, and never stops what comes
// after it.
func (r *reading) read(b *framelog.Batch, timeline media.Timeline, current Tracks, kinds Kinds) {
	*r = reading{timeline: timeline, tracks: current, kinds: kinds, frames: r.frames[:0], keyed: true}
	for p := b.Tags; len(p) > 0; {
		t, n, err := flv.NextTag(p)
		if err != nil {
			r.lost++
			break
		}
		p = p[n:]
		switch t.Type {
		case flv.TagVideo:
			r.readVideo(t)
		case flv.TagAudio:
			r.readAudio(t)
		}
	}
	r.measure()
}

// measure finds the batch's place in time.
func (r *reading) measure() {
	pictures := false
	for i := range r.frames {
		f := &r.frames[i]
		video := f.Kind == media.Video
		if video && !pictures {
			pictures, r.keyed = true, f.Key && independent(r.tracks.Video, f.Data)
			r.dts, r.begin = f.DTS, f.PTS
		} else if !r.ok {
			r.dts, r.begin = f.DTS, f.PTS
		}
		r.ok = true
		step := r.timeline.Audio.Step
		if video {
			r.begin = min(r.begin, f.PTS)
			step = r.timeline.Video.Step
		}
		r.end = max(r.end, f.PTS+step)
	}
}

// independent tells whether nothing after a picture needs anything before it.
func independent(c media.Codec, data []byte) bool {
	switch c := c.(type) {
	case *media.AVC:
		return isIDR(data, c.Config.LengthSize)
	}
	return false
}

// isIDR tells whether a coded picture is an IDR picture (H.264, 7.4.1.2.4).
// FLV's key frames may also be recovery points, which leading pictures of
// the group before depend on.
func isIDR(data []byte, lengthSize int) bool {
	for nal, err := range h264.Units(data, lengthSize) {
		if err != nil {
			return false
		}
		switch h264.TypeOf(nal) {
		case h264.IDR:
			return true
		case h264.Slice:
			return false
		}
	}
	return false
}

func (r *reading) readVideo(t flv.Tag) {
	v, err := flv.ParseVideo(t.Data)
	if err != nil {
		r.lost++
		return
	}
	id := videoCodec(v.Codec)
	if id == "" || v.Track != 0 || r.kinds.lacks(media.Video) {
		if v.Packet == flv.CodedFrames {
			r.lost++
			if id == "" {
				r.foreign[0] = v.Codec.String()
			}
		}
		return
	}
	switch v.Packet {
	case flv.SequenceHeader:
		if r.tracks.set(id, v.Body) != nil {
			r.lost++
		}
	case flv.CodedFrames:
		// Before the session's first key frame nothing can be decoded.
		if r.tracks.Video == nil || !r.timeline.Video.Seen && !v.Key() {
			r.lost++
			return
		}
		dts, pts := r.timeline.PlaceVideo(t.Timestamp, v.CTS)
		r.frames = append(r.frames, media.Frame{Kind: media.Video, Key: v.Key(), DTS: dts, PTS: pts, Data: v.Body})
		r.pictures++
	}
}

func (r *reading) readAudio(t flv.Tag) {
	a, err := flv.ParseAudio(t.Data)
	if err != nil {
		r.lost++
		return
	}
	id := audioCodec(a.Codec)
	if id == "" || a.Track != 0 || r.kinds.lacks(media.Audio) {
		if a.Packet == flv.CodedFrames {
			r.lost++
			if id == "" {
				r.foreign[1] = a.Codec.String()
			}
		}
		return
	}
	switch a.Packet {
	case flv.SequenceHeader:
		r.soundHeader = true
		if r.tracks.set(id, a.Body) != nil {
			r.lost++
		}
	case flv.CodedFrames:
		if r.tracks.Audio == nil {
			r.lost++
			return
		}
		samples, rate := frameTime(r.tracks.Audio)
		pts := r.timeline.PlaceAudio(t.Timestamp, samples, rate)
		r.frames = append(r.frames, media.Frame{Kind: media.Audio, DTS: pts, PTS: pts, Data: a.Body})
	}
}

// frameTime returns how many samples an audio frame holds, and their rate in
// Hz.
func frameTime(c media.Codec) (samples, rate int) {
	switch c := c.(type) {
	case *media.AAC:
		return c.Config.FrameLength, c.Config.SampleRate
	}
	return 0, 0
}
