package endpoint

import (
	"bytes"
	"io"
	"log/slog"
	"strings"
	"testing"

	"weir/remux/flv"
)

// recorded is an FLV file as a recorder leaves it: audio and pictures of ms each
// from first on, and what stands at its begin and end.
func recorded(first, audioMS, videoMS uint32, head []flv.Tag, tail []byte) []byte {
	b := []byte("FLV\x01\x05\x00\x00\x00\x09\x00\x00\x00\x00")
	for _, t := range head {
		b = flv.AppendTag(b, t)
	}
	for at := uint32(0); at < max(audioMS, videoMS); at += 20 {
		if at < audioMS {
			b = flv.AppendTag(b, flv.Tag{Type: flv.TagAudio, Timestamp: first + at, Data: []byte{0xaf, 1, 1}})
		}
		if at < videoMS && at%40 == 0 {
			b = flv.AppendTag(b, flv.Tag{Type: flv.TagVideo, Timestamp: first + at, Data: []byte{0x17, 1, 0, 0, 0, 0, 0, 0, 1, 0x65}})
		}
	}
	return append(b, tail...)
}

// Rounds are joined where the longer track ends, from the first media on, whatever
// a recorder has left at the ends of the file.
func TestRoundsAreJoined(t *testing.T) {
	headers := []flv.Tag{
		{Type: flv.TagScript, Data: []byte{2, 0, 0}},
		{Type: flv.TagVideo, Data: []byte{0x17, 0, 0, 0, 0, 1}},
		{Type: flv.TagAudio, Data: []byte{0xaf, 0, 0x11, 0x90}},
	}
	end := flv.AppendTag(nil, flv.Tag{Type: flv.TagVideo, Data: []byte{0x17, 2, 0, 0, 0}})
	cut := flv.AppendTag(nil, flv.Tag{Type: flv.TagVideo, Timestamp: 9000, Data: make([]byte, 100)})[:50]
	for _, tt := range []struct {
		name string
		file []byte
		long uint32 // of a round, ms
	}{
		{"sound is longer", recorded(0, 4000, 3300, headers, nil), 4000},
		{"pictures are longer", recorded(0, 3300, 4000, headers, nil), 4000},
		{"headers at 0, media from an hour on", recorded(3_600_000, 1000, 1000, headers, nil), 1000},
		{"timestamps wrap", recorded(1<<32-500, 1000, 1000, headers, nil), 1000},
		{"no headers", recorded(700, 1000, 1000, nil, nil), 1000},
		{"no sound", recorded(700, 0, 1000, headers, nil), 1000},
		{"no pictures", recorded(700, 1000, 0, headers, nil), 1000},
		{"an end of sequence stamped 0", recorded(700, 1000, 1000, headers, end), 1000},
		{"it ends inside a tag", recorded(700, 1000, 1000, headers, cut), 1000},
		{"it ends inside a tag's header", recorded(700, 1000, 1000, headers, cut[:5]), 1000},
		{"zeros behind it", recorded(700, 1000, 1000, headers, make([]byte, 4096)), 1000},
		{"another recording goes on in it", recorded(50_000, 1000, 1000, headers, recorded(20, 500, 500, nil, nil)[13:]), 540 - 50_000 + 1<<32}, // its last picture ends at 540 ms,
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := NewEncoder(EncoderConfig{Loop: true, Log: slog.New(slog.DiscardHandler), Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(tt.file)), nil }})
			offset := uint32(0)
			for n := range uint32(3) {
				least, seen := uint32(0), false
				err := e.round(offset, func(tag flv.Tag) error {
					if e.remember(tag); trackOf(tag) >= 0 && (!seen || int32(tag.Timestamp-least) < 0) && int32(tag.Timestamp-offset) > -1000 {
						least, seen = tag.Timestamp, true
					}
					if isEnd(tag) {
						t.Error("a server is told that the sequence ends")
					}
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				if least != n*tt.long {
					t.Fatalf("round %d begins at %d ms, want %d", n, least, n*tt.long)
				}
				offset = e.end()
			}
		})
	}
}

// A file with nothing to publish is an error, and no round after the other.
func TestNothingToPublish(t *testing.T) {
	for name, file := range map[string][]byte{
		"empty": nil, "no FLV": []byte("RIFF and more than a header"), "no tags": recorded(0, 0, 0, nil, nil),
		"headers only": recorded(0, 0, 0, []flv.Tag{{Type: flv.TagScript, Data: []byte{2, 0, 0}}}, nil),
	} {
		e := NewEncoder(EncoderConfig{Loop: true, Log: slog.New(slog.DiscardHandler), Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(file)), nil }})
		if err := e.round(0, func(flv.Tag) error { return nil }); err == nil || !strings.HasPrefix(err.Error(), "push: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
