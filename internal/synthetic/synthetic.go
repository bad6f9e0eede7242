// Package synthetic makes shows and their frame logs, for tests of what comes
// behind the log: each frame has a content of its own, so that one that is
// lost, doubled or moved is seen.
package synthetic

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
	AVC720 = unhex("014d401fffe10019674d401feca02802dd8088000003000800000301e078c18cb001000468ce0fc8")
	AVC360 = unhex("0164001effe100196764001eacd940a02ff9610000030001000003003c8f162d9601000668ebe3cb22c0fdf8f800")
	ASC441 = unhex("120856e500")
)

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// Show is one session as an encoder sends it.
type Show struct {
	Seconds    float64
	GOP        float64 // seconds
	FPS        int
	Video      bool
	Audio      bool
	AVC, ASC   []byte
	Start      uint32  // first timestamp
	AudioLate  float64 // seconds
	ChangeAt   float64 // another AVC from here on
	ChangeTo   []byte
	OpenGOPs   bool // key frames are recovery points, but for the first
	Seed       uint64
	PictureLen int
	MP3        int  // the sound is MP3, so many frames a message; 0: AAC
	Mute       Span // no sound is sent
	// SoundBehind is how long after its time the sound is sent, in seconds.
	SoundBehind float64
	Freeze      Span // no pictures are sent, and none are left out: those behind it are later
	// Slices, above 1, has each picture come in so many messages of one slice.
	Slices int
}

// Span is a time within a show, in seconds; the zero value is none.
type Span struct{ From, To float64 }

func (s Span) has(at float64) bool { return at >= s.From && at < s.To }

// New returns a session with the defaults filled in.
func New(seconds float64) Show {
	return Show{Seconds: seconds, GOP: 2, FPS: 30, Video: true, Audio: true, AVC: AVC720, ASC: ASC441, PictureLen: 400}
}

// sound calls add with the time of each message of so many frames, of so many
// samples each, that is not muted.
func (s Show) sound(samples, frames int, add func(at float64)) {
	for n := 0; ; n += frames {
		at := s.AudioLate + float64(n*samples)/44100
		if at >= s.Seconds {
			return
		}
		if !s.Mute.has(at) {
			add(at)
		}
	}
}

// Tags returns what the encoder sends.
func (s Show) Tags() []flv.Tag {
	rng := rand.New(rand.NewPCG(1, s.Seed))
	ms := func(sec float64) uint32 { return s.Start + uint32(sec*1000+0.5) }
	type timed struct {
		at  float64 // when it is sent
		tag flv.Tag
	}
	var all []timed
	send := func(when, at float64, t flv.TagType, body []byte) {
		all = append(all, timed{when, flv.Tag{Type: t, Timestamp: ms(at), Data: body}})
	}
	add := func(at float64, t flv.TagType, body []byte) { send(at, at, t, body) }
	if s.Video {
		add(0, flv.TagVideo, append([]byte{0x17, 0, 0, 0, 0}, s.AVC...))
		perGOP := int(s.GOP*float64(s.FPS) + 0.5)
		for n := range int(s.Seconds * float64(s.FPS)) {
			at := float64(n) / float64(s.FPS)
			if at >= s.Freeze.From {
				at += s.Freeze.To - s.Freeze.From
			}
			if at >= s.Seconds {
				break
			}
			if s.ChangeTo != nil && at >= s.ChangeAt && n%perGOP == 0 {
				add(at, flv.TagVideo, append([]byte{0x17, 0, 0, 0, 0}, s.ChangeTo...))
			}
			if s.Slices > 1 {
				for i := range s.Slices {
					add(at, flv.TagVideo, slice(rng, n%perGOP == 0, uint32(i), uint32(n%perGOP), uint32(n/perGOP), s.PictureLen))
				}
				continue
			}
			body := Picture(rng, n%perGOP == 0, s.PictureLen)
			if s.OpenGOPs && n > 0 {
				body[9] = 0x41 // a slice of no IDR picture
			}
			add(at, flv.TagVideo, body)
		}
	}
	switch {
	case s.Audio && s.MP3 > 0:
		s.sound(1152, s.MP3, func(at float64) { send(at+s.SoundBehind, at, flv.TagAudio, mp3Message(rng, s.MP3)) })
	case s.Audio:
		add(s.AudioLate, flv.TagAudio, append([]byte{0xaf, 0}, s.ASC...))
		s.sound(1024, 1, func(at float64) {
			send(at+s.SoundBehind, at, flv.TagAudio, append([]byte{0xaf, 1}, random(rng, 200+rng.IntN(200))...))
		})
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

// Picture is an AVC body with one slice in it, whose header begins as it should
// (ITU-T H.264, 7.3.3): with its first macroblock, 0, its type, I or P, and the
// picture parameter set, 0.
func Picture(rng *rand.Rand, key bool, size int) []byte {
	head, slice := byte(0x27), byte(0x41)
	if key {
		head, slice, size = 0x17, 0x65, 4*size
	}
	size += rng.IntN(size)
	b := []byte{head, 1, 0, 0, 67}
	b = binary.BigEndian.AppendUint32(b, uint32(size+1))
	at := len(b) + 1
	b = append(append(b, slice), random(rng, size)...)
	if key {
		b[at], b[at+1] = 0x88, b[at+1]|0x80 // 1 0001000 1
	} else {
		b[at] = 0x9b // 1 00110 1
	}
	return b
}

// slice is an AVC body with slice i of a picture: the n-th of its group, which
// is the gop-th. Its header is one of AVC720's: frame_num has 4 bits,
// pic_order_cnt_lsb 6.
func slice(rng *rand.Rand, key bool, i, n, gop uint32, size int) []byte {
	var bits uint64
	used := 0
	u := func(width int, v uint32) { bits, used = bits<<width|uint64(v), used+width }
	ue := func(v uint32) {
		width := 0
		for v+1 >= 2<<width {
			width++
		}
		u(2*width+1, v+1)
	}
	ue(i) // first_mb_in_slice
	b := []byte{0x27, 1, 0, 0, 67, 0, 0, 0, 0, 0x41}
	if key {
		b[0], b[9] = 0x17, 0x65
		ue(7)
		ue(0)
		u(4, 0)
		ue(gop % 2) // idr_pic_id
		u(6, 0)
	} else {
		ue(5)
		ue(0)
		u(4, n%16)
		u(6, 2*n%64)
	}
	for used%8 != 0 {
		u(1, 1)
	}
	for shift := used - 8; shift >= 0; shift -= 8 {
		b = append(b, byte(bits>>shift))
	}
	b = append(b, random(rng, size)...)
	binary.BigEndian.PutUint32(b[5:], uint32(len(b)-9))
	return b
}

// mp3Message is an MP3 body of n frames: 128 kbit/s, 44.1 kHz, stereo (ISO/IEC
// 11172-3, 2.4.1.3).
func mp3Message(rng *rand.Rand, n int) []byte {
	body := []byte{0x2f}
	for range n {
		body = append(append(body, 0xff, 0xfb, 0x90, 0x00), random(rng, 417-4)...)
	}
	return body
}

// random returns bytes that never look like a start code.
func random(rng *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32()) | 1
	}
	return b
}

// Log is a broadcast's log.
type Log struct {
	Batches []*framelog.Batch
	epoch   uint64
	seq     uint64
}

// Wall is the wall clock of the first session's ingest; each later one begins
// a minute after the one before.
var Wall = time.Date(2026, 11, 21, 1, 45, 0, 0, time.UTC)

// Session appends a session's Batches, cut as ingest does (design: each key
// frame opens a batch with the headers in force), and how it ended.
func (r *Log) Session(t testing.TB, tags []flv.Tag, end framelog.Flags) {
	r.epoch++
	if r.epoch > 1 {
		r.Add(&framelog.Batch{Header: framelog.Header{Flags: framelog.Fence}})
	}
	begin := Wall.Add(time.Duration(r.epoch-1) * time.Minute)
	open := &framelog.Batch{Header: framelog.Header{Flags: framelog.Begin | framelog.Key, Wall: begin}}
	var headers []flv.Tag
	var opened, key uint32
	for i, tag := range tags {
		sound := tag.Type == flv.TagAudio && !slices.ContainsFunc(tags, flv.IsKeyframe) && int32(tag.Timestamp-key) >= 1000
		switch {
		case i == 0:
			opened, key = tag.Timestamp, tag.Timestamp
		case (beginsKey(tag) || sound) && hasMedia(open):
			r.Add(open)
			open, opened, key = keyBatch(headers, tag.Timestamp), tag.Timestamp, tag.Timestamp
		case int32(tag.Timestamp-opened) >= 250 && open.Flags&framelog.Begin == 0:
			r.Add(open)
			open, opened = new(framelog.Batch), tag.Timestamp
		}
		if flv.IsSequenceHeader(tag) {
			headers = append(slices.DeleteFunc(headers, func(h flv.Tag) bool { return h.Type == tag.Type }), tag)
		}
		open.Tags = flv.AppendTag(open.Tags, tag)
		if open.Flags.Has(framelog.Begin) && hasMedia(open) && int32(tag.Timestamp-opened) >= 250 {
			r.Add(open)
			open, opened = new(framelog.Batch), tag.Timestamp
		}
	}
	r.Add(open)
	if end != 0 {
		r.Add(&framelog.Batch{Header: framelog.Header{Flags: end}})
	}
}

// beginsKey tells whether a key frame begins with the tag.
func beginsKey(t flv.Tag) bool {
	goesOn := len(t.Data) > 10 && t.Data[9]&0x1f == 5 && t.Data[10]&0x80 == 0 // first_mb_in_slice is not 0
	return flv.IsKeyframe(t) && !goesOn
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

// Add appends one batch.
func (r *Log) Add(b *framelog.Batch) {
	// Sequences of other broadcasts lie between.
	r.seq += 3
	b.First, b.Seq, b.Epoch, b.Session = r.seq-1, r.seq, r.epoch, "s"
	r.Batches = append(r.Batches, b)
}

// Record is the log of a broadcast of one session that ends cleanly.
func Record(t testing.TB, s Show) *Log {
	t.Helper()
	r := new(Log)
	r.Session(t, s.Tags(), framelog.Final)
	return r
}
