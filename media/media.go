// Package media is the vocabulary that every stage shares: frames, streams,
// broadcasts and the clock they are measured by.
//
// It imports the standard library only and does no I/O: what it needs of the
// world (the time, randomness) comes in as parameters.
package media

// Clock is the rate of every DTS and PTS in weir: the 90 kHz system clock of
// MPEG-TS (ISO/IEC 13818-1, 2.4.3.6 and 2.4.3.7).
const Clock = 90000

// Kind tells what a frame is for. The zero Kind is neither.
type Kind uint8

// The kinds of frames.
const (
	Video Kind = iota + 1
	Audio
)

// String returns "video" or "audio".
func (k Kind) String() string {
	switch k {
	case Video:
		return "video"
	case Audio:
		return "audio"
	}
	return "unknown"
}

// Frame is one access unit out of its container: one coded picture, or one
// audio frame.
type Frame struct {
	Kind Kind
	// Key marks a picture from which decoding can start (H.264: IDR). Every
	// audio frame decodes alone, so Key is not set on audio.
	Key bool
	// DTS and PTS are on the 90 kHz clock, unwrapped. PTS >= DTS; for audio
	// they are equal.
	DTS, PTS int64
	// Data is the coded frame as FLV and MP4 carry it. H.264: NAL units, each
	// behind its big-endian length (ISO/IEC 14496-15, 5.3.4.2). AAC: one
	// raw_data_block without ADTS. It aliases its batch.
	Data []byte
}
