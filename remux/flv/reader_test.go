package flv_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"weir/remux/flv"
)

const clip = "../../testdata/clips/high-bframes-aac44"

// asText compares bodies at once, not byte by byte.
var asText = cmp.Transformer("text", func(b []byte) string { return string(b) })

// readAll returns copies of the tags of a file.
func readAll(r *flv.Reader) (tags []flv.Tag, err error) {
	for {
		t, err := r.Next()
		if errors.Is(err, io.EOF) {
			return tags, nil
		} else if err != nil {
			return tags, err
		}
		t.Data = bytes.Clone(t.Data)
		tags = append(tags, t)
	}
}

// fileHeader is that of a file with video and audio, and PreviousTagSize0 (FLV
// E.2): what makes a run of tags a file.
const fileHeader = "FLV\x01\x05\x00\x00\x00\x09\x00\x00\x00\x00"

func file(tags ...flv.Tag) []byte {
	b := []byte(fileHeader)
	for _, t := range tags {
		b = flv.AppendTag(b, t)
	}
	return b
}

// However the bytes arrive, the same tags come out.
func TestReaderAnySplit(t *testing.T) {
	want := []flv.Tag{tagCases[0].dec, tagCases[1].dec, tagCases[3].dec, {Type: flv.TagVideo, Data: make([]byte, 200_000)}}
	b := file(want...)
	for name, r := range map[string]io.Reader{
		"whole":            bytes.NewReader(b),
		"a byte at a time": iotest.OneByteReader(bytes.NewReader(b)),
		"halves":           iotest.HalfReader(bytes.NewReader(b)),
		"end with data":    iotest.DataErrReader(bytes.NewReader(b)),
	} {
		got, err := readAll(flv.NewReader(r, 0))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if d := cmp.Diff(want, got, asText); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

func TestReaderErrors(t *testing.T) {
	whole := file(tagCases[0].dec)
	longHeader := bytes.Clone(whole[:9])
	longHeader[8] = 11
	longHeader = append(append(longHeader, "xx"...), whole[9:]...)
	for _, c := range []struct {
		name  string
		in    []byte
		tags  int
		short bool // the file ends inside something
		want  error
	}{
		{"empty file", nil, 0, true, flv.ErrMalformed},
		{"cut in the header", whole[:8], 0, true, flv.ErrMalformed},
		{"no FLV", []byte("RIFF and more of it"), 0, false, flv.ErrMalformed},
		{"header only", whole[:13], 0, false, nil},
		{"cut in a tag's header", whole[:20], 0, true, flv.ErrMalformed},
		{"cut in a tag's body", whole[:25], 0, true, flv.ErrMalformed},
		{"cut in the last PreviousTagSize: nothing is missing", whole[:len(whole)-2], 1, false, nil},
		{"DataOffset in front of the header's end", append([]byte("FLV\x01\x05\x00\x00\x00\x08"), whole[9:]...), 0, false, flv.ErrMalformed},
		{"DataOffset behind more header", longHeader, 1, false, nil},
		{"encrypted tag", append(bytes.Clone(whole[:13]), 0x28, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), 0, false, flv.ErrMalformed},
		{"wrong PreviousTagSize, as in files of the wild", append(whole[:len(whole)-1:len(whole)-1], 0), 1, false, nil},
	} {
		tags, err := readAll(flv.NewReader(bytes.NewReader(c.in), 0))
		if len(tags) != c.tags || !errors.Is(err, c.want) || errors.Is(err, flv.ErrShortTag) != c.short {
			t.Errorf("%s: %d tags, %v", c.name, len(tags), err)
		}
	}
}

func TestReaderPassesOnTheSourcesError(t *testing.T) {
	broken := errors.New("disk on fire")
	r := flv.NewReader(io.MultiReader(bytes.NewReader(file()), iotest.ErrReader(broken)), 0)
	if _, err := r.Next(); !errors.Is(err, broken) || errors.Is(err, flv.ErrMalformed) {
		t.Errorf("%v: the file is not to blame", err)
	}
}

// A declared length costs nothing before its bytes arrive.
func TestReaderBoundsMemory(t *testing.T) {
	lie := append(file(), 9, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0)
	if _, err := flv.NewReader(bytes.NewReader(lie), 1<<20).Next(); !errors.Is(err, flv.ErrMalformed) || !strings.Contains(err.Error(), "16777215") {
		t.Errorf("a tag above the limit: %v", err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := flv.NewReader(bytes.NewReader(lie), 0).Next()
	runtime.ReadMemStats(&after)
	if !errors.Is(err, flv.ErrShortTag) {
		t.Errorf("16 MB declared, none there: %v", err)
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
		t.Errorf("%d bytes allocated for a tag that never came", n)
	}
}

// The clip, tag by tag, is what ffprobe says of it.
func TestReaderAgreesWithFfprobe(t *testing.T) {
	f, err := os.Open(clip + ".flv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	want, err := os.ReadFile(clip + ".frames")
	if err != nil {
		t.Fatal(err)
	}
	tags, err := readAll(flv.NewReader(f, 0))
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, tag := range tags {
		switch tag.Type {
		case flv.TagVideo:
			v, err := flv.ParseVideo(tag.Data)
			if err != nil {
				t.Fatal(err)
			}
			if v.Packet == flv.CodedFrames {
				flag := "_"
				if flv.IsKeyframe(tag) {
					flag = "K"
				}
				fmt.Fprintf(&got, "0,%d,%d,%d,%s_\n", int64(tag.Timestamp)+int64(v.CTS), tag.Timestamp, len(v.Body), flag)
			}
		case flv.TagAudio:
			a, err := flv.ParseAudio(tag.Data)
			if err != nil {
				t.Fatal(err)
			}
			if a.Packet == flv.CodedFrames {
				fmt.Fprintf(&got, "1,%d,%d,%d,K_\n", tag.Timestamp, tag.Timestamp, len(a.Body))
			}
		}
	}
	if d := cmp.Diff(string(want), got.String()); d != "" {
		t.Errorf("(-ffprobe +weir):\n%s", d)
	}
}

// FuzzReader: a file read from memory and one read as a run agree where both
// accept it.
func FuzzReader(f *testing.F) {
	f.Add(file(tagCases[0].dec, tagCases[2].dec))
	f.Add(file())
	f.Fuzz(func(t *testing.T, in []byte) {
		tags, err := readAll(flv.NewReader(iotest.HalfReader(bytes.NewReader(in)), 1<<16))
		if err != nil && !errors.Is(err, flv.ErrMalformed) {
			t.Fatalf("%v is not ErrMalformed", err)
		}
		total := 0
		for _, tag := range tags {
			total += len(tag.Data)
		}
		if total > len(in) {
			t.Fatalf("%d bytes of tags out of %d bytes", total, len(in))
		}
	})
}
