package mpegts

import "fmt"

// PES is one PES packet, put together from its transport packets (ISO/IEC 13818-1, 2.4.3.6).
type PES struct {
	PID      uint16
	Type     StreamType // of the stream by its PMT
	StreamID uint8
	// Packet is the index of the transport packet it begins in, RandomAccess
	// that packet's random_access_indicator.
	Packet       int64
	RandomAccess bool
	Aligned      bool // data_alignment_indicator
	// HasPTS and HasDTS tell what the header holds. PTS and DTS are on the
	// 90 kHz clock, 33 bits; DTS equals PTS where only that is there.
	HasPTS, HasDTS bool
	PTS, DTS       int64
	// Length is PES_packet_length, 0 for an unbounded one (video).
	Length int
	// Damaged tells that bytes are missing: a fault said which.
	Damaged bool
	// Data is the payload: access units. It is valid until the next Push.
	Data []byte
}

const (
	pesHead     = 6 // packet_start_code_prefix, stream_id, PES_packet_length
	pesOptional = 3 // flags and PES_header_data_length
	timeSize    = 5 // a PTS or DTS
)

var (
	errPESShort   = fmt.Errorf("%w: PES packet ends inside its header (ISO/IEC 13818-1, 2.4.3.6)", ErrMalformed)
	errPESPrefix  = fmt.Errorf("%w: PES packet without packet_start_code_prefix 000001 (ISO/IEC 13818-1, 2.4.3.7)", ErrMalformed)
	errPESMarker  = fmt.Errorf("%w: PES header without its marker bits '10' (ISO/IEC 13818-1, 2.4.3.6)", ErrMalformed)
	errPESFlags   = fmt.Errorf("%w: PTS_DTS_flags '01' is forbidden (ISO/IEC 13818-1, 2.4.3.7)", ErrMalformed)
	errPESTime    = fmt.Errorf("%w: PTS or DTS without its prefix or marker bits (ISO/IEC 13818-1, 2.4.3.7)", ErrMalformed)
	errPESLength  = fmt.Errorf("%w: PES packet shorter than its PES_packet_length (ISO/IEC 13818-1, 2.4.3.7)", ErrMalformed)
	errPESExtra   = fmt.Errorf("%w: PES packet longer than its PES_packet_length (ISO/IEC 13818-1, 2.4.3.7)", ErrMalformed)
	errPESZero    = fmt.Errorf("%w: PES_packet_length 0 outside of video (ISO/IEC 13818-1, 2.4.3.7)", ErrMalformed)
	errPESTooLong = fmt.Errorf("%w: PES packet longer than %d bytes, this reader's limit", ErrMalformed, MaxPES)
	errPESOutside = fmt.Errorf("%w: payload outside of a PES packet: none has begun, or the last one is complete (ISO/IEC 13818-1, 2.4.3.6)", ErrMalformed)
)

// hasHeader tells whether a PES packet of this stream_id has the optional
// header (ISO/IEC 13818-1, 2.4.3.6; table 2-22).
func hasHeader(streamID uint8) bool {
	switch streamID {
	case 0xbc, 0xbe, 0xbf, 0xf0, 0xf1, 0xf2, 0xf8, 0xff: // program_stream_map, padding, private_stream_2, ECM …
		return false
	}
	return true
}

// isVideo tells whether stream_id is a video stream's, whose PES packets may be
// unbounded (ISO/IEC 13818-1, 2.4.3.7).
func isVideo(streamID uint8) bool { return streamID&0xf0 == 0xe0 }

// parse reads the header in b, a whole PES packet, and leaves the payload in
// Data.
func (p *PES) parse(b []byte) error {
	if len(b) < pesHead {
		return errPESShort
	}
	if b[0] != 0 || b[1] != 0 || b[2] != 1 {
		return errPESPrefix
	}
	p.StreamID = b[3]
	p.Length = int(b[4])<<8 | int(b[5])
	p.Data = b[pesHead:]
	if !hasHeader(p.StreamID) {
		return nil
	}
	if len(p.Data) < pesOptional {
		return errPESShort
	}
	flags, n := p.Data[:2], int(p.Data[2])
	if flags[0]&0xc0 != 0x80 {
		return errPESMarker
	}
	if len(p.Data) < pesOptional+n {
		return errPESShort
	}
	p.Aligned = flags[0]&0x04 != 0
	fields := p.Data[pesOptional : pesOptional+n]
	p.Data = p.Data[pesOptional+n:]
	if err := p.times(flags[1]>>6, fields); err != nil {
		return err
	}
	if p.Length == 0 && !isVideo(p.StreamID) {
		return errPESZero
	}
	return nil
}

// times reads PTS and DTS as PTS_DTS_flags say.
func (p *PES) times(flags uint8, f []byte) error {
	switch flags {
	case 0b00:
		return nil
	case 0b01:
		return errPESFlags
	}
	if len(f) < timeSize {
		return errPESShort
	}
	var ok bool
	if p.PTS, ok = parseTime(f, flags); !ok {
		return errPESTime
	}
	p.HasPTS, p.DTS = true, p.PTS
	if flags == 0b10 {
		return nil
	}
	if len(f) < 2*timeSize {
		return errPESShort
	}
	if p.DTS, ok = parseTime(f[timeSize:], 0b01); !ok {
		return errPESTime
	}
	p.HasDTS = true
	return nil
}

// parseTime reads a PTS or DTS behind the four bits prefix:
//
//	prefix(4) t[32..30] 1 t[29..15] 1 t[14..0] 1
func parseTime(b []byte, prefix uint8) (t int64, ok bool) {
	t = int64(b[0]>>1&7)<<30 | int64(b[1])<<22 | int64(b[2]>>1)<<15 | int64(b[3])<<7 | int64(b[4]>>1)
	return t, b[0]>>4 == prefix && b[0]&b[2]&b[4]&1 == 1
}
