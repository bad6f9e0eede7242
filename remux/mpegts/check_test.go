package mpegts_test

import (
	"bytes"
	"fmt"

	"weir/media"
	"weir/media/aac"
	"weir/remux/mpegts"
)

const (
	videoPID = 0x100
	audioPID = 0x101
)

// fataler is what testing.T and rapid.T have in common.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// unit is a frame found in a stream.
type unit struct {
	pid      uint16
	pts, dts int64
	key      bool
	data     []byte
	hasTimes bool // an audio frame inside a PES packet has none of its own
}

// take demuxes whole segments as one stream and holds it to every rule that
// any stream of ours must keep: no fault, PCRs in time, nothing decoded before
// it has arrived. It returns the frames.
func take(t fataler, ts []byte, pcrPID uint16) (units []unit, jumps int) {
	t.Helper()
	pcr := int64(-1)
	for e := range mpegts.Demux(ts) {
		switch e.Type {
		case mpegts.EventFault:
			t.Fatalf("packet %d, PID %#x: %v", e.Packet, e.PID, e.Err)
		case mpegts.EventPCR:
			if e.PID != pcrPID {
				t.Fatalf("packet %d: a PCR on PID %#x", e.Packet, e.PID)
			}
			at := e.PCR / 300
			if e.Discontinued {
				jumps++
			} else if step := (at - pcr) & mpegts.ClockMask; pcr >= 0 && (step == 0 || step > media.Clock/10) {
				t.Fatalf("packet %d: PCR %d after %d: it must come every 100 ms and never go back", e.Packet, at, pcr)
			}
			pcr = at
		case mpegts.EventPES:
			if pcr < 0 {
				t.Fatalf("packet %d: a PES packet before the first PCR", e.Packet)
			}
			units = append(units, split(t, &e.PES)...)
		}
	}
	return units, jumps
}

// split takes a PES packet's frames apart.
func split(t fataler, p *mpegts.PES) []unit {
	t.Helper()
	if !p.HasPTS || !p.Aligned || p.Damaged {
		t.Fatalf("packet %d: PES packet %+v", p.Packet, *p)
	}
	if p.Type == mpegts.StreamH264 {
		if p.HasDTS != (p.PTS != p.DTS) || p.Length != 0 || p.StreamID != 0xe0 {
			t.Fatalf("packet %d: PES header of video: PTS %d, DTS %d, length %d, stream_id %#x", p.Packet, p.PTS, p.DTS, p.Length, p.StreamID)
		}
		return []unit{{p.PID, p.PTS, p.DTS, p.RandomAccess, bytes.Clone(p.Data), true}}
	}
	if p.HasDTS || p.Length == 0 || p.StreamID != 0xc0 || !p.RandomAccess {
		t.Fatalf("packet %d: PES header of audio: PTS %d, DTS %d, length %d, stream_id %#x", p.Packet, p.PTS, p.DTS, p.Length, p.StreamID)
	}
	var units []unit
	for b := p.Data; len(b) > 0; {
		a, err := aac.ParseADTS(b)
		if err != nil {
			t.Fatalf("packet %d: %v", p.Packet, err)
		}
		// 1024 samples each after the first (ISO/IEC 13818-1, 2.4.3.7: the PTS
		// is that of the first access unit that commences in the packet).
		pts := p.PTS + int64(len(units))*1024*media.Clock/int64(a.SampleRate)
		units = append(units, unit{p.PID, pts, pts, false, bytes.Clone(b[:a.FrameSize]), len(units) == 0})
		b = b[a.FrameSize:]
	}
	return units
}

// sameFrames compares the frames found in a stream with those put in: each
// track in order, every frame once, its bytes and times.
func sameFrames(t fataler, cfg mpegts.Config, frames []media.Frame, units []unit, want func(*media.Frame) []byte) {
	t.Helper()
	byPID := map[uint16][]unit{}
	for _, u := range units {
		byPID[u.pid] = append(byPID[u.pid], u)
	}
	for i := range frames {
		f := &frames[i]
		pid, slack := uint16(videoPID), int64(0)
		if f.Kind == media.Audio {
			pid, slack = audioPID, media.Clock/1000
		}
		if len(byPID[pid]) == 0 {
			t.Fatalf("frame %d, %v at %d, is not in the stream", i, f.Kind, f.DTS)
		}
		u := byPID[pid][0]
		byPID[pid] = byPID[pid][1:]
		if u.hasTimes {
			slack = 0
		}
		if !near(u.pts, f.PTS, slack) || !near(u.dts, f.DTS, slack) || u.key != f.Key {
			t.Fatalf("frame %d, %v: PTS %d, DTS %d, key %v; want %d, %d, %v", i, f.Kind, u.pts, u.dts, u.key, f.PTS, f.DTS, f.Key)
		}
		if !bytes.Equal(u.data, want(f)) {
			t.Fatalf("frame %d, %v at %d: the bytes differ: %s", i, f.Kind, f.DTS, firstDifference(u.data, want(f)))
		}
	}
	for pid, rest := range byPID {
		if len(rest) > 0 {
			t.Fatalf("%d frames on PID %#x that nobody put in", len(rest), pid)
		}
	}
}

// near tells whether wire time a is b to within slack ticks, over the wrap.
func near(a, b, slack int64) bool {
	d := (a - b) & mpegts.ClockMask
	return d <= slack || d >= mpegts.ClockMask+1-slack
}

func firstDifference(got, want []byte) string {
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return fmt.Sprintf("at byte %d, %#x for %#x", i, got[i], want[i])
		}
	}
	return fmt.Sprintf("%d bytes for %d", len(got), len(want))
}

func expect(t fataler, cfg mpegts.Config) func(*media.Frame) []byte {
	return func(f *media.Frame) []byte { return accessUnit(t, cfg, f) }
}
