package stream

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
)

// box makes a box of ISO/IEC 14496-12, 4.2.
func makeBox(name string, body ...byte) []byte {
	return append(append(binary.BigEndian.AppendUint32(nil, uint32(8+len(body))), name...), body...)
}

// joined are byte strings one behind the other.
func joined(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// packets are n transport packets of nothing.
func packets(n int) []byte {
	p := append([]byte{0x47, 0x1F, 0xFF, 0x10}, bytes.Repeat([]byte{0xFF}, 184)...)
	return bytes.Repeat(p, n)
}

// TestFormatOf: a format shows in the first bytes [RFC 8216bis 3.1].
func TestFormatOf(t *testing.T) {
	for _, tt := range []struct {
		name string
		body []byte
		want Format
	}{
		{"nothing", nil, unknown},
		{"one packet", packets(1), TransportStream},
		{"two packets", packets(2), TransportStream},
		{"a packet that is cut", packets(1)[:187], unknown},
		{"a packet, and no second one", append(packets(1), 'x'), unknown},
		{"three packets behind rubbish", append([]byte("xyz"), packets(3)...), TransportStream},
		{"two packets behind rubbish are too few to tell", append([]byte("xyz"), packets(2)...), unknown},
		{"packets behind as much rubbish as a packet", append(bytes.Repeat([]byte{'x'}, 188), packets(4)...), unknown},
		{"G is no packet", []byte("Good morning"), unknown},
		{"WebVTT", []byte("WEBVTT\n\n"), WebVTT},
		{"WebVTT behind a byte order mark", []byte("\xEF\xBB\xBFWEBVTT\n"), WebVTT},
		{"lower case", []byte("webvtt\n"), unknown},
		{"an ID3 tag", []byte("ID3\x04\x00"), PackedAudio},
		{"ADTS, MPEG-4, without CRC", []byte{0xFF, 0xF1, 0x50, 0x80}, PackedAudio},
		{"ADTS, MPEG-2, with CRC", []byte{0xFF, 0xF8, 0x50, 0x80}, PackedAudio},
		{"MP3", []byte{0xFF, 0xFB, 0x90, 0x64}, PackedAudio},
		{"AC-3", []byte{0x0B, 0x77, 0, 0}, PackedAudio},
		{"ftyp", makeBox("ftyp"), FragmentedMP4},
		{"styp", makeBox("styp"), FragmentedMP4},
		{"moof", makeBox("moof"), FragmentedMP4},
		{"sidx", makeBox("sidx"), FragmentedMP4},
		{"emsg", makeBox("emsg"), FragmentedMP4},
		{"mdat does not come first", makeBox("mdat"), unknown},
		{"a page", []byte("<!DOCTYPE html>"), unknown},
	} {
		if got := FormatOf(tt.body); got != tt.want {
			t.Errorf("%s is %v, want %v", tt.name, got, tt.want)
		}
	}
	for f, name := range map[Format]string{unknown: "no format of HLS", TransportStream: "MPEG-TS", FragmentedMP4: "fMP4", PackedAudio: "packed audio", WebVTT: "WebVTT"} {
		if f.String() != name {
			t.Errorf("format %d is called %s", f, f)
		}
	}
}

// TestBoxes: sizes of 32 and of 64 bits, to the end, and impossible ones
// (ISO/IEC 14496-12, 4.2).
func TestBoxes(t *testing.T) {
	large := append([]byte{0, 0, 0, 1}, "mdat\x00\x00\x00\x00\x00\x00\x00\x13abc"...)
	for _, tt := range []struct {
		name  string
		body  []byte
		want  string // name:size of the body
		whole bool
	}{
		{"none", nil, "", true},
		{"one", makeBox("free", 1, 2), "free:2", true},
		{"two", joined(makeBox("styp"), makeBox("moof", 1)), "styp:0 moof:1", true},
		{"64 bits of size", large, "mdat:3", true},
		{"to the end", []byte("\x00\x00\x00\x00mdatabcd"), "mdat:4", true},
		{"one byte is missing", makeBox("free", 1, 2)[:9], "", false},
		{"a size below the header's", []byte("\x00\x00\x00\x07free"), "", false},
		{"a 64 bit size below the header's", []byte("\x00\x00\x00\x01mdat\x00\x00\x00\x00\x00\x00\x00\x0f"), "", false},
		{"a size of 2^64-1", []byte("\x00\x00\x00\x01mdat\xff\xff\xff\xff\xff\xff\xff\xff"), "", false},
		{"rubbish behind", append(makeBox("free"), 1, 2, 3), "free:0", false},
	} {
		list, whole := boxes(tt.body)
		var got []string
		for _, b := range list {
			got = append(got, fmt.Sprintf("%s:%d", b.name, len(b.body)))
		}
		if strings.Join(got, " ") != tt.want || whole != tt.whole {
			t.Errorf("%s: %v, whole: %v; want %s, %v", tt.name, got, whole, tt.want, tt.whole)
		}
	}
	if list, whole := boxes(bytes.Repeat(makeBox("free"), 5000)); len(list) != 4096 || whole {
		t.Errorf("of 5000 boxes %d are read, whole: %v", len(list), whole)
	}
}

// found collects findings: rule and text.
type found []string

func (f *found) fail(rule, format string, args ...any) {
	*f = append(*f, rule+": "+fmt.Sprintf(format, args...))
}

// TestMP4: what EXT-X-MAP names, and fragments [RFC 8216bis 3.1.2].
func TestMP4(t *testing.T) {
	extends := makeBox("moov", makeBox("mvex")...)
	traf := func(inside ...[]byte) []byte { return makeBox("moof", makeBox("traf", joined(inside...)...)...) }
	dated := traf(makeBox("tfhd"), makeBox("tfdt"))
	for _, tt := range []struct {
		name     string
		fragment bool
		body     []byte
		want     string // in the one finding; "" is none
	}{
		{"a header", false, joined(makeBox("ftyp"), extends), ""},
		{"a header with more", false, joined(makeBox("ftyp"), makeBox("free"), extends, makeBox("free")), ""},
		{"moov comes first", false, joined(extends, makeBox("ftyp")), "ftyp or moov is missing"},
		{"no moov", false, makeBox("ftyp"), "ftyp or moov is missing"},
		{"no mvex", false, joined(makeBox("ftyp"), makeBox("moov", makeBox("mvhd")...)), "no mvex"},
		{"cut", false, joined(makeBox("ftyp"), extends[:len(extends)-1]), "cut or damaged"},
		{"nothing", false, nil, "ftyp or moov is missing"},
		{"tables of a transport stream", false, packets(2), ""},
		{"a fragment", true, joined(dated, makeBox("mdat", 1)), ""},
		{"two fragments behind an index", true, joined(makeBox("styp"), makeBox("sidx"), dated, makeBox("mdat"), dated, makeBox("mdat")), ""},
		{"no decode time", true, joined(traf(makeBox("tfhd")), makeBox("mdat")), "no tfdt"},
		{"no decode time in the second", true, joined(dated, makeBox("mdat"), traf(), makeBox("mdat")), "no tfdt"},
		{"no data", true, dated, "moof or mdat is missing"},
		{"data only", true, makeBox("mdat", 1), "moof or mdat is missing"},
		{"cut", true, joined(dated, makeBox("mdat", 1, 2))[:len(dated)+9], "cut or damaged"},
	} {
		var got found
		if tt.fragment {
			CheckFragment(tt.body, got.fail)
		} else {
			CheckInitialization(tt.body, got.fail)
		}
		if (len(got) == 0) != (tt.want == "") || len(got) > 1 || len(got) == 1 && !strings.Contains(got[0], tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, got, tt.want)
		}
	}
}

// TestPackedAudio: the timestamp is in an ID3 tag at the start [RFC 8216bis
// 3.1.3].
func TestPackedAudio(t *testing.T) {
	tag := "ID3\x04\x00\x00\x00\x00\x00\x3fPRIV\x00\x00\x00\x35\x00\x00" + TimestampOwner + "\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	for _, tt := range []struct {
		name, body string
		right      bool
	}{
		{"the tag", tag + "\xff\xf1", true},
		{"another tag", strings.Replace(tag, "apple", "other", 1), false},
		{"no tag", "\xff\xf1\x50\x80", false},
		{"the tag comes later", "\xff\xf1\x50\x80" + tag, false},
		{"far behind in the tag", "ID3" + strings.Repeat("x", 5000) + TimestampOwner, false},
	} {
		var got found
		if CheckPackedAudio([]byte(tt.body), got.fail); (len(got) == 0) != tt.right {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}
