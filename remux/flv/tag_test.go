package flv_test

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"weir/remux/flv"
)

// tagCases pin the layout of a tag; they seed FuzzTags.
var tagCases = []struct {
	name string
	enc  []byte
	dec  flv.Tag
}{
	{
		"audio",
		[]byte{8, 0, 0, 3, 0, 0, 23, 0, 0, 0, 0, 0xaf, 1, 0x21, 0, 0, 0, 14},
		flv.Tag{Type: flv.TagAudio, Timestamp: 23, Data: []byte{0xaf, 1, 0x21}},
	},
	{
		"empty body",
		[]byte{9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 11},
		flv.Tag{Type: flv.TagVideo, Data: []byte{}},
	},
	{
		"timestamp beyond 24 bits: the extension is the high byte",
		[]byte{18, 0, 0, 1, 0x23, 0x45, 0x67, 0x01, 0, 0, 0, 2, 0, 0, 0, 12},
		flv.Tag{Type: flv.TagScript, Timestamp: 0x01234567, Data: []byte{2}},
	},
	{
		"last timestamp before the wrap",
		[]byte{9, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0x17, 0, 0, 0, 12},
		flv.Tag{Type: flv.TagVideo, Timestamp: 1<<32 - 1, Data: []byte{0x17}},
	},
	{
		"AMF3 script, a type of enhanced RTMP",
		[]byte{15, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 12},
		flv.Tag{Type: flv.TagScriptAMF3, Data: []byte{0}},
	},
}

func TestTag(t *testing.T) {
	for _, c := range tagCases {
		t.Run(c.name, func(t *testing.T) {
			if enc := flv.AppendTag([]byte("before"), c.dec); !bytes.Equal(enc, append([]byte("before"), c.enc...)) {
				t.Errorf("AppendTag wrote %x, the specification's layout is %x", enc, c.enc)
			}
			dec, n, err := flv.NextTag(append(bytes.Clone(c.enc), "behind"...))
			if err != nil || n != len(c.enc) {
				t.Fatalf("NextTag took %d bytes (%v), want %d", n, err, len(c.enc))
			}
			if d := cmp.Diff(c.dec, dec); d != "" {
				t.Errorf("NextTag (-want +got):\n%s", d)
			}
		})
	}
}

// A tag cut anywhere may still be completed: that must be told from damage.
func TestNextTagShort(t *testing.T) {
	for _, c := range tagCases {
		for n := range c.enc {
			_, took, err := flv.NextTag(c.enc[:n])
			if !errors.Is(err, flv.ErrShortTag) || !errors.Is(err, io.ErrUnexpectedEOF) || took != 0 {
				t.Errorf("%s cut to %d bytes: took %d, %v; want ErrShortTag", c.name, n, took, err)
			}
		}
	}
}

func TestNextTagDamaged(t *testing.T) {
	for name, damage := range map[string]func([]byte){
		"filter bit, an encrypted body": func(b []byte) { b[0] |= 0x20 },
		"reserved bits of the type":     func(b []byte) { b[0] |= 0x80 },
		"PreviousTagSize":               func(b []byte) { b[len(b)-1]++ },
	} {
		enc := bytes.Clone(tagCases[0].enc)
		damage(enc)
		if _, _, err := flv.NextTag(enc); !errors.Is(err, flv.ErrMalformed) || errors.Is(err, flv.ErrShortTag) {
			t.Errorf("%s: %v; want ErrMalformed, and not as if more bytes helped", name, err)
		}
	}
}

func TestTagsEndsWithOneError(t *testing.T) {
	run := flv.AppendTag(nil, tagCases[0].dec)
	run = append(run, tagCases[1].enc[:5]...)
	var tags, errs int
	for _, err := range flv.Tags(run) {
		if err != nil {
			errs++
			continue
		}
		tags++
	}
	if tags != 1 || errs != 1 {
		t.Errorf("%d tags and %d errors, want the whole tag and one error for the cut one", tags, errs)
	}
	for range flv.Tags(nil) {
		t.Error("an empty run has yielded something")
	}
	for range flv.Tags(run) {
		break // a loop that is left must not be called again: the runtime would panic
	}
}

func TestAppendTagRefusesALyingLength(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a body of 2^24 bytes was written: its length has 24 bits")
		}
	}()
	flv.AppendTag(nil, flv.Tag{Type: flv.TagVideo, Data: make([]byte, flv.MaxBody+1)})
}

// Whatever tags make a run, reading it gives them back.
func TestTagsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tags := rapid.SliceOf(rapid.Custom(func(t *rapid.T) flv.Tag {
			return flv.Tag{
				Type:      flv.TagType(rapid.IntRange(0, 31).Draw(t, "type")),
				Timestamp: rapid.Uint32().Draw(t, "timestamp"),
				Data:      rapid.SliceOf(rapid.Byte()).Draw(t, "data"),
			}
		})).Draw(t, "tags")
		var run []byte
		for _, tag := range tags {
			run = flv.AppendTag(run, tag)
		}
		i := 0
		for tag, err := range flv.Tags(run) {
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tags[i], tag, asText); d != "" {
				t.Fatalf("tag %d (-written +read):\n%s", i, d)
			}
			i++
		}
		if i != len(tags) {
			t.Fatalf("%d tags read of %d written", i, len(tags))
		}
	})
}

func FuzzTags(f *testing.F) {
	var run []byte
	for _, c := range tagCases {
		f.Add(c.enc)
		run = append(run, c.enc...)
	}
	f.Add(run)
	f.Add(run[:len(run)-3])
	f.Fuzz(func(t *testing.T, in []byte) {
		var again []byte
		for tag, err := range flv.Tags(in) {
			if err != nil {
				if !errors.Is(err, flv.ErrMalformed) {
					t.Fatalf("%v is not ErrMalformed", err)
				}
				break
			}
			flv.IsKeyframe(tag)
			flv.IsSequenceHeader(tag)
			again = flv.AppendTag(again, tag)
		}
		// What was read is what was written, but for StreamID, "always 0".
		want := bytes.Clone(in[:len(again)])
		for p := want; len(p) > 0; {
			clear(p[8:11])
			p = p[flv.TagOverhead+(int(p[1])<<16|int(p[2])<<8|int(p[3])):]
		}
		if !slices.Equal(again, want) {
			t.Fatalf("the tags of %x are written as %x", want, again)
		}
	})
}
