package aac

import "fmt"

// ADTSHeader is the size of an ADTS header without CRC, in bytes.
const ADTSHeader = 7

// maxADTSPayload is what fits behind the header: aac_frame_length has 13 bits
// and counts the header (1.A.3.2.1).
const maxADTSPayload = 1<<13 - 1 - ADTSHeader

// CheckADTS tells whether the config has an ADTS form; its error wraps
// ErrADTS.
func (c Config) CheckADTS() error {
	switch {
	case c.ObjectType < Main || c.ObjectType > LTP:
		return fmt.Errorf("%w: audio object type %d; profile_ObjectType has 2 bits (ISO/IEC 14496-3, 1.A.3.2.1)", ErrADTS, c.ObjectType)
	case c.rateIndex >= uint8(len(rates)):
		return fmt.Errorf("%w: %d Hz is not in table 1.18 of ISO/IEC 14496-3", ErrADTS, c.SampleRate)
	case c.ChannelConfig == 0 || c.ChannelConfig > 7:
		return fmt.Errorf("%w: channel configuration %d (ISO/IEC 14496-3, table 1.19 has 1 to 7 in 3 bits)", ErrADTS, c.ChannelConfig)
	case c.FrameLength != 1024:
		return fmt.Errorf("%w: %d samples a frame; number_of_raw_data_blocks_in_frame counts blocks of 1024 (ISO/IEC 14496-3, 1.A.3.2.2)", ErrADTS, c.FrameLength)
	}
	return nil
}

// AppendADTS appends the header that makes a raw_data_block of payloadLen
// bytes an ADTS frame (ISO/IEC 14496-3, 1.A.2.2):
//
//	syncword(12) = fff ID(1) = 0 layer(2) = 0 protection_absent(1) = 1
//	profile_ObjectType(2) sampling_frequency_index(4) private_bit(1)
//	channel_configuration(3) original_copy(1) home(1)
//	copyright bits(2) aac_frame_length(13) adts_buffer_fullness(11) = 7ff
//	number_of_raw_data_blocks_in_frame(2) = 0
//
// HE-AAC is announced by its core, LC at the core's rate: decoders find SBR
// and PS by themselves (implicit signalling, 1.6.5.3).
func (c Config) AppendADTS(dst []byte, payloadLen int) ([]byte, error) {
	if err := c.CheckADTS(); err != nil {
		return dst, err
	}
	if payloadLen < 1 || payloadLen > maxADTSPayload {
		return dst, fmt.Errorf("%w: a frame of %d bytes, want 1 to %d (ISO/IEC 14496-3, 1.A.3.2.1)", ErrADTS, payloadLen, maxADTSPayload)
	}
	n := payloadLen + ADTSHeader
	return append(dst, 0xff, 0xf1,
		byte(c.ObjectType-1)<<6|c.rateIndex<<2|c.ChannelConfig>>2,
		c.ChannelConfig<<6|byte(n>>11),
		byte(n>>3),
		byte(n<<5)|0x1f,
		0xfc), nil
}

// ADTS is what an ADTS header says.
type ADTS struct {
	ObjectType    ObjectType
	SampleRate    int // Hz
	ChannelConfig uint8
	HeaderSize    int // bytes: 7, or 9 with a CRC
	FrameSize     int // bytes, the header included
	Blocks        int // raw_data_blocks of 1024 samples: 1 to 4
}

var (
	errSync     = fmt.Errorf("%w: no ADTS syncword (ISO/IEC 14496-3, 1.A.3.2.1)", ErrMalformed)
	errADTSSize = fmt.Errorf("%w: ADTS frame shorter than its header or cut short (ISO/IEC 14496-3, 1.A.3.2.1)", ErrMalformed)
)

// ParseADTS parses the ADTS frame at the start of p: of a PES packet's
// payload, say. The frame is p[:FrameSize], what is to be decoded
// p[HeaderSize:FrameSize].
func ParseADTS(p []byte) (ADTS, error) {
	if len(p) < ADTSHeader {
		return ADTS{}, errADTSSize
	}
	if p[0] != 0xff || p[1]&0xf6 != 0xf0 { // syncword, layer '00'
		return ADTS{}, errSync
	}
	a := ADTS{
		ObjectType:    ObjectType(p[2]>>6) + 1,
		ChannelConfig: p[2]&1<<2 | p[3]>>6,
		HeaderSize:    ADTSHeader,
		FrameSize:     int(p[3]&3)<<11 | int(p[4])<<3 | int(p[5]>>5),
		Blocks:        int(p[6]&3) + 1,
	}
	index := int(p[2] >> 2 & 0x0f)
	if index >= len(rates) {
		return ADTS{}, errRate
	}
	a.SampleRate = rates[index]
	if p[1]&1 == 0 { // protection_absent
		a.HeaderSize += 2
	}
	if a.FrameSize < a.HeaderSize || a.FrameSize > len(p) {
		return ADTS{}, errADTSSize
	}
	return a, nil
}
