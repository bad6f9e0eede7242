package stream

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"weir/media"
	"weir/remux/mpegts"
)

// faultsOf reads a segment and returns the rules that it breaks, sorted.
func faultsOf(body []byte, mapped bool) (*Stream, []string) {
	rules := map[string]bool{}
	s := Read(body, mapped, func(rule, format string, args ...any) {
		if text := fmt.Sprintf(format, args...); strings.Contains(text, "%!") {
			panic(text)
		}
		rules[rule] = true
	})
	return s, slices.Sorted(maps.Keys(rules))
}

const begin = 900000 // where the tests' segments begin

// TestReadSound: what a sound segment shows, and that nothing is found in it.
func TestReadSound(t *testing.T) {
	s, rules := faultsOf(newMaker().both().second(begin).second(begin+90000).out, false)
	if len(rules) > 0 {
		t.Errorf("found %v", rules)
	}
	v, a := s.First(media.Video), s.First(media.Audio)
	if v == nil || a == nil || s.Main() != v || s.Stamped(videoPID) != v || s.Stamped(tablePID) != nil {
		t.Fatalf("tracks %+v", s.Tracks)
	}
	if v.Codec != "avc1.4d401e" || v.Size != (Size{640, 360}) || v.Size.String() != "640x360" || v.Rate() != 25 || v.Step != picture {
		t.Errorf("pictures are %s, %v, %g a second", v.Codec, v.Size, v.Rate())
	}
	if v.Frames != 50 || !v.FirstKey || !v.AnyKey || !v.Keyed || v.MinPTS != begin || v.End() != begin+2*90000 || v.Lead() != 0 {
		t.Errorf("pictures: %+v", v)
	}
	if a.Codec != "mp4a.40.2" || a.Step != 1920 || a.MinPTS != begin || a.End() < begin+2*90000 || a.End() > begin+2*90000+1920 {
		t.Errorf("sound is %s from %d to %d in steps of %d", a.Codec, a.MinPTS, a.End(), a.Step)
	}
	if !s.PMTs[tablePID] || s.PMT.PCR != videoPID {
		t.Errorf("tables: %v, %+v", s.PMTs, s.PMT)
	}
	for pid, want := range map[uint16]counter{0: {Payload: true}, tablePID: {Payload: true}} {
		if got := s.Counters[pid]; got == nil || *got != want {
			t.Errorf("counters of PID %d: %+v, want %+v", pid, got, want)
		}
	}
}

// TestReadFaults: each fault, by all that is found of it.
func TestReadFaults(t *testing.T) {
	sound := func() *maker { return newMaker().both().second(begin) }
	later := int64(begin + 25*picture) // where the next picture would be
	for _, tt := range []struct {
		name   string
		body   []byte
		mapped bool
		want   string // rules, with spaces between
	}{
		{"nothing", nil, false, "TS-PAT-PMT TS-SYNC"},
		{"nothing, and the tables are elsewhere", nil, true, "TS-SYNC"},
		{"a byte too many", append(sound().out, 0x47), false, "TS-SYNC"},
		{"a packet that is cut", sound().out[:len(sound().out)-1], false, "TS-SYNC"},
		{"rubbish before it", append([]byte("xyz"), sound().out...), false, "TS-SYNC"},
		{"rubbish in it", slices.Insert(sound().out, 188*20, []byte("x")...), false, "TS-SYNC"},
		{"no tables", newMaker().second(begin).out, false, "TS-PAT-PMT"},
		{"a PAT alone", newMaker().pat(tablePID).second(begin).out, false, "TS-PAT-PMT"},
		{"tables behind something else", newMaker().table(17, 0x42, 1, 0xFF).both().second(begin).out, false, "TS-PAT-FIRST"},
		{"tables the wrong way round", newMaker().pmt(videoPID, streamLine{mpegts.StreamH264, videoPID}).both().second(begin).out, false, "TS-PAT-FIRST"},
		{"two programs", newMaker().pat(tablePID, tablePID+1).pmt(videoPID, streamLine{mpegts.StreamH264, videoPID}, streamLine{mpegts.StreamAAC, audioPID}).second(begin).out, false, "TS-PROGRAMS"},
		{"a damaged table", damaged(sound().out, 0, 187, 1), false, "TS-CRC TS-PAT-PMT"},
		{"transport_error_indicator", damaged(sound().out, 188*30, 1, 0x80), false, "TS-CONTINUITY TS-ERROR"},
		{"scrambled", damaged(sound().out, 188*30, 3, 0x80), false, "TS-CONTINUITY TS-SCRAMBLED"},
		{"a packet is missing", slices.Delete(sound().out, 188*30, 188*31), false, "TS-CONTINUITY"},
		{"null packets", append(sound().out, packets(3)...), false, ""},

		{"no clock", newMaker().pat(tablePID).pmt(0x1FFE, streamLine{mpegts.StreamH264, videoPID}, streamLine{mpegts.StreamAAC, audioPID}).second(begin).out, false, "TS-PCR-MISSING"},
		{"a clock that goes back", sound().unit(videoPID, pes(0xE0, later, later-picture, plain), clock(0, begin)...).out, false, "TS-PCR-BACK"},
		{"a clock that comes late", sound().unit(videoPID, pes(0xE0, later, later-picture, plain), clock(0, later)...).out, false, "TS-PCR-INTERVAL TS-PCR-LATE"},

		{"a picture without a time", sound().unit(videoPID, pes(0xE0, -1, -1, plain)).out, false, "TS-PTS-MISSING"},
		{"a picture decoded twice", sound().video(later-picture, plain).out, false, "TS-DTS-ORDER"},
		{"shown before it is decoded", sound().unit(videoPID, pes(0xE0, later-2*picture, later-picture, plain), clock(0, later-picture-9000)...).out, false, "TS-PTS-BEFORE-DTS"},
		{"no delimiter", sound().video(later, units(predicted)).out, false, "TS-AUD"},
		{"an IDR picture without the indicator", sound().unit(videoPID, pes(0xE0, later, later-picture, keyUnits), clock(0, later-picture-9000)...).out, false, "TS-RANDOM-ACCESS"},
		{"no parameter sets", newMaker().both().unit(videoPID, pes(0xE0, begin, begin-picture, units(delimiter, idr)), clock(0x40, begin-picture-9000)...).sound(begin).out, false, "SEG-PARAMETER-SETS"},
		{"4:4:4", newMaker().both().video(begin, units(delimiter, fullChroma, pictureSet, idr)).sound(begin).out, false, "SEG-PROFILE"},
		{"no IDR picture for three seconds", sound().run(begin+90000, begin+90240, 50, plain).out, false, "SEG-KEYFRAMES"},
		{"a hole in the pictures", sound().video(later+45000, plain).out, false, "SEG-HOLE TS-PCR-INTERVAL"},

		{"what is no ADTS", sound().soundOf(begin+90240, make([]byte, 400)).out, false, "TS-ADTS"},
		{"half an ADTS frame at the end", sound().soundOf(begin+90240, adts(48000, 100)[:50]).out, false, "TS-ADTS"},
		{"a hole in the sound", sound().sound(begin + 90240 + 20000).out, false, "SEG-HOLE"},
		{"sound that drifts", drifting(newMaker().both().video(begin, keyUnits), 5100), false, "SEG-AV-DRIFT"},
		{"sound that begins late", newMaker().both().video(begin, keyUnits).video(begin+picture, plain).sound(begin + 60000).out, false, "SEG-AV-START"},
		{"sound behind all pictures", sound().run(begin+90000, 1<<40, 40, keyUnits).sound(begin + 90240).out, false, "SEG-INTERLEAVE TS-PCR-LATE"},
		{"two audio streams", newMaker().pat(tablePID).pmt(videoPID, streamLine{mpegts.StreamH264, videoPID}, streamLine{mpegts.StreamAAC, audioPID}, streamLine{mpegts.StreamAC3, 0x102}).second(begin).out, false, "SEG-AUDIO-TRACKS"},
		{"MPEG-2 video", newMaker().pat(tablePID).pmt(videoPID, streamLine{0x02, videoPID}, streamLine{mpegts.StreamAAC, audioPID}).second(begin).out, false, "TS-STREAM-TYPE"},
		{"HEVC", newMaker().pat(tablePID).pmt(videoPID, streamLine{mpegts.StreamHEVC, videoPID}, streamLine{mpegts.StreamAAC, audioPID}).second(begin).out, false, "SEG-HEVC"},
		{"tracks of data only", newMaker().pat(tablePID).pmt(videoPID, streamLine{0x15, videoPID}).second(begin).out, false, "SEG-NO-MEDIA"},
		{"tracks and nothing in them", newMaker().both().out, false, "SEG-NO-MEDIA"},
	} {
		_, rules := faultsOf(tt.body, tt.mapped)
		if got := strings.Join(rules, " "); got != tt.want {
			t.Errorf("%s: found %q, want %q", tt.name, got, tt.want)
		}
	}
}

// damaged sets bits of a byte of the packet at a place.
func damaged(b []byte, at, n int, bits byte) []byte { b[at+n] ^= bits; return b }

// drifting writes two seconds of sound whose timestamps run ahead of its samples
// by so many ticks in the end, in steps that are no holes.
func drifting(m *maker, by int64) []byte {
	for i := range int64(94) {
		if i%3 == 0 && i > 0 {
			m.video(begin+i/3*picture, plain)
		}
		m.sound(begin + i*1920 + by*i/93)
	}
	return m.out
}

// TestReadWraps: the 33 bits of a timestamp end inside a segment, and nothing is
// found.
func TestReadWraps(t *testing.T) {
	const turn = int64(1) << 33
	s, rules := faultsOf(newMaker().both().second(turn-45000).out, false)
	v := s.First(media.Video)
	if len(rules) > 0 || v.End()-v.MinPTS != 90000 {
		t.Errorf("found %v; pictures from %d to %d", rules, v.MinPTS, v.End())
	}
}

// TestReadParameters: what a track becomes in the middle of a segment is told.
func TestReadParameters(t *testing.T) {
	m := newMaker().both().second(begin)
	m.video(begin+90000, units(delimiter, fullChroma, pictureSet, idr))
	s, _ := faultsOf(m.out, false)
	if v := s.First(media.Video); v.Parameters != "avc1.4d401e 640x360, then avc1.f4001e 640x360" {
		t.Errorf("the pictures are %s", v.Parameters)
	}
}

// TestReadDamage: whatever is cut out, doubled or changed, a segment is read to
// its end, and only what is sound has no findings.
func TestReadDamage(t *testing.T) {
	whole := newMaker().both().second(begin).out
	rapid.Check(t, func(t *rapid.T) {
		b := slices.Clone(whole)
		at := rapid.IntRange(0, len(b)-2).Draw(t, "at")
		n := rapid.IntRange(1, min(2000, len(b)-at)).Draw(t, "n")
		switch rapid.IntRange(0, 2).Draw(t, "what") {
		case 0:
			b = slices.Delete(b, at, at+n)
		case 1:
			b = slices.Insert(b, at, b[at:at+n]...)
		default:
			for i := range b[at : at+n] {
				b[at+i] ^= byte(1 + i%255)
			}
		}
		s, rules := faultsOf(b, false)
		if len(rules) == 0 && slices.ContainsFunc(s.Tracks, func(tr *Track) bool { return tr.Frames == 0 }) {
			t.Fatalf("a segment without frames is sound")
		}
	})
}
