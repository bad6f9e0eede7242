package rtmp

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"weir/remux/flv"
	"weir/rtmp/amf"
)

// script writes what a peer sends, message by message.
type script struct{ chunkWriter }

// newScript begins with a handshake.
func newScript() *script {
	s := &script{newChunkWriter()}
	s.buf = append(s.buf, version)
	s.buf = append(s.buf, make([]byte, 2*handshakeSize)...)
	return s
}

func (s *script) command(stream uint32, vs ...amf.Value) *script {
	return s.message(chunkStreamCommand, typeCommandAMF0, stream, 0, amf.Append(nil, vs...))
}

func (s *script) message(id uint8, typ messageType, stream, timestamp uint32, payload []byte) *script {
	s.write(id, message{typ: typ, stream: stream, timestamp: timestamp, payload: payload})
	return s
}

func (s *script) connect() *script {
	return s.command(0, amf.String("connect"), amf.Number(1), amf.Object{
		{Name: "app", Value: amf.String("live")}, {Name: "tcUrl", Value: amf.String("rtmp://localhost/live")},
	})
}

func (s *script) publish(stream uint32, name string) *script {
	return s.command(stream, amf.String("publish"), amf.Number(0), amf.Null{}, amf.String(name))
}

// published is a session up to its publish, with this chunk size.
func published(chunkSize uint32) *script {
	s := newScript().connect().publish(1, "alice")
	s.setChunkSize(chunkSize)
	return s
}

// deep is an AMF0 value that is nested n times.
func deep(n int) amf.Value {
	var v amf.Value = amf.Null{}
	for range n {
		v = amf.Object{{Name: "a", Value: v}}
	}
	return v
}

// key stands for a secret: no error may show it.
const key = "s3cr3t-k3y"

// brokenSessions are what a peer may not do, and the section that it breaks.
// They also seed the fuzzer.
var brokenSessions = []struct {
	name    string
	script  *script
	section string
}{
	{"another command first", newScript().publish(1, key), "RTMP 7.2.1.1"},
	{"connect twice", newScript().connect().connect(), "RTMP 7.2.1.1"},
	{"command without a name", newScript().command(0), "RTMP 7.1.1"},
	{"command with a number for a name", newScript().command(0, amf.Number(1)), "RTMP 7.1.1"},
	{"command object nested too deep", newScript().command(0, amf.String("connect"), amf.Number(1), deep(17)), "RTMP 7.1.1"},
	{
		"command object that is no AMF",
		newScript().connect().message(3, typeCommandAMF0, 1, 0, amf.Append(nil, amf.String(key))[:8]), "RTMP 7.1.1",
	},
	{"chunk size of 0", newScript().message(2, typeSetChunkSize, 0, 0, make([]byte, 4)), "RTMP 5.4.1"},
	{"chunk size of 2^31", newScript().message(2, typeSetChunkSize, 0, 0, []byte{0x80, 0, 0, 0}), "RTMP 5.4.1"},
	{"chunk size of 3 bytes", newScript().message(2, typeSetChunkSize, 0, 0, []byte{0, 1, 0}), "RTMP 5.4.1"},
	{"abort of nothing", newScript().message(2, typeAbort, 0, 0, nil), "RTMP 5.4.2"},
	{"acknowledgement of nothing", newScript().message(2, typeAcknowledgement, 0, 0, nil), "RTMP 5.4.3"},
	{"window of 1 byte", newScript().message(2, typeWindowAckSize, 0, 0, []byte{1}), "RTMP 5.4.4"},
	{"bandwidth of nothing", newScript().message(2, typeSetPeerBandwidth, 0, 0, nil), "RTMP 5.4.5"},
	{"user control of nothing", newScript().message(2, typeUserControl, 0, 0, nil), "RTMP 7.1.7"},
	{"ping of nothing", newScript().message(2, typeUserControl, 0, 0, []byte{0, 6}), "RTMP 7.1.7"},
	{"aggregate of many", published(1<<20).message(4, typeAggregate, 1, 0, bytes.Repeat([]byte{9, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0xaa, 0, 0, 0, 12}, maxAggregate+1)), "RTMP 7.1.6"},
	{"aggregate cut short", published(4096).message(4, typeAggregate, 1, 0, make([]byte, 10)), "RTMP 7.1.6"},
	{"large message before a publish", newScript().connect().message(6, typeVideo, 1, 0, make([]byte, maxCommand+1)), "RTMP 5.3.1.2"},
	{"large command", published(4096).message(3, typeCommandAMF0, 1, 0, make([]byte, maxCommand+1)), "RTMP 5.3.1.2"},
	{"message above MaxMessage", published(4096).message(6, typeVideo, 1, 0, make([]byte, 1<<20+1)), "RTMP 5.3.1.2"},
	{"too many publishes", manyPublishes(maxPublishes + 1), "RTMP 7.2.2.6"},
	{"pings without end", pings(20_000), "RTMP 5.4.3"},
	{"calls without end", calls(3000), "RTMP 5.4.3"},
}

func manyPublishes(n int) *script {
	s := newScript().connect()
	for i := range n {
		s.publish(uint32(i+1), fmt.Sprint(key, i))
	}
	return s
}

func pings(n int) *script {
	s := newScript()
	for range n {
		s.message(2, typeUserControl, 0, 0, []byte{0, eventPingRequest, 1, 2, 3, 4})
	}
	return s
}

func calls(n int) *script {
	s := newScript().connect()
	for range n {
		s.command(0, amf.String(key), amf.Number(2), amf.Null{})
	}
	return s
}

func TestServerBroken(t *testing.T) {
	for _, c := range brokenSessions {
		t.Run(c.name, func(t *testing.T) {
			s := NewServer(ServerConfig{MaxMessage: 1 << 20})
			_, err := s.Receive(start, c.script.buf)
			e, ok := errors.AsType[*PeerError](err)
			if !ok || e.Section != c.section {
				t.Fatalf("error %v, want one of [%s]", err, c.section)
			}
			if strings.Contains(err.Error(), key) {
				t.Errorf("the error shows what the peer named: %v", err)
			}
			if events, again := s.Receive(start, published(128).buf); !errors.Is(again, err) || len(events) > 0 {
				t.Errorf("a connection that failed goes on: %d events, %v", len(events), again)
			}
		})
	}
}

// TestServerAtTheLimits: what is just within the limits is fine.
func TestServerAtTheLimits(t *testing.T) {
	for name, p := range map[string][]byte{
		"MaxMessage": published(4096).message(6, typeVideo, 1, 0, make([]byte, 1<<20)).buf,
		"command":    published(4096).message(3, typeCommandAMF0, 1, 0, append(amf.Append(nil, amf.String("x")), make([]byte, maxCommand-4)...)).buf,
		"publishes":  manyPublishes(maxPublishes).buf,
		"AMF depth":  newScript().connect().command(0, amf.String("x"), amf.Number(0), deep(amf.MaxDepth)).buf,
	} {
		t.Run(name, func(t *testing.T) {
			receive(t, NewServer(ServerConfig{MaxMessage: 1 << 20}), start, p)
		})
	}
}

// TestOutputIsBounded: a peer that reads may ask for ever; one that never does
// is stopped at maxOutput, whatever it asked.
func TestOutputIsBounded(t *testing.T) {
	ping := newScript()
	ping.take()
	ping.message(2, typeUserControl, 0, 0, []byte{0, eventPingRequest, 1, 2, 3, 4})
	s := NewServer(ServerConfig{})
	receive(t, s, start, newScript().buf)
	for range 50_000 {
		receive(t, s, start, ping.buf)
		s.Output()
	}
	var err error
	for i := 0; i < 50_000 && err == nil; i++ {
		_, err = s.Receive(start, ping.buf)
	}
	if _, ok := errors.AsType[*PeerError](err); !ok {
		t.Fatalf("error %v, want a *PeerError", err)
	}
	if n := len(s.Output()); n > maxOutput+1024 {
		t.Errorf("%d bytes wait to be sent, the limit is %d", n, maxOutput)
	}
}

// TestAcknowledge: the peer hears how much arrived before its window closes,
// counted from the end of the handshake and modulo 2^32.
func TestAcknowledge(t *testing.T) {
	const window = 10_000
	s := NewServer(ServerConfig{Window: window})
	p := published(4096)
	hello := 1 + 2*handshakeSize
	receive(t, s, start, p.buf)
	total := uint32(len(p.buf) - hello)
	s.acks.received -= 1 << 16 // as if 2^32 - 2^16 bytes had come before
	s.acks.acked = s.acks.received
	total -= 1 << 16
	s.Output()
	p.take()
	p.message(6, typeVideo, 1, 0, make([]byte, 1000))
	acked := total
	for range 100 {
		receive(t, s, start, p.buf)
		total += uint32(len(p.buf))
		if out := s.Output(); len(out) > 0 {
			want := newChunkWriter()
			want.control32(typeAcknowledgement, total)
			if !bytes.Equal(out, want.buf) {
				t.Fatalf("sent %x, want the acknowledgement %x", out, want.buf)
			}
			acked = total
		}
		if total-acked >= window {
			t.Fatalf("%d bytes came without an acknowledgement, the window is %d", total-acked, window)
		}
	}
	if acked == total-100*uint32(len(p.buf)) {
		t.Error("no acknowledgement at all")
	}
}

// TestTagsBeforeTheAnswer: encoders that do not wait lose nothing, and after a
// refusal nothing more comes.
func TestTagsBeforeTheAnswer(t *testing.T) {
	s := NewServer(ServerConfig{})
	p := published(4096).message(6, typeVideo, 1, 0, []byte{0x17, 0})
	events := receive(t, s, start, p.buf)
	if len(events) != 3 || events[2].Type != EventTag || events[2].Tag.Type != flv.TagVideo {
		t.Fatalf("events %v, want connect, publish and tag", lines(events))
	}
	if !s.Publishing() {
		t.Error("not publishing before the answer")
	}
	s.Refuse(1, "NetStream.Publish.BadName", "no")
	p.take()
	p.message(6, typeVideo, 1, 0, []byte{0x17, 0}).command(0, amf.String("deleteStream"), amf.Number(0), amf.Null{}, amf.Number(1))
	if events := receive(t, s, start, p.buf); len(events) > 0 {
		t.Errorf("events %v after a refusal", lines(events))
	}
	if s.Publishing() {
		t.Error("publishing after a refusal")
	}
}

// TestDropped: nothing is passed over without being counted.
func TestDropped(t *testing.T) {
	s := NewServer(ServerConfig{})
	p := newScript().connect().message(6, typeVideo, 1, 0, []byte{0x17, 0}).publish(1, "alice")
	p.message(4, typeDataAMF3, 1, 0, []byte{0, 0xFF}).message(6, typeVideo, 0, 0, []byte{0x17, 0})
	p.publish(2, "bob").message(6, typeVideo, 0, 0, []byte{0x17, 0})
	receive(t, s, start, p.buf)
	if got, want := s.Dropped(), (Dropped{NoPublish: 2, NoScript: 1}); got != want {
		t.Errorf("dropped %+v, want %+v", got, want)
	}
}

// TestEventsBeforeAnError: what came whole before the rule was broken counts.
func TestEventsBeforeAnError(t *testing.T) {
	p := published(4096).message(6, typeVideo, 1, 0, []byte{0x17, 0}).message(2, typeSetChunkSize, 0, 0, nil)
	events, err := NewServer(ServerConfig{}).Receive(start, p.buf)
	if err == nil || len(events) != 3 {
		t.Errorf("%d events, error %v; want connect, publish, tag and an error", len(events), err)
	}
}

// TestIdleMemory: a burst of small tags does not hold memory afterwards.
func TestIdleMemory(t *testing.T) {
	p := published(4096)
	for range 3 * maxIdleEvents {
		p.message(4, typeAudio, 1, 0, []byte{1})
	}
	s := NewServer(ServerConfig{})
	receive(t, s, start, p.buf)
	receive(t, s, time.Time{}, nil)
	if n := cap(s.events); n > 2*maxIdleEvents {
		t.Errorf("room for %d events is kept", n)
	}
	if b := s.in.buffers; b.held > maxFree {
		t.Errorf("%d bytes of buffers are kept, the limit is %d", b.held, maxFree)
	}
}

func TestEventTypeString(t *testing.T) {
	for typ, want := range map[EventType]string{
		EventConnect: "connect", EventPublish: "publish", EventTag: "tag", EventReject: "reject", EventUnpublish: "unpublish", 0: "unknown",
	} {
		if got := typ.String(); got != want {
			t.Errorf("%d is %q, want %q", typ, got, want)
		}
	}
}
