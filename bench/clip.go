package bench

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"time"

	"weir/remux/flv"
	"weir/rtmp/amf"
)

// ClipConfig says what a stream is like: 1280x720 H.264 with two B pictures
// in a row, and AAC-LC of 48 kHz in stereo.
type ClipConfig struct {
	// FPS is pictures a second, GOP how long it is from one key picture to the
	// next: whole seconds.
	FPS int
	GOP time.Duration
	// Video and Audio are bit/s. Audio 0 is none.
	Video, Audio int
}

// Clip is a stream that repeats: what is sent once, and a loop of tags.
type Clip struct {
	Headers []flv.Tag // metadata, sequence headers
	Loop    []flv.Tag // in the order of sending, from 0 ms
	// Length is that of the loop, in milliseconds.
	Length uint32
	// Video and Audio are how many frames of each the loop has.
	Video, Audio int
	// Bytes are those of the loop.
	Bytes int64
}

const (
	audioRate  = 48000
	audioFrame = 1024                                  // samples
	audioLoop  = 8                                     // seconds that are a whole number of audio frames: 375
	maxGOP     = 10                                    // seconds
	markerSize = 3                                     // bytes of a frame that say which it is
	keyPart    = 6                                     // a key picture is so many times a common one
	plainB     = 0.5                                   // and a B picture this part of it
	avcHeader  = "17000000000164001fffe1001a" + sps720 // of a video tag, then AVCDecoderConfigurationRecord
	aacHeader  = "af001190"                            // of an audio tag, then AudioSpecificConfig: LC, 48 kHz, stereo
	// sps720 are SPS and PPS as libx264 writes them for 1280x720, High profile:
	// ffmpeg -f lavfi -i testsrc2=size=1280x720:rate=30 -c:v libx264 -profile:v high -f flv.
	sps720 = "6764001facd9405005bb0110000003001000000303c0f183196001000668ebe3cb22c0fdf8f800"
)

// NewClip makes a clip.
func NewClip(c ClipConfig) (*Clip, error) {
	gop := int(c.GOP / time.Second)
	switch {
	case c.FPS < 5 || c.FPS > 120:
		return nil, fmt.Errorf("make clip: %d pictures a second, want 5 to 120", c.FPS)
	case gop < 1 || gop > maxGOP || c.GOP%time.Second != 0:
		return nil, fmt.Errorf("make clip: a key picture each %v, want whole seconds up to %d", c.GOP, maxGOP)
	case c.Video/8/c.FPS < 200 || c.Video > 100e6:
		return nil, fmt.Errorf("make clip: %d bit/s of video, want 200 bytes a picture to 100 Mbit/s", c.Video)
	case c.Audio < 0 || c.Audio > 0 && (c.Audio < 8e3 || c.Audio > 512e3):
		return nil, fmt.Errorf("make clip: %d bit/s of audio, want 8000 to 512000", c.Audio)
	}
	seconds := gop
	if c.Audio > 0 {
		seconds = gop * audioLoop / gcd(gop, audioLoop)
	}
	k := &Clip{Headers: headers(c), Length: uint32(seconds * 1000)}
	k.Loop = append(k.pictures(c, gop, seconds), k.sound(c, seconds)...)
	slices.SortStableFunc(k.Loop, func(a, b flv.Tag) int { return int(a.Timestamp) - int(b.Timestamp) })
	for _, t := range k.Loop {
		k.Bytes += int64(len(t.Data))
	}
	return k, nil
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// headers are what an encoder sends first.
func headers(c ClipConfig) []flv.Tag {
	meta := amf.Append(amf.Append(nil, amf.String("onMetaData")), amf.ECMAArray{
		{Name: "width", Value: amf.Number(1280)}, {Name: "height", Value: amf.Number(720)},
		{Name: "framerate", Value: amf.Number(c.FPS)}, {Name: "videocodecid", Value: amf.Number(7)},
		{Name: "videodatarate", Value: amf.Number(c.Video / 1000)}, {Name: "audiodatarate", Value: amf.Number(c.Audio / 1000)},
	})
	all := []flv.Tag{{Type: flv.TagScript, Data: meta}, {Type: flv.TagVideo, Data: unhex(avcHeader)}}
	if c.Audio > 0 {
		all = append(all, flv.Tag{Type: flv.TagAudio, Data: unhex(aacHeader)})
	}
	return all
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err) // a constant of this file
	}
	return b
}

// pictures are the loop's pictures: I, then P B B over and over.
func (k *Clip) pictures(c ClipConfig, gop, seconds int) (tags []flv.Tag) {
	n := gop * c.FPS // of a GOP
	b := (n - 1) / 3 * 2
	common := float64(c.Video) / 8 * float64(gop) / (keyPart + float64(n-1-b) + plainB*float64(b))
	for i := range seconds * c.FPS {
		at := i % n
		key, bPicture := at == 0, at > 0 && at <= (n-1)/3*3 && at%3 != 1
		size, offset := common, 1 // pictures from DTS to PTS
		switch {
		case key:
			size = keyPart * common
		case bPicture:
			size, offset = plainB*common, 0
		case at <= (n-1)/3*3: // shown after the two that come behind it
			offset = 3
		}
		dts := stampOf(i, c.FPS)
		tags = append(tags, flv.Tag{Type: flv.TagVideo, Timestamp: dts, Data: picture(i, key, int(size), stampOf(i+offset, c.FPS)-dts)})
	}
	k.Video = len(tags)
	return tags
}

// stampOf is when the i-th picture is due, in milliseconds.
func stampOf(i, fps int) uint32 { return uint32(math.Round(float64(i) * 1000 / float64(fps))) }

// picture is the body of a video tag [FLV E.4.3]: one NAL unit with a slice
// header that begins as it must (ITU-T H.264, 7.3.3: first_mb_in_slice 0,
// slice_type, pic_parameter_set_id 0), the frame's number, and noise.
func picture(n int, key bool, size int, offset uint32) []byte {
	body := []byte{0x27, 1, 0, byte(offset >> 8), byte(offset), 0, 0, 0, 0, 0x41, 0x9A}
	if key {
		body[0], body[9], body[10] = 0x17, 0x65, 0x88
	}
	body = appendNoise(appendMarker(body, n), n, size-2-markerSize)
	binary.BigEndian.PutUint32(body[5:], uint32(len(body)-9))
	return body
}

// sound is the loop's audio [FLV E.4.2]: frames that begin as a channel pair
// does (ISO/IEC 14496-3, 4.4.2.1), the frame's number, and noise.
func (k *Clip) sound(c ClipConfig, seconds int) (tags []flv.Tag) {
	if c.Audio == 0 {
		return nil
	}
	k.Audio = seconds * audioRate / audioFrame
	size := c.Audio / 8 * audioFrame / audioRate
	for i := range k.Audio {
		at := uint32(math.Round(float64(i) * audioFrame * 1000 / audioRate))
		body := appendNoise(appendMarker([]byte{0xAF, 1, 0x21}, i), i, size-1-markerSize)
		tags = append(tags, flv.Tag{Type: flv.TagAudio, Timestamp: at, Data: body})
	}
	return tags
}

// appendMarker writes a frame's number in bytes of which none is zero, so that
// they need no emulation prevention.
func appendMarker(dst []byte, n int) []byte {
	return append(dst, 0x80|byte(n>>14), 0x80|byte(n>>7), 0x80|byte(n))
}

// markerOf reads what appendMarker wrote.
func markerOf(b []byte) (n int, ok bool) {
	if len(b) < markerSize || b[0]&b[1]&b[2]&0x80 == 0 {
		return 0, false
	}
	return int(b[0]&0x7F)<<14 | int(b[1]&0x7F)<<7 | int(b[2]&0x7F), true
}

// appendNoise appends bytes from 0x80 to 0xFF, which nothing can take for a
// start code.
func appendNoise(dst []byte, seed, n int) []byte {
	x := uint32(seed)*2654435761 + 1
	for range n {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		dst = append(dst, 0x80|byte(x))
	}
	return dst
}
