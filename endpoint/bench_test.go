package endpoint

import (
	"context"
	"log/slog"
	"net"
	"testing"
	"time"

	"weir/media/publishing"
	"weir/remux/flv"
)

// discard is a Publisher and a Session that takes everything at once.
type discard struct{}

func (d discard) Publish(context.Context, publishing.Grant, Peer, func()) (Session, error) {
	return d, nil
}
func (discard) Tag(time.Time, flv.Tag) (bool, error) { return false, nil }
func (discard) End(context.Context, Ending)          {}
func (discard) Plan(t Turn) Plan                     { return Plan{Rest: t.Now, Next: t.Now.Add(time.Minute)} }

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
			tags = append(tags, flv.Tag{Type: flv.TagAudio, Timestamp: ms, Data: body(340, 0xaf, 1)})
			sound++
		}
	}
	for _, t := range tags {
		size += int64(flv.TagOverhead + len(t.Data))
	}
	return tags, size
}

// BenchmarkConnection is a whole connection over loopback, as fast as it goes:
// one end writes GOPs, the other reads them.
func BenchmarkConnection(b *testing.B) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s := NewServer(Config{Publisher: discard{}, Logger: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(b.Context())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, ln) }()
	p, err := Dial(ctx, "rtmp://"+ln.Addr().String()+"/live/alice")
	if err != nil {
		b.Fatal(err)
	}
	tags, size := gop()
	b.SetBytes(size)
	b.ReportAllocs()
	for at := uint32(0); b.Loop(); at += 2000 {
		for _, t := range tags {
			t.Timestamp += at
			if err := p.WriteTag(t); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(tags)), "ns/tag")
	if err := p.Close(); err != nil {
		b.Error(err)
	}
	cancel()
	if err := <-served; err != nil {
		b.Error(err)
	}
}
