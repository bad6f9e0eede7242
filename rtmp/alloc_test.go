package rtmp

import (
	"fmt"
	"testing"

	"weir/remux/flv"
)

// ready returns a server that a peer publishes to, and the bytes of a GOP that
// goes on repeating: a large video message, then small video and audio.
func ready(tb testing.TB, chunkSize uint32) (*Server, []byte) {
	tb.Helper()
	p := published(chunkSize)
	s := NewServer(ServerConfig{})
	receive(tb, s, start, p.buf)
	s.Accept(1)
	s.Output()
	p.take()
	p.message(6, typeVideo, 1, 0, make([]byte, 60_000))
	for i := range uint32(29) {
		p.message(4, typeAudio, 1, 33*i, make([]byte, 300))
		p.message(6, typeVideo, 1, 33*i, make([]byte, 6000))
	}
	return s, p.buf
}

// TestReceiveAllocatesNothing: however the messages are chunked and the bytes
// arrive, the steady state of a publish costs no allocation.
func TestReceiveAllocatesNothing(t *testing.T) {
	for _, chunkSize := range []uint32{128, 4096, 65536} {
		for _, read := range []int{1000, 16 << 10, 1 << 20} {
			t.Run(fmt.Sprintf("chunks of %d, reads of %d", chunkSize, read), func(t *testing.T) {
				s, gop := ready(t, chunkSize)
				tags := 0
				push := func() {
					for p := gop; len(p) > 0; {
						n := min(read, len(p))
						events, err := s.Receive(start, p[:n])
						if err != nil {
							t.Fatal(err)
						}
						tags += len(events)
						p = p[n:]
						s.Output()
					}
				}
				for range 10 {
					push()
				}
				if n := testing.AllocsPerRun(20, push); n != 0 {
					t.Errorf("%v allocations for 59 messages", n)
				}
				if tags%59 != 0 || tags == 0 {
					t.Errorf("%d tags, want a multiple of 59", tags)
				}
			})
		}
	}
}

// TestDecryptAllocatesNothing: RTMPE works in the caller's buffer and in ours.
func TestDecryptAllocatesNothing(t *testing.T) {
	s, gop := ready(t, 4096)
	s.cipher = newCipher([]byte("shared"), []byte("own"), []byte("peer"))
	peer := newCipher([]byte("shared"), []byte("peer"), []byte("own"))
	buf := make([]byte, len(gop))
	push := func() {
		peer.out.XORKeyStream(buf, gop)
		events, err := s.Receive(start, buf)
		if err != nil || len(events) != 59 {
			t.Fatalf("%d events: %v", len(events), err)
		}
		s.Output()
	}
	for range 10 {
		push()
	}
	if n := testing.AllocsPerRun(20, push); n != 0 {
		t.Errorf("%v allocations for 59 messages", n)
	}
}

// TestWholeMessagesAreNotCopied: a message in one chunk is handed on where it
// lies in the caller's buffer.
func TestWholeMessagesAreNotCopied(t *testing.T) {
	s, _ := ready(t, 65536)
	p := &script{chunkWriter{chunkSize: 65536}}
	p.message(6, typeVideo, 1, 0, []byte("xxxxxxxx"))
	events := receive(t, s, start, p.buf)
	p.buf[len(p.buf)-1] = 'y'
	if got := string(events[0].Tag.Data); got != "xxxxxxxy" {
		t.Errorf("data %q does not alias the input", got)
	}
}

// TestWriteTagAllocatesNothing: the client copies a tag once, into its output.
func TestWriteTagAllocatesNothing(t *testing.T) {
	w := &wire{client: NewClient(ClientConfig{Name: "a"}), server: NewServer(ServerConfig{}), split: whole}
	if err := w.run(); err != nil {
		t.Fatal(err)
	}
	tag := flv.Tag{Type: flv.TagVideo, Timestamp: 1 << 30, Data: make([]byte, 60_000)}
	if n := testing.AllocsPerRun(20, func() {
		if err := w.client.WriteTag(tag); err != nil {
			t.Fatal(err)
		}
		w.client.Output()
	}); n != 0 {
		t.Errorf("%v allocations a tag", n)
	}
}

func BenchmarkReceive(b *testing.B) {
	for _, chunkSize := range []uint32{128, 4096, 65536} {
		b.Run(fmt.Sprintf("chunk=%d", chunkSize), func(b *testing.B) {
			s, gop := ready(b, chunkSize)
			b.SetBytes(int64(len(gop)))
			b.ReportAllocs()
			for b.Loop() {
				for p := gop; len(p) > 0; {
					n := min(16<<10, len(p))
					if _, err := s.Receive(start, p[:n]); err != nil {
						b.Fatal(err)
					}
					p = p[n:]
				}
				s.Output()
			}
		})
	}
}

// BenchmarkSession is a whole connection, from the handshake to the unpublish.
func BenchmarkSession(b *testing.B) {
	for _, name := range []string{"obs-29.0.2-simple-x264", "gst-1.22.0-rtmp2sink"} {
		b.Run(name, func(b *testing.B) {
			p := capture(b, name).bytes
			b.SetBytes(int64(len(p)))
			b.ReportAllocs()
			for b.Loop() {
				s := NewServer(ServerConfig{})
				if _, err := s.Receive(start, p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkWriteTag(b *testing.B) {
	for _, chunkSize := range []uint32{128, 4096} {
		b.Run(fmt.Sprintf("chunk=%d", chunkSize), func(b *testing.B) {
			w := &wire{client: NewClient(ClientConfig{Name: "a", ChunkSize: chunkSize}), server: NewServer(ServerConfig{}), split: whole}
			if err := w.run(); err != nil {
				b.Fatal(err)
			}
			tag := flv.Tag{Type: flv.TagVideo, Data: make([]byte, 10_000)}
			b.SetBytes(int64(len(tag.Data)))
			b.ReportAllocs()
			for b.Loop() {
				if err := w.client.WriteTag(tag); err != nil {
					b.Fatal(err)
				}
				w.client.Output()
			}
		})
	}
}
