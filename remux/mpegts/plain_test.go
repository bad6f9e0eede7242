package mpegts_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/asticode/go-astits"

	"weir/media"
	"weir/remux/mpegts"
)

// apart is a stream of ours as go-astits needs it to write it again: the
// packets that begin something, and the whole PES packets by where they begin.
type apart struct {
	pmt    mpegts.PMT
	starts []start
	pes    map[int64]mpegts.PES
}

type start struct {
	index int64
	mpegts.Packet
}

func takeApart(t fataler, ts []byte) apart {
	t.Helper()
	a := apart{pes: map[int64]mpegts.PES{}}
	for e := range mpegts.Demux(ts) {
		switch e.Type {
		case mpegts.EventPMT:
			a.pmt = e.PMT
		case mpegts.EventPES:
			e.PES.Data = bytes.Clone(e.PES.Data)
			a.pes[e.PES.Packet] = e.PES
		case mpegts.EventFault:
			t.Fatalf("packet %d: %v", e.Packet, e.Err)
		}
	}
	for i := range int64(len(ts) / 188) {
		p, err := mpegts.ParsePacket(ts[i*188 : (i+1)*188])
		if err != nil {
			t.Fatalf("packet %d: %v", i, err)
		}
		if p.Start || !p.HasPayload {
			a.starts = append(a.starts, start{i, p})
		}
	}
	return a
}

// write writes the stream by go-astits alone: the tables once, each PES
// packet, header and whole payload, by WriteData.
func (a apart) write(t fataler) []byte {
	t.Helper()
	var out bytes.Buffer
	m := astits.NewMuxer(context.Background(), &out, astits.MuxerOptTablesRetransmitPeriod(1<<30))
	must := func(_ int, err error) {
		if err != nil {
			t.Fatalf("go-astits: %v", err)
		}
	}
	for _, es := range a.pmt.Streams {
		must(0, m.AddElementaryStream(astits.PMTElementaryStream{ElementaryPID: es.PID, StreamType: astits.StreamType(es.Type)}))
	}
	for range a.pmt.Version + 1 { // version_number counts the changes of the table
		out.Reset()
		m.SetPCRPID(a.pmt.PCR)
		must(m.WriteTables())
	}
	out.Bytes()[3] &= 0xf0 // continuity counters begin with the last of these
	out.Bytes()[188+3] &= 0xf0
	for _, s := range a.starts {
		if s.PID == 0 || s.PID == 0x1000 {
			continue
		}
		if !s.HasPayload {
			must(m.WritePacket(&astits.Packet{
				Header:          astits.PacketHeader{PID: s.PID, ContinuityCounter: s.Continuity, HasAdaptationField: true},
				AdaptationField: s.adaptation(s.Stuffing),
			}))
			continue
		}
		before := out.Len()
		must(m.WriteData(a.data(s)))
		// It puts tables of its own before random access points.
		if b := out.Bytes()[before:]; pid(b) == 0 {
			n := copy(b, b[2*188:])
			out.Truncate(before + n)
		}
	}
	return out.Bytes()
}

func (s start) adaptation(stuffing int) *astits.PacketAdaptationField {
	return &astits.PacketAdaptationField{
		RandomAccessIndicator:  s.RandomAccess,
		DiscontinuityIndicator: s.Discontinued,
		HasPCR:                 s.HasPCR,
		PCR:                    &astits.ClockReference{Base: s.PCR / 300},
		StuffingLength:         stuffing,
	}
}

func (a apart) data(s start) *astits.MuxerData {
	p := a.pes[s.index]
	optional := &astits.PESOptionalHeader{
		MarkerBits: 2, DataAlignmentIndicator: p.Aligned,
		PTSDTSIndicator: astits.PTSDTSIndicatorOnlyPTS, PTS: &astits.ClockReference{Base: p.PTS},
	}
	if p.HasDTS {
		optional.PTSDTSIndicator, optional.DTS = astits.PTSDTSIndicatorBothPresent, &astits.ClockReference{Base: p.DTS}
	}
	return &astits.MuxerData{PID: s.PID, AdaptationField: s.adaptation(0), PES: &astits.PESData{
		Data: p.Data, Header: &astits.PESHeader{StreamID: p.StreamID, OptionalHeader: optional},
	}}
}

// The hybrid is an optimisation and nothing else: go-astits alone, given the
// same PES packets, writes the same bytes.
func TestSameBytesAsGoAstits(t *testing.T) {
	clip := readClip(t)
	for name, s := range map[string]stream{"both": clip, "video": clip.only(media.Video), "audio": clip.only(media.Audio), "every size": everySize(t)} {
		ts := mux(t, newMuxer(t, s.cfg, mpegts.Continuity{}), s.frames)
		if want := takeApart(t, ts).write(t); !bytes.Equal(ts, want) {
			t.Errorf("%s: %s", name, firstDifference(ts, want))
		}
	}
}

// everySize is a stream of pictures and audio frames of 1 to 700 bytes, with
// holes that only PCRs fill.
func everySize(t testing.TB) stream {
	s := stream{cfg: config(t)}
	for size := 1; size <= 700; size++ {
		at := int64(size)*40 + int64(size/100)*500
		v := video(at, size%50 == 1)
		v.Data = avcc(inter(size))
		v.PTS += int64(size%3) * 3000
		a := media.Frame{Kind: media.Audio, DTS: ticks(at), PTS: ticks(at), Data: bytes.Repeat([]byte{9}, size)}
		s.frames = append(s.frames, v, a)
	}
	return s
}
