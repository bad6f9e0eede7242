package segmenter

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"weir/media/framelog"
	"weir/remux/flv"
)

// The codec configurations of the synthetic shows, as ffmpeg 5.1 sends them:
// 1280x720 H.264 at 30 pictures a second, the same at 640x360, and AAC-LC
// 44.1 kHz.
var (
	avc720 = unhex("014d401fffe10019674d401feca02802dd8088000003000800000301e078c18cb001000468ce0fc8")
	avc360 = unhex("0164001effe100196764001eacd940a02ff9610000030001000003003c8f162d9601000668ebe3cb22c0fdf8f800")
	asc441 = unhex("120856e500")
)

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// source makes one session's tags: pictures and sounds with content of their
// own, so that a frame that is lost, doubled or moved is seen.
type source struct {
	seconds    float64
	gop        float64 // seconds
	fps        int
	video      bool
	audio      bool
	avc, asc   []byte
	start      uint32  // first timestamp
	audioLate  float64 // seconds
	changeAt   float64 // another avc from here on
	changeTo   []byte
	openGOPs   bool // key frames are recovery points, but for the first
	seed       uint64
	pictureLen int
}

// show returns the session with the defaults filled in.
func show(seconds float64) source {
	return source{seconds: seconds, gop: 2, fps: 30, video: true, audio: true, avc: avc720, asc: asc441, pictureLen: 400}
}

func (s source) tags() []flv.Tag {
	rng := rand.New(rand.NewPCG(1, s.seed))
	ms := func(sec float64) uint32 { return s.start + uint32(sec*1000+0.5) }
	type timed struct {
		at  float64
		tag flv.Tag
	}
	var all []timed
	add := func(at float64, t flv.TagType, body []byte) {
		all = append(all, timed{at, flv.Tag{Type: t, Timestamp: ms(at), Data: body}})
	}
	if s.video {
		add(0, flv.TagVideo, append([]byte{0x17, 0, 0, 0, 0}, s.avc...))
		perGOP := int(s.gop*float64(s.fps) + 0.5)
		for n := range int(s.seconds * float64(s.fps)) {
			at := float64(n) / float64(s.fps)
			if s.changeTo != nil && at >= s.changeAt && n%perGOP == 0 {
				add(at, flv.TagVideo, append([]byte{0x17, 0, 0, 0, 0}, s.changeTo...))
			}
			body := picture(rng, n%perGOP == 0, s.pictureLen)
			if s.openGOPs && n > 0 {
				body[9] = 0x41 // a slice of no IDR picture
			}
			add(at, flv.TagVideo, body)
		}
	}
	if s.audio {
		add(s.audioLate, flv.TagAudio, append([]byte{0xaf, 0}, s.asc...))
		for n := 0; ; n++ {
			at := s.audioLate + float64(n)*1024/44100
			if at >= s.seconds {
				break
			}
			add(at, flv.TagAudio, append([]byte{0xaf, 1}, random(rng, 200+rng.IntN(200))...))
		}
	}
	slices.SortStableFunc(all, func(a, b timed) int {
		switch {
		case a.at < b.at:
			return -1
		case a.at > b.at:
			return 1
		}
		return 0
	})
	tags := make([]flv.Tag, len(all))
	for i, x := range all {
		tags[i] = x.tag
	}
	return tags
}

// picture is an AVC body with one slice in it.
func picture(rng *rand.Rand, key bool, size int) []byte {
	head, slice := byte(0x27), byte(0x41)
	if key {
		head, slice, size = 0x17, 0x65, 4*size
	}
	size += rng.IntN(size)
	b := []byte{head, 1, 0, 0, 67}
	b = binary.BigEndian.AppendUint32(b, uint32(size+1))
	return append(append(b, slice), random(rng, size)...)
}

// random returns bytes that never look like a start code.
func random(rng *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32()) | 1
	}
	return b
}

// recording is a broadcast's log.
type recording struct {
	batches []*framelog.Batch
	epoch   uint64
	seq     uint64
}

var wall = time.Date(2026, 11, 21, 1, 45, 0, 0, time.UTC)

// session appends a session's batches, cut as ingest does (design: each key
// frame opens a batch with the headers in force), and how it ended.
func (r *recording) session(t testing.TB, tags []flv.Tag, end framelog.Flags) {
	t.Helper()
	r.epoch++
	if r.epoch > 1 {
		r.add(&framelog.Batch{Header: framelog.Header{Flags: framelog.Fence}})
	}
	begin := wall.Add(time.Duration(r.epoch-1) * time.Minute)
	open := &framelog.Batch{Header: framelog.Header{Flags: framelog.Begin | framelog.Key, Wall: begin}}
	var headers []flv.Tag
	var opened, key uint32
	for i, tag := range tags {
		sound := tag.Type == flv.TagAudio && !slices.ContainsFunc(tags, flv.IsKeyframe) && int32(tag.Timestamp-key) >= 1000
		switch {
		case i == 0:
			opened, key = tag.Timestamp, tag.Timestamp
		case (flv.IsKeyframe(tag) || sound) && hasMedia(open):
			r.add(open)
			open, opened, key = keyBatch(headers, tag.Timestamp), tag.Timestamp, tag.Timestamp
		case int32(tag.Timestamp-opened) >= 250 && open.Flags&framelog.Begin == 0:
			r.add(open)
			open, opened = new(framelog.Batch), tag.Timestamp
		}
		if flv.IsSequenceHeader(tag) {
			headers = append(slices.DeleteFunc(headers, func(h flv.Tag) bool { return h.Type == tag.Type }), tag)
		}
		open.Tags = flv.AppendTag(open.Tags, tag)
		if open.Flags.Has(framelog.Begin) && hasMedia(open) && int32(tag.Timestamp-opened) >= 250 {
			r.add(open)
			open, opened = new(framelog.Batch), tag.Timestamp
		}
	}
	r.add(open)
	if end != 0 {
		r.add(&framelog.Batch{Header: framelog.Header{Flags: end}})
	}
}

// keyBatch opens a batch with the sequence headers in force.
func keyBatch(headers []flv.Tag, timestamp uint32) *framelog.Batch {
	b := &framelog.Batch{Header: framelog.Header{Flags: framelog.Key}}
	for _, h := range headers {
		h.Timestamp = timestamp
		b.Tags = flv.AppendTag(b.Tags, h)
	}
	b.Prelude = len(b.Tags)
	return b
}

// hasMedia tells whether a batch holds more than sequence headers.
func hasMedia(b *framelog.Batch) bool {
	for p := b.Tags; len(p) > 0; {
		t, n, err := flv.NextTag(p)
		if err != nil {
			return false
		}
		if !flv.IsSequenceHeader(t) {
			return true
		}
		p = p[n:]
	}
	return false
}

func (r *recording) add(b *framelog.Batch) {
	// Sequences of other broadcasts lie between.
	r.seq += 3
	b.First, b.Seq, b.Epoch, b.Session = r.seq-1, r.seq, r.epoch, "s"
	r.batches = append(r.batches, b)
}

// record is a broadcast of one session that ends cleanly.
func record(t testing.TB, s source) *recording {
	t.Helper()
	r := new(recording)
	r.session(t, s.tags(), framelog.Final)
	return r
}
