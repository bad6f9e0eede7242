package rtmp

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"weir/rtmp/amf"
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

// FuzzAggregate: whatever an aggregate holds, what it is made of comes out in
// order, with its data and none of others', or names the rule it broke.
func FuzzAggregate(f *testing.F) {
	f.Add([]byte("\x08\x00\x00\x02\x00\x00\x64\x00\x00\x00\x00\xaf\x01\x00\x00\x00\x0d\x09\x00\x00\x03\x00\x00\x78\x00\x00\x00\x09\x27\x01\x01\x00\x00\x00\x0e"), uint32(1000))
	f.Add([]byte("\x16\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x0c"), uint32(0))
	f.Add(capture(f, "synthetic-aggregate").bytes[4000:6000], uint32(1<<32-1))
	f.Fuzz(func(t *testing.T, body []byte, at uint32) {
		var got []message
		err := eachOfAggregate(message{typ: typeAggregate, stream: 7, timestamp: at, payload: body}, func(m message) { got = append(got, m) })
		if e, ok := errors.AsType[*PeerError](err); err != nil && (!ok || e.Section != "RTMP 7.1.6") {
			t.Fatalf("error %v", err)
		}
		total := 0
		for i, m := range got {
			if m.stream != 7 || m.typ == typeAggregate {
				t.Fatalf("message %d: type %d on stream %d", i, m.typ, m.stream)
			}
			total += len(m.payload) + tagHeader
		}
		if total > len(body) {
			t.Fatalf("%d bytes in an aggregate of %d", total, len(body))
		}
		if len(got) > 0 && body[0] == byte(got[0].typ) && got[0].timestamp != at {
			t.Fatalf("the first message is at %d, the aggregate at %d", got[0].timestamp, at)
		}
	})
}

// FuzzCommand: no command panics, at any point of a session; what is sent stays
// bounded, and what comes of it names no more publishes than there may be.
func FuzzCommand(f *testing.F) {
	for _, vs := range [][]amf.Value{
		{amf.String("connect"), amf.Number(1), amf.Object{{Name: "app", Value: amf.String("live?authmod=adobe&user=a")}, {Name: "objectEncoding", Value: amf.Number(3)}}},
		{amf.String("publish"), amf.Number(5), amf.Null{}, amf.String("a?b"), amf.String("live")},
		{amf.String("FCUnpublish"), amf.Number(6), amf.Null{}, amf.String("a")},
		{amf.String("deleteStream"), amf.Number(7), amf.Null{}, amf.Number(1)},
		{amf.String("@setDataFrame"), amf.String("onMetaData"), amf.Object{{Name: "width", Value: amf.Number(1)}}},
		{amf.String("play"), amf.Number(4), amf.Null{}, amf.String("a"), amf.Number(-2000)},
	} {
		f.Add(amf.Append(nil, vs...), uint32(1), false, uint8(0))
		f.Add(amf.Append([]byte{0}, vs...), uint32(0), true, uint8(2))
	}
	f.Fuzz(func(t *testing.T, payload []byte, stream uint32, inAMF3 bool, before uint8) {
		if len(payload) > maxCommand {
			return
		}
		config := ServerConfig{}
		if before%2 == 1 {
			config.Login = testLogin
		}
		s := NewServer(config)
		p := newScript()
		if before >= 2 {
			p.connect()
		}
		for i := range min(before/2, maxPublishes) {
			p.publish(uint32(i+1), "a")
		}
		receive(t, s, start, p.buf)
		s.Output()
		p.take()
		typ := typeCommandAMF0
		if inAMF3 {
			typ = typeCommandAMF3
		}
		events, err := s.Receive(start, p.message(3, typ, stream, 0, payload).buf)
		if _, ok := errors.AsType[*PeerError](err); err != nil && !ok {
			t.Fatalf("error %v", err)
		}
		if len(events) > 2 || len(s.publishes) > maxPublishes {
			t.Fatalf("%d events, %d publishes", len(events), len(s.publishes))
		}
		if n := len(s.Output()); n > 4*len(payload)+4096 {
			t.Fatalf("%d bytes were answered to %d", n, len(payload))
		}
	})
}
