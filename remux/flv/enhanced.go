package flv

import (
	"encoding/binary"
	"fmt"
)

// exAudio is the SoundFormat that announces an enhanced audio body [E-RTMP v2,
// Enhanced Audio].
const exAudio = 9

// The packet types of enhanced bodies on the wire [E-RTMP v2, VideoPacketType
// and AudioPacketType]. Those of audio are the same where they exist, but for
// 4 and 5.
const (
	exSequenceStart        = 0
	exCodedFrames          = 1
	exSequenceEnd          = 2
	exCodedFramesX         = 3 // video: without a composition time
	exMetadata             = 4 // video
	exMPEG2TSSequenceStart = 5 // video
	exVideoMultitrack      = 6
	exMultichannelConfig   = 4 // audio
	exAudioMultitrack      = 5
	exModEx                = 7
)

// The AvMultitrackTypes [E-RTMP v2].
const (
	oneTrack             = 0
	manyTracksManyCodecs = 2
)

var (
	errExShort  = fmt.Errorf("%w: enhanced body ends inside its header [E-RTMP v2, ExVideoTagHeader, ExAudioTagHeader]", ErrMalformed)
	errExPacket = fmt.Errorf("%w: unknown enhanced packet type [E-RTMP v2, VideoPacketType, AudioPacketType]", ErrMalformed)
	errExTrack  = fmt.Errorf("%w: a track is longer than its body [E-RTMP v2, sizeOfVideoTrack, sizeOfAudioTrack]", ErrMalformed)
)

// extended is the part of an enhanced header that video and audio share.
type extended struct {
	packet uint8
	fourCC uint32
	track  uint8
	body   []byte
}

// skipModEx passes the ModEx packets that may stand before anything else and
// returns the packet type they modify:
//
//	modExDataSize UI8 + 1 (256: UI16 + 1) | data | ModExType UB[4], packetType UB[4]
func skipModEx(packet uint8, p []byte) (uint8, []byte, error) {
	for packet == exModEx {
		if len(p) < 1 {
			return 0, nil, errExShort
		}
		size, at := int(p[0])+1, 1
		if size == 256 {
			if len(p) < 3 {
				return 0, nil, errExShort
			}
			size, at = int(binary.BigEndian.Uint16(p[1:]))+1, 3
		}
		if len(p) < at+size+1 {
			return 0, nil, errExShort
		}
		packet, p = p[at+size]&0x0f, p[at+size+1:]
	}
	return packet, p, nil
}

// parseExtended reads the FourCC and, of a multitrack body, the first track's
// header:
//
//	[AvMultitrackType UB[4], packetType UB[4]] | FourCC | [trackId UI8 | [size UI24]] | body
func parseExtended(packet uint8, p []byte, multitrack bool) (extended, error) {
	kind := uint8(oneTrack)
	if multitrack {
		if len(p) < 1 {
			return extended{}, errExShort
		}
		kind, packet, p = p[0]>>4, p[0]&0x0f, p[1:]
		if kind > manyTracksManyCodecs {
			return extended{}, errExPacket
		}
	}
	// Of ManyTracksManyCodecs the FourCC belongs to the track, but stands at
	// the same place for the first one.
	if len(p) < 4 {
		return extended{}, errExShort
	}
	x := extended{packet: packet, fourCC: binary.BigEndian.Uint32(p), body: p[4:]}
	if !multitrack {
		return x, nil
	}
	if len(x.body) < 1 {
		return extended{}, errExShort
	}
	x.track, x.body = x.body[0], x.body[1:]
	if kind == oneTrack {
		return x, nil
	}
	if len(x.body) < 3 {
		return extended{}, errExShort
	}
	size := int(x.body[0])<<16 | int(x.body[1])<<8 | int(x.body[2])
	if size > len(x.body)-3 {
		return extended{}, errExTrack
	}
	x.body = x.body[3 : 3+size]
	return x, nil
}

// parseExVideo parses ExVideoTagHeader and ExVideoTagBody.
func parseExVideo(body []byte) (Video, error) {
	v := Video{FrameType: body[0] >> 4 & 7}
	packet, p, err := skipModEx(body[0]&0x0f, body[1:])
	if err != nil {
		return Video{}, err
	}
	if v.FrameType == FrameCommand && packet != exMetadata {
		v.Packet, v.Body = Command, p // "signal the start/end of client-side seeking": no FourCC follows
		return v, nil
	}
	x, err := parseExtended(packet, p, packet == exVideoMultitrack)
	if err != nil {
		return Video{}, err
	}
	v.Codec, v.Track, v.Body = VideoCodec(x.fourCC), x.track, x.body
	if v.Codec == fourCCAVC {
		v.Codec = AVC
	}
	switch x.packet {
	case exSequenceStart:
		v.Packet = SequenceHeader
	case exCodedFrames:
		return parseExFrames(v)
	case exCodedFramesX:
		v.Packet = CodedFrames
	case exSequenceEnd:
		v.Packet = EndOfSequence
	case exMetadata:
		v.Packet = Metadata
	case exMPEG2TSSequenceStart:
		v.Packet = MPEG2TSSequenceStart
	default:
		return Video{}, errExPacket
	}
	return v, nil
}

// parseExFrames reads the composition time that stands before the frames of
// the codecs with pictures out of order.
func parseExFrames(v Video) (Video, error) {
	v.Packet = CodedFrames
	if v.Codec != AVC && v.Codec != HEVC && v.Codec != VVC {
		return v, nil
	}
	if len(v.Body) < 3 {
		return Video{}, errExShort
	}
	v.CTS, v.Body = int24(v.Body), v.Body[3:]
	return v, nil
}

// parseExAudio parses ExAudioTagHeader and ExAudioTagBody.
func parseExAudio(body []byte) (Audio, error) {
	packet, p, err := skipModEx(body[0]&0x0f, body[1:])
	if err != nil {
		return Audio{}, err
	}
	x, err := parseExtended(packet, p, packet == exAudioMultitrack)
	if err != nil {
		return Audio{}, err
	}
	a := Audio{Codec: AudioCodec(x.fourCC), Track: x.track, Body: x.body}
	switch a.Codec {
	case fourCCAAC:
		a.Codec = AAC
	case fourCCMP3:
		a.Codec = MP3
	}
	switch x.packet {
	case exSequenceStart:
		a.Packet = SequenceHeader
	case exCodedFrames:
		a.Packet = CodedFrames
	case exSequenceEnd:
		a.Packet = EndOfSequence
	case exMultichannelConfig:
		a.Packet = MultichannelConfig
	default:
		return Audio{}, errExPacket
	}
	return a.orSilence(), nil
}
