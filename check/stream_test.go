package check

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"

	"weir/media"
	"weir/media/aac"
	"weir/media/mp3"
)

// The parameter sets of libx264: Main profile level 3.0 640x360 25 fps, the
// same at 320x180, and High 4:4:4.
var (
	sps360, pps = unhex("674d401eeca05017fcb808800000030080000019078b16cb"), unhex("68ebe3cb20")
	sps180      = unhex("674d400ceca0a0cfcf80880000030008000003019078a14cb0")
	sps444      = unhex("67f4001e919b281405ff1380880000030008000003019078b16cb0")
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
	pidPMT   = 0x1000
	pidVideo = 0x100
	pidAudio = 0x101
)

// made is a segment to make, sound unless told otherwise. The zero value of
// each switch is the sound one.
type made struct {
	start    int64   // PTS of the first frame, 90 kHz
	seconds  float64 // 0: 2 s
	leading  int     // pictures that come behind the first one and are shown before it
	every    int64   // ticks between pictures; 0: 3600, 25 a second
	gop      int     // frames between IDR pictures; 0: 25, one a second
	counters map[uint16]uint8

	noVideo, noAudio, noTables       bool
	sdtFirst, twoPrograms            bool
	noKey, noSets, noAUD, noFlag     bool
	noPCR                            bool
	pcrEvery                         int   // frames; 0: 1
	pcrLead                          int64 // of the PCR before the DTS; 0: 9000
	audioType, videoType             byte
	audioLate                        int64 // the audio's timestamps are shifted by
	audioStretch                     int64 // ticks added to each audio PES
	audioShift                       int64 // the same, but none is left out
	videoLate                        int64 // the pictures' timestamps are shifted by
	audioLast                        bool  // all audio comes behind all video
	audioStops                       bool  // 0.4 s after the start
	audioFor                         int64 // ticks that the audio lasts; 0: until the segment's end
	sps                              []byte
	skip                             map[int]bool // video frames that are left out
	secondAudio, jitterDTS, badTimes bool
	noPTS, rawAAC                    bool
	mp3, cutMP3                      bool // MP3 for AAC; a frame lacks its end
	pcrBack                          bool

	out      []byte
	audioEnd int64 // where the next segment's audio begins
}

// aacFrames is how many AAC frames the tests put into a PES packet: 85.3 ms.
const aacFrames = 4

// bytes makes the segment: 25 pictures a second, AAC at 48 kHz.
func (m *made) bytes() []byte {
	if m.start == 0 {
		m.start = 900000
	}
	if m.counters == nil {
		m.counters = map[uint16]uint8{}
	}
	if m.seconds == 0 {
		m.seconds = 2
	}
	if m.gop == 0 {
		m.gop = 25
	}
	if m.pcrEvery == 0 {
		m.pcrEvery = 1
	}
	if m.pcrLead == 0 {
		m.pcrLead = 9000
	}
	if m.every == 0 {
		m.every = 3600
	}
	if m.sps == nil {
		m.sps = sps360
	}
	m.tables()
	audio := m.start + m.audioLate
	end := m.start + int64(m.seconds*media.Clock)
	heard := end
	if m.audioStops {
		heard = m.start + 36000
	}
	if m.audioFor > 0 {
		heard = audio + m.audioFor
	}
	for i := range int((end - m.start) / m.every) {
		pts := m.start + m.videoLate + int64(m.shown(i))*m.every
		if !m.noVideo {
			m.picture(i, pts)
		}
		if !m.audioLast {
			audio = m.audio(audio, min(pts+m.every, heard))
		}
	}
	m.audioEnd = m.audio(audio, heard)
	return m.out
}

// shown is the place of the i-th picture among those of the segment.
func (m *made) shown(i int) int {
	switch {
	case i > m.leading:
		return i
	case i == 0:
		return m.leading
	}
	return i - 1
}

// audio writes the audio from at up to before end.
func (m *made) audio(at, end int64) int64 {
	const step = aacFrames * 1024 * 90000 / 48000
	for ; at < end && !m.noAudio; at += step + m.audioStretch {
		config, _ := aac.ParseConfig([]byte{0x11, 0x90}) // LC, 48 kHz, stereo
		var data []byte
		for range aacFrames {
			data, _ = config.AppendADTS(data, 100)
			data = append(data, make([]byte, 100)...)
		}
		if m.rawAAC {
			data = make([]byte, 400)
		}
		if m.mp3 {
			// Silence of 96 ms.
			data = mp3.Config{Version: mp3.MPEG2, Layer: 3, SampleRate: 24000, Channels: 2}.AppendSilence(nil)
			if data = bytes.Repeat(data, 4); m.cutMP3 {
				data = data[:len(data)-30]
			}
		}
		flags := byte(0)
		pcr := int64(-1)
		if m.noVideo && !m.noPCR {
			pcr = at - m.pcrLead
		}
		pts := at + m.audioShift
		m.pes(pidAudio, 0xC0, pts, pts, pcr, flags, data)
		if m.secondAudio {
			m.pes(pidAudio+1, 0xC1, pts, pts, -1, flags, data)
		}
	}
	return at
}

// picture writes the i-th picture, decoded one picture before it is shown.
func (m *made) picture(i int, pts int64) {
	if m.skip[i] {
		return
	}
	var data []byte
	unit := func(nal ...byte) { data = append(append(data, 0, 0, 0, 1), nal...) }
	if !m.noAUD {
		unit(9, 0xF0)
	}
	key := i%m.gop == 0 && !(i == 0 && m.noKey)
	flags := byte(0)
	if key {
		if !m.noSets {
			unit(m.sps...)
			unit(pps...)
		}
		unit(append([]byte{0x65}, bytesOf(0x55, 300)...)...)
		if !m.noFlag {
			flags = 0x40
		}
	} else {
		unit(append([]byte{0x41}, bytesOf(0x55, 300)...)...)
	}
	dts := m.start + m.videoLate + int64(i)*m.every - 3600
	pcr := int64(-1)
	if i%m.pcrEvery == 0 && !m.noPCR {
		pcr = dts - m.pcrLead
	}
	if i == 5 {
		switch {
		case m.pcrBack:
			pcr -= 8 * 3600
		case m.badTimes:
			pts = dts - 1800
		case m.jitterDTS:
			dts -= 3600
		}
	}
	m.pes(pidVideo, 0xE0, pts, dts, pcr, flags, data)
}

// tables writes PAT and PMT.
func (m *made) tables() {
	if m.sdtFirst {
		m.packets(17, append([]byte{0}, section(0x42, 1, []byte{0xFF, 1, 0xFF})...))
	}
	if m.noTables {
		return
	}
	programs := []byte{0, 1, 0xE0 | pidPMT>>8, pidPMT & 0xFF}
	if m.twoPrograms {
		programs = append(programs, 0, 2, 0xE0|pidPMT>>8, pidPMT&0xFF+1)
	}
	m.packets(0, append([]byte{0}, section(0, 1, programs)...))
	video, audio := m.videoType, m.audioType
	if video == 0 {
		video = 0x1B
	}
	if audio == 0 {
		audio = 0x0F
	}
	pcr := uint16(pidVideo)
	if m.noVideo {
		pcr = pidAudio
	}
	body := []byte{0xE0 | byte(pcr>>8), byte(pcr), 0xF0, 0}
	if !m.noVideo {
		body = append(body, video, 0xE0|pidVideo>>8, pidVideo&0xFF, 0xF0, 0)
	}
	if !m.noAudio {
		body = append(body, audio, 0xE0|pidAudio>>8, pidAudio&0xFF, 0xF0, 0)
	}
	if m.secondAudio {
		body = append(body, audio, 0xE0|pidAudio>>8, pidAudio&0xFF+1, 0xF0, 0)
	}
	m.packets(pidPMT, append([]byte{0}, section(2, 1, body)...))
}

// section makes a table with its CRC (ISO/IEC 13818-1, 2.4.4).
func section(table byte, id uint16, body []byte) []byte {
	n := 5 + len(body) + 4
	s := []byte{table, 0xB0 | byte(n>>8), byte(n), byte(id >> 8), byte(id), 0xC1, 0, 0}
	s = append(s, body...)
	crc := uint32(0xFFFFFFFF)
	for _, b := range s {
		crc ^= uint32(b) << 24
		for range 8 {
			if crc&0x80000000 != 0 {
				crc = crc<<1 ^ 0x04C11DB7
			} else {
				crc <<= 1
			}
		}
	}
	return binary.BigEndian.AppendUint32(s, crc)
}

// pes writes a PES packet. pcr is negative for none.
func (m *made) pes(pid uint16, id byte, pts, dts, pcr int64, flags byte, data []byte) {
	head := []byte{0, 0, 1, id, 0, 0, 0x84, 0xC0, 10}
	head = append(appendTime(appendTime(head, 3, pts), 1, dts), data...)
	if m.noPTS && id == 0xE0 && pts == m.start+10*3600 {
		head = append([]byte{0, 0, 1, id, 0, 0, 0x84, 0, 0}, data...)
	}
	if id != 0xE0 {
		binary.BigEndian.PutUint16(head[4:], uint16(len(head)-6))
	}
	var adapt []byte
	if pcr >= 0 {
		base := uint64(pcr) & (1<<33 - 1)
		adapt = []byte{flags | 0x10, byte(base >> 25), byte(base >> 17), byte(base >> 9), byte(base >> 1), byte(base<<7) | 0x7E, 0}
	} else if flags != 0 {
		adapt = []byte{flags}
	}
	m.packets(pid, head, adapt...)
}

// appendTime writes a PTS or DTS (ISO/IEC 13818-1, 2.4.3.6).
func appendTime(dst []byte, prefix byte, t int64) []byte {
	return append(dst, prefix<<4|byte(t>>29)&0x0E|1, byte(t>>22), byte(t>>14)|1, byte(t>>7), byte(t<<1)|1)
}

// packets writes a payload in packets, with an adaptation field in the first.
func (m *made) packets(pid uint16, payload []byte, adapt ...byte) {
	for first := true; len(payload) > 0; first = false {
		start := byte(0)
		if first {
			start = 0x40
		}
		field := []byte(nil)
		if first && adapt != nil {
			field = append([]byte{byte(len(adapt))}, adapt...)
		}
		if room := 184 - len(field); len(payload) < room {
			if pid == 0 || pid == pidPMT || pid == 17 {
				payload = append(payload, bytesOf(0xFF, room-len(payload))...)
			} else {
				field = stuff(field, room-len(payload))
			}
		}
		control := byte(0x10)
		if field != nil {
			control = 0x30
		}
		m.out = append(m.out, 0x47, start|byte(pid>>8), byte(pid), control|m.counters[pid])
		m.counters[pid] = (m.counters[pid] + 1) & 15
		n := 184 - len(field)
		m.out = append(append(m.out, field...), payload[:n]...)
		payload = payload[n:]
	}
}

// stuff lengthens an adaptation field by n bytes.
func stuff(field []byte, n int) []byte {
	if field == nil {
		field, n = []byte{0}, n-1
		if n == 0 {
			return field
		}
		field, n = append(field, 0), n-1
	}
	field = append(field, bytesOf(0xFF, n)...)
	field[0] = byte(len(field) - 1)
	return field
}

func bytesOf(b byte, n int) []byte {
	out := make([]byte, n)
	for i := range out {
		out[i] = b
	}
	return out
}
