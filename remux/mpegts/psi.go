package mpegts

import "fmt"

// StreamType is what an elementary stream carries (ISO/IEC 13818-1, 2.4.4.9, table 2-34).
type StreamType uint8

// The stream types of HLS segments.
const (
	StreamMPEG1Audio StreamType = 0x03
	StreamMPEG2Audio StreamType = 0x04
	StreamAAC        StreamType = 0x0f // AAC behind ADTS headers
	StreamMetadata   StreamType = 0x15 // timed ID3
	StreamH264       StreamType = 0x1b
	StreamHEVC       StreamType = 0x24
	StreamAC3        StreamType = 0x81
	StreamEAC3       StreamType = 0x87
)

// Program is an entry of the PAT.
type Program struct {
	Number uint16 // 0 is the network PID
	PMT    uint16 // PID
}

// ElementaryStream is an entry of a PMT.
type ElementaryStream struct {
	PID  uint16
	Type StreamType
}

// PAT is a program association section (ISO/IEC 13818-1, 2.4.4.3).
type PAT struct {
	TransportStream uint16
	Version         uint8
	Programs        []Program
}

// PMT is a program map section (ISO/IEC 13818-1, 2.4.4.8).
type PMT struct {
	Program uint16
	Version uint8
	PCR     uint16 // PID, 0x1fff where there is none
	Streams []ElementaryStream
}

const (
	tablePAT = 0x00
	tablePMT = 0x02
	// maxSection is the longest PAT or PMT section: section_length "shall not
	// exceed 1021" (ISO/IEC 13818-1, 2.4.4.5, 2.4.4.9), behind three bytes.
	maxSection = 3 + 1021
	// sectionHead is a section's part before its entries, sectionCRC the one
	// behind them.
	sectionHead = 8
	sectionCRC  = 4
)

var (
	errSection     = fmt.Errorf("%w: section_length does not fit its section (ISO/IEC 13818-1, 2.4.4.5, 2.4.4.9)", ErrMalformed)
	errSyntax      = fmt.Errorf("%w: PAT or PMT without section syntax (ISO/IEC 13818-1, 2.4.4.5, 2.4.4.9)", ErrMalformed)
	errTable       = fmt.Errorf("%w: table_id of neither PAT nor PMT on their PID (ISO/IEC 13818-1, 2.4.4.4)", ErrMalformed)
	errCRC         = fmt.Errorf("%w: CRC_32 of a section (ISO/IEC 13818-1, 2.4.4.5, annex A)", ErrMalformed)
	errEntries     = fmt.Errorf("%w: section ends inside an entry (ISO/IEC 13818-1, 2.4.4.3, 2.4.4.8)", ErrMalformed)
	errPointer     = fmt.Errorf("%w: pointer_field points past its packet (ISO/IEC 13818-1, 2.4.4.2)", ErrMalformed)
	errLongSection = fmt.Errorf("%w: section longer than 1024 bytes (ISO/IEC 13818-1, 2.4.4.5)", ErrMalformed)
)

// section is the head that PAT and PMT share, and their entries:
//
//	table_id(8) section_syntax_indicator(1) '0' reserved(2) section_length(12)
//	id(16) reserved(2) version_number(5) current_next_indicator(1)
//	section_number(8) last_section_number(8) … CRC_32(32)
type section struct {
	table   uint8
	id      uint16
	version uint8
	current bool
	number  uint8
	entries []byte
}

// sectionSize returns a section's whole size by its first three bytes.
func sectionSize(b []byte) int { return 3 + int(b[1]&0x0f)<<8 + int(b[2]) }

func parseSection(b []byte) (section, error) {
	if len(b) < sectionHead+sectionCRC || sectionSize(b) != len(b) {
		return section{}, errSection
	}
	if b[1]&0x80 == 0 {
		return section{}, errSyntax
	}
	if crc32(b) != 0 { // the CRC over data and CRC is zero (annex A)
		return section{}, errCRC
	}
	return section{
		table:   b[0],
		id:      uint16(b[3])<<8 | uint16(b[4]),
		version: b[5] >> 1 & 0x1f,
		current: b[5]&1 != 0,
		number:  b[6],
		entries: b[sectionHead : len(b)-sectionCRC],
	}, nil
}

// pat reads the programs of a PAT section (ISO/IEC 13818-1, 2.4.4.3).
func (s section) pat() (PAT, error) {
	t := PAT{TransportStream: s.id, Version: s.version}
	if len(s.entries)%4 != 0 {
		return PAT{}, errEntries
	}
	for e := s.entries; len(e) > 0; e = e[4:] {
		t.Programs = append(t.Programs, Program{
			Number: uint16(e[0])<<8 | uint16(e[1]),
			PMT:    (uint16(e[2])<<8 | uint16(e[3])) & pidMask,
		})
	}
	return t, nil
}

// pmt reads the streams of a PMT section (ISO/IEC 13818-1, 2.4.4.8). Descriptors are passed
// over.
func (s section) pmt() (PMT, error) {
	e := s.entries
	if len(e) < 4 {
		return PMT{}, errEntries
	}
	t := PMT{Program: s.id, Version: s.version, PCR: (uint16(e[0])<<8 | uint16(e[1])) & pidMask}
	info := int(e[2]&0x0f)<<8 | int(e[3])
	if e = e[4:]; info > len(e) {
		return PMT{}, errEntries
	}
	for e = e[info:]; len(e) > 0; {
		if len(e) < 5 {
			return PMT{}, errEntries
		}
		n := 5 + (int(e[3]&0x0f)<<8 | int(e[4]))
		if n > len(e) {
			return PMT{}, errEntries
		}
		t.Streams = append(t.Streams, ElementaryStream{
			Type: StreamType(e[0]),
			PID:  (uint16(e[1])<<8 | uint16(e[2])) & pidMask,
		})
		e = e[n:]
	}
	return t, nil
}

// crcTable is the CRC of each byte value, by the polynomial of annex A.
var crcTable = func() (t [256]uint32) {
	for i := range t {
		c := uint32(i) << 24
		for range 8 {
			if c&(1<<31) != 0 {
				c = c<<1 ^ 0x04c11db7
			} else {
				c <<= 1
			}
		}
		t[i] = c
	}
	return t
}()

// crc32 is the CRC of annex A, which hash/crc32 does not have: most
// significant bit first, no final complement.
func crc32(b []byte) uint32 {
	c := ^uint32(0)
	for _, x := range b {
		c = c<<8 ^ crcTable[byte(c>>24)^x]
	}
	return c
}

// assembler puts the sections of one PID together out of packet payloads. Its
// memory is bounded by one section and one packet.
type assembler struct {
	buf    []byte
	synced bool // a section began; bytes before that belong to one not seen
}

// push takes a packet's payload and calls done for each whole section, whose
// bytes are valid during the call.
func (a *assembler) push(start bool, p []byte, done func([]byte)) error {
	if !start {
		if !a.synced {
			return nil
		}
		a.buf = append(a.buf, p...)
		return a.drain(done)
	}
	// pointer_field(8): where the first section begins; before it the end of
	// the section before (ISO/IEC 13818-1, 2.4.4.1).
	if len(p) == 0 || int(p[0]) > len(p)-1 {
		a.reset()
		return errPointer
	}
	at := 1 + int(p[0])
	var err error
	if a.synced {
		a.buf = append(a.buf, p[1:at]...)
		err = a.drain(done)
	}
	a.buf = append(a.buf[:0], p[at:]...)
	a.synced = true
	if e := a.drain(done); e != nil {
		return e
	}
	return err
}

// drain hands on whole sections. A table_id of 0xff is stuffing to the
// packet's end (ISO/IEC 13818-1, 2.4.4).
func (a *assembler) drain(done func([]byte)) error {
	b := a.buf
	for len(b) > 0 && b[0] != 0xff {
		if len(b) < 3 {
			break
		}
		n := sectionSize(b)
		if n > maxSection {
			a.reset()
			return errLongSection
		}
		if len(b) < n {
			break
		}
		done(b[:n])
		b = b[n:]
	}
	if len(b) == 0 || b[0] == 0xff {
		a.reset()
		return nil
	}
	a.buf = append(a.buf[:0], b...)
	return nil
}

func (a *assembler) reset() {
	a.buf, a.synced = a.buf[:0], false
}
