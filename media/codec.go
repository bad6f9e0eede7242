package media

import (
	"bytes"
	"errors"
	"fmt"

	"weir/media/aac"
	"weir/media/h264"
	"weir/media/mp3"
)

// Codec is how a track is coded, with all that a decoder has to know before
// the track's first frame. It is a closed sum: *AVC, *AAC and *MP3. A Codec is never
// changed; two tracks may share one.
type Codec interface {
	// ID names the coding, Kind what its frames are.
	ID() CodecID
	Kind() Kind
	// Record is the configuration as it was sent.
	Record() []byte
	// String returns the value of a CODECS attribute (RFC 6381, 3.3).
	String() string

	sealed()
}

// CodecID names a coding as ISO base media files do: by its sample entry
// (https://mp4ra.org).
type CodecID string

// Kind is what the coding is for, 0 of one that has no Codec.
func (id CodecID) Kind() Kind {
	switch id {
	case CodecAVC:
		return Video
	case CodecAAC, CodecMP3:
		return Audio
	}
	return 0
}

// The codings that have a Codec.
const (
	CodecAVC CodecID = "avc1"
	CodecAAC CodecID = "mp4a"
	CodecMP3 CodecID = ".mp3"
)

// ErrCodec is wrapped by the error of ParseCodec for a coding without a Codec.
var ErrCodec = errors.New("unknown codec")

// ParseCodec reads a codec's configuration, as a decoder would. The Codec keeps
// a copy of it.
func ParseCodec(id CodecID, record []byte) (Codec, error) {
	record = bytes.Clone(record)
	switch id {
	case CodecAVC:
		c, err := h264.ReadConfig(record)
		if err != nil {
			return nil, err
		}
		sent := c.LengthSize
		c.LengthSize = h264.PartLengthSize
		return &AVC{Config: c, record: record, lengthSize: sent}, nil
	case CodecAAC:
		c, err := aac.ParseConfig(record)
		if err != nil {
			return nil, err
		}
		return &AAC{Config: c, record: record}, nil
	case CodecMP3:
		h, err := mp3.ParseHeader(record)
		if err != nil {
			return nil, err
		}
		return &MP3{Config: h.Config, record: record}, nil
	}
	return nil, fmt.Errorf("%w: %q", ErrCodec, id)
}

// SameCodec tells whether a decoder that was set up for a goes on with b as it
// is: whether what they say is the same, not how records write it down. nil is
// no track.
func SameCodec(a, b Codec) bool {
	if a == b || a == nil || b == nil {
		return a == b
	}
	switch a := a.(type) {
	case *AVC:
		b, ok := b.(*AVC)
		return ok && a.Config.Compatible(&b.Config)
	case *AAC:
		b, ok := b.(*AAC)
		return ok && a.Config.Same(b.Config)
	case *MP3:
		b, ok := b.(*MP3)
		return ok && a.Config == b.Config
	}
	return false
}

// EqualCodec tells whether a and b are the same to the last parameter set, and
// messages are framed the same.
func EqualCodec(a, b Codec) bool {
	x, ok := a.(*AVC)
	y, also := b.(*AVC)
	if ok && also {
		return x.lengthSize == y.lengthSize && x.Config.Same(&y.Config)
	}
	return SameCodec(a, b)
}

// AVC is H.264 in access units whose NAL units stand behind lengths of
// h264.PartLengthSize bytes. Its record is an AVCDecoderConfigurationRecord
// (ISO/IEC 14496-15, 5.3.3.1), or what stood in its place.
type AVC struct {
	// Config is what is in force: what the record says, or what came in band
	// since. Its LengthSize is that of the access units.
	Config h264.Config

	record     []byte
	lengthSize int
}

// AVCInBand returns the codec of a track whose parameter sets came in band. c
// is nil where no record came; its record stays the one that was sent.
func AVCInBand(c *AVC, config h264.Config) *AVC {
	if c == nil {
		return &AVC{Config: config, record: config.Append(nil), lengthSize: config.LengthSize}
	}
	return &AVC{Config: config, record: c.record, lengthSize: c.lengthSize}
}

// LengthSize is how many bytes the record says that stand before each NAL
// unit of a message.
func (c *AVC) LengthSize() int { return c.lengthSize }

// ID is CodecAVC.
func (*AVC) ID() CodecID { return CodecAVC }

// Kind is Video.
func (*AVC) Kind() Kind { return Video }

// Record is the AVCDecoderConfigurationRecord.
func (c *AVC) Record() []byte { return c.record }

// String returns the codec as in avc1.64001f.
func (c *AVC) String() string { return c.Config.Codecs() }

// Size returns the size in pixels of the largest pictures that the parameter
// sets describe; 0 where they come in band.
func (c *AVC) Size() (width, height int) {
	for _, nal := range c.Config.SPS {
		if sps, err := h264.ParseSPS(nal); err == nil && sps.Width*sps.Height > width*height {
			width, height = sps.Width, sps.Height
		}
	}
	return width, height
}

func (*AVC) sealed() {}

// AAC is AAC in raw_data_blocks. Its record is an AudioSpecificConfig (ISO/IEC
// 14496-3, 1.6.2.1).
type AAC struct {
	Config aac.Config
	record []byte
}

// ID is CodecAAC.
func (*AAC) ID() CodecID { return CodecAAC }

// Kind is Audio.
func (*AAC) Kind() Kind { return Audio }

// Record is the AudioSpecificConfig.
func (c *AAC) Record() []byte { return c.record }

// String returns the codec as in mp4a.40.2.
func (c *AAC) String() string { return c.Config.Codecs() }

func (*AAC) sealed() {}

// MP3 is MPEG audio, in whole frames: each says for itself how it is coded. Its
// record is the header of a frame (ISO/IEC 11172-3, 2.4.1.3).
type MP3 struct {
	Config mp3.Config
	record []byte
}

// ID is CodecMP3.
func (*MP3) ID() CodecID { return CodecMP3 }

// Kind is Audio.
func (*MP3) Kind() Kind { return Audio }

// Record is the header of a frame.
func (c *MP3) Record() []byte { return c.record }

// String returns the codec as in mp4a.40.34.
func (c *MP3) String() string { return c.Config.Codecs() }

func (*MP3) sealed() {}
