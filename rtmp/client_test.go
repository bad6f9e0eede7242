package rtmp

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"weir/remux/flv"
	"weir/rtmp/amf"
)

// wire carries bytes between a client and a server in pieces that split
// chooses, until both are silent.
type wire struct {
	client *Client
	server *Server
	split  func(left int) int
	// seen is given the bytes on their way, if it is set.
	seen func(p []byte)
	// events are the server's, with data of their own.
	events []Event
	status []ClientEvent
}

// run moves bytes both ways, accepting each publish.
func (w *wire) run() error {
	for {
		up, down := bytes.Clone(w.client.Output()), bytes.Clone(w.server.Output())
		if len(up)+len(down) == 0 {
			return nil
		}
		if err := w.deliver(up, w.toServer); err != nil {
			return fmt.Errorf("server: %w", err)
		}
		if err := w.deliver(down, w.toClient); err != nil {
			return fmt.Errorf("client: %w", err)
		}
	}
}

func (w *wire) deliver(p []byte, to func(p []byte) error) error {
	if w.seen != nil {
		w.seen(p)
	}
	for len(p) > 0 {
		n := w.split(len(p))
		if err := to(p[:n]); err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

func (w *wire) toServer(p []byte) error {
	events, err := w.server.Receive(start, p)
	for _, e := range events {
		e.Tag.Data = bytes.Clone(e.Tag.Data)
		w.events = append(w.events, e)
		if e.Type == EventPublish {
			w.server.Accept(e.StreamID)
		}
	}
	return err
}

func (w *wire) toClient(p []byte) error {
	events, err := w.client.Receive(start, p)
	w.status = append(w.status, events...)
	return err
}

// TestClientToServer: any tags, written by the client with any chunk size and
// carried in any pieces, come out of the server as they went in.
func TestClientToServer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.Uint32Range(1, 70_000)
		w := &wire{
			client: NewClient(ClientConfig{App: "live", TCURL: "rtmp://localhost/live", Name: "alice?k=v", ChunkSize: size.Draw(t, "client's chunk size")}),
			server: NewServer(ServerConfig{ChunkSize: size.Draw(t, "server's chunk size"), Window: 5000}),
			split:  randomly(rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))),
		}
		if err := w.run(); err != nil {
			t.Fatal(err)
		}
		if !w.client.Publishing() || !w.server.Publishing() {
			t.Fatalf("the publish did not begin: events %v", lines(w.events))
		}
		want := rapid.SliceOfN(rapid.Custom(drawTag), 0, 12).Draw(t, "tags")
		for _, tag := range want {
			if err := w.client.WriteTag(tag); err != nil {
				t.Fatal(err)
			}
		}
		w.client.Unpublish()
		if err := w.run(); err != nil {
			t.Fatal(err)
		}
		var got []flv.Tag
		for _, e := range w.events[2 : len(w.events)-1] {
			got = append(got, e.Tag)
		}
		sameTags(t, want, got)
		if last := w.events[len(w.events)-1]; last.Type != EventUnpublish || last.StreamID != 1 {
			t.Errorf("the last event is %v, want an unpublish", lines([]Event{last}))
		}
	})
}

// sameTags fails unless the tags are alike.
func sameTags(t interface{ Fatalf(string, ...any) }, want, got []flv.Tag) {
	if len(want) != len(got) {
		t.Fatalf("%d tags, want %d", len(got), len(want))
	}
	for i, w := range want {
		g := got[i]
		if w.Type != g.Type || w.Timestamp != g.Timestamp || !bytes.Equal(w.Data, g.Data) {
			t.Fatalf("tag %d: type %d at %d, %d bytes; want type %d at %d, %d bytes, or other bytes",
				i, g.Type, g.Timestamp, len(g.Data), w.Type, w.Timestamp, len(w.Data))
		}
	}
}

// drawTag makes a tag of 1 byte to 100 kB, with timestamps on both sides of the
// extended one.
func drawTag(t *rapid.T) flv.Tag {
	n := rapid.OneOf(rapid.IntRange(1, 300), rapid.IntRange(1, 100_000)).Draw(t, "length")
	data := bytes.Repeat([]byte{rapid.Byte().Draw(t, "byte")}, n)
	return flv.Tag{
		Type:      rapid.SampledFrom([]flv.TagType{flv.TagAudio, flv.TagVideo}).Draw(t, "type"),
		Timestamp: rapid.OneOf(rapid.Uint32(), rapid.Uint32Range(extended-2, extended+2)).Draw(t, "timestamp"),
		Data:      data,
	}
}

// TestCapturesThroughTheClient: the tags of real encoders, sent again by our
// client, arrive unchanged, metadata included.
func TestCapturesThroughTheClient(t *testing.T) {
	for _, name := range []string{"ffmpeg-5.1.9-h264-aac", "obs-30.2.3-av1", "gst-1.22.0-rtmp2sink", "synthetic-extts"} {
		t.Run(name, func(t *testing.T) {
			w := &wire{client: NewClient(ClientConfig{Name: "a"}), server: NewServer(ServerConfig{}), split: whole}
			if err := w.run(); err != nil {
				t.Fatal(err)
			}
			from := NewServer(ServerConfig{})
			var want []flv.Tag
			for _, e := range receive(t, from, start, capture(t, name).bytes) {
				if e.Type == EventTag {
					want = append(want, e.Tag)
					if err := w.client.WriteTag(e.Tag); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := w.run(); err != nil {
				t.Fatal(err)
			}
			var got []flv.Tag
			for _, e := range w.events[2:] {
				got = append(got, e.Tag)
			}
			sameTags(t, want, got)
		})
	}
}

// TestRefusedClient: a refusal is a *RefusedError with the server's code.
func TestRefusedClient(t *testing.T) {
	w := &wire{client: NewClient(ClientConfig{Name: "a"}), server: NewServer(ServerConfig{}), split: whole}
	if err := w.run(); err != nil {
		t.Fatal(err)
	}
	w.server.Refuse(1, "NetStream.Publish.Denied", "Another session took over.")
	err := w.run()
	e, ok := errors.AsType[*RefusedError](err)
	if !ok || e.Code != "NetStream.Publish.Denied" || e.Description != "Another session took over." {
		t.Errorf("error %v, want a *RefusedError with the code", err)
	}
	if err := w.client.WriteTag(flv.Tag{Type: flv.TagAudio, Data: []byte{1}}); !errors.Is(err, ErrNotPublishing) {
		t.Errorf("WriteTag after the refusal: %v, want ErrNotPublishing", err)
	}
}

// TestReconnectRequest: our client says that it understands the request, and
// the publish goes on after it.
func TestReconnectRequest(t *testing.T) {
	w := &wire{client: NewClient(ClientConfig{Name: "a"}), server: NewServer(ServerConfig{}), split: whole}
	if err := w.run(); err != nil {
		t.Fatal(err)
	}
	if !w.server.RequestReconnect("This node stops.", "rtmp://other/live") {
		t.Fatal("the client does not announce that it can reconnect")
	}
	if err := w.run(); err != nil {
		t.Fatal(err)
	}
	last := w.status[len(w.status)-1]
	if last.Type != ClientReconnect || last.TCURL != "rtmp://other/live" || !w.client.Publishing() {
		t.Errorf("event %+v, publishing %t", last, w.client.Publishing())
	}
}

func TestTagTooLong(t *testing.T) {
	w := &wire{client: NewClient(ClientConfig{Name: "a"}), server: NewServer(ServerConfig{}), split: whole}
	if err := w.run(); err != nil {
		t.Fatal(err)
	}
	err := w.client.WriteTag(flv.Tag{Type: flv.TagVideo, Data: make([]byte, maxMessageLength+1)})
	if !errors.Is(err, ErrTagTooLong) {
		t.Errorf("error %v, want ErrTagTooLong: a chunk header has 24 bits for the length", err)
	}
}

// TestServersTextIsBlanked: servers like to repeat what they were told. The
// name of a publish and its query are secrets, and are never passed on; words
// that only look like them are left alone, or nobody could read the text.
func TestServersTextIsBlanked(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"live", "live/live is published already.", "***/*** is published already."},
		{"live", "The stream is not live, rtmp://host/live/live was delivered.", "The stream is not ***, rtmp://host/***/*** was delivered."},
		{"live", "lively delivery", "lively delivery"},
		{"live", "name=live", "name=***"},
		{"a", "Another session took over app/a.", "Another session took over app/***."},
		{"a1", "a1 is busy, wait 1 s; a10 is not, nor is ba1", "*** is busy, wait 1 s; a10 is not, nor is ba1"},
		{"1", "line 1 of 10", "line *** of 10"},
		{"k3y-f0r-alice", "k3y-f0r-alice_src of xk3y-f0r-alice", "***_src of x***"},
		{"correcthorse", "no correcthorse, thecorrecthorse", "no ***, the***"},
		{"alice?key=s3cret", "live/alice?key=s3cret is refused: alice has no key=s3cret", "live/***?*** is refused: *** has no ***"},
		{"äöü", "live/äöü", "live/***"},
		{"", "nothing", "nothing"},
	} {
		c := NewClient(ClientConfig{App: "live", Name: tt.name})
		if got := c.blank(amf.String(tt.text)); got != tt.want {
			t.Errorf("%q in %q: %q, want %q", tt.name, tt.text, got, tt.want)
		}
	}
}
