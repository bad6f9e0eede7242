package hls

import (
	"bytes"
	"fmt"

	"weir/media/aac"
	"weir/media/h264"
	"weir/remux/mpegts"
)

// tracks are the codec configurations in force, as sent and as parsed. A nil
// config is a track that is not there, or that MPEG-TS HLS cannot carry.
type tracks struct {
	avc   []byte // AVCDecoderConfigurationRecord
	aac   []byte // AudioSpecificConfig
	video *h264.Config
	audio *aac.Config
}

// newTracks parses the configurations of a State.
func newTracks(avc, asc []byte) (tracks, error) {
	var t tracks
	if len(avc) > 0 {
		if err := t.setVideo(avc); err != nil {
			return tracks{}, err
		}
	}
	if len(asc) > 0 {
		if err := t.setAudio(asc); err != nil {
			return tracks{}, err
		}
	}
	return t, nil
}

var errConfigLong = fmt.Errorf("a codec configuration of more than %d bytes", maxConfig)

func (t *tracks) setVideo(record []byte) error {
	if bytes.Equal(record, t.avc) {
		return nil
	}
	if len(record) > maxConfig {
		return errConfigLong
	}
	c, err := h264.ParseConfig(record)
	if err != nil {
		return err
	}
	// Parse a copy: the config outlives the batch.
	t.avc = bytes.Clone(record)
	if c, err = h264.ParseConfig(t.avc); err != nil {
		return err
	}
	t.video = &c
	return nil
}

func (t *tracks) setAudio(config []byte) error {
	if bytes.Equal(config, t.aac) {
		return nil
	}
	if len(config) > maxConfig {
		return errConfigLong
	}
	c, err := aac.ParseConfig(config)
	if err != nil {
		return err
	}
	t.aac, t.audio = bytes.Clone(config), &c
	return nil
}

// same tells whether the two are equal by content: only a real change makes a
// discontinuity.
func (t *tracks) same(u *tracks) bool {
	return bytes.Equal(t.avc, u.avc) && bytes.Equal(t.aac, u.aac)
}

// adds tells whether t has a track that u lacks.
func (t *tracks) adds(u *tracks) bool {
	return t.video != nil && u.video == nil || t.audio != nil && u.audio == nil
}

func (t *tracks) empty() bool { return t.video == nil && t.audio == nil }

func (t *tracks) muxer() mpegts.Config { return mpegts.Config{Video: t.video, Audio: t.audio} }
