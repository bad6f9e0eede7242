package rtmp

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"weir/remux/flv"
)

// TestCutIsWhatTheClientWrites: a tag that was cut beforehand, stamped with any
// time, is the bytes that a client writes for it, whatever was asked of the
// same cut before.
func TestCutIsWhatTheClientWrites(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.Uint32Range(1, 70_000).Draw(t, "chunk size")
		w := &wire{
			client: NewClient(ClientConfig{App: "live", TCURL: "rtmp://localhost/live", Name: "alice", ChunkSize: size}),
			server: NewServer(ServerConfig{}), split: randomly(rand.New(rand.NewPCG(1, 2))),
		}
		if err := w.run(); err != nil {
			t.Fatal(err)
		}
		tag := drawTag(t)
		cut, err := NewCut(tag, size)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			// Timestamps of 0xFFFFFF and above have headers of another length.
			tag.Timestamp = rapid.OneOf(rapid.Uint32(), rapid.Uint32Range(extended-2, extended+2)).Draw(t, "timestamp")
			if err := w.client.WriteTag(tag); err != nil {
				t.Fatal(err)
			}
			if want, got := w.client.Output(), cut.At(tag.Timestamp, w.client.Stream()); !bytes.Equal(want, got) {
				t.Fatalf("at %d the cut has %d bytes, the client writes %d", tag.Timestamp, len(got), len(want))
			}
		}
	})
}

func TestCutTooLong(t *testing.T) {
	if _, err := NewCut(flv.Tag{Type: flv.TagVideo, Data: make([]byte, maxMessageLength+1)}, 4096); err == nil {
		t.Error("a tag that fits in no message was cut")
	}
}

// TestCutAllocatesNothing: to stamp what is cut costs no memory.
func TestCutAllocatesNothing(t *testing.T) {
	cut, err := NewCut(flv.Tag{Type: flv.TagVideo, Data: make([]byte, 10_000)}, 4096)
	if err != nil {
		t.Fatal(err)
	}
	at := uint32(0)
	if n := testing.AllocsPerRun(100, func() { at += 33; cut.At(at, 1) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
