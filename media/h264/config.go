package h264

import (
	"encoding/binary"
	"fmt"
	"io"
)

// Config is an AVCDecoderConfigurationRecord (ISO/IEC 14496-15, 5.3.3.1), the
// sequence header of FLV:
//
//	configurationVersion(8) = 1
//	AVCProfileIndication(8) profile_compatibility(8) AVCLevelIndication(8)
//	111111 lengthSizeMinusOne(2)
//	111 numOfSequenceParameterSets(5) { length(16) NAL unit }
//	numOfPictureParameterSets(8)      { length(16) NAL unit }
//	[ 111111 chroma_format(2) 11111 bit_depth_luma_minus8(3)
//	  11111 bit_depth_chroma_minus8(3)
//	  numOfSequenceParameterSetExt(8) { length(16) NAL unit } ]
type Config struct {
	Profile, Constraints, Level uint8
	// LengthSize is how many bytes stand before each NAL unit: 1, 2 or 4.
	LengthSize int
	// SPS, PPS and SPSExt are NAL units and alias the record they were read
	// from. Parameter sets may be absent, and come in band then.
	SPS, PPS, SPSExt [][]byte
	// High tells that the fields of the high profiles stand in the record;
	// senders leave them out at times.
	High                                 bool
	ChromaFormat, LumaDepth, ChromaDepth uint8 // chroma_format_idc; bits per sample
}

var errConfigShort = fmt.Errorf("%w: avcC ends early (ISO/IEC 14496-15, 5.3.3.1): %w", ErrMalformed, io.ErrUnexpectedEOF)

// ParseConfig parses an avcC record. Bytes behind it are ignored.
func ParseConfig(p []byte) (Config, error) {
	if len(p) < 6 {
		return Config{}, errConfigShort
	}
	if p[0] != 1 {
		return Config{}, fmt.Errorf("%w: avcC of version %d, want 1 (ISO/IEC 14496-15, 5.3.3.1.2)", ErrMalformed, p[0])
	}
	c := Config{Profile: p[1], Constraints: p[2], Level: p[3], LengthSize: int(p[4]&3) + 1}
	if c.LengthSize == 3 {
		return Config{}, errLengthSize
	}
	var err error
	if c.SPS, p, err = readSets(int(p[5]&0x1f), p[6:], SequenceParams); err != nil {
		return Config{}, err
	}
	if len(p) < 1 {
		return Config{}, errConfigShort
	}
	if c.PPS, p, err = readSets(int(p[0]), p[1:], PictureParams); err != nil {
		return Config{}, err
	}
	if !highProfile(c.Profile) || len(p) < 4 {
		return c, nil
	}
	c.High = true
	c.ChromaFormat, c.LumaDepth, c.ChromaDepth = p[0]&3, p[1]&7+8, p[2]&7+8
	if c.SPSExt, _, err = readSets(int(p[3]), p[4:], SPSExtension); err != nil {
		return Config{}, err
	}
	return c, nil
}

// readSets reads n parameter sets of one type and returns the bytes behind them.
func readSets(n int, p []byte, want Type) (nals [][]byte, rest []byte, err error) {
	for range n {
		nal, size, err := NextUnit(p, 2)
		if err != nil {
			return nil, nil, errConfigShort
		}
		if t := TypeOf(nal); t != want {
			return nil, nil, fmt.Errorf("%w: avcC holds %v where %v belongs (ISO/IEC 14496-15, 5.3.3.1.2)", ErrMalformed, t, want)
		}
		nals, p = append(nals, nal), p[size:]
	}
	return nals, p, nil
}

// highProfile tells whether a record of this profile ends with the fields of
// the high profiles: all but Baseline, Main and Extended (ISO/IEC 14496-15,
// 5.3.3.1.2; its first edition named 100, 110, 122 and 144).
func highProfile(p uint8) bool { return p != 66 && p != 77 && p != 88 }

// Append appends the record in its wire form.
func (c *Config) Append(dst []byte) []byte {
	dst = append(dst, 1, c.Profile, c.Constraints, c.Level, 0xfc|byte(c.LengthSize-1))
	dst = appendSets(append(dst, 0xe0|byte(len(c.SPS))), c.SPS)
	dst = appendSets(append(dst, byte(len(c.PPS))), c.PPS)
	if !c.High {
		return dst
	}
	dst = append(dst, 0xfc|c.ChromaFormat, 0xf8|(c.LumaDepth-8), 0xf8|(c.ChromaDepth-8), byte(len(c.SPSExt)))
	return appendSets(dst, c.SPSExt)
}

func appendSets(dst []byte, nals [][]byte) []byte {
	for _, nal := range nals {
		dst = binary.BigEndian.AppendUint16(dst, uint16(len(nal)))
		dst = append(dst, nal...)
	}
	return dst
}

// Codecs returns the value of a CODECS attribute, as in avc1.64001f (RFC 6381,
// 3.3): profile, constraints and level in hexadecimal. The first SPS has the
// word where there is one: it is what decoders go by.
func (c *Config) Codecs() string {
	if len(c.SPS) > 0 && len(c.SPS[0]) >= 4 {
		return fmt.Sprintf("avc1.%02x%02x%02x", c.SPS[0][1], c.SPS[0][2], c.SPS[0][3])
	}
	return fmt.Sprintf("avc1.%02x%02x%02x", c.Profile, c.Constraints, c.Level)
}
