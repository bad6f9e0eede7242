package mpegts_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/asticode/go-astits"

	"weir/media"
	"weir/remux/mpegts"
)

// plain writes the packets of a stream of ours again, by go-astits alone: each
// PES packet, header and whole payload, by WriteData.
func plain(t testing.TB, ts []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	m := astits.NewMuxer(context.Background(), &out, astits.MuxerOptTablesRetransmitPeriod(1<<30))
	d := mpegts.NewDemuxer()
	starts := map[int64]mpegts.Packet{}
	pes := map[int64]mpegts.PES{}
	var order []int64
	keep := func(events []mpegts.Event) {
		for _, e := range events {
			if e.Type == mpegts.EventPES {
				e.PES.Data = bytes.Clone(e.PES.Data)
				pes[e.PES.Packet] = e.PES
			}
		}
	}
	var pmt mpegts.PMT
	for i := range int64(len(ts) / 188) {
		packet := ts[i*188 : (i+1)*188]
		p, err := mpegts.ParsePacket(packet)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range d.Push(packet) {
			if e.Type == mpegts.EventPMT {
				pmt = e.PMT
			}
			keep([]mpegts.Event{e})
		}
		if p.Start || !p.HasPayload {
			starts[i], order = p, append(order, i)
		}
	}
	keep(d.Flush())
	for _, es := range pmt.Streams {
		if err := m.AddElementaryStream(astits.PMTElementaryStream{ElementaryPID: es.PID, StreamType: astits.StreamType(es.Type)}); err != nil {
			t.Fatal(err)
		}
	}
	// The version_number counts the changes of the table: one more each time.
	for range pmt.Version + 1 {
		m.SetPCRPID(pmt.PCR)
		if _, err := m.WriteTables(); err != nil {
			t.Fatal(err)
		}
	}
	writePlain(t, m, &out, starts, pes, order)
	return out.Bytes()
}

// writePlain writes the packets that begin something, in order, behind the
// last of the tables.
func writePlain(t testing.TB, m *astits.Muxer, out *bytes.Buffer, starts map[int64]mpegts.Packet, pes map[int64]mpegts.PES, order []int64) {
	t.Helper()
	tables := bytes.Clone(out.Bytes()[out.Len()-2*188:])
	tables[3] &= 0xf0 // the first of their counters
	tables[188+3] &= 0xf0
	out.Reset()
	for _, i := range order {
		p := starts[i]
		adapt := &astits.PacketAdaptationField{
			RandomAccessIndicator:  p.RandomAccess,
			DiscontinuityIndicator: p.Discontinued,
			HasPCR:                 p.HasPCR,
			PCR:                    &astits.ClockReference{Base: p.PCR / 300},
		}
		switch {
		case p.PID == 0:
			out.Write(tables)
		case p.PID == 0x1000:
		case !p.HasPayload:
			adapt.StuffingLength = p.Stuffing
			header := astits.PacketHeader{PID: p.PID, ContinuityCounter: p.Continuity, HasAdaptationField: true}
			if _, err := m.WritePacket(&astits.Packet{Header: header, AdaptationField: adapt}); err != nil {
				t.Fatal(err)
			}
		default:
			data := pes[i]
			optional := &astits.PESOptionalHeader{MarkerBits: 2, DataAlignmentIndicator: data.Aligned, PTSDTSIndicator: astits.PTSDTSIndicatorOnlyPTS, PTS: &astits.ClockReference{Base: data.PTS}}
			if data.HasDTS {
				optional.PTSDTSIndicator, optional.DTS = astits.PTSDTSIndicatorBothPresent, &astits.ClockReference{Base: data.DTS}
			}
			before := out.Len()
			if _, err := m.WriteData(&astits.MuxerData{PID: p.PID, AdaptationField: adapt, PES: &astits.PESData{
				Data: data.Data, Header: &astits.PESHeader{StreamID: data.StreamID, OptionalHeader: optional},
			}}); err != nil {
				t.Fatal(err)
			}
			// It puts tables of its own before random access points.
			if b := out.Bytes()[before:]; len(b) >= 188 && b[1]&0x1f == 0 && b[2] == 0 {
				rest := bytes.Clone(b[2*188:])
				out.Truncate(before)
				out.Write(rest)
			}
		}
	}
}

// The hybrid is an optimisation and nothing else: go-astits alone, given the
// same PES packets, writes the same bytes.
func TestSameBytesAsGoAstits(t *testing.T) {
	clip := readClip(t)
	for name, s := range map[string]stream{"both": clip, "video": clip.only(media.Video), "audio": clip.only(media.Audio)} {
		ts := mux(t, newMuxer(t, s.cfg, mpegts.Continuity{}), s.frames)
		if want := plain(t, ts); !bytes.Equal(ts, want) {
			t.Errorf("%s: %s", name, firstDifference(ts, want))
		}
	}
	cfg := config(t)
	m := newMuxer(t, cfg, mpegts.Continuity{})
	var frames []media.Frame
	for size := 1; size <= 700; size++ {
		at := int64(size) * 40 // some seconds apart from each other, PCR packets between
		if size%100 == 0 {
			at += 500
		}
		v := video(at, size%50 == 1)
		v.Data = avcc(inter(size))
		v.PTS += int64(size%3) * 3000
		a := media.Frame{Kind: media.Audio, DTS: ticks(at), PTS: ticks(at), Data: bytes.Repeat([]byte{9}, size)}
		frames = append(frames, v, a)
	}
	ts := mux(t, m, frames)
	if want := plain(t, ts); !bytes.Equal(ts, want) {
		t.Errorf("every size: %s", firstDifference(ts, want))
	}
}
