// Package mp3 knows MPEG audio outside of its frames: the header that each
// frame begins with, and so where it ends and how long it lasts. MP3 is its
// layer III; the other two have the same header.
//
// Source: ISO/IEC 11172-3, 2.4.1 and 2.4.2 (MPEG-1), ISO/IEC 13818-3, 2.4.1 and
// 2.4.2 (the low sampling frequencies of MPEG-2). MPEG-2.5, with yet lower ones,
// is in neither; everybody plays it.
package mp3

import (
	"errors"
	"fmt"
)

// ErrMalformed is wrapped by the errors about bytes that are no frame.
var ErrMalformed = errors.New("malformed MPEG audio")

// HeaderSize is the size of a frame's header, in bytes.
const HeaderSize = 4

// Version is which specification a frame follows.
type Version uint8

// The versions.
const (
	MPEG1  Version = 1 // ISO/IEC 11172-3
	MPEG2  Version = 2 // ISO/IEC 13818-3: half the sampling frequencies
	MPEG25 Version = 3 // a quarter of them
)

// Config is what a decoder is set up with: all frames of a track share it.
type Config struct {
	Version    Version
	Layer      int // 1 to 3
	SampleRate int // Hz
	Channels   int // 1 or 2
}

// FrameLength is how many samples a frame decodes to, for each channel
// (ISO/IEC 11172-3, 2.4.2.1; ISO/IEC 13818-3, 2.4.2.1).
func (c Config) FrameLength() int {
	switch {
	case c.Layer == 1:
		return 384
	case c.Layer == 3 && c.Version != MPEG1:
		return 576
	}
	return 1152
}

// Codecs returns the value of a CODECS attribute, as in mp4a.40.34 (RFC 6381,
// 3.3): layers I to III are the MPEG-4 audio object types 32 to 34 (ISO/IEC
// 14496-3, table 1.17).
func (c Config) Codecs() string { return fmt.Sprintf("mp4a.40.%d", 31+c.Layer) }

// Header is what a frame's header says.
type Header struct {
	Config
	Bitrate int // bits per second
	Size    int // of the frame, in bytes, its header included
}

var (
	errShort = fmt.Errorf("%w: a frame ends early (ISO/IEC 11172-3, 2.4.3.1)", ErrMalformed)
	errSync  = fmt.Errorf("%w: no syncword (ISO/IEC 11172-3, 2.4.2.3)", ErrMalformed)
	errValue = fmt.Errorf("%w: a reserved version, layer, bit rate or sampling frequency (ISO/IEC 11172-3, 2.4.2.3)", ErrMalformed)
	errFree  = fmt.Errorf("%w: a frame of free format does not say how long it is (ISO/IEC 11172-3, 2.4.2.3)", ErrMalformed)
)

// bitrates are the tables of bitrate_index (ISO/IEC 11172-3, 2.4.2.3; ISO/IEC
// 13818-3, 2.4.2.3), in kbit/s: layers I to III, then those of the low sampling
// frequencies. Index 0 is the free format.
var bitrates = [2][3][15]int{{
	{0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448},
	{0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384},
	{0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320},
}, {
	{0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256},
	{0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160},
	{0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160},
}}

// rates are those of sampling_frequency, in Hz, by Version.
var rates = [4][3]int{
	MPEG1:  {44100, 48000, 32000},
	MPEG2:  {22050, 24000, 16000},
	MPEG25: {11025, 12000, 8000},
}

// versions are by the ID bit and the last bit of the syncword, which MPEG-2.5
// took from it.
var versions = [4]Version{MPEG25, 0, MPEG2, MPEG1}

// ParseHeader reads the header at the start of p, whether or not the rest of
// its frame is there (ISO/IEC 11172-3, 2.4.1.3):
//
//	syncword(12) ID(1) layer(2) protection_bit(1)
//	bitrate_index(4) sampling_frequency(2) padding_bit(1) private_bit(1)
//	mode(2) mode_extension(2) copyright(1) original/home(1) emphasis(2)
func ParseHeader(p []byte) (Header, error) {
	if len(p) < HeaderSize {
		return Header{}, errShort
	}
	if p[0] != 0xff || p[1]&0xe0 != 0xe0 {
		return Header{}, errSync
	}
	h := Header{Config: Config{Version: versions[p[1]>>3&3], Layer: 4 - int(p[1]>>1&3), Channels: 2}}
	index, rate, padding := p[2]>>4, p[2]>>2&3, int(p[2]>>1&1)
	if h.Version == 0 || h.Layer == 4 || index == 15 || rate == 3 {
		return Header{}, errValue
	}
	if index == 0 {
		return Header{}, errFree
	}
	if p[3]>>6 == 3 { // single_channel
		h.Channels = 1
	}
	h.SampleRate = rates[h.Version][rate]
	h.Bitrate = 1000 * bitrates[min(h.Version-1, 1)][h.Layer-1][index]
	// Slots are of four bytes in layer I, of one in the others (2.4.3.1).
	slot := 1
	if h.Layer == 1 {
		slot = 4
	}
	h.Size = (h.FrameLength()/8/slot*h.Bitrate/h.SampleRate + padding) * slot
	return h, nil
}

// ParseFrame reads the header of the frame that p begins with: p[:Size].
func ParseFrame(p []byte) (Header, error) {
	h, err := ParseHeader(p)
	if err == nil && h.Size > len(p) {
		return Header{}, errShort
	}
	return h, err
}

// Find returns where in p the first frame begins, -1 where there is none. Bytes
// that look like a header are one only where their frame ends with p, or where
// another of its kind follows.
func Find(p []byte) int {
	for i := 0; i+HeaderSize <= len(p); i++ {
		if p[i] != 0xff {
			continue
		}
		h, err := ParseFrame(p[i:])
		if err != nil {
			continue
		}
		rest := p[i+h.Size:]
		if len(rest) == 0 {
			return i
		}
		if next, err := ParseHeader(rest); err == nil && next.Config == h.Config {
			return i
		}
	}
	return -1
}

// AppendSilence appends a frame that decodes to silence. Nothing is coded in it:
// no bits are allocated (layers I and II, 2.4.1.5 and 2.4.1.6), and no granule
// has main data (layer III, 2.4.1.7), of the frames before neither.
func (c Config) AppendSilence(dst []byte) []byte {
	at := len(dst)
	h, head := c.smallest()
	dst = append(dst, head[:]...)
	return append(dst, make([]byte, h.Size-(len(dst)-at))...)
}

// sideInfo is how much of a frame must be there beside its header, in bytes:
// side_info of layer III, the allocations of the others.
func (c Config) sideInfo() int {
	switch {
	case c.Layer == 1: // 32 allocations of 4 bits
		return 16 * c.Channels
	case c.Layer == 2: // 26 to 94 bits for each channel, at most (annex B, table B.2)
		return 12 * c.Channels
	case c.Version == MPEG1:
		return 17 + 15*(c.Channels-1)
	}
	return 9 + 8*(c.Channels-1)
}

// smallest returns the header of the smallest frame that holds nothing.
func (c Config) smallest() (Header, [HeaderSize]byte) {
	version := [...]byte{MPEG1: 3, MPEG2: 2, MPEG25: 0}[c.Version]
	mode := byte(0)
	if c.Channels == 1 {
		mode = 3
	}
	var rate byte
	for i, hz := range rates[c.Version] {
		if hz == c.SampleRate {
			rate = byte(i)
		}
	}
	for index := byte(1); ; index++ {
		// Without a CRC: protection_bit is 1.
		head := [HeaderSize]byte{0xff, 0xe1 | version<<3 | byte(4-c.Layer)<<1, index<<4 | rate<<2, mode << 6}
		h, err := ParseHeader(head[:])
		if err != nil || h.Size >= HeaderSize+c.sideInfo() && c.allows(h.Bitrate) {
			return h, head
		}
	}
}

// allows tells whether a bit rate goes with the mode: layer II of MPEG-1 has
// some for one channel only (ISO/IEC 11172-3, 2.4.2.3).
func (c Config) allows(bitrate int) bool {
	if c.Layer != 2 || c.Version != MPEG1 || c.Channels == 1 {
		return true
	}
	switch bitrate {
	case 32000, 48000, 56000, 80000:
		return false
	}
	return true
}
