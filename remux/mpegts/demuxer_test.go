package mpegts_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"

	"weir/media"
	"weir/remux/mpegts"
)

// packet builds a transport packet: the header's flags byte and PID, counter,
// adaptation field (nil: none) and payload; what is missing is stuffed in an
// adaptation field.
func packet(pid uint16, start bool, counter uint8, adapt, payload []byte) []byte {
	b := []byte{0x47, byte(pid >> 8), byte(pid), 0x10 | counter}
	if start {
		b[1] |= 0x40
	}
	if room := 184 - len(payload); adapt != nil || room > 0 {
		b[3] |= 0x20
		if len(adapt) == 0 && room > 1 {
			adapt = []byte{0}
		}
		b = append(b, byte(room-1))
		b = append(b, adapt...)
		b = append(b, bytes.Repeat([]byte{0xff}, room-1-len(adapt))...)
	}
	return append(b, payload...)
}

// section builds a PSI section behind its pointer_field, with its CRC.
func section(table uint8, id uint16, entries ...byte) []byte {
	n := 5 + len(entries) + 4
	b := []byte{table, 0xb0 | byte(n>>8), byte(n), byte(id >> 8), byte(id), 0xc1, 0, 0}
	return sign(append(b, entries...))
}

// sign puts the CRC behind a section, and the pointer_field before it.
func sign(b []byte) []byte {
	crc := ^uint32(0)
	for _, x := range b { // annex A, bit by bit
		for i := 7; i >= 0; i-- {
			top := crc>>31 ^ uint32(x>>i&1)
			crc <<= 1
			if top == 1 {
				crc ^= 0x04c11db7
			}
		}
	}
	return append([]byte{0}, binary.BigEndian.AppendUint32(b, crc)...)
}

var (
	pat = section(0, 1, 0, 1, 0xf0, 0x00)
	pmt = section(2, 1, 0xe1, 0x00, 0xf0, 0x00, 0x1b, 0xe1, 0x00, 0xf0, 0x00, 0x0f, 0xe1, 0x01, 0xf0, 0x00)
)

// tables is a PAT and a PMT, as every stream below begins.
func tables() []byte {
	return append(packet(0, true, 0, nil, pat), packet(0x1000, true, 0, nil, pmt)...)
}

// videoPES is a PES packet with a PTS of 90000 and this payload.
func videoPES(payload ...byte) []byte {
	return append([]byte{0, 0, 1, 0xe0, 0, 0, 0x84, 0x80, 5, 0x21, 0, 5, 0xbf, 0x21}, payload...)
}

func audioPES(length uint16, payload ...byte) []byte {
	b := append([]byte{0, 0, 1, 0xc0, 0, 0, 0x84, 0x80, 5, 0x21, 0, 5, 0xbf, 0x21}, payload...)
	binary.BigEndian.PutUint16(b[4:], length)
	return b
}

// demux returns copies of the events of a stream.
func demux(ts []byte) (events []mpegts.Event) {
	for e := range mpegts.Demux(ts) {
		e.PES.Data = bytes.Clone(e.PES.Data)
		events = append(events, e)
	}
	return events
}

// faultCases are streams with one thing wrong; they seed FuzzDemux. The fault
// must name it.
var faultCases = []struct {
	name  string
	ts    []byte // behind the tables
	fault string // a part of the only fault, "" for none
	pes   int    // PES packets in spite of it
}{
	{"nothing wrong", slices.Concat(packet(0x100, true, 0, nil, videoPES(1, 2)), packet(0x101, true, 0, nil, audioPES(10, 1, 2))), "", 2},
	{"sync byte", append([]byte{0x48}, packet(0x100, true, 0, nil, videoPES(1))[1:]...), "sync byte", 0},
	{"adaptation_field_control 00", func() []byte { b := packet(0x100, true, 0, nil, videoPES(1)); b[3] &= 0x0f; return b }(), "adaptation_field_control", 0},
	{"transport_error_indicator", func() []byte { b := packet(0x100, true, 0, nil, videoPES(1)); b[1] |= 0x80; return b }(), "transport_error_indicator", 0},
	{"scrambled", func() []byte { b := packet(0x100, true, 0, nil, videoPES(1)); b[3] |= 0x80; return b }(), "scrambled", 0},
	{"adaptation field longer than its packet", func() []byte { b := packet(0x100, true, 0, nil, videoPES(1)); b[4] = 183; return b }(), "adaptation_field_length", 0},
	{"PCR flag without room", packet(0x100, true, 0, []byte{0x10}, append(videoPES(), make([]byte, 168)...)), "shorter than its flags", 0},
	{"private data longer than the field", packet(0x100, true, 0, []byte{0x02, 200}, videoPES(1)), "shorter than its flags", 0},
	{"stuffing of zeros", func() []byte { b := packet(0x100, true, 0, nil, videoPES(1)); b[20] = 0; return b }(), "stuffing", 0},
	{"PCR extension of 300", packet(0x100, true, 0, []byte{0x10, 0, 0, 0, 0, 0x7f, 0x2c}, videoPES(1)), "extension above 299", 0},
	{"the stream ends inside a packet", packet(0x100, true, 0, nil, videoPES(1))[:100], "ends inside a packet", 0},

	{"counter skips", slices.Concat(packet(0x100, true, 0, nil, videoPES(1)), packet(0x100, true, 2, nil, videoPES(2))), "continuity", 2},
	{"counter stands still with other bytes", slices.Concat(packet(0x100, true, 0, nil, videoPES(1)), packet(0x100, true, 0, nil, videoPES(2))), "continuity", 2},
	{"a packet twice is legal", slices.Concat(packet(0x100, true, 0, nil, videoPES(1)), packet(0x100, true, 0, nil, videoPES(1)), packet(0x100, true, 1, nil, videoPES(2))), "", 2},
	{"three times is not", bytes.Repeat(packet(0x100, true, 0, nil, videoPES(1)), 3), "continuity", 2},
	{"counter counts a packet without payload", slices.Concat(packet(0x100, true, 0, nil, videoPES(1)), clockOnly(1)), "continuity", 1},
	{"one without payload keeps it", slices.Concat(packet(0x100, true, 0, nil, videoPES(1)), clockOnly(0), packet(0x100, true, 1, nil, videoPES(1))), "", 2},
	{"a discontinuity is announced", slices.Concat(packet(0x100, true, 0, nil, videoPES(1)), packet(0x100, true, 9, []byte{0x80}, videoPES(2))), "", 2},
	{"null packets count nothing", slices.Concat(packet(0x1fff, false, 3, nil, make([]byte, 184)), packet(0x1fff, false, 3, nil, make([]byte, 184))), "", 0},

	{"no start code prefix", packet(0x100, true, 0, nil, []byte{0, 0, 2, 0xe0, 0, 0, 0x80, 0, 0}), "packet_start_code_prefix", 0},
	{"header cut short", packet(0x100, true, 0, nil, videoPES()[:12]), "inside its header", 0},
	{"marker bits", packet(0x100, true, 0, nil, []byte{0, 0, 1, 0xe0, 0, 0, 0x04, 0, 0}), "marker bits '10'", 0},
	{"PTS_DTS_flags 01", packet(0x100, true, 0, nil, []byte{0, 0, 1, 0xe0, 0, 0, 0x84, 0x40, 0}), "PTS_DTS_flags", 0},
	{"PTS flag without a PTS", packet(0x100, true, 0, nil, []byte{0, 0, 1, 0xe0, 0, 0, 0x84, 0x80, 0}), "inside its header", 0},
	{"DTS flag without a DTS", packet(0x100, true, 0, nil, []byte{0, 0, 1, 0xe0, 0, 0, 0x84, 0xc0, 5, 0x31, 0, 5, 0xbf, 0x21}), "inside its header", 0},
	{"PTS prefix", packet(0x100, true, 0, nil, append(videoPES()[:9:9], 0x11, 0, 5, 0xbf, 0x21)), "prefix or marker", 0},
	{"PTS marker bit", packet(0x100, true, 0, nil, append(videoPES()[:9:9], 0x21, 0, 4, 0xbf, 0x21)), "prefix or marker", 0},
	{"unbounded audio", packet(0x101, true, 0, nil, audioPES(0, 1)), "PES_packet_length 0", 0},
	{"shorter than it says", slices.Concat(packet(0x101, true, 0, nil, audioPES(20, 1)), packet(0x101, true, 1, nil, audioPES(9, 1))), "shorter than its PES_packet_length", 2},
	{"longer than it says", packet(0x101, true, 0, nil, audioPES(9, 1, 2, 3)), "longer than its PES_packet_length", 1},
	{"payload before any PES packet", packet(0x100, false, 0, nil, []byte{1}), "outside of a PES packet", 0},
	{"payload behind a whole one", slices.Concat(packet(0x101, true, 0, nil, audioPES(9, 1)), packet(0x101, false, 1, nil, []byte{1})), "outside of a PES packet", 1},

	{"CRC", packet(0x1000, true, 1, nil, append(pmt[:len(pmt)-1:len(pmt)-1], pmt[len(pmt)-1]^1)), "CRC_32", 0},
	{"table_id", packet(0x1000, true, 1, nil, section(0, 1, 0, 1, 0xf0, 0x00)), "table_id", 0},
	{"no section syntax", packet(0x1000, true, 1, nil, func() []byte { b := bytes.Clone(pmt); b[2] &= 0x7f; return b }()), "section syntax", 0},
	{"pointer_field past the packet", packet(0x1000, true, 1, nil, append([]byte{200}, pmt[1:]...)), "pointer_field", 0},
	{"section of 4 kB", packet(0x1000, true, 1, nil, []byte{0, 2, 0xbf, 0xff}), "longer than 1024", 0},
	{"PMT entry cut short", packet(0x1000, true, 1, nil, section(2, 1, 0xe1, 0, 0xf0, 0, 0x1b, 0xe1)), "inside an entry", 0},
	{"descriptors past the section", packet(0x1000, true, 1, nil, section(2, 1, 0xe1, 0, 0xf0, 9)), "inside an entry", 0},
	{"PAT entry cut short", packet(0, true, 1, nil, section(0, 1, 0, 1, 0xf0)), "inside an entry", 0},
	{"a table that is not valid yet drops no stream", slices.Concat(
		packet(0x1000, true, 1, nil, sign([]byte{2, 0xb0, 13, 0, 1, 0xc2, 0, 0, 0xff, 0xff, 0xf0, 0})),
		packet(0x100, true, 0, nil, videoPES(1))), "", 1},
}

// clockOnly is a packet with a PCR and no payload.
func clockOnly(counter uint8) []byte {
	b := []byte{0x47, 0x01, 0x00, 0x20 | counter, 183, 0x10, 0, 0, 0, 0, 0x7e, 0}
	return append(b, bytes.Repeat([]byte{0xff}, 188-len(b))...)
}

func TestDemuxFaults(t *testing.T) {
	for _, c := range faultCases {
		t.Run(c.name, func(t *testing.T) {
			var faults []string
			pes := 0
			for _, e := range demux(append(tables(), c.ts...)) {
				switch e.Type {
				case mpegts.EventFault:
					if !errors.Is(e.Err, mpegts.ErrMalformed) && !errors.Is(e.Err, mpegts.ErrContinuity) {
						t.Errorf("%v is of no kind", e.Err)
					}
					faults = append(faults, e.Err.Error())
				case mpegts.EventPES:
					pes++
				}
			}
			want := 1
			if c.fault == "" {
				want = 0
			}
			if len(faults) != want || want == 1 && !strings.Contains(faults[0], c.fault) {
				t.Errorf("faults %q, want %d with %q", faults, want, c.fault)
			}
			if pes != c.pes {
				t.Errorf("%d PES packets, want %d: one fault must not hide the rest", pes, c.pes)
			}
		})
	}
}

func TestDemuxEvents(t *testing.T) {
	ts := slices.Concat(tables(),
		packet(0x100, true, 0, []byte{0x50, 0, 0, 0, 0x80, 0xfe, 0x0a}, videoPES(1, 2)),
		packet(0x101, true, 0, []byte{0x40}, audioPES(10, 3, 4)),
		packet(0x100, false, 1, nil, []byte{5}))
	got := demux(ts)
	want := []mpegts.EventType{mpegts.EventPAT, mpegts.EventPMT, mpegts.EventPCR, mpegts.EventPES, mpegts.EventPES}
	var types []mpegts.EventType
	for _, e := range got {
		types = append(types, e.Type)
	}
	if !slices.Equal(types, want) {
		t.Fatalf("events %v, want %v", types, want)
	}
	if pcr := got[2]; pcr.PCR != 257*300+10 || pcr.Packet != 2 || pcr.PID != 0x100 {
		t.Errorf("PCR %+v, want base 257, extension 10", pcr)
	}
	audio, video := got[3].PES, got[4].PES
	if !bytes.Equal(audio.Data, []byte{3, 4}) || audio.Type != mpegts.StreamAAC || audio.Length != 10 || audio.PTS != 90000 {
		t.Errorf("audio %+v: complete at its length", audio)
	}
	if !bytes.Equal(video.Data, []byte{1, 2, 5}) || video.Packet != 2 || !video.RandomAccess || video.HasDTS || video.DTS != 90000 {
		t.Errorf("video %+v: of two packets, ended by the stream's end", video)
	}
}

// A PMT of more than one packet, behind a pointer_field, and two sections in
// one packet.
func TestDemuxSections(t *testing.T) {
	var entries []byte
	entries = append(entries, 0xe1, 0, 0xf0, 0)
	for i := range byte(40) {
		entries = append(entries, 0x1b, 0xe2, i, 0xf0, 2, 0x52, 0) // with a descriptor of 2 bytes
	}
	long := section(2, 1, entries...)
	padding := append([]byte{10}, bytes.Repeat([]byte{0xff}, 10)...)
	first := append(padding, long[1:174]...)
	ts := slices.Concat(
		packet(0, true, 0, nil, pat),
		packet(0x1000, true, 0, nil, first),
		packet(0x1000, false, 1, nil, long[174:]),
		packet(0x1000, true, 2, nil, append(bytes.Clone(pmt), pmt[1:]...)))
	var sizes []int
	for _, e := range demux(ts) {
		switch e.Type {
		case mpegts.EventPMT:
			sizes = append(sizes, len(e.PMT.Streams))
		case mpegts.EventFault:
			t.Errorf("packet %d: %v", e.Packet, e.Err)
		}
	}
	if !slices.Equal(sizes, []int{40, 2, 2}) {
		t.Errorf("PMTs of %d streams, want 40, then 2 twice", sizes)
	}
}

// A PMT that drops a stream ends it; a PAT that drops a program too.
func TestDemuxFollowsTables(t *testing.T) {
	other := section(2, 1, 0xe1, 0x01, 0xf0, 0x00, 0x0f, 0xe1, 0x01, 0xf0, 0x00)
	empty := section(0, 1)
	ts := slices.Concat(tables(),
		packet(0x1000, true, 1, nil, other),
		packet(0x100, true, 0, nil, videoPES(1)),
		packet(0x101, true, 0, nil, audioPES(9, 1)),
		packet(0, true, 1, nil, empty),
		packet(0x101, true, 1, nil, audioPES(9, 1)))
	var pids []uint16
	for _, e := range demux(ts) {
		if e.Type == mpegts.EventPES {
			pids = append(pids, e.PID)
		}
	}
	if !slices.Equal(pids, []uint16{0x101}) {
		t.Errorf("PES packets on PIDs %#x, want the one that a table named", pids)
	}
}

// Lies about size cost what they weigh, and a stream of PIDs is not followed
// for ever.
func TestDemuxBounds(t *testing.T) {
	var many []byte
	for i := range byte(60) {
		many = append(many, 0, i+1, 0xf0, i)
	}
	ts := packet(0, true, 0, nil, section(0, 1, many[:160]...))
	if e := demux(ts); len(e) != 2 || e[1].Type != mpegts.EventFault {
		t.Errorf("40 programs: %d events, want the PAT and a fault", len(e))
	}
	d := mpegts.NewDemuxer()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for pid := range uint16(0x1fff) {
		d.Push(packet(pid, true, 0, nil, bytes.Repeat([]byte{0xff}, 184)))
	}
	runtime.ReadMemStats(&after)
	if n := after.HeapAlloc - min(before.HeapAlloc, after.HeapAlloc); n > 16<<20 {
		t.Errorf("%d bytes held for packets on every PID", n)
	}
}

// A PES packet that never ends is cut at MaxPES, told once, and the next one
// is whole.
func TestDemuxEndlessPES(t *testing.T) {
	d := mpegts.NewDemuxer()
	for b := tables(); len(b) > 0; b = b[188:] {
		d.Push(b[:188])
	}
	faults := 0
	var sizes []int
	push := func(start bool, counter int, payload []byte) {
		for _, e := range d.Push(packet(0x100, start, uint8(counter&15), nil, payload)) {
			switch e.Type {
			case mpegts.EventFault:
				faults++
			case mpegts.EventPES:
				sizes = append(sizes, len(e.PES.Data))
				if e.PES.Damaged != (len(sizes) == 1) {
					t.Errorf("PES packet %d: damaged is %v", len(sizes), e.PES.Damaged)
				}
			}
		}
	}
	push(true, 0, videoPES(bytes.Repeat([]byte{1}, 170)...))
	rest := bytes.Repeat([]byte{1}, 184)
	n := mpegts.MaxPES/184 + 10
	for i := 1; i <= n; i++ {
		push(false, i, rest)
	}
	push(true, n+1, videoPES(1))
	push(true, n+2, videoPES(1))
	if faults != 1 || len(sizes) != 2 || sizes[0] != mpegts.MaxPES-14 || sizes[1] != 1 {
		t.Errorf("%d faults, PES packets of %d bytes", faults, sizes)
	}
}

// A demuxer goes on after Flush: segments one after another are one stream.
func TestDemuxGoesOnAfterFlush(t *testing.T) {
	clip := readClip(t)
	m := newMuxer(t, clip.cfg, mpegts.Continuity{})
	d := mpegts.NewDemuxer()
	frames := 0
	for _, s := range clip.segments() {
		count := func(events []mpegts.Event) {
			for _, e := range events {
				switch e.Type {
				case mpegts.EventFault:
					t.Errorf("packet %d: %v", e.Packet, e.Err)
				case mpegts.EventPES:
					frames += len(split(t, &e.PES))
				}
			}
		}
		for ts := mux(t, m, s); len(ts) > 0; ts = ts[188:] {
			count(d.Push(ts[:188]))
		}
		count(d.Flush())
	}
	if frames != len(clip.frames) {
		t.Errorf("%d frames, want %d", frames, len(clip.frames))
	}
}

func FuzzDemux(f *testing.F) {
	for _, c := range faultCases {
		f.Add(append(tables(), c.ts...))
	}
	f.Fuzz(func(t *testing.T, ts []byte) {
		payload := 0
		for e := range mpegts.Demux(ts) {
			if (e.Err != nil) != (e.Type == mpegts.EventFault) || e.Type < mpegts.EventPAT || e.Type > mpegts.EventFault {
				t.Fatalf("event %+v", e)
			}
			if e.Type == mpegts.EventPES {
				payload += len(e.PES.Data)
				if e.PES.PTS|e.PES.DTS > mpegts.ClockMask {
					t.Fatalf("PTS %d, DTS %d have more than 33 bits", e.PES.PTS, e.PES.DTS)
				}
			}
			if e.PCR < 0 || e.PCR >= 300*(mpegts.ClockMask+1) {
				t.Fatalf("PCR %d", e.PCR)
			}
		}
		if payload > len(ts) {
			t.Fatalf("%d bytes of payload out of %d", payload, len(ts))
		}
	})
}

// FuzzMux: whatever an encoder calls an access unit or an AAC frame, either it
// is refused or it comes out of the stream as a simple reader would have it.
func FuzzMux(f *testing.F) {
	f.Add(avcc(idr(500), inter(3)), []byte{1, 2, 3}, true, int64(offset), int64(3000))
	f.Add(avcc([]byte{9, 0xf0}, []byte{0x67, 0x64, 0, 0x1f}, []byte{0x68, 0xee}, idr(40)), []byte{}, true, int64(mpegts.ClockMask-10), int64(0))
	f.Add(avcc([]byte{0x67, 1, 2, 3}, []byte{0x68, 0xee}, idr(40)), []byte{1}, true, int64(0), int64(0)) // another SPS, and the PPS that is known
	f.Add([]byte{0, 0, 0, 9, 1}, bytes.Repeat([]byte{1}, 9000), false, int64(-5), int64(-90000))
	f.Fuzz(func(t *testing.T, au, raw []byte, key bool, dts, step int64) {
		dts = offset + dts&(1<<40-1) // a timeline begins late enough for the PCR
		step &= 1<<24 - 1
		cfg := config(t)
		frames := []media.Frame{
			{Kind: media.Video, Key: key, DTS: dts, PTS: dts + step%9000, Data: au},
			{Kind: media.Audio, DTS: dts, PTS: dts, Data: raw},
			{Kind: media.Video, DTS: dts + step + 1, PTS: dts + step + 1, Data: au},
			{Kind: media.Audio, DTS: dts + step, PTS: dts + step, Data: raw},
		}
		m := newMuxer(t, cfg, mpegts.Continuity{})
		ts := m.AppendTables(nil)
		var written []media.Frame
		for i := range frames {
			before := len(ts)
			var err error
			if ts, err = m.AppendFrame(ts, &frames[i]); err == nil {
				written = append(written, frames[i])
			} else if !errors.Is(err, mpegts.ErrFrame) || len(ts) != before {
				t.Fatalf("frame %d: %v", i, err)
			}
		}
		ts = m.Flush(ts)
		units, _ := take(t, ts, videoPID)
		sameFrames(t, cfg, written, units, expect(t, cfg))
	})
}
