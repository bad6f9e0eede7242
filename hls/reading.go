package hls

import (
	"slices"

	"weir/media"
	"weir/media/framelog"
	"weir/media/h264"
	"weir/remux/flv"
)

// reading is one batch out of its container: what Push decides on. It keeps
// what of a picture the batch before left open, and its memory.
type reading struct {
	timeline media.Timeline // after the batch
	tracks   Tracks         // after the batch
	format   Format
	kinds    Kinds // of the show: frames of other tracks are dropped
	frames   []media.Frame
	// changes are where in frames other tracks come into force: a header counts
	// from where it stands. before are the tracks in front of the first one.
	before  Tracks
	changes []change
	// carried tells that the first frame is the picture that the batch before
	// left open.
	carried bool
	// ok tells whether the batch has frames. Then dts is where on the segment
	// grid it begins, the DTS of its first picture, else of its first audio
	// frame; begin and end are when it is shown: from the least PTS of its
	// pictures, else of its audio, to where its last frame ends. Durations are
	// of what is shown: at their start some encoders' DTS stand still.
	ok         bool
	dts        int64
	begin, end int64
	// newest is where the track that is furthest ahead begins in it: the other
	// one is sent later than that, and is not late.
	newest int64
	// reach is how far the show has come: to end, but where sound is sent long
	// ahead of its pictures only as far as those.
	reach int64
	// keyed tells that the batch's first picture is an IDR picture, so that
	// nothing after it needs anything before it; or that there is none at all.
	keyed            bool
	pictures, sounds int
	// soundHeader tells that the batch has a configuration of sound.
	soundHeader bool
	drops       media.Drops
	// foreign names a codec of a video and of an audio frame that MPEG-TS HLS
	// is not made with here.
	foreign [2]string

	stamps []media.Stamp // of frames
	open   int           // the frame of the access unit that may go on, or -1
	video  h264.Assembler
	parts  []h264.Part
	held   media.Frame // a picture that is open at the batch's end; without Data there is none
	// at is where the batch begins, heldAt the one in which held does, and
	// carriedAt that in which the carried picture does.
	at, heldAt, carriedAt uint64
	// split tells that pictures come in several messages.
	split bool
	// codec is what video stands at, and config the same as video gives it out;
	// reorder and lasts are what it says of pictures (media.Stamp).
	codec   *media.AVC
	config  *h264.Config
	reorder int
	lasts   int64
}

// change is where other tracks come into force.
type change struct {
	at     int // in front of this frame
	tracks Tracks
}

// read parses a batch of a show with these kinds of tracks as it follows on
// timeline and tracks, and on the batch that was read before it. What is
// damaged is counted, and never stops what comes after it.
func (r *reading) read(f Format, b *framelog.Batch, timeline media.Timeline, current Tracks, kinds Kinds, split bool) {
	r.reset(timeline, current, split)
	r.format, r.kinds, r.at = f, kinds, b.First
	for p := b.Tags; len(p) > 0; {
		t, n, err := flv.NextTag(p)
		if err != nil {
			r.drops.Count(media.DropUnread)
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
	r.place()
	r.hold()
	r.measure(r.first())
}

// reset begins a batch.
func (r *reading) reset(timeline media.Timeline, current Tracks, split bool) {
	r.timeline, r.tracks, r.before, r.split = timeline, current, current, split
	r.frames, r.stamps, r.changes = r.frames[:0], r.stamps[:0], r.changes[:0]
	r.pictures, r.sounds, r.soundHeader = 0, 0, false
	r.drops, r.foreign, r.open = media.Drops{}, [2]string{}, -1
	open := r.video.Begin()
	if r.carried = r.held.Data != nil; r.carried {
		r.held.Data = open
		r.frames, r.stamps, r.open = append(r.frames, r.held), append(r.stamps, media.Stamp{}), 0
		r.held, r.carriedAt = media.Frame{}, r.heldAt
	}
}

// began returns where the batch begins in which a frame does.
func (r *reading) began(i int) uint64 {
	if r.carried && i == 0 {
		return r.carriedAt
	}
	return r.at
}

// restart forgets what was read before: whoever goes on from the State in front
// of the next batch does not know of it.
func (r *reading) restart() {
	r.held, r.codec, r.config, r.video = media.Frame{}, nil, nil, h264.Assembler{}
}

// first is the first frame that the batch itself brings.
func (r *reading) first() int {
	if r.carried {
		return 1
	}
	return 0
}

// initial returns the tracks of the batch's first frame, and those that come in
// it later. Another codec of the sound counts from the first sound on: MP3 has no
// header that would come before.
func (r *reading) initial() Tracks {
	t := r.before
	for _, c := range r.changes {
		if c.at <= r.first() {
			t = c.tracks
		}
		if a := c.tracks.Audio; t.Audio != nil && a != nil && a.ID() != t.Audio.ID() && !r.heard(c.at) {
			t.Audio = a
		}
		if t.Video == nil {
			t.Video = c.tracks.Video
		}
		if t.Audio == nil {
			t.Audio = c.tracks.Audio
		}
	}
	return t
}

// heard tells whether there is sound in front of frame i.
func (r *reading) heard(i int) bool {
	return slices.ContainsFunc(r.frames[:i], func(f media.Frame) bool { return f.Kind == media.Audio })
}

// force puts other tracks into force from here on.
func (r *reading) force(t Tracks) {
	r.tracks = t
	if n := len(r.changes); n > 0 && r.changes[n-1].at == len(r.frames) {
		r.changes[n-1].tracks = t
		return
	}
	r.changes = append(r.changes, change{len(r.frames), t})
}

// place gives the frames their times, each in the light of those behind it. Sound
// whose place silence has taken meanwhile is left out.
func (r *reading) place() {
	for i := 0; i < len(r.frames); i++ {
		if i == 0 && r.carried {
			continue
		}
		if r.timeline.Missed(r.stamps[i]) {
			r.drops.Count(media.DropLate)
			r.sounds--
			r.leaveOut(i)
			i--
			continue
		}
		f := &r.frames[i]
		f.DTS, f.PTS = r.timeline.Place(r.stamps[i], r.stamps[i+1:])
	}
}

// leaveOut takes out a frame.
func (r *reading) leaveOut(i int) {
	r.frames, r.stamps = slices.Delete(r.frames, i, i+1), slices.Delete(r.stamps, i, i+1)
	for c := range r.changes {
		if r.changes[c].at > i {
			r.changes[c].at--
		}
	}
	if r.open > i {
		r.open--
	}
}

// measure finds the place in time of the frames from the first one given.
func (r *reading) measure(first int) {
	r.ok, r.dts, r.begin, r.end, r.newest, r.reach, r.keyed = false, 0, 0, 0, 0, 0, true
	pictures, sounds := false, false
	for i := range r.frames {
		f := &r.frames[i]
		video := f.Kind == media.Video
		step := r.timeline.Audio.Step
		if video {
			step = r.timeline.Video.Step
		}
		r.end = max(r.end, f.PTS+step)
		if video {
			r.reach = max(r.reach, f.PTS+step)
		}
		if i < first {
			continue
		}
		if video && !pictures || !video && !sounds {
			r.newest = max(r.newest, f.PTS)
		}
		sounds = sounds || !video
		if video && !pictures {
			pictures, r.keyed = true, f.Key && independent(r.tracks.Video, f.Data)
			r.dts, r.begin = f.DTS, f.PTS
		} else if !r.ok {
			r.dts, r.begin = f.DTS, f.PTS
		}
		r.ok = true
		if video {
			r.begin = min(r.begin, f.PTS)
		}
	}
	switch ahead := r.timeline.Audio.Skew; {
	case ahead <= media.Clock:
		r.reach = r.end
	case r.reach == 0:
		r.reach = r.end - ahead
	}
}

// hold takes out the picture that is still open: it goes on, or ends, in the
// next batch.
func (r *reading) hold() {
	if !r.split || r.open < 0 {
		return
	}
	r.held, r.heldAt = r.frames[r.open], r.began(r.open)
	r.carried = r.carried && r.open > 0
	r.leaveOut(r.open)
}

// independent tells whether nothing after a picture needs anything before it.
func independent(c media.Codec, data []byte) bool {
	switch c.(type) {
	case *media.AVC:
		return isIDR(data)
	}
	return false
}

// isIDR tells whether a coded picture is an IDR picture (H.264, 7.4.1.2.4).
// Other key frames are recovery points, which leading pictures of the group
// before depend on.
func isIDR(data []byte) bool {
	for nal, err := range h264.Units(data, h264.PartLengthSize) {
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

// excludes tells why nothing of a track is taken, 0 where it is.
func (r *reading) excludes(kind media.Kind, id media.CodecID, track uint8, header bool) media.DropReason {
	switch {
	case id == "":
		return media.DropCodec
	case track != 0:
		return media.DropTrack
	case r.tracks.unfit.has(kind) && !header:
		return media.DropUnfit
	case r.kinds.lacks(kind):
		return media.DropUnlisted
	}
	return 0
}

func (r *reading) readVideo(t flv.Tag) {
	v, err := flv.ParseVideo(t.Data)
	if err != nil {
		r.drops.Count(media.DropUnread)
		return
	}
	id := videoCodec(v.Codec)
	if reason := r.excludes(media.Video, id, v.Track, v.Packet == flv.SequenceHeader); reason > 0 {
		if v.Packet == flv.CodedFrames {
			r.drops.Count(reason)
		}
		if reason == media.DropCodec && v.Packet == flv.CodedFrames {
			r.foreign[0] = v.Codec.String()
		}
		return
	}
	switch v.Packet {
	case flv.SequenceHeader:
		r.header(id, v.Body)
	case flv.CodedFrames:
		r.readPictures(t.Timestamp, v)
	}
}

// header puts a configuration into force.
func (r *reading) header(id media.CodecID, record []byte) {
	t := r.tracks
	c, err := t.set(id, record)
	if err != nil {
		r.drops.Count(media.DropHeader)
		return
	}
	unfit := r.format.Fits(c) != nil
	if unfit { // what the segments list of it stays, if they do
		t = r.tracks
	}
	t.unfit = t.unfit.with(c.Kind(), unfit)
	if t != r.tracks {
		r.force(t)
	}
}

// readPictures takes a message with coded pictures: a part of one, or several.
func (r *reading) readPictures(timestamp uint32, v flv.Video) {
	r.configure()
	parts, whole := r.video.Add(r.parts[:0], v.Body)
	r.parts = parts
	switch {
	case len(parts) > 0:
	case !whole:
		r.drops.Count(media.DropDamaged)
	case r.video.Units() == 0:
		r.drops.Count(media.DropNoPicture)
	}
	r.split = r.video.Split()
	for i := range parts {
		p := &parts[i]
		switch {
		case p.Orphan:
			r.drops.Count(media.DropNoPicture)
		case !p.Continues:
			r.picture(timestamp, v, p)
		case r.open >= 0:
			f := &r.frames[r.open]
			f.Data, f.Key = p.Data, f.Key || p.RandomAccess(v.Key())
		}
	}
}

// configure has the assembler go by the tracks in force.
func (r *reading) configure() {
	c, ok := r.tracks.Video.(*media.AVC)
	if !ok || c == r.codec {
		return
	}
	if r.codec == nil {
		r.video.Resume(&c.Config, c.LengthSize(), r.split)
	} else {
		config := c.Config
		config.LengthSize = c.LengthSize()
		r.video.Configure(config)
	}
	r.goBy(c)
}

// goBy notes the codec in force.
func (r *reading) goBy(c *media.AVC) {
	r.codec, r.config, r.reorder, r.lasts = c, nil, -1, 0
	if r.video.Config().Same(&c.Config) {
		r.config = r.video.Config()
	}
	sps, err := c.Config.Active()
	if err != nil {
		return
	}
	r.reorder = int(sps.Reorder)
	if rate := sps.FrameRate; rate.Num > 0 {
		r.lasts = int64(rate.Den) * media.Clock / int64(rate.Num)
	}
}

// picture takes the first part of a picture.
func (r *reading) picture(timestamp uint32, v flv.Video, p *h264.Part) {
	r.open = -1
	if len(p.Config.SPS) == 0 || len(p.Config.PPS) == 0 {
		r.drops.Count(media.DropUnconfigured)
		return
	}
	key := p.RandomAccess(v.Key())
	// Before the session's first key frame nothing can be decoded.
	if !key && !r.timeline.Video.Seen && r.pictures == 0 {
		r.drops.Count(media.DropNoKey)
		return
	}
	if p.Config != r.config { // parameter sets came in band
		t := r.tracks
		c := media.AVCInBand(r.codec, *p.Config)
		t.Video = c
		r.force(t)
		r.goBy(c)
		r.config = p.Config
	}
	r.open = len(r.frames)
	r.frames = append(r.frames, media.Frame{Kind: media.Video, Key: key, Data: p.Data})
	r.stamps = append(r.stamps, media.Stamp{Kind: media.Video, Timestamp: timestamp, Composition: v.CTS, Reorder: r.reorder, Lasts: r.lasts})
	r.pictures++
}
