package flv

import "fmt"

// PacketType says what a video or audio body holds. It joins the packet types
// of legacy AVC and AAC bodies [FLV E.4.2.2, E.4.3.2] with those of enhanced
// RTMP; the zero PacketType is none.
type PacketType uint8

// The packet types.
const (
	// SequenceHeader: the decoder configuration (avcC, AudioSpecificConfig …).
	SequenceHeader PacketType = iota + 1
	// CodedFrames: NAL units, a raw AAC frame, a temporal unit of OBUs …
	CodedFrames
	// EndOfSequence: nothing more of this sequence follows. Its timestamp is
	// often 0 and must not be believed.
	EndOfSequence
	// Metadata: enhanced video metadata such as colorInfo, as AMF0.
	Metadata
	// MPEG2TSSequenceStart: an AV1 video descriptor for MPEG-2 TS.
	MPEG2TSSequenceStart
	// MultichannelConfig: the enhanced audio channel order.
	MultichannelConfig
	// Command: a video info or command frame, without a picture.
	Command
	// Silence: an audio body without a frame in it [E-RTMP v2: a zero-length
	// audio message means silence].
	Silence
)

// String returns the type's name, for errors and logs.
func (t PacketType) String() string {
	names := [...]string{"none", "sequence header", "coded frames", "end of sequence", "metadata",
		"MPEG-2 TS sequence start", "multichannel config", "command", "silence"}
	if int(t) < len(names) {
		return names[t]
	}
	return fmt.Sprintf("packet type %d", uint8(t))
}

// The frame types of a video body [FLV E.4.3.1, UB[4] Frame Type].
const (
	FrameKey          uint8 = 1 // a seekable frame
	FrameInter        uint8 = 2
	FrameDisposable   uint8 = 3 // H.263 only
	FrameGeneratedKey uint8 = 4
	FrameCommand      uint8 = 5 // video info or command frame
)

// VideoCodec is a video codec: the CodecID of a legacy body [FLV E.4.3.1], or
// the FourCC of an enhanced one as a big-endian number.
type VideoCodec uint32

// The video codecs with a use here. An enhanced body of "avc1" has the same
// content as a legacy AVC body and is reported as AVC.
const (
	H263 VideoCodec = 2
	VP6  VideoCodec = 4
	AVC  VideoCodec = 7
	HEVC VideoCodec = 'h'<<24 | 'v'<<16 | 'c'<<8 | '1'
	VVC  VideoCodec = 'v'<<24 | 'v'<<16 | 'c'<<8 | '1'
	AV1  VideoCodec = 'a'<<24 | 'v'<<16 | '0'<<8 | '1'
	VP8  VideoCodec = 'v'<<24 | 'p'<<16 | '0'<<8 | '8'
	VP9  VideoCodec = 'v'<<24 | 'p'<<16 | '0'<<8 | '9'

	fourCCAVC = 'a'<<24 | 'v'<<16 | 'c'<<8 | '1'
)

// String returns a legacy codec's name or an enhanced codec's FourCC.
func (c VideoCodec) String() string {
	switch c {
	case H263:
		return "H.263"
	case 3:
		return "Screen Video"
	case VP6:
		return "VP6"
	case 5:
		return "VP6 with alpha"
	case 6:
		return "Screen Video 2"
	case AVC:
		return "avc1"
	}
	return codecName(uint32(c))
}

// AudioCodec is an audio codec: the SoundFormat of a legacy body [FLV
// E.4.2.1], or the FourCC of an enhanced one as a big-endian number.
type AudioCodec uint32

// The audio codecs with a use here. Enhanced bodies of "mp4a" and ".mp3" have
// the same content as the legacy ones and are reported as AAC and MP3.
const (
	MP3   AudioCodec = 2
	G711A AudioCodec = 7
	G711U AudioCodec = 8
	AAC   AudioCodec = 10
	Speex AudioCodec = 11
	// MP3At8kHz is MP3 whose rate the header of a legacy body has no number for:
	// the frames themselves say it.
	MP3At8kHz AudioCodec = 14
	AC3       AudioCodec = 'a'<<24 | 'c'<<16 | '-'<<8 | '3'
	EAC3      AudioCodec = 'e'<<24 | 'c'<<16 | '-'<<8 | '3'
	Opus      AudioCodec = 'O'<<24 | 'p'<<16 | 'u'<<8 | 's'
	FLAC      AudioCodec = 'f'<<24 | 'L'<<16 | 'a'<<8 | 'C'

	fourCCAAC = 'm'<<24 | 'p'<<16 | '4'<<8 | 'a'
	fourCCMP3 = '.'<<24 | 'm'<<16 | 'p'<<8 | '3'
)

// String returns a legacy codec's name or an enhanced codec's FourCC.
func (c AudioCodec) String() string {
	names := [16]string{"PCM", "ADPCM", "mp3", "PCM little endian", "Nellymoser 16 kHz", "Nellymoser 8 kHz", "Nellymoser",
		"G.711 A-law", "G.711 mu-law", "reserved 9", "mp4a", "Speex", "reserved 12", "reserved 13", "MP3 8 kHz", "device-specific"}
	if c < 16 {
		return names[c]
	}
	return codecName(uint32(c))
}

// codecName writes a FourCC, which a peer chose, safely.
func codecName(c uint32) string {
	if c < 256 {
		return fmt.Sprintf("codec %d", c)
	}
	b := []byte{byte(c >> 24), byte(c >> 16), byte(c >> 8), byte(c)}
	for _, x := range b {
		if x < 0x20 || x > 0x7e {
			return fmt.Sprintf("codec %#08x", c)
		}
	}
	return string(b)
}

// Video is a video body without its headers.
type Video struct {
	// FrameType is one of the Frame constants, or a reserved value.
	FrameType uint8
	Codec     VideoCodec
	Packet    PacketType
	// Track is 0 but in enhanced multitrack bodies, where it is the first
	// track's id. A stage of one rendition looks at track 0 only.
	Track uint8
	// CTS is the composition time offset in milliseconds: PTS = timestamp +
	// CTS. Signed by the specification (SI24), though it should not be
	// negative. 0 where the body has none.
	CTS int32
	// Body is the configuration record, the length-prefixed NAL units or
	// whatever Packet says. It aliases the tag. Of a multitrack body with
	// several tracks it is the first track's.
	Body []byte
}

// Audio is an audio body without its headers.
type Audio struct {
	Codec  AudioCodec
	Packet PacketType
	// Track is as in Video.
	Track uint8
	// Body aliases the tag. AAC: an AudioSpecificConfig (SequenceHeader) or
	// one raw_data_block (CodedFrames). MP3: one frame or more.
	Body []byte
}

// Key tells whether v is a picture from which decoding can start.
func (v Video) Key() bool { return v.FrameType == FrameKey && v.Packet == CodedFrames }

var (
	errVideoShort  = fmt.Errorf("%w: video body ends inside its header [FLV E.4.3.1]", ErrMalformed)
	errVideoPacket = fmt.Errorf("%w: unknown AVCPacketType [FLV E.4.3.2]", ErrMalformed)
	errAudioShort  = fmt.Errorf("%w: AAC body ends inside its header [FLV E.4.2.2]", ErrMalformed)
	errAudioPacket = fmt.Errorf("%w: unknown AACPacketType [FLV E.4.2.2]", ErrMalformed)
)

// exHeader is bit 7 of a video body's first byte: IsExHeader [E-RTMP v2,
// Enhanced Video].
const exHeader = 0x80

// ParseVideo parses the body of a video tag, legacy [FLV E.4.3] or enhanced.
// A codec that weir does not carry is no error: Codec names it. It allocates
// nothing.
func ParseVideo(body []byte) (Video, error) {
	if len(body) == 0 {
		return Video{}, errVideoShort
	}
	if body[0]&exHeader != 0 {
		return parseExVideo(body)
	}
	v := Video{FrameType: body[0] >> 4, Codec: VideoCodec(body[0] & 0x0f), Packet: CodedFrames, Body: body[1:]}
	switch {
	case v.FrameType == FrameCommand:
		v.Packet = Command
	case v.Codec == AVC:
		return parseAVC(v)
	}
	return v, nil
}

// parseAVC reads an AVCVIDEOPACKET [FLV E.4.3.2]: AVCPacketType UI8,
// CompositionTime SI24, Data.
func parseAVC(v Video) (Video, error) {
	p := v.Body
	if len(p) > 0 && p[0] == 2 { // "AVC end of sequence": some senders leave out its empty rest
		v.Packet, v.Body = EndOfSequence, nil
		return v, nil
	}
	if len(p) < 4 {
		return Video{}, errVideoShort
	}
	switch p[0] {
	case 0:
		v.Packet = SequenceHeader
	case 1:
		v.CTS = int24(p[1:])
	default:
		return Video{}, errVideoPacket
	}
	v.Body = p[4:]
	return v, nil
}

// int24 reads an SI24.
func int24(p []byte) int32 {
	return int32(uint32(p[0])<<24|uint32(p[1])<<16|uint32(p[2])<<8) >> 8
}

// ParseAudio parses the body of an audio tag, legacy [FLV E.4.2] or enhanced.
// A body without a frame in it, also the zero-length one, is Silence. It
// allocates nothing.
func ParseAudio(body []byte) (Audio, error) {
	if len(body) == 0 {
		return Audio{Packet: Silence}, nil
	}
	format := body[0] >> 4
	if format == exAudio {
		return parseExAudio(body)
	}
	a := Audio{Codec: AudioCodec(format), Packet: CodedFrames, Body: body[1:]}
	if a.Codec != AAC {
		return a.orSilence(), nil
	}
	// AACAUDIODATA [FLV E.4.2.2]: AACPacketType UI8, Data.
	if len(a.Body) == 0 {
		return Audio{}, errAudioShort
	}
	switch a.Body[0] {
	case 0:
		a.Packet = SequenceHeader
	case 1:
	default:
		return Audio{}, errAudioPacket
	}
	a.Body = a.Body[1:]
	return a.orSilence(), nil
}

// orSilence makes coded frames without a byte in them Silence.
func (a Audio) orSilence() Audio {
	if a.Packet == CodedFrames && len(a.Body) == 0 {
		a.Packet = Silence
	}
	return a
}

// IsKeyframe tells whether t is a video tag with a key frame of track 0, from
// which a reader may join. Sequence headers are none, though they carry frame
// type 1. It allocates nothing; a malformed body is none.
func IsKeyframe(t Tag) bool {
	if t.Type != TagVideo {
		return false
	}
	v, err := ParseVideo(t.Data)
	return err == nil && v.Track == 0 && v.Key()
}

// IsSequenceHeader tells whether t carries a decoder configuration, of
// whatever track, audio or video: what a reader that joins must have first. It
// allocates nothing; a malformed body is none.
func IsSequenceHeader(t Tag) bool {
	switch t.Type {
	case TagVideo:
		v, err := ParseVideo(t.Data)
		return err == nil && (v.Packet == SequenceHeader || v.Packet == MPEG2TSSequenceStart)
	case TagAudio:
		a, err := ParseAudio(t.Data)
		return err == nil && a.Packet == SequenceHeader
	}
	return false
}
