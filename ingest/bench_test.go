package ingest

import (
	"testing"
	"time"

	"weir/remux/flv"
)

// gop is two seconds of a typical stream: 30 pictures a second at 3 Mbit/s
// behind a key frame of 60 kB, and AAC at 128 kbit/s, 77 tags a second.
func gop() (tags []flv.Tag, size int64) {
	body := func(n int, front ...byte) []byte { return append(front, make([]byte, n-len(front))...) }
	for ms, sound := uint32(0), 0; ms < 2000; ms++ {
		if ms%33 == 0 && len(tags) < 154 {
			t := video(ms, body(12_000, 0x27, 1, 0, 0, 0)...)
			if ms == 0 {
				t = video(ms, body(60_000, 0x17, 1, 0, 0, 0)...)
			}
			tags = append(tags, t)
		}
		if int(ms)*47/1000 >= sound {
			tags = append(tags, audio(ms, body(340, 0xaf, 1)...))
			sound++
		}
	}
	for _, t := range tags {
		size += int64(flv.TagOverhead + len(t.Data))
	}
	return tags, size
}

// cycle sends one GOP through a batcher, in real time from at on, and takes
// what is ready after every tag.
func cycle(tb testing.TB, b *Batcher, tags []flv.Tag, at time.Time) {
	for _, t := range tags {
		now := at.Add(time.Duration(t.Timestamp) * time.Millisecond)
		if err := b.Add(now, t); err != nil {
			tb.Fatal(err)
		}
		if batch := b.Take(now); batch != nil {
			b.Recycle(batch)
		}
	}
}

func warmBatcher(tb testing.TB, tags []flv.Tag) *Batcher {
	b := NewBatcher(BatcherConfig{})
	for _, t := range []flv.Tag{meta(0), avcConfig(0, 1, 2, 3), aacHeader(0, 0x12, 0x10)} {
		if err := b.Add(epoch, t); err != nil {
			tb.Fatal(err)
		}
	}
	for range 3 {
		cycle(tb, b, tags, epoch)
	}
	return b
}

func BenchmarkBatcher(b *testing.B) {
	tags, size := gop()
	batcher := warmBatcher(b, tags)
	at := epoch
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		at = at.Add(2 * time.Second)
		cycle(b, batcher, tags, at)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(tags)), "ns/tag")
}

func TestBatcherAllocatesNothing(t *testing.T) {
	tags, _ := gop()
	b := warmBatcher(t, tags)
	at := epoch
	if n := testing.AllocsPerRun(10, func() {
		at = at.Add(2 * time.Second)
		cycle(t, b, tags, at)
	}); n > 0 {
		t.Errorf("%.1f allocations for %d tags: buffers are reused, so that a running stream makes no garbage", n, len(tags))
	}
}
