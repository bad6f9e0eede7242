package mpegts_test

import (
	"testing"

	"weir/media"
	"weir/remux/mpegts"
)

// muxAgain makes a segment of frames in dst's memory.
func muxAgain(t fataler, m *mpegts.Muxer, dst []byte, frames []media.Frame) []byte {
	dst = m.AppendTables(dst[:0])
	for i := range frames {
		var err error
		if dst, err = m.AppendFrame(dst, &frames[i]); err != nil {
			t.Fatalf("frame %d: %v", i, err)
		}
	}
	return m.Flush(dst)
}

// The steady state allocates nothing: not per frame, not per segment.
func TestMuxAllocatesNothing(t *testing.T) {
	clip := readClip(t)
	frames := clip.segments()[1]
	m := newMuxer(t, clip.cfg, mpegts.Continuity{})
	dst := muxAgain(t, m, nil, frames)
	if n := testing.AllocsPerRun(20, func() { dst = muxAgain(t, m, dst, frames) }); n != 0 {
		t.Errorf("%v allocations in a segment of %d frames", n, len(frames))
	}
}

// benchStreams are the clip, whose frames are small, and pictures of 12 kB, as
// at 3 Mb/s.
func benchStreams(b *testing.B) map[string]stream {
	large := stream{cfg: config(b)}
	for i := range int64(60) {
		v := video(i*33, i%30 == 0)
		v.Data = avcc(inter(12_000))
		large.frames = append(large.frames, v)
	}
	return map[string]stream{"clip": readClip(b), "large": large}
}

// BenchmarkMux is a segmenter's work on a stream: AVCC and raw AAC in,
// packets out. Bytes are those of the stream.
func BenchmarkMux(b *testing.B) {
	for name, s := range benchStreams(b) {
		b.Run(name, func(b *testing.B) {
			m := newMuxer(b, s.cfg, mpegts.Continuity{})
			dst := muxAgain(b, m, nil, s.frames)
			b.SetBytes(int64(len(dst)))
			b.ReportAllocs()
			for b.Loop() {
				dst = muxAgain(b, m, dst, s.frames)
			}
		})
	}
}

// BenchmarkMuxPlain is go-astits alone on the same PES packets, for
// comparison: their payloads are put together already.
func BenchmarkMuxPlain(b *testing.B) {
	for name, s := range benchStreams(b) {
		b.Run(name, func(b *testing.B) {
			ts := muxAgain(b, newMuxer(b, s.cfg, mpegts.Continuity{}), nil, s.frames)
			p := takeApart(b, ts)
			b.SetBytes(int64(len(ts)))
			b.ReportAllocs()
			for b.Loop() {
				p.write(b)
			}
		})
	}
}

func BenchmarkTables(b *testing.B) {
	m := newMuxer(b, config(b), mpegts.Continuity{})
	dst := m.AppendTables(nil)
	b.SetBytes(int64(len(dst)))
	b.ReportAllocs()
	for b.Loop() {
		dst = m.AppendTables(dst[:0])
	}
}

func BenchmarkDemux(b *testing.B) {
	clip := readClip(b)
	ts := muxAgain(b, newMuxer(b, clip.cfg, mpegts.Continuity{}), nil, clip.frames)
	b.SetBytes(int64(len(ts)))
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		for e := range mpegts.Demux(ts) {
			if e.Type == mpegts.EventFault {
				b.Fatal(e.Err)
			}
			n++
		}
		if n == 0 {
			b.Fatal("no event")
		}
	}
}
