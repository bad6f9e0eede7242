package hls

import (
	"bytes"
	"errors"
	"fmt"

	"weir/media"
	"weir/media/h264"
	"weir/remux/flv"
)

// maxConfig is how long a codec configuration may be, in bytes: many times
// what encoders send.
const maxConfig = 4 << 10

// Tracks are the codecs of a rendition's tracks. A nil Codec is a track that
// is not there, or that no segment can carry.
type Tracks struct {
	Video, Audio media.Codec
	// unfit are the tracks whose last header segments have no form for: their
	// frames are left out, and cost no other track anything.
	unfit Kinds
}

// track is a Codec as State keeps it.
type track struct {
	Codec  media.CodecID `json:"codec"`
	Record []byte        `json:"record"`
	// Sets is a record of the parameter sets in force, where they are not those
	// of Record: they came in band.
	Sets []byte `json:"sets,omitempty"`
	// Unfit stands for a track whose frames are left out, see Tracks.
	Unfit bool `json:"unfit,omitempty"`
}

// videoCodec and audioCodec return what FLV's codec is called here; empty for
// one that is foreign, that segments are not made with.
func videoCodec(c flv.VideoCodec) media.CodecID {
	if c == flv.AVC {
		return media.CodecAVC
	}
	return ""
}

func audioCodec(c flv.AudioCodec) media.CodecID {
	switch c {
	case flv.AAC:
		return media.CodecAAC
	case flv.MP3, flv.MP3At8kHz:
		return media.CodecMP3
	}
	return ""
}

var errConfigLong = fmt.Errorf("a codec configuration of more than %d bytes", maxConfig)

// set puts a configuration in force.
func (t *Tracks) set(id media.CodecID, record []byte) (media.Codec, error) {
	for _, c := range []media.Codec{t.Video, t.Audio} {
		if c != nil && c.ID() == id && bytes.Equal(c.Record(), record) {
			return c, nil
		}
	}
	if len(record) > maxConfig {
		return nil, errConfigLong
	}
	c, err := media.ParseCodec(id, record)
	if err != nil {
		return nil, err
	}
	in := &t.Audio
	if c.Kind() == media.Video {
		in = &t.Video
	}
	if *in == nil || !media.EqualCodec(*in, c) { // padding says nothing
		*in = c
	}
	return *in, nil
}

// same tells whether the two are equal by content: only a real change makes a
// discontinuity.
func (t *Tracks) same(u *Tracks) bool {
	return media.SameCodec(t.Video, u.Video) && media.SameCodec(t.Audio, u.Audio)
}

// adds tells whether t has a track that u lacks.
func (t *Tracks) adds(u *Tracks) bool {
	return t.Video != nil && u.Video == nil || t.Audio != nil && u.Audio == nil
}

func (t *Tracks) empty() bool { return t.Video == nil && t.Audio == nil }

// stored returns the tracks as a State keeps them.
func (t *Tracks) stored() (all []track) {
	for _, c := range []media.Codec{t.Video, t.Audio} {
		if c != nil {
			all = append(all, track{Codec: c.ID(), Record: c.Record(), Sets: setsInBand(c)})
		}
	}
	if t.unfit.Video {
		all = append(all, track{Codec: media.CodecAVC, Unfit: true})
	}
	if t.unfit.Audio {
		all = append(all, track{Codec: media.CodecAAC, Unfit: true})
	}
	return all
}

// setsInBand returns the parameter sets that a codec's record does not tell of.
func setsInBand(c media.Codec) []byte {
	avc, ok := c.(*media.AVC)
	if !ok {
		return nil
	}
	if sent, err := media.ParseCodec(media.CodecAVC, avc.Record()); err == nil && media.EqualCodec(sent, avc) {
		return nil
	}
	return avc.Config.Append(nil)
}

// parseTracks is the inverse of stored.
func parseTracks(all []track) (t Tracks, err error) {
	for _, k := range all {
		if k.Unfit {
			t.unfit = t.unfit.with(k.Codec.Kind(), true)
			continue
		}
		if _, err := t.set(k.Codec, k.Record); err != nil {
			return Tracks{}, err
		}
		if c, ok := t.Video.(*media.AVC); ok && k.Codec == media.CodecAVC && len(k.Sets) > 0 {
			config, err := h264.ReadConfig(k.Sets)
			if err != nil {
				return Tracks{}, err
			}
			config.LengthSize = h264.PartLengthSize
			t.Video = media.AVCInBand(c, config)
		}
	}
	if len(t.stored()) != len(all) {
		return Tracks{}, errors.New("several tracks of one kind")
	}
	return t, nil
}
