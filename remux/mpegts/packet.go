// Package mpegts writes and reads MPEG transport streams: a Muxer that makes
// HLS segments out of frames, and a Demuxer for tests and checks.
//
// Source: ISO/IEC 13818-1 (ITU-T H.222.0).
package mpegts

import (
	"errors"
	"fmt"
)

// PacketSize is the size of a transport packet, in bytes (ISO/IEC 13818-1,
// 2.4.3.2).
const PacketSize = 188

const (
	syncByte   = 0x47
	headerSize = 4
	// maxPayload is what one packet carries at most.
	maxPayload = PacketSize - headerSize
	// pidMask covers the 13 bits of a PID and of 'reserved' fields beside it.
	pidMask = 0x1fff
	nullPID = 0x1fff
	patPID  = 0
)

// ClockMask covers the 33 bits of a PTS, a DTS and a PCR's base: on the wire
// time wraps every 26.5 hours (ISO/IEC 13818-1, 2.4.3.5, 2.4.3.7).
const ClockMask = 1<<33 - 1

// ErrMalformed is wrapped by every error about bytes that are no transport
// stream.
var ErrMalformed = errors.New("malformed MPEG-TS")

// Packet is one parsed transport packet (ISO/IEC 13818-1, 2.4.3.2).
type Packet struct {
	PID          uint16
	Damaged      bool  // transport_error_indicator
	Start        bool  // payload_unit_start_indicator
	Scrambling   uint8 // transport_scrambling_control
	Continuity   uint8 // continuity_counter, 0 to 15
	HasPayload   bool
	HasAdapt     bool // an adaptation field is there, if an empty one
	Discontinued bool // discontinuity_indicator
	RandomAccess bool // random_access_indicator
	HasPCR       bool
	// PCR is base * 300 + extension: 27 MHz, wrapping at 2^33 * 300.
	PCR int64
	// Stuffing is how many bytes of the adaptation field mean nothing.
	Stuffing int
	// Payload aliases the packet.
	Payload []byte
}

var (
	errSize     = fmt.Errorf("%w: packet of other than 188 bytes (ISO/IEC 13818-1, 2.4.3.2)", ErrMalformed)
	errSync     = fmt.Errorf("%w: packet without sync byte 0x47 (ISO/IEC 13818-1, 2.4.3.3)", ErrMalformed)
	errControl  = fmt.Errorf("%w: adaptation_field_control '00' is reserved (ISO/IEC 13818-1, 2.4.3.3)", ErrMalformed)
	errAdapt    = fmt.Errorf("%w: adaptation_field_length does not fit its packet (ISO/IEC 13818-1, 2.4.3.5)", ErrMalformed)
	errFields   = fmt.Errorf("%w: adaptation field shorter than its flags say (ISO/IEC 13818-1, 2.4.3.4)", ErrMalformed)
	errStuffing = fmt.Errorf("%w: stuffing bytes other than 0xff (ISO/IEC 13818-1, 2.4.3.5)", ErrMalformed)
	errPCR      = fmt.Errorf("%w: program_clock_reference_extension above 299 (ISO/IEC 13818-1, 2.4.3.5)", ErrMalformed)
)

// ParsePacket parses one packet of 188 bytes. It allocates nothing.
//
//	sync_byte(8) transport_error_indicator(1) payload_unit_start_indicator(1)
//	transport_priority(1) PID(13) transport_scrambling_control(2)
//	adaptation_field_control(2) continuity_counter(4)
func ParsePacket(b []byte) (Packet, error) {
	if len(b) != PacketSize {
		return Packet{}, errSize
	}
	if b[0] != syncByte {
		return Packet{}, errSync
	}
	p := Packet{
		PID:        uint16(b[1]&0x1f)<<8 | uint16(b[2]),
		Damaged:    b[1]&0x80 != 0,
		Start:      b[1]&0x40 != 0,
		Scrambling: b[3] >> 6,
		HasAdapt:   b[3]&0x20 != 0,
		HasPayload: b[3]&0x10 != 0,
		Continuity: b[3] & 0x0f,
	}
	if p.PID == nullPID {
		p.HasPayload = false
		return p, nil
	}
	rest := b[headerSize:]
	if !p.HasAdapt && !p.HasPayload {
		return Packet{}, errControl
	}
	if p.HasAdapt {
		n := int(rest[0])
		// "shall be in the range of 0 to 182" with a payload, "183" without.
		if p.HasPayload && n > 182 || !p.HasPayload && n != 183 {
			return Packet{}, errAdapt
		}
		if err := p.adaptation(rest[1 : 1+n]); err != nil {
			return Packet{}, err
		}
		rest = rest[1+n:]
	}
	if p.HasPayload {
		p.Payload = rest
	}
	return p, nil
}

// adaptation parses an adaptation field behind its length (ISO/IEC 13818-1, 2.4.3.4).
func (p *Packet) adaptation(f []byte) error {
	if len(f) == 0 {
		return nil
	}
	flags := f[0]
	p.Discontinued, p.RandomAccess = flags&0x80 != 0, flags&0x40 != 0
	f = f[1:]
	if p.HasPCR = flags&0x10 != 0; p.HasPCR {
		if len(f) < 6 {
			return errFields
		}
		base := int64(f[0])<<25 | int64(f[1])<<17 | int64(f[2])<<9 | int64(f[3])<<1 | int64(f[4]>>7)
		extension := int64(f[4]&1)<<8 | int64(f[5])
		if extension > 299 {
			return errPCR
		}
		p.PCR = base*300 + extension
		f = f[6:]
	}
	size := 0
	if flags&0x08 != 0 { // OPCR
		size += 6
	}
	if flags&0x04 != 0 { // splice_countdown
		size++
	}
	if flags&0x02 != 0 { // transport_private_data
		if len(f) <= size {
			return errFields
		}
		size += 1 + int(f[size])
	}
	if flags&0x01 != 0 { // adaptation_field_extension
		if len(f) <= size {
			return errFields
		}
		size += 1 + int(f[size])
	}
	if len(f) < size {
		return errFields
	}
	f = f[size:]
	p.Stuffing = len(f)
	for _, b := range f {
		if b != 0xff {
			return errStuffing
		}
	}
	return nil
}
