package rtmp

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzChunkReader: no input panics; every split of it gives the same messages;
// memory keeps to its limits.
func FuzzChunkReader(f *testing.F) {
	for _, c := range chunkCases {
		f.Add([]byte(c.enc), uint64(1))
	}
	for _, c := range brokenChunks {
		f.Add([]byte(c.enc), uint64(1))
	}
	f.Fuzz(func(t *testing.T, p []byte, seed uint64) {
		const maxMessage = 4096
		read := func(split func(int) int) ([]msg, error) {
			r := newChunkReader(maxMessage)
			got, err := readChunks(&r, p, split)
			checkMemory(t, &r)
			return got, err
		}
		want, wantErr := read(whole)
		got, err := read(randomly(rand.New(rand.NewPCG(seed, 0))))
		sameError(t, wantErr, err)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("messages (-whole +split):\n%s", diff)
		}
	})
}

// checkMemory fails if r holds more than it may, or lost count of it.
func checkMemory(t *testing.T, r *chunkReader) {
	t.Helper()
	partial := 0
	each := func(cs *chunkStream) {
		if cs == nil {
			return
		}
		partial += len(cs.buf)
		if len(cs.buf) > 0 && cap(cs.buf) > 64 && cap(cs.buf) > 4*r.maxMessage {
			t.Fatalf("a buffer of %d bytes for a message of at most %d", cap(cs.buf), r.maxMessage)
		}
	}
	for _, cs := range r.low {
		each(cs)
	}
	for _, cs := range r.high {
		each(cs)
	}
	if partial != r.partial && r.partial <= r.maxPartial {
		t.Fatalf("partial messages hold %d bytes, counted %d", partial, r.partial)
	}
	if r.buffers.held > maxFree {
		t.Fatalf("%d bytes of free buffers, the limit is %d", r.buffers.held, maxFree)
	}
}

// sameError fails unless both are nil or name the same broken rule.
func sameError(t *testing.T, want, got error) {
	t.Helper()
	if want == nil && got == nil {
		return
	}
	a, _ := errors.AsType[*PeerError](want)
	b, _ := errors.AsType[*PeerError](got)
	if a == nil || b == nil || *a != *b {
		t.Fatalf("whole: error %v, split: %v", want, got)
	}
}

// FuzzHandshake: no client's first bytes panic, and what is accepted is
// answered in full.
func FuzzHandshake(f *testing.F) {
	for _, c := range handshakeCases {
		f.Add(c.c0, block(7, c.second)[:16], uint64(1))
	}
	f.Fuzz(func(t *testing.T, c0 byte, begin []byte, seed uint64) {
		c1 := make([]byte, handshakeSize)
		copy(c1, begin)
		p := append(append([]byte{c0}, c1...), begin...)
		split := randomly(rand.New(rand.NewPCG(seed, 0)))
		h := newHandshake(true, new([1528]byte), new([32]byte))
		var out []byte
		for len(p) > 0 {
			piece := p[:split(len(p))]
			n, answer, err := h.receive(start, piece, out)
			if (err != nil) != (c0 >= 32) {
				t.Fatalf("C0 %d: error %v", c0, err)
			}
			if err != nil {
				return
			}
			out = answer
			if p = p[n:]; n < len(piece) {
				if !h.done() {
					t.Fatalf("took %d of %d bytes before the end", n, len(piece))
				}
				break
			}
		}
		if len(out) != 1+2*handshakeSize || !bytes.Equal(out[len(out)-handshakeSize+8:], c1[8:]) {
			t.Fatalf("answered %d bytes, or no echo", len(out))
		}
		if left := min(len(begin), handshakeSize); handshakeSize-h.left != left {
			t.Fatalf("%d bytes of C2 still to come after %d", h.left, left)
		}
	})
}

// FuzzServer: no bytes behind a handshake panic; every split of them gives the
// same events; errors are the peer's and tell none of its names.
func FuzzServer(f *testing.F) {
	skip := 1 + 2*handshakeSize
	for _, c := range chunkCases {
		f.Add(append(published(128).buf[skip:], c.enc...), uint64(1))
	}
	for _, c := range brokenSessions {
		if len(c.script.buf) < 10_000 {
			f.Add(c.script.buf[skip:], uint64(1))
		}
	}
	for _, name := range []string{"ffmpeg-5.1.9-mp3", "gst-1.22.0-rtmp2sink", "obs-29.0.2-simple-x264", "synthetic-amf3", "synthetic-aggregate", "synthetic-csid"} {
		p := capture(f, name).bytes
		f.Add(p[skip:skip+2000], uint64(1))
	}
	f.Fuzz(func(t *testing.T, p []byte, seed uint64) {
		if len(p) > 32<<10 {
			return // the limit of unread output depends on when it is read
		}
		p = append(newScript().buf, p...)
		want, wantErr := feed(p, whole)
		got, err := feedSlowly(p, randomly(rand.New(rand.NewPCG(seed, 0))), int(seed%4))
		sameError(t, wantErr, err)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("events (-whole +split):\n%s", diff)
		}
		if err != nil && strings.Contains(err.Error(), key) {
			t.Fatalf("the error shows what the peer named: %v", err)
		}
	})
}

// FuzzClient: no server can make a client panic.
func FuzzClient(f *testing.F) {
	answers := newChunkWriter()
	s := NewServer(ServerConfig{})
	receive(f, s, start, newScript().connect().publish(1, "alice").buf)
	s.Accept(1)
	answers.buf = append(answers.buf, s.Output()[1+2*handshakeSize:]...)
	f.Add(answers.buf)
	s.Refuse(1, "NetStream.Publish.Denied", "alice may not")
	f.Add(bytes.Clone(s.Output()))
	f.Fuzz(func(t *testing.T, p []byte) {
		c := NewClient(ClientConfig{Name: key})
		_, err := c.Receive(start, append(newScript().buf, p...))
		if err == nil {
			return
		}
		_, peer := errors.AsType[*PeerError](err)
		_, refused := errors.AsType[*RefusedError](err)
		if !peer && !refused {
			t.Fatalf("error of type %T: %v", err, err)
		}
	})
}
