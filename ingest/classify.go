package ingest

import (
	"bytes"

	"weir/media/h264"
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
	keyLead                   // parameter sets, or the like, of such a picture, which comes next
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

// classify looks no deeper than the headers of a body, and of H.264 than the NAL
// units in front of its first slice, behind lengths of lengthSize bytes. What it
// cannot read is an otherTag, passed on for readers to judge. The id is set for
// headers only.
func classify(t flv.Tag, lengthSize int) (tagKind, headerID) {
	switch t.Type {
	case flv.TagVideo:
		return classifyVideo(t.Data, lengthSize)
	case flv.TagAudio:
		return classifyAudio(t.Data)
	case flv.TagScript:
		if bytes.HasPrefix(t.Data, metadataPrefix) {
			return headerTag, headerID{tag: flv.TagScript}
		}
	}
	return otherTag, headerID{}
}

func classifyVideo(body []byte, lengthSize int) (tagKind, headerID) {
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
		return classifyPicture(v, lengthSize), headerID{}
	}
	return otherTag, headerID{}
}

// classifyPicture tells what a message with coded pictures is. Of H.264 that is
// what the bitstream says, and FLV's key flag only where nothing else can be
// read: a segment may begin where a batch does.
func classifyPicture(v flv.Video, lengthSize int) tagKind {
	if v.Track != 0 { // the key frames of further tracks are not where readers join
		return picture
	}
	if v.Codec != flv.AVC {
		if v.Key() {
			return keyPicture
		}
		return picture
	}
	g := h264.Look(v.Body, lengthSize)
	switch key := g.RandomAccess(v.Key()); {
	case !key && g.Found && !g.Picture:
		return otherTag // units by themselves, of no picture that is known yet
	case !key:
		return picture
	case g.Found && !g.Picture:
		return keyLead
	}
	return keyPicture
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
