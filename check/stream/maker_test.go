package stream

import (
	"encoding/binary"
	"encoding/hex"

	"weir/remux/mpegts"
)

// The parameter sets of libx264: Main profile level 3.0 640x360 25 fps, and High
// 4:4:4 of the same size.
var (
	mainSPS    = unhex("674d401eeca05017fcb808800000030080000019078b16cb")
	pictureSet = unhex("68ebe3cb20")
	fullChroma = unhex("67f4001e919b281405ff1380880000030008000003019078b16cb0")
)

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// The PIDs of the segments that the tests make.
const (
	tablePID = 0x1000
	videoPID = 0x100
	audioPID = 0x101
)

// maker writes a transport stream, a unit at a time: what is wrong with it a test
// writes itself.
type maker struct {
	out      []byte
	counters map[uint16]uint8
}

func newMaker() *maker { return &maker{counters: map[uint16]uint8{}} }

// unit writes one PES packet, or one table, in packets of its own.
func (m *maker) unit(pid uint16, payload []byte, adaptation ...byte) *maker {
	for first := true; len(payload) > 0; first = false {
		field := []byte(nil)
		if first && adaptation != nil {
			field = append([]byte{byte(len(adaptation))}, adaptation...)
		}
		if short := 184 - len(field) - len(payload); short > 0 {
			field = stuffed(field, short)
		}
		head := []byte{0x47, byte(pid >> 8), byte(pid), 0x10 | m.counters[pid]}
		if first {
			head[1] |= 0x40
		}
		if field != nil {
			head[3] |= 0x20
		}
		m.counters[pid] = (m.counters[pid] + 1) & 15
		n := 184 - len(field)
		m.out = append(append(append(m.out, head...), field...), payload[:n]...)
		payload = payload[n:]
	}
	return m
}

// stuffed lengthens an adaptation field by n bytes (ISO/IEC 13818-1, 2.4.3.5).
func stuffed(field []byte, n int) []byte {
	if field == nil {
		field, n = []byte{0}, n-1
	}
	if len(field) == 1 && n > 0 {
		field, n = append(field, 0), n-1
	}
	for range n {
		field = append(field, 0xFF)
	}
	field[0] = byte(len(field) - 1)
	return field
}

// table writes a section behind its pointer (ISO/IEC 13818-1, 2.4.4).
func (m *maker) table(pid uint16, id byte, of uint16, body ...byte) *maker {
	n := 5 + len(body) + 4
	s := []byte{0, id, 0xB0 | byte(n>>8), byte(n), byte(of >> 8), byte(of), 0xC1, 0, 0}
	s = append(s, body...)
	crc := uint32(0xFFFFFFFF)
	for _, b := range s[1:] {
		crc ^= uint32(b) << 24
		for range 8 {
			crc = crc<<1 ^ 0x04C11DB7*(crc>>31)
		}
	}
	return m.unit(pid, binary.BigEndian.AppendUint32(s, crc))
}

// pat lists programs by the PIDs of their PMTs.
func (m *maker) pat(pmts ...uint16) *maker {
	var body []byte
	for i, pid := range pmts {
		body = append(body, 0, byte(i+1), 0xE0|byte(pid>>8), byte(pid))
	}
	return m.table(0, 0, 1, body...)
}

// stream is a line of a PMT.
type streamLine struct {
	typ mpegts.StreamType
	pid uint16
}

func (m *maker) pmt(pcr uint16, streams ...streamLine) *maker {
	body := []byte{0xE0 | byte(pcr>>8), byte(pcr), 0xF0, 0}
	for _, s := range streams {
		body = append(body, byte(s.typ), 0xE0|byte(s.pid>>8), byte(s.pid), 0xF0, 0)
	}
	return m.table(tablePID, 2, 1, body...)
}

// both are the tables of a segment with a picture and a sound track.
func (m *maker) both() *maker {
	return m.pat(tablePID).pmt(videoPID, streamLine{mpegts.StreamH264, videoPID}, streamLine{mpegts.StreamAAC, audioPID})
}

// clock is an adaptation field with a PCR and flags.
func clock(flags byte, at int64) []byte {
	base := uint64(at) & mpegts.ClockMask
	return []byte{flags | 0x10, byte(base >> 25), byte(base >> 17), byte(base >> 9), byte(base >> 1), byte(base<<7) | 0x7E, 0}
}

// pes is a PES packet (ISO/IEC 13818-1, 2.4.3.6), of unbounded length. A pts below
// 0 stands for none.
func pes(id byte, pts, dts int64, data []byte) []byte {
	if pts < 0 {
		return append([]byte{0, 0, 1, id, 0, 0, 0x84, 0, 0}, data...)
	}
	head := []byte{0, 0, 1, id, 0, 0, 0x84, 0xC0, 10}
	for _, t := range []struct {
		prefix byte
		at     int64
	}{{3, pts}, {1, dts}} {
		head = append(head, t.prefix<<4|byte(t.at>>29)&0x0E|1, byte(t.at>>22), byte(t.at>>14)|1, byte(t.at>>7), byte(t.at<<1)|1)
	}
	return append(head, data...)
}

// units are NAL units as a byte stream.
func units(nals ...[]byte) (b []byte) {
	for _, nal := range nals {
		b = append(append(b, 0, 0, 0, 1), nal...)
	}
	return b
}

// The units of a picture.
var (
	delimiter = []byte{9, 0xF0}
	idr       = append([]byte{0x65}, make([]byte, 60)...)
	predicted = append([]byte{0x41}, make([]byte, 60)...)
	keyUnits  = units(delimiter, mainSPS, pictureSet, idr)
	plain     = units(delimiter, predicted)
)

const picture = 3600 // ticks: 25 a second

// video writes a picture at a place, decoded one picture before it is shown, with
// a clock 0.1 s before that.
func (m *maker) video(at int64, data []byte) *maker {
	flags := byte(0)
	if len(data) > len(plain) {
		flags = 0x40
	}
	return m.unit(videoPID, pes(0xE0, at, at-picture, data), clock(flags, at-picture-9000)...)
}

// sound writes a frame of 1024 samples at 48 kHz.
func (m *maker) sound(at int64) *maker { return m.soundOf(at, adts(48000, 100)) }

func (m *maker) soundOf(at int64, data []byte) *maker {
	p := pes(0xC0, at, at, data)
	binary.BigEndian.PutUint16(p[4:], uint16(len(p)-6))
	return m.unit(audioPID, p)
}

// second is a sound second of both tracks from a place on.
func (m *maker) second(at int64) *maker { return m.run(at, at, 25, keyUnits) }

// run writes pictures, the first of them as given, and sound from heard on.
func (m *maker) run(at, heard int64, pictures int, first []byte) *maker {
	for i := range int64(pictures) {
		m.video(at+i*picture, first)
		for first = plain; heard < at+(i+1)*picture; heard += 1920 {
			m.sound(heard)
		}
	}
	return m
}
