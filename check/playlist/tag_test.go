package playlist

import (
	"strings"
	"testing"
	"time"
)

// TestForms: for each type of value what is one, and what is not
// [RFC 8216bis 4.2].
func TestForms(t *testing.T) {
	for _, tt := range []struct {
		form      form
		good, bad string // between spaces
	}{
		{integer, "0 1 007 18446744073709551615", "18446744073709551616 -1 +1 1.0 0x1 1e3 one"},
		{positive, "1 7 2147483647", "0 -1 +0 2147483648 1.5 x"},
		{float, "0 1 1.5 .5 2. 0.000 123456789012345678901234567890", "-1 +1 1e3 1,5 . NaN Inf 0x1p3 1.5.2"},
		{signed, "0 -1 1.5 -1.5 -.5 .5 -0", "+1 --1 1e3 - . -. NaN"},
		{hexadecimal, "0x0 0XFF 0xdeadBEEF", "0x FF x1 0xG 00x1"},
		{word, "YES TYPE-0 a/b", "a,b \"YES\" a\tb"},
		{resolution, "1x1 1920x1080 0x0 999999999x1", "1920X1080 1920*1080 x1 1x -1x1 1x1x1 1.5x1 1234567890x1"},
		{byterange, "0 100 100@0 5@7 999999999999999999@0", "@5 100@ -1 1@-1 a 1@2@3 1000000000000000000"},
		{date, "2026-11-21T10:00:00Z 2026-11-21T10:00:00.123+01:00 2026-11-21T10:00:00 20261121T100000Z", "2026-11-21 10:00:00 2026-13-01T00:00:00Z 2026-11-21T25:00:00Z 2026-11-31T10:00:00Z now"},
	} {
		for value := range strings.FieldsSeq(tt.good) {
			if !wellFormed(value, tt.form) {
				t.Errorf("%q is of form %d", value, tt.form)
			}
		}
		for value := range strings.SplitSeq(tt.bad, " ") {
			if wellFormed(value, tt.form) {
				t.Errorf("%q is not of form %d", value, tt.form)
			}
		}
		if wellFormed("", tt.form) {
			t.Errorf("nothing at all is not of form %d", tt.form)
		}
	}
	if !wellFormed("", nothing) || wellFormed("1", nothing) {
		t.Error("a tag without a value has none")
	}
}

// TestDates: what ISO 8601 writes, at which moment, and whether zone and
// milliseconds are there [RFC 8216bis 4.4.4.6].
func TestDates(t *testing.T) {
	noon := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		text  string
		want  time.Time
		exact bool
	}{
		{"2026-11-21T12:00:00.000Z", noon, true},
		{"2026-11-21T12:00:00.000000Z", noon, true},
		{"2026-11-21T13:00:00.000+01:00", noon, true},
		{"2026-11-21T13:00:00.000+0100", noon, true},
		{"2026-11-21T13:00:00.000+01", noon, true},
		{"2026-11-21T06:30:00.000-05:30", noon, true},
		{"20261121T120000.000Z", noon, true},
		{"2026-11-21T12:00:00.123Z", noon.Add(123 * time.Millisecond), true},
		{"2026-11-21T12:00:00,123Z", noon.Add(123 * time.Millisecond), true},
		{"2026-11-21T12:00:00.12Z", noon.Add(120 * time.Millisecond), false}, // no milliseconds
		{"2026-11-21T12:00:00Z", noon, false},
		{"2026-11-21T12:00:00.000", noon, false}, // no zone
		{"20261121T120000", noon, false},
	} {
		got, exact, err := parseDate(tt.text)
		if err != nil || !got.Equal(tt.want) || exact != tt.exact {
			t.Errorf("%s is %v, exact: %v, %v; want %v, %v", tt.text, got, exact, err, tt.want, tt.exact)
		}
	}
	for _, text := range []string{"", "2026-11-21", "12:00:00Z", "2026-02-30T12:00:00Z", "2026-11-21t12:00:00Z", "Sat, 21 Nov 2026 12:00:00 GMT", strings.Repeat("2", 41)} {
		if got, _, err := parseDate(text); err == nil {
			t.Errorf("%q was read as %v", text, got)
		}
	}
}

// TestWrongWith: what an attribute's type, quotes and list ask of its value.
func TestWrongWith(t *testing.T) {
	for _, tt := range []struct {
		spec attributeSpec
		a    attribute
		want string // "" is right
	}{
		{attributeSpec{"URI!", quoted, ""}, attribute{"URI", "a b", true}, ""},
		{attributeSpec{"URI!", quoted, ""}, attribute{"URI", "a", false}, "must be a quoted"},
		{attributeSpec{"N", integer, ""}, attribute{"N", "5", false}, ""},
		{attributeSpec{"N", integer, ""}, attribute{"N", "5", true}, "must not be quoted"},
		{attributeSpec{"N", integer, ""}, attribute{"N", "five", false}, "not of its type"},
		{attributeSpec{"B", byterange, ""}, attribute{"B", "5@0", true}, ""},
		{attributeSpec{"B", byterange, ""}, attribute{"B", "5@0", false}, "must be a quoted"},
		{attributeSpec{"D", date, ""}, attribute{"D", "2026-11-21T12:00:00Z", true}, ""},
		{attributeSpec{"D", date, ""}, attribute{"D", "today", true}, "not of its type"},
		{attributeSpec{"Y", word, "YES NO"}, attribute{"Y", "NO", false}, ""},
		{attributeSpec{"Y", word, "YES NO"}, attribute{"Y", "no", false}, "none of YES NO"},
		{attributeSpec{"Y", word, "YES NO"}, attribute{"Y", "YES NO", false}, "not of its type"},
		{attributeSpec{"C", words, "NONE"}, attribute{"C", "anything", true}, ""},
		{attributeSpec{"C", words, "NONE"}, attribute{"C", "NONE", false}, ""},
		{attributeSpec{"C", words, "NONE"}, attribute{"C", "OTHER", false}, "none of NONE"},
	} {
		got := tt.spec.wrongWith(tt.a)
		if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%+v with %+v: %q, want %q", tt.spec, tt.a, got, tt.want)
		}
	}
}

// TestTagsAreWhole: each tag of RFC 8216bis 4.4 is known, once, with attributes
// of known form whose names are well formed.
func TestTagsAreWhole(t *testing.T) {
	names := strings.Fields(`EXTM3U EXT-X-VERSION EXT-X-INDEPENDENT-SEGMENTS EXT-X-START EXT-X-DEFINE EXT-X-TARGETDURATION EXT-X-MEDIA-SEQUENCE
		EXT-X-DISCONTINUITY-SEQUENCE EXT-X-ENDLIST EXT-X-PLAYLIST-TYPE EXT-X-I-FRAMES-ONLY EXT-X-PART-INF EXT-X-SERVER-CONTROL EXTINF EXT-X-BYTERANGE
		EXT-X-DISCONTINUITY EXT-X-KEY EXT-X-MAP EXT-X-PROGRAM-DATE-TIME EXT-X-GAP EXT-X-BITRATE EXT-X-PART EXT-X-DATERANGE EXT-X-SKIP EXT-X-PRELOAD-HINT
		EXT-X-RENDITION-REPORT EXT-X-MEDIA EXT-X-STREAM-INF EXT-X-I-FRAME-STREAM-INF EXT-X-SESSION-DATA EXT-X-SESSION-KEY EXT-X-CONTENT-STEERING EXT-X-ALLOW-CACHE`)
	if len(names) != len(tags) {
		t.Errorf("%d tags are known, want %d", len(tags), len(names))
	}
	for _, name := range names {
		spec, ok := tags[name]
		if !ok {
			t.Errorf("%s is not known", name)
		}
		if (spec.form == list) != (len(spec.attributes) > 0) {
			t.Errorf("%s has %d attributes", name, len(spec.attributes))
		}
		seen := map[string]bool{}
		for _, a := range spec.attributes {
			if plain := strings.TrimSuffix(a.name, "!"); !attributeName(plain) || seen[plain] {
				t.Errorf("%s has an attribute %q, or has it twice", name, a.name)
			} else {
				seen[plain] = true
			}
			if a.values != "" && a.form != word && a.form != words {
				t.Errorf("%s: %s has a list of values, and is no word", name, a.name)
			}
		}
	}
}

// TestCodecs: elements of CODECS [RFC 6381].
func TestCodecs(t *testing.T) {
	for codec, want := range map[string]bool{
		"avc1.64001f": true, "avc1.4D401E": true, "avc3.640028": true, "avc1.66.30": false, "avc1": false, "avc1.64001": false, "avc1.64001g": false,
		"mp4a.40.2": true, "mp4a.40.34": true, "mp4a.69": true, "mp4a": false, "mp4a.40.": false, "mp4a.4": false, "mp4a.40.2.1": false,
		"hvc1.2.4.L153.B0": true, "hev1.1.6.L93.90": true, "av01.0.04M.08": true, "vp09.00.10.08": true, "ac-3": true, "ec-3": true, "wvtt": true,
		"stpp.ttml.im1t": true, "dvh1.05.06": true, "fLaC": true, "Opus": true, "": false, "h": false, "toolong.1": false, "a b": false,
	} {
		if got := isCodec(codec); got != want {
			t.Errorf("%q is of RFC 6381: %v, want %v", codec, got, want)
		}
	}
	for list, want := range map[string]bool{"avc1.64001f,mp4a.40.2": true, "mp4a.40.2": false, "mp4a.40.2, hvc1.2": true, "": false, "ac-3,wvtt": false, "av01.0": true, "avc1x": false, "mjpg": true} {
		if got := hasVideo(list); got != want {
			t.Errorf("%q has video: %v, want %v", list, got, want)
		}
	}
}

// TestResolution: RESOLUTION is width x height.
func TestResolution(t *testing.T) {
	for value, want := range map[string][2]int{"1920x1080": {1920, 1080}, "1x2": {1, 2}, "999999999x1": {999999999, 1}} {
		a := Attributes{{"RESOLUTION", value, false}}
		if w, h, ok := a.Resolution(); !ok || w != want[0] || h != want[1] {
			t.Errorf("%s is %dx%d, %v", value, w, h, ok)
		}
	}
	for _, value := range []string{"", "1920", "1920X1080", "99999999999x1"} {
		if w, h, ok := (Attributes{{"RESOLUTION", value, false}}).Resolution(); ok || w != 0 || h != 0 {
			t.Errorf("%q is %dx%d, %v", value, w, h, ok)
		}
	}
}

// TestDuration: seconds of a playlist as a time.Duration; the absurd is the
// longest one, and no overflow.
func TestDuration(t *testing.T) {
	for seconds, want := range map[float64]time.Duration{0: 0, 2: 2 * time.Second, 0.0005: 500 * time.Microsecond, -1: -time.Second, 1e9: 1e9 * time.Second, 1e300: 1e9 * time.Second} {
		if got := Duration(seconds); got != want {
			t.Errorf("%g s is %v, want %v", seconds, got, want)
		}
	}
}
