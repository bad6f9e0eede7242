package hls

import (
	"testing"

	"weir/internal/synthetic"
	"weir/media/h264"
	"weir/remux/mpegts"
)

// content counts the access units in segments, those that begin decoding, and
// the slices in them.
func content(t *testing.T, bodies [][]byte) (pictures, keys, slices int) {
	t.Helper()
	for _, body := range bodies {
		for e := range mpegts.Demux(body) {
			if e.Type != mpegts.EventPES || e.PES.Type != mpegts.StreamH264 {
				continue
			}
			pictures++
			if e.PES.RandomAccess {
				keys++
			}
			for nal := range h264.AnnexB(e.PES.Data) {
				if t := h264.TypeOf(nal); t == h264.Slice || t == h264.IDR {
					slices++
				}
			}
		}
	}
	return pictures, keys, slices
}

// Pictures that come in several messages are put together: the segments are
// cut where they would be, every picture is one access unit, and none is torn
// by the end of a batch or of a segment.
func TestPicturesInSeveralMessages(t *testing.T) {
	for _, gop := range []float64{2, 30} {
		s := synthetic.New(20)
		s.GOP, s.AudioLate = gop, 0.6
		whole := cutAll(t, newCutter(t, settings), synthetic.Record(t, s).Batches)
		s.Slices = 3
		split := cutAll(t, newCutter(t, settings), synthetic.Record(t, s).Batches)
		if split.state.Drops.Sum() > 0 || !split.state.Split {
			t.Errorf("GOP of %v s: dropped %v, split %v; want nothing, true", gop, split.state.Drops, split.state.Split)
		}
		if len(split.entries) != len(whole.entries) {
			t.Errorf("GOP of %v s: segments of %v ms, want %v", gop, split.durations(), whole.durations())
		}
		pictures, keys, slices := content(t, split.bodies)
		want, wantKeys, _ := content(t, whole.bodies)
		if pictures != want || keys != wantKeys || slices != 3*pictures {
			t.Errorf("GOP of %v s: %d pictures of %d slices, %d keys; want %d pictures of 3, %d keys", gop, pictures, slices, keys, want, wantKeys)
		}
	}
}
