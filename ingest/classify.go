package ingest

import (
	"bytes"

	"weir/remux/flv"
)

// tagKind is what a tag means to the Batcher.
type tagKind uint8

const (
	otherTag   tagKind = iota // passed on, opens nothing
	headerTag                 // metadata or a sequence header: part of the prelude
	soundTag                  // coded audio
	picture                   // a coded picture that depends on others
	keyPicture                // a coded picture where decoding can start
)

// headerID tells which header a newer one replaces. The legacy and the
// enhanced form of a track's sequence header have the same one.
type headerID struct {
	tag    flv.TagType
	packet flv.PacketType // none for script data
	track  uint8
	// codec is set for colour information only: ffmpeg 9 sends the second
	// track's without naming the track, and it must not replace the first's.
	codec flv.VideoCodec
}

// metadataPrefix begins the body of a script tag with metadata: the AMF0
// string onMetaData [FLV E.4.4, E.5].
var metadataPrefix = []byte("\x02\x00\x0aonMetaData")

// classify looks no deeper than the headers of a body; what it cannot read is
// an otherTag, passed on for readers to judge. The id is set for headers only.
func classify(t flv.Tag) (tagKind, headerID) {
	switch t.Type {
	case flv.TagVideo:
		return classifyVideo(t.Data)
	case flv.TagAudio:
		return classifyAudio(t.Data)
	case flv.TagScript:
		if bytes.HasPrefix(t.Data, metadataPrefix) {
			return headerTag, headerID{tag: flv.TagScript}
		}
	}
	return otherTag, headerID{}
}

func classifyVideo(body []byte) (tagKind, headerID) {
	v, err := flv.ParseVideo(body)
	if err != nil {
		return otherTag, headerID{}
	}
	id := headerID{tag: flv.TagVideo, packet: v.Packet, track: v.Track}
	switch v.Packet {
	case flv.SequenceHeader, flv.MPEG2TSSequenceStart:
		return headerTag, id
	case flv.Metadata:
		id.codec = v.Codec
		return headerTag, id
	case flv.CodedFrames:
		// The key frames of further tracks are not where readers join.
		if v.Key() && v.Track == 0 {
			return keyPicture, headerID{}
		}
		return picture, headerID{}
	}
	return otherTag, headerID{}
}

func classifyAudio(body []byte) (tagKind, headerID) {
	a, err := flv.ParseAudio(body)
	if err != nil {
		return otherTag, headerID{}
	}
	switch a.Packet {
	case flv.SequenceHeader, flv.MultichannelConfig:
		return headerTag, headerID{tag: flv.TagAudio, packet: a.Packet, track: a.Track}
	case flv.CodedFrames:
		return soundTag, headerID{}
	}
	return otherTag, headerID{}
}
