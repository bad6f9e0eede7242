// Package aac knows AAC outside of its frames: the AudioSpecificConfig that
// containers carry, and the ADTS header that MPEG-TS wants before each frame.
//
// Source: ISO/IEC 14496-3, subpart 1 (1.6.2, 1.6.5, annex 1.A) and 4.4.1.
package aac

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"weir/media/internal/bits"
)

// ErrMalformed is wrapped by the errors about bytes that are no AAC.
var ErrMalformed = errors.New("malformed AAC")

// ErrADTS is wrapped by the errors about valid AAC that an ADTS header cannot
// describe.
var ErrADTS = errors.New("AAC without an ADTS form")

// ObjectType is an audioObjectType (ISO/IEC 14496-3, table 1.17).
type ObjectType uint8

// The object types with a use here.
const (
	Main     ObjectType = 1
	LC       ObjectType = 2
	SSR      ObjectType = 3
	LTP      ObjectType = 4
	SBR      ObjectType = 5
	Scalable ObjectType = 6
	TwinVQ   ObjectType = 7
	ERLC     ObjectType = 17
	ERBSAC   ObjectType = 22
	ERLD     ObjectType = 23
	PS       ObjectType = 29
	escape   ObjectType = 31
)

// Config is an AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1).
type Config struct {
	// ObjectType is that of the core: LC also for HE-AAC.
	ObjectType ObjectType
	// SampleRate is the core's rate in Hz; HE-AAC plays at ExtensionRate.
	SampleRate int
	// Channels is how many channels the core has, ChannelConfig what the
	// config says of it: 0 means a program_config_element tells.
	Channels      int
	ChannelConfig uint8
	// FrameLength is how many samples a frame of the core decodes to: 1024, or
	// 960 (frameLengthFlag). A frame lasts FrameLength ÷ SampleRate seconds,
	// also of HE-AAC.
	FrameLength int
	// SBR and PS are set where the config says explicitly that the extension
	// is there (1.6.5); then ExtensionRate is its rate in Hz.
	SBR, PS       bool
	ExtensionRate int

	rateIndex uint8
	// program are the elements of a frame in their order, where a
	// program_config_element tells them.
	program []element
}

// Same tells whether a decoder takes c and d for the same, however the two were
// written down.
func (c Config) Same(d Config) bool {
	type core struct {
		object         ObjectType
		rate, n, frame int
		channels       uint8
		sbr, ps        bool
		extension      int
	}
	of := func(c *Config) core {
		return core{c.ObjectType, c.SampleRate, c.Channels, c.FrameLength, c.ChannelConfig, c.SBR, c.PS, c.ExtensionRate}
	}
	return of(&c) == of(&d) && slices.Equal(c.program, d.program)
}

// rates is table 1.18, by samplingFrequencyIndex.
var rates = [...]int{96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350}

// explicitRate is the samplingFrequencyIndex with the rate written out.
const explicitRate = 15

// channels is table 1.19, by channelConfiguration; 0 is what it does not say.
var channels = [16]int{0, 1, 2, 3, 4, 5, 6, 8, 0, 0, 0, 7, 8, 24, 8, 0}

var (
	errShort    = fmt.Errorf("%w: AudioSpecificConfig ends early (ISO/IEC 14496-3, 1.6.2.1): %w", ErrMalformed, io.ErrUnexpectedEOF)
	errRate     = fmt.Errorf("%w: reserved sampling frequency (ISO/IEC 14496-3, table 1.18)", ErrMalformed)
	errChannels = fmt.Errorf("%w: reserved channel configuration (ISO/IEC 14496-3, table 1.19)", ErrMalformed)
	errObject   = fmt.Errorf("%w: audio object type 0 (ISO/IEC 14496-3, table 1.17)", ErrMalformed)
)

// ParseConfig parses an AudioSpecificConfig bit by bit; its length says
// nothing, senders pad it. Of object types beyond those ADTS knows it reads
// type, rate and channels only.
func ParseConfig(p []byte) (Config, error) {
	r := bits.NewReader(p)
	c := Config{FrameLength: 1024}
	c.ObjectType = objectType(&r)
	c.rateIndex, c.SampleRate = sampleRate(&r)
	c.ChannelConfig = uint8(r.Bits(4))
	explicit := c.ObjectType == SBR || c.ObjectType == PS
	if explicit { // hierarchical signalling (1.6.5.2): the extension comes first
		c.SBR, c.PS = true, c.ObjectType == PS
		_, c.ExtensionRate = sampleRate(&r)
		c.ObjectType = objectType(&r)
		if c.ObjectType == ERBSAC {
			r.Skip(4) // extensionChannelConfiguration
		}
	}
	c.Channels = channels[c.ChannelConfig]
	if gaSpecific(c.ObjectType) {
		c.general(&r)
	}
	if err := c.check(&r, explicit); err != nil {
		return Config{}, err
	}
	if !explicit && c.ObjectType <= LTP {
		c.compatible(&r)
	}
	return c, nil
}

// check refuses what no decoder could use.
func (c *Config) check(r *bits.Reader, explicit bool) error {
	switch {
	case r.Err():
		return errShort
	case c.ObjectType == 0:
		return errObject
	case c.SampleRate == 0 || explicit && c.ExtensionRate == 0:
		return errRate
	case c.Channels == 0 && (c.ChannelConfig != 0 || gaSpecific(c.ObjectType)):
		return errChannels
	}
	return nil
}

// objectType is GetAudioObjectType (table 1.16).
func objectType(r *bits.Reader) ObjectType {
	t := ObjectType(r.Bits(5))
	if t == escape {
		t = 32 + ObjectType(r.Bits(6))
	}
	return t
}

// sampleRate reads samplingFrequencyIndex and what may follow. A rate that is
// written out though the table has it gets the table's index.
func sampleRate(r *bits.Reader) (index uint8, rate int) {
	index = uint8(r.Bits(4))
	if index == explicitRate {
		rate = int(r.Bits(24))
		for i, known := range rates {
			if rate == known {
				index = uint8(i)
			}
		}
		return index, rate
	}
	if int(index) < len(rates) {
		rate = rates[index]
	}
	return index, rate
}

// gaSpecific tells whether a GASpecificConfig follows (1.6.2.1).
func gaSpecific(t ObjectType) bool {
	switch t {
	case Main, LC, SSR, LTP, Scalable, TwinVQ, ERLC, 19, 20, 21, ERBSAC, ERLD:
		return true
	}
	return false
}

// general reads a GASpecificConfig (4.4.1).
func (c *Config) general(r *bits.Reader) {
	if r.Flag() { // frameLengthFlag
		c.FrameLength = 960
	}
	if c.ObjectType == ERLD {
		c.FrameLength /= 2 // 512 or 480 (4.6.17)
	}
	if r.Flag() { // dependsOnCoreCoder
		r.Skip(14) // coreCoderDelay
	}
	r.Skip(1) // extensionFlag
	if c.ChannelConfig == 0 {
		c.program = readProgram(r)
		for _, e := range c.program {
			c.Channels++
			if e.id == idCPE {
				c.Channels++
			}
		}
	}
}

// readProgram reads a program_config_element (4.4.1.1). A frame has its
// elements in the same order: front, side, back, then the effects channels
// (4.5.2.1).
func readProgram(r *bits.Reader) []element {
	r.Skip(4 + 2 + 4) // element_instance_tag, object_type, sampling_frequency_index
	front, side, back := r.Bits(4), r.Bits(4), r.Bits(4)
	lfe, assoc, coupling := r.Bits(2), r.Bits(3), r.Bits(4)
	for _, size := range [...]int{4, 4, 3} { // mono, stereo and matrix mixdown
		if r.Flag() {
			r.Skip(size)
		}
	}
	var all []element
	for range front + side + back {
		e := element{id: idSCE}
		if r.Flag() { // is_cpe: a channel pair
			e.id = idCPE
		}
		e.tag = uint8(r.Bits(4))
		all = append(all, e)
	}
	for range lfe {
		all = append(all, element{idLFE, uint8(r.Bits(4))})
	}
	r.Skip(int(4*assoc + 5*coupling))
	r.Align()
	r.Skip(8 * int(r.Bits(8))) // comment_field_data
	return all
}

// The syncExtensionTypes of backward compatible signalling (1.6.2.1).
const (
	syncSBR = 0x2b7
	syncPS  = 0x548
)

// compatible reads the backward compatible signalling of SBR and PS that may
// follow (1.6.5.2). What is damaged or cut short there is as good as absent:
// the core decodes without it.
func (c *Config) compatible(r *bits.Reader) {
	if r.Left() < 16 || r.Bits(11) != syncSBR || objectType(r) != SBR || !r.Flag() {
		return
	}
	_, rate := sampleRate(r)
	if r.Err() || rate == 0 {
		return
	}
	c.SBR, c.ExtensionRate = true, rate
	if r.Left() >= 12 && r.Bits(11) == syncPS {
		c.PS = r.Flag()
	}
}

// Codecs returns the value of a CODECS attribute, as in mp4a.40.2 (RFC 6381,
// 3.3): 40 is MPEG-4 audio, then the object type.
func (c Config) Codecs() string {
	t := c.ObjectType
	switch {
	case c.PS:
		t = PS
	case c.SBR:
		t = SBR
	}
	return fmt.Sprintf("mp4a.40.%d", t)
}
