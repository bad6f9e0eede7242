package amf

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// cases are values and their one encoding, both ways. They also seed the
// fuzzer.
var cases = []struct {
	name string
	enc  string
	dec  Value
}{
	{"number", "\x00\x3f\xf8\x00\x00\x00\x00\x00\x00", Number(1.5)},
	{"number infinite", "\x00\x7f\xf0\x00\x00\x00\x00\x00\x00", Number(math.Inf(1))},
	{"boolean true", "\x01\x01", Boolean(true)},
	{"boolean false", "\x01\x00", Boolean(false)},
	{"string", "\x02\x00\x04live", String("live")},
	{"string empty", "\x02\x00\x00", String("")},
	{"string not UTF-8 is kept as it is", "\x02\x00\x02\xff\xfe", String("\xff\xfe")},
	{"string too long for 16 bits", "\x0c\x00\x01\x00\x00" + strings.Repeat("x", 1<<16), String(strings.Repeat("x", 1<<16))},
	{"null", "\x05", Null{}},
	{"undefined", "\x06", Undefined{}},
	{"reference", "\x07\x00\x02", Reference(2)},
	{"unsupported", "\x0d", Unsupported{}},
	{"xml", "\x0f\x00\x00\x00\x04<a/>", XML("<a/>")},
	{"date", "\x0b\x40\x8f\x40\x00\x00\x00\x00\x00\xff\xff", Date{Milliseconds: 1000, Zone: -1}},
	{"object empty", "\x03\x00\x00\x09", Object(nil)},
	{"object keeps its order", "\x03\x00\x01b\x05\x00\x01a\x06\x00\x00\x09", Object{{"b", Null{}}, {"a", Undefined{}}}},
	{"object with an empty name", "\x03\x00\x00\x01\x01\x00\x00\x09", Object{{"", Boolean(true)}}},
	{"object with a name twice", "\x03\x00\x01a\x05\x00\x01a\x06\x00\x00\x09", Object{{"a", Null{}}, {"a", Undefined{}}}},
	{"object in object", "\x03\x00\x01a\x03\x00\x00\x09\x00\x00\x09", Object{{"a", Object(nil)}}},
	{"typed object", "\x10\x00\x01C\x00\x01a\x05\x00\x00\x09", TypedObject{"C", Properties{{"a", Null{}}}}},
	{"ECMA array", "\x08\x00\x00\x00\x01\x00\x01a\x05\x00\x00\x09", ECMAArray{{"a", Null{}}}},
	{"strict array empty", "\x0a\x00\x00\x00\x00", StrictArray(nil)},
	{"strict array", "\x0a\x00\x00\x00\x02\x05\x02\x00\x04av01", StrictArray{Null{}, String("av01")}},
}

// tolerated are encodings that are read but not written.
var tolerated = []struct {
	name string
	enc  string
	dec  Value
}{
	{"boolean by another byte", "\x01\x02", Boolean(true)},
	{"long string that is short", "\x0c\x00\x00\x00\x01x", String("x")},
	{"ECMA array that counts none, as GStreamer's", "\x08\x00\x00\x00\x00\x00\x01a\x05\x00\x00\x09", ECMAArray{{"a", Null{}}}},
	{"ECMA array that counts too many", "\x08\xff\xff\xff\xff\x00\x01a\x05\x00\x00\x09", ECMAArray{{"a", Null{}}}},
	{"AMF3 undefined", "\x11\x00", Undefined{}},
	{"AMF3 null", "\x11\x01", Null{}},
	{"AMF3 false", "\x11\x02", Boolean(false)},
	{"AMF3 true", "\x11\x03", Boolean(true)},
	{"AMF3 integer of 1 byte", "\x11\x04\x7f", Number(127)},
	{"AMF3 integer of 2 bytes", "\x11\x04\x81\x00", Number(128)},
	{"AMF3 integer of 3 bytes", "\x11\x04\x81\x80\x00", Number(1 << 14)},
	{"AMF3 integer of 4 bytes, the last with 8 bits", "\x11\x04\x80\xc0\x80\xff", Number(1<<21 + 255)},
	{"AMF3 integer below zero", "\x11\x04\xff\xff\xff\xff", Number(-1)},
	{"AMF3 double", "\x11\x05\x3f\xf8\x00\x00\x00\x00\x00\x00", Number(1.5)},
	{"AMF3 string, of synthetic-amf3", "\x11\x06\x09live", String("live")},
	{"AMF3 xml", "\x11\x0b\x09<a/>", XML("<a/>")},
	{"AMF3 date", "\x11\x08\x01\x40\x8f\x40\x00\x00\x00\x00\x00", Date{Milliseconds: 1000}},
	{"AMF3 array", "\x11\x09\x05\x01\x02\x03", StrictArray{Boolean(false), Boolean(true)}},
	{"AMF3 array with a name", "\x11\x09\x03\x03a\x01\x01\x03", ECMAArray{{"a", Null{}}, {"0", Boolean(true)}}},
	{"AMF3 dynamic object", "\x11\x0a\x0b\x01\x03a\x01\x01", Object{{"a", Null{}}}},
	{"AMF3 sealed object with a class", "\x11\x0a\x13\x03C\x03a\x01", TypedObject{"C", Properties{{"a", Null{}}}}},
	{"AMF3 byte array", "\x11\x0c\x03x", String("x")},
	{"AMF3 vector of int", "\x11\x0d\x05\x00\xff\xff\xff\xff\x00\x00\x00\x02", StrictArray{Number(-1), Number(2)}},
	{"AMF3 vector of uint, fixed", "\x11\x0e\x03\x01\xff\xff\xff\xff", StrictArray{Number(1<<32 - 1)}},
	{"AMF3 vector of double", "\x11\x0f\x03\x00\x3f\xf8\x00\x00\x00\x00\x00\x00", StrictArray{Number(1.5)}},
	{"AMF3 vector of objects", "\x11\x10\x05\x00\x03C\x01\x03", StrictArray{Null{}, Boolean(true)}},
	{"AMF3 dictionary", "\x11\x11\x07\x00\x06\x03a\x01\x04\x07\x03\x01\x02", ECMAArray{{"a", Null{}}, {"7", Boolean(true)}, {"_", Boolean(false)}}},
	{"AMF3 reference to an object", "\x11\x09\x05\x01\x0c\x03x\x0c\x02", StrictArray{String("x"), String("x")}},
	{"AMF3 collection of Flex", "\x11\x0a\x07\x43flex.messaging.io.ArrayCollection\x09\x03\x01\x03", StrictArray{Boolean(true)}},
	{
		"AMF3 references to a string and to traits", "\x11\x09\x05\x01\x0a\x13\x01\x03a\x06\x00\x0a\x01\x06\x00",
		StrictArray{Object{{"a", String("a")}}, Object{{"a", String("a")}}},
	},
}

// broken are inputs that are refused, with the section that they break.
var broken = []struct {
	name    string
	enc     string
	section string
}{
	{"nothing", "", "AMF0 2.1"},
	{"number cut short", "\x00\x3f", "AMF0 2.2"},
	{"boolean cut short", "\x01", "AMF0 2.3"},
	{"string without a length", "\x02\x00", "AMF0 2.4"},
	{"string longer than the input", "\x02\xff\xffx", "AMF0 2.4"},
	{"long string of 4 GiB", "\x0c\xff\xff\xff\xffx", "AMF0 2.14"},
	{"object without an end", "\x03\x00\x01a\x05", "AMF0 2.5"},
	{"object whose end lacks its marker", "\x03\x00\x00", "AMF0 2.1"},
	{"ECMA array without an end", "\x08\x00\x00\x00\x01\x00\x01a\x05", "AMF0 2.10"},
	{"strict array of 4 G values", "\x0a\xff\xff\xff\xff\x05", "AMF0 2.12"},
	{"date without a zone", "\x0b\x40\x8f\x40\x00\x00\x00\x00\x00", "AMF0 2.13"},
	{"movie clip, reserved", "\x04", "AMF0 2.1"},
	{"object end alone", "\x09", "AMF0 2.1"},
	{"marker unknown", "\x12", "AMF0 2.1"},
	{"nested too deep", strings.Repeat("\x0a\x00\x00\x00\x01", MaxDepth+1) + "\x05", "AMF0 2.12"},
	{"AMF3 nothing", "\x11", "AMF3 3.1"},
	{"AMF3 integer cut short", "\x11\x04\xff\xff\xff", "AMF3 1.3.1"},
	{"AMF3 marker unknown", "\x11\x12\x03x", "AMF3 3.1"},
	{"AMF3 byte array cut short", "\x11\x0c\x05x", "AMF3 3.14"},
	{"AMF3 vector of 2^28 numbers", "\x11\x0d\xff\xff\xff\xff\x00\x00", "AMF3 3.15"},
	{"AMF3 vector of 2^28 objects", "\x11\x10\xff\xff\xff\xff\x00\x01\x01", "AMF3 3.15"},
	{"AMF3 dictionary of 2^28 pairs", "\x11\x11\xff\xff\xff\xff\x00\x01", "AMF3 3.16"},
	{"AMF3 object that holds itself", "\x11\x0a\x0b\x01\x03a\x0a\x00", "AMF3 2.2"},
	{
		"AMF3 references to an object that stand for 16 MB",
		"\x11\x09\x88\x03\x01\x0c\xa0\x01" + strings.Repeat("x", 2048) + strings.Repeat("\x0c\x02", 512), "AMF3 2.2",
	},
	{"AMF3 reference to no string", "\x11\x06\x00", "AMF3 1.3.2"},
	{"AMF3 reference to no object", "\x11\x0a\x00", "AMF3 2.2"},
	{"AMF3 reference to no traits", "\x11\x0a\x01", "AMF3 3.12"},
	{"AMF3 externalizable object of a class unknown", "\x11\x0a\x07\x03C", "AMF3 3.12"},
	{"AMF3 array of 2^28 values", "\x11\x09\xff\xff\xff\xff\x01\x01", "AMF3 3.11"},
	{"AMF3 object of 2^25 members", "\x11\x0a\xff\xff\xff\xf3\x01", "AMF3 1.3.1"},
	{"AMF3 nested too deep by a vector", "\x11" + strings.Repeat("\x09\x03\x01", MaxDepth) + "\x0d\x01\x00", "AMF3 3.15"},
	{"AMF3 nested too deep by a reference", "\x11\x09\x05\x01" + strings.Repeat("\x09\x03\x01", 9) + "\x01" + strings.Repeat("\x09\x03\x01", MaxDepth-5) + "\x09\x02", "AMF3 2.2"},
	{"AMF3 nested too deep", "\x11" + strings.Repeat("\x09\x03\x01", MaxDepth+1) + "\x01", "AMF3 3.11"},
	{
		"AMF3 references that stand for 16 MB",
		"\x11\x09\x88\x03\x01\x06\xa0\x01" + strings.Repeat("x", 2048) + strings.Repeat("\x06\x00", 512), "AMF3 1.3.2",
	},
}

func TestDecode(t *testing.T) {
	for _, c := range append(cases[:len(cases):len(cases)], tolerated...) {
		t.Run(c.name, func(t *testing.T) {
			// What follows a value is not its business.
			got, n, err := Decode([]byte(c.enc + "\x05"))
			if err != nil {
				t.Fatal(err)
			}
			if n != len(c.enc) {
				t.Errorf("took %d bytes of %d", n, len(c.enc))
			}
			if diff := cmp.Diff(c.dec, got); diff != "" {
				t.Error("value (-want +got):\n" + diff)
			}
		})
	}
}

func TestAppend(t *testing.T) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := Append([]byte("x"), c.dec); string(got) != "x"+c.enc {
				t.Errorf("got %q, want %q", got[1:], c.enc)
			}
		})
	}
	t.Run("nil is null", func(t *testing.T) {
		if got := Append(nil, nil, Object{{Name: "a"}}); string(got) != "\x05\x03\x00\x01a\x05\x00\x00\x09" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("a name is cut at what its length can say", func(t *testing.T) {
		enc := Append(nil, Object{{strings.Repeat("n", 1<<16), Null{}}})
		v, n, err := Decode(enc)
		if err != nil || n != len(enc) || len(v.(Object)[0].Name) != 1<<16-1 {
			t.Errorf("decoded %d of %d bytes: %v", n, len(enc), err)
		}
	})
}

func TestDecodeBroken(t *testing.T) {
	for _, c := range broken {
		t.Run(c.name, func(t *testing.T) {
			v, _, err := Decode([]byte(c.enc))
			e, ok := errors.AsType[*Error](err)
			if !ok {
				t.Fatalf("decoded %v, error %v; want an *Error", v, err)
			}
			if e.Section != c.section {
				t.Errorf("broke %s, want %s", err, c.section)
			}
		})
	}
}

// TestDecodeAll: values before an error are returned with it, because encoders
// leave odd bytes behind a command.
func TestDecodeAll(t *testing.T) {
	vs, err := DecodeAll([]byte("\x02\x00\x01a\x05\xff"))
	if diff := cmp.Diff([]Value{String("a"), Null{}}, vs); diff != "" {
		t.Error("values (-want +got):\n" + diff)
	}
	const want = "amf: at byte 5: the marker is not one of a value [AMF0 2.1]"
	if err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	// The tables of AMF3 are kept for the whole message [AMF3 2.2].
	vs, err = DecodeAll([]byte("\x11\x06\x03a\x05\x11\x06\x00"))
	if diff := cmp.Diff([]Value{String("a"), Null{}, String("a")}, vs); diff != "" || err != nil {
		t.Errorf("%v, values (-want +got):\n%s", err, diff)
	}
}

func TestProperties(t *testing.T) {
	ps := Properties{{"a", Number(1)}, {"b", Null{}}, {"a", Number(2)}}
	for _, v := range []Value{Object(ps), ECMAArray(ps), TypedObject{"C", ps}} {
		if got := PropertiesOf(v).Get("a"); got != Number(2) {
			t.Errorf("%T: got %v, want the last of the name", v, got)
		}
	}
	if got := PropertiesOf(Null{}).Get("a"); got != nil {
		t.Errorf("null has a property %v", got)
	}
}

// FuzzDecode: no input panics, and what decodes survives encoding and decoding
// again.
func FuzzDecode(f *testing.F) {
	for _, c := range append(cases[:len(cases):len(cases)], tolerated...) {
		if len(c.enc) < 1<<10 { // the fuzzer is slow with the long string
			f.Add([]byte(c.enc))
		}
	}
	for _, c := range broken {
		f.Add([]byte(c.enc))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		vs, err := DecodeAll(p)
		if _, ok := errors.AsType[*Error](err); err != nil && !ok {
			t.Fatalf("error of type %T", err)
		}
		enc := Append(nil, vs...)
		if limit := 16*len(p) + maxExpansion; len(enc) > limit {
			t.Fatalf("%d bytes became %d, more than %d", len(p), len(enc), limit)
		}
		again, err := DecodeAll(enc)
		if err != nil {
			t.Fatalf("decode what was appended: %v", err)
		}
		if second := Append(nil, again...); !bytes.Equal(enc, second) {
			t.Fatalf("appended %x, then %x", enc, second)
		}
	})
}

var sink []Value

func BenchmarkDecode(b *testing.B) {
	// onMetaData as ffmpeg sends it: an array of a dozen numbers and strings.
	meta := ECMAArray{}
	for _, name := range []string{"duration", "width", "height", "videodatarate", "framerate", "videocodecid", "audiodatarate", "audiosamplerate"} {
		meta = append(meta, Property{name, Number(44100)})
	}
	p := Append(nil, String("onMetaData"), append(meta, Property{"encoder", String("Lavf59.27.100")}))
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	for b.Loop() {
		vs, err := DecodeAll(p)
		if err != nil {
			b.Fatal(err)
		}
		sink = vs
	}
}

// FuzzAMF3: as FuzzDecode, for values in AMF3 one after the other, whose tables
// are shared.
func FuzzAMF3(f *testing.F) {
	for _, c := range tolerated {
		if enc, ok := strings.CutPrefix(c.enc, "\x11"); ok {
			f.Add([]byte(enc))
		}
	}
	for _, c := range broken {
		if enc, ok := strings.CutPrefix(c.enc, "\x11"); ok {
			f.Add([]byte(enc))
		}
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		d := decoder{p: p}
		var vs []Value
		for d.off < len(p) {
			v, err := d.amf3Value()
			if err != nil {
				if _, ok := errors.AsType[*Error](err); !ok {
					t.Fatalf("error of type %T", err)
				}
				break
			}
			vs = append(vs, v)
		}
		enc := Append(nil, vs...)
		if limit := 16*len(p) + maxExpansion; len(enc) > limit {
			t.Fatalf("%d bytes became %d, more than %d", len(p), len(enc), limit)
		}
		if _, err := DecodeAll(enc); err != nil {
			t.Fatalf("decode what was appended: %v", err)
		}
	})
}
