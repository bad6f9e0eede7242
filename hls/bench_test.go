package hls

import (
	"testing"

	"weir/internal/synthetic"
	"weir/media/framelog"
)

// BenchmarkPush segments a 720p show of 2.5 Mbit/s: bytes of log per second.
func BenchmarkPush(b *testing.B) {
	x := synthetic.New(20)
	x.PictureLen = 6000
	batches := synthetic.Record(b, x).Batches
	batches = batches[:len(batches)-1] // without its end
	size := int64(0)
	for _, x := range batches {
		size += int64(len(x.Tags))
	}
	s := newCutter(b, settings)
	epoch, seq := uint64(0), uint64(0)
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		epoch++
		for _, x := range batches {
			seq++
			c := framelog.Batch{Header: x.Header, Tags: x.Tags, Seq: seq}
			c.Epoch = epoch
			for _, cut := range s.Push(&c) {
				if cut.Segment != nil {
					s.Reuse(cut.Segment.Body)
				}
			}
		}
	}
}

func BenchmarkEncodeState(b *testing.B) {
	s := newCutter(b, settings)
	cutAll(b, s, synthetic.Record(b, synthetic.New(300)).Batches)
	b.SetBytes(int64(len(s.State().Encode())))
	b.ReportAllocs()
	for b.Loop() {
		s.State().Encode()
	}
}

func BenchmarkLivePlaylist(b *testing.B) {
	s := newCutter(b, settings)
	cutAll(b, s, synthetic.Record(b, synthetic.New(300)).Batches)
	b.ReportAllocs()
	for b.Loop() {
		s.State().LivePlaylist()
	}
}
