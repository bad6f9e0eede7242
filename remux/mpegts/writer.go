package mpegts

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/asticode/go-astits"
)

// The PIDs and stream ids of weir's streams; the PMT is on go-astits' 0x1000.
const (
	videoPID      = 0x100
	audioPID      = 0x101
	videoStreamID = 0xe0
	audioStreamID = 0xc0
)

// pesHeader is what a PES packet says before its payload. Times are on the
// unwrapped 90 kHz clock.
type pesHeader struct {
	pid           uint16
	streamID      uint8
	pts, dts      int64
	random        bool // random_access_indicator
	hasPCR        bool
	pcr           int64
	discontinuity bool // of the time base, with this PCR
}

// pesWriter writes PES packets: go-astits the tables and each first packet,
// which has all the headers, and the rest a plain loop. go-astits alone writes
// the same bytes several times slower (BenchmarkMuxPlain), and keeps its
// continuity counters to itself: ours are stamped over them.
type pesWriter struct {
	lib    *astits.Muxer
	out    bytes.Buffer // where lib writes
	tables []byte
	body   body

	// What lib reads, wired once.
	data          astits.MuxerData
	pes           astits.PESData
	header        astits.PESHeader
	optional      astits.PESOptionalHeader
	pts, dts, pcr astits.ClockReference
	adapt         astits.PacketAdaptationField
	clockPacket   astits.Packet
	clockAdapt    astits.PacketAdaptationField
}

// placeholder stands in for the payload in what lib writes; the payload is
// copied over it.
var placeholder [maxPayload]byte

// stuffing is stuffing_byte (ISO/IEC 13818-1, 2.4.3.5).
var stuffing = bytes.Repeat([]byte{0xff}, maxPayload)

// init sets the writer up for a stream with video and, where its stream_type is
// not 0, audio.
func (w *pesWriter) init(video bool, audio StreamType) error {
	// A period that never ends: the tables are ours to write.
	w.lib = astits.NewMuxer(context.Background(), &w.out, astits.MuxerOptTablesRetransmitPeriod(math.MaxInt-1))
	w.data.PES, w.data.AdaptationField = &w.pes, &w.adapt
	w.pes.Header = &w.header
	w.header.OptionalHeader = &w.optional
	w.optional = astits.PESOptionalHeader{MarkerBits: 2, DataAlignmentIndicator: true, PTS: &w.pts, DTS: &w.dts}
	w.adapt.PCR = &w.pcr
	w.clockPacket.Header.HasAdaptationField = true
	w.clockPacket.AdaptationField = &w.clockAdapt
	w.clockAdapt = astits.PacketAdaptationField{HasPCR: true, PCR: &w.pcr, StuffingLength: maxPayload - 8}

	pid, version := uint16(audioPID), 0
	if video {
		pid, version = videoPID, 1
		if err := w.lib.AddElementaryStream(astits.PMTElementaryStream{ElementaryPID: videoPID, StreamType: astits.StreamTypeH264Video}); err != nil {
			return fmt.Errorf("add video: %w", err)
		}
	}
	if audio != 0 {
		version += 2 * (1 + slices.Index([]StreamType{StreamAAC, StreamMPEG1Audio, StreamMPEG2Audio}, audio))
		if err := w.lib.AddElementaryStream(astits.PMTElementaryStream{ElementaryPID: audioPID, StreamType: astits.StreamType(audio)}); err != nil {
			return fmt.Errorf("add audio: %w", err)
		}
	}
	return w.makeTables(pid, version)
}

// makeTables takes the tables from lib. Every set of tracks has its own
// version_number, which "shall be incremented" with each change of the PMT
// (ISO/IEC 13818-1, 2.4.4.9): a player that goes on over a discontinuity takes notice. lib
// counts it up with every table that was touched.
func (w *pesWriter) makeTables(pcrPID uint16, version int) error {
	for range version {
		w.out.Reset()
		w.lib.SetPCRPID(pcrPID)
		if _, err := w.lib.WriteTables(); err != nil {
			return fmt.Errorf("write tables: %w", err)
		}
	}
	w.tables = bytes.Clone(w.out.Bytes())
	// lib writes tables before its first PES packet, and before every random
	// access point of the PCR PID. Let it have the one, and hide the other.
	w.data.PID, w.pes.Data = pcrPID, placeholder[:1]
	w.header.StreamID = audioStreamID
	w.optional.PTSDTSIndicator = astits.PTSDTSIndicatorOnlyPTS
	if _, err := w.lib.WriteData(&w.data); err != nil {
		return fmt.Errorf("write first packet: %w", err)
	}
	w.lib.SetPCRPID(nullPID)
	return nil
}

// append appends the PES packet of header h with w.body as payload, which must
// not be empty.
func (w *pesWriter) append(dst []byte, h pesHeader, counter *uint8) []byte {
	size := w.body.size
	first := min(size, w.setHeader(h))
	rest := (size - first + maxPayload - 1) / maxPayload // packets after the first
	dst = slices.Grow(dst, (1+rest)*PacketSize)

	at := len(dst)
	w.pes.Data = placeholder[:first]
	dst = append(dst, w.libPacket()...)
	packet := dst[at:]
	stamp(packet, counter)
	if h.streamID == audioStreamID { // lib has counted the placeholder only
		pes := packet[headerSize+1+int(packet[headerSize]):]
		binary.BigEndian.PutUint16(pes[4:], uint16(pesOptional+int(pes[8])+size))
	}
	w.body.copy(packet[PacketSize-first:])
	return w.body.packets(dst, h.pid, counter)
}

// setHeader hands h to lib, and returns how much payload fits behind it into
// the first packet.
func (w *pesWriter) setHeader(h pesHeader) int {
	w.data.PID, w.header.StreamID = h.pid, h.streamID
	w.pts.Base, w.dts.Base, w.pcr.Base = h.pts&ClockMask, h.dts&ClockMask, h.pcr&ClockMask
	w.adapt.HasPCR, w.adapt.RandomAccessIndicator, w.adapt.DiscontinuityIndicator = h.hasPCR, h.random, h.discontinuity
	w.adapt.StuffingLength = 0
	room := maxPayload - 2 - pesHead - pesOptional - timeSize
	if h.hasPCR {
		room -= 6
	}
	w.optional.PTSDTSIndicator = astits.PTSDTSIndicatorOnlyPTS
	if w.dts.Base != w.pts.Base {
		w.optional.PTSDTSIndicator = astits.PTSDTSIndicatorBothPresent
		room -= timeSize
	}
	return room
}

// libPacket has lib write the packet that was set up. It panics where lib
// fails, which no input makes it do: its errors are those of its io.Writer,
// here memory, and of PIDs it does not know.
func (w *pesWriter) libPacket() []byte {
	w.out.Reset()
	if _, err := w.lib.WriteData(&w.data); err != nil {
		panic("mpegts: go-astits: " + err.Error())
	}
	return w.out.Bytes()
}

// appendClock appends a packet that has a PCR and no payload. Its
// continuity_counter is that of the packet before: it "shall not be
// incremented" without payload (ISO/IEC 13818-1, 2.4.3.3).
func (w *pesWriter) appendClock(dst []byte, pid uint16, next uint8, pcr int64, discontinuity bool) []byte {
	w.pcr.Base = pcr & ClockMask
	w.clockAdapt.DiscontinuityIndicator = discontinuity
	w.clockPacket.Header.PID = pid
	w.clockPacket.Header.ContinuityCounter = (next - 1) & 0x0f
	w.out.Reset()
	if _, err := w.lib.WritePacket(&w.clockPacket); err != nil {
		panic("mpegts: go-astits: " + err.Error())
	}
	return append(dst, w.out.Bytes()...)
}

// stamp writes a packet's continuity_counter and counts it up.
func stamp(packet []byte, counter *uint8) {
	packet[3] = packet[3]&0xf0 | *counter
	*counter = (*counter + 1) & 0x0f
}
