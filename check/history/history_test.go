package history

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"weir/check/playlist"
	"weir/check/report"
)

// zero is when the tests begin: the first segment's date.
var zero = time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)

// list is a live playlist of segments of 2 s with numbers from first on.
type list struct {
	first, n       int
	target         int // 0: 2
	discontinuity  int // the number that is marked; 0: none
	sequence       int // EXT-X-DISCONTINUITY-SEQUENCE
	kind           string
	ended, undated bool
	edit           []string // pairs of old and new text
}

func (l list) String() string {
	var b strings.Builder
	target := max(l.target, 2)
	fmt.Fprintf(&b, "#EXTM3U\n#EXT-X-TARGETDURATION:%d\n#EXT-X-MEDIA-SEQUENCE:%d\n#EXT-X-DISCONTINUITY-SEQUENCE:%d\n", target, l.first, l.sequence)
	if l.kind != "" {
		fmt.Fprintf(&b, "#EXT-X-PLAYLIST-TYPE:%s\n", l.kind)
	}
	for i := l.first; i < l.first+l.n; i++ {
		if i == l.discontinuity && i > 0 {
			b.WriteString("#EXT-X-DISCONTINUITY\n")
		}
		if !l.undated {
			fmt.Fprintf(&b, "#EXT-X-PROGRAM-DATE-TIME:%s\n", zero.Add(time.Duration(i)*2*time.Second).Format("2006-01-02T15:04:05.000Z"))
		}
		fmt.Fprintf(&b, "#EXTINF:2.000,\n%d.ts\n", i)
	}
	if l.ended {
		b.WriteString("#EXT-X-ENDLIST\n")
	}
	s := b.String()
	for i := 0; i < len(l.edit); i += 2 {
		if !strings.Contains(s, l.edit[i]) {
			panic("the list lacks " + l.edit[i])
		}
		s = strings.Replace(s, l.edit[i], l.edit[i+1], 1)
	}
	return s
}

// look is a version of a playlist, seen so long after zero; at negative it is
// seen by no clock.
type look struct {
	at   time.Duration
	list list
}

// observe follows a playlist through its versions, and returns the numbers of
// the entries that left with each.
func observe(looks ...look) (report.Report, [][]uint64) {
	var h History
	var r report.Report
	var left [][]uint64
	for _, l := range looks {
		var ignored report.Report
		p := playlist.Parse("p.m3u8", l.list.String(), nil, &ignored)
		now := zero.Add(l.at)
		if l.at < 0 {
			now = time.Time{}
		}
		var numbers []uint64
		for _, s := range h.Observe(now, p, &r) {
			numbers = append(numbers, s.Sequence)
		}
		left = append(left, numbers)
	}
	return r, left
}

// sound is a show that slides by a segment each 2 s, seen 100 ms after each
// segment ended.
func sound(n int) (looks []look) {
	for i := range n {
		looks = append(looks, look{time.Duration(6+i)*2*time.Second + 100*time.Millisecond, list{first: i, n: 6}})
	}
	return looks
}

// TestSound: a show that slides as it should breaks nothing, and what leaves is
// told once.
func TestSound(t *testing.T) {
	looks := sound(5)
	r, left := observe(looks...)
	if len(r.Counts) > 0 {
		t.Errorf("%v", r.Findings)
	}
	for i, got := range left {
		if want := []uint64{uint64(i) - 1}; i > 0 && !slices.Equal(got, want) || i == 0 && got != nil {
			t.Errorf("with version %d left %v", i, got)
		}
	}
}

// TestBoundaries: each rule on both sides of its boundary. What is broken, and
// what is kept, comes after a sound start.
func TestBoundaries(t *testing.T) {
	at := func(seconds float64, l list) look { return look{time.Duration(seconds * float64(time.Second)), l} }
	start := at(12, list{n: 6})
	open := list{n: 6, kind: "EVENT"}
	for _, c := range []struct {
		name, rule   string
		broken, kept []look
	}{
		{"the window's start goes back", "LIVE-SEQUENCE-BACK",
			[]look{at(14, list{first: 1, n: 6}), at(15, list{first: 0, n: 8})}, []look{at(14, list{first: 1, n: 6}), at(15, list{first: 1, n: 6})}},
		{"its end goes back", "LIVE-SEQUENCE-BACK",
			[]look{start, at(13, list{n: 5})}, []look{start, at(13, list{n: 6})}},
		{"a name has another number", "LIVE-FORK",
			[]look{start, at(14, list{first: 1, n: 6, edit: []string{"\n6.ts", "\n5.ts", "\n5.ts", "\n4b.ts"}})}, []look{start, at(14, list{first: 1, n: 6})}},
		{"a number has another name", "LIVE-FORK",
			[]look{start, at(14, list{first: 1, n: 6, edit: []string{"\n3.ts", "\n3b.ts"}})}, []look{start, at(14, list{first: 1, n: 6, edit: []string{"\n6.ts", "\n6b.ts"}})}},
		{"a duration changes", "LIVE-CHANGED",
			[]look{start, at(13, list{n: 6, edit: []string{"2.000,\n3", "2.001,\n3"}})}, []look{start, at(13, list{n: 6, edit: []string{"2.000,\n3", "2.0004,\n3"}})}},
		{"a date changes", "LIVE-CHANGED",
			[]look{start, at(13, list{n: 6, edit: []string{"10:00:06.000Z", "10:00:06.002Z"}})}, []look{start, at(13, list{n: 6, edit: []string{"10:00:06.000Z", "10:00:06.001Z"}})}},
		{"a segment becomes one that is there", "LIVE-CHANGED",
			[]look{at(12, list{n: 6, edit: []string{"#EXTINF:2.000,\n3", "#EXT-X-GAP\n#EXTINF:2.000,\n3"}}), at(13, list{n: 6})},
			[]look{start, at(13, list{n: 6, edit: []string{"#EXTINF:2.000,\n3", "#EXT-X-GAP\n#EXTINF:2.000,\n3"}})}}, // it was lost since
		{"the target duration changes", "LIVE-TARGETDURATION",
			[]look{start, at(13, list{n: 6, target: 3})}, []look{start, at(13, list{n: 6, target: 2})}},
		{"the type changes", "LIVE-TYPE", []look{start, at(13, open)}, []look{at(12, open), at(13, open)}},
		{"an EVENT loses a segment", "LIVE-TYPE",
			[]look{at(12, open), at(14, list{first: 1, n: 6, kind: "EVENT"})}, []look{at(12, open), at(14, list{n: 7, kind: "EVENT"})}},
		{"a VOD gains a segment", "LIVE-TYPE",
			[]look{at(12, list{n: 6, kind: "VOD"}), at(14, list{n: 7, kind: "VOD"})}, []look{at(12, list{n: 6, kind: "VOD"}), at(14, list{n: 6, kind: "VOD"})}},
		{"it goes on after its end", "LIVE-ENDLIST",
			[]look{at(12, list{n: 6, ended: true}), at(14, list{first: 1, n: 6, ended: true})}, []look{start, at(14, list{first: 1, n: 6, ended: true}), at(15, list{first: 1, n: 6, ended: true})}},
		{"the end is taken back", "LIVE-ENDLIST",
			[]look{at(12, list{n: 6, ended: true}), at(13, list{n: 6})}, []look{start, at(13, list{n: 6, ended: true})}},
		{"a discontinuity leaves and is not counted", "LIVE-DISCONTINUITY-SEQUENCE",
			[]look{at(12, list{n: 6, discontinuity: 1}), at(14, list{first: 2, n: 6})}, []look{at(12, list{n: 6, discontinuity: 1}), at(14, list{first: 2, n: 6, sequence: 1})}},
		{"one that stays is counted", "LIVE-DISCONTINUITY-SEQUENCE",
			[]look{at(12, list{n: 6, discontinuity: 2}), at(14, list{first: 1, n: 6, discontinuity: 2, sequence: 1})}, []look{at(12, list{n: 6, discontinuity: 2}), at(14, list{first: 1, n: 6, discontinuity: 2})}},
		{"the number goes back over a hole in what was seen", "LIVE-DISCONTINUITY-SEQUENCE",
			[]look{at(12, list{n: 6, sequence: 3}), at(40, list{first: 14, n: 6, sequence: 2})}, []look{at(12, list{n: 6, sequence: 3}), at(40, list{first: 14, n: 6, sequence: 4})}},
		{"less than three target durations stay", "LIVE-WINDOW",
			[]look{at(6, list{n: 3}), at(8, list{first: 1, n: 2})}, []look{at(6, list{n: 3}), at(8, list{first: 1, n: 3})}},
		{"the same, at its end", "LIVE-WINDOW",
			[]look{at(6, list{n: 3}), at(8, list{first: 1, n: 2})}, []look{at(6, list{n: 3}), at(8, list{first: 1, n: 2, ended: true})}},
		{"no segment for longer than 1.5 target durations and a quarter of a second", "LIVE-STALE",
			[]look{start, at(13, list{n: 6}), at(14, list{n: 6}), at(15.3, list{n: 6})}, []look{start, at(13, list{n: 6}), at(14, list{n: 6}), at(15.2, list{n: 6})}},
		{"one that came meanwhile may have come right after the last look", "LIVE-STALE",
			[]look{start, at(15.5, list{n: 6}), at(16, list{first: 1, n: 6})}, []look{start, at(14, list{n: 6}), at(16.9, list{first: 1, n: 6})}},
		{"nothing is waited for after the end", "LIVE-STALE",
			[]look{start, at(16, list{n: 6})}, []look{start, at(13, list{n: 6, ended: true}), at(60, list{n: 6, ended: true})}},
		{"dates ahead of the clock", "LIVE-PDT-FUTURE", []look{at(10.9, list{n: 6})}, []look{at(11, list{n: 6})}},
		{"dates behind the clock", "LIVE-LATENCY", []look{at(18.1, list{n: 6})}, []look{at(18, list{n: 6})}},
		{"dates of a recording", "LIVE-LATENCY", []look{at(60, list{n: 6})}, []look{at(60, list{n: 6, ended: true})}},
		{"no dates", "LIVE-LATENCY", []look{at(60, list{n: 6})}, []look{at(60, list{n: 6, undated: true})}},
	} {
		if r, _ := observe(c.broken...); !r.Has(c.rule) {
			t.Errorf("%s: %s is not found, but %v", c.name, c.rule, r.Findings)
		}
		if r, _ := observe(c.kept...); r.Has(c.rule) {
			t.Errorf("%s: %s is found in what is right: %v", c.name, c.rule, r.Findings)
		}
	}
}

// TestWithoutClock: without a clock nothing is said about time, and all else is.
func TestWithoutClock(t *testing.T) {
	r, _ := observe(look{-1, list{n: 6}}, look{-1, list{n: 6}}, look{-1, list{n: 5}})
	if !r.Has("LIVE-SEQUENCE-BACK") || len(r.Counts) != 1 {
		t.Errorf("%v", r.Findings)
	}
}

// TestToldOnce: what lasts is told once, not with each version.
func TestToldOnce(t *testing.T) {
	var stale []look
	for i := range 20 {
		stale = append(stale, look{12*time.Second + time.Duration(i)*time.Second, list{n: 6}})
	}
	if r, _ := observe(stale...); r.Counts["LIVE-STALE"] != 1 || r.Counts["LIVE-LATENCY"] != 1 {
		t.Errorf("%v", r.Counts)
	}
}

// TestStaleAgain: it is told again when it comes again.
func TestStaleAgain(t *testing.T) {
	r, _ := observe(look{12 * time.Second, list{n: 6}}, look{16 * time.Second, list{n: 6}}, look{17 * time.Second, list{first: 1, n: 6}}, look{21 * time.Second, list{first: 1, n: 6}})
	if r.Counts["LIVE-STALE"] != 2 {
		t.Errorf("%v", r.Findings)
	}
}

// TestMeasureStays: a version that goes back is told, and does not become what
// later ones are compared with.
func TestMeasureStays(t *testing.T) {
	r, left := observe(look{12 * time.Second, list{first: 0, n: 6}}, look{14 * time.Second, list{first: 1, n: 6}}, look{14 * time.Second, list{first: 0, n: 6}}, look{16 * time.Second, list{first: 2, n: 6}})
	if r.Counts["LIVE-SEQUENCE-BACK"] != 1 || len(r.Counts) != 1 {
		t.Errorf("%v", r.Findings)
	}
	if !slices.Equal(left[3], []uint64{1}) {
		t.Errorf("with the last version left %v, want number 1", left[3])
	}
}

// TestGapsDoNotLeave: what was a gap is not asked for when it leaves.
func TestGapsDoNotLeave(t *testing.T) {
	gap := list{n: 6, edit: []string{"#EXTINF:2.000,\n0", "#EXT-X-GAP\n#EXTINF:2.000,\n0"}}
	if _, left := observe(look{12 * time.Second, gap}, look{16 * time.Second, list{first: 2, n: 6}}); !slices.Equal(left[1], []uint64{1}) {
		t.Errorf("%v left, want number 1", left[1])
	}
}

// TestSlides: a show that slides by any steps, each seen any number of times and
// never late, breaks nothing, whatever discontinuities it has; and each segment
// leaves once.
func TestSlides(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		marked := rapid.IntRange(1, 30).Draw(t, "discontinuity")
		var looks []look
		first := 0
		for range rapid.IntRange(1, 12).Draw(t, "versions") {
			n := rapid.IntRange(6, 8).Draw(t, "segments")
			sequence := 0
			if first > marked {
				sequence = 1
			}
			if len(looks) > 0 { // the end never goes back
				n = max(n, looks[len(looks)-1].list.first+looks[len(looks)-1].list.n-first)
			}
			l := list{first: first, n: n, discontinuity: marked, sequence: sequence}
			now := time.Duration(first+n) * 2 * time.Second
			for range rapid.IntRange(1, 2).Draw(t, "times") {
				looks = append(looks, look{now, l})
			}
			first += rapid.IntRange(0, 1).Draw(t, "step")
		}
		r, left := observe(looks...)
		if len(r.Counts) > 0 {
			t.Fatalf("%v", r.Findings)
		}
		if all := slices.Concat(left...); len(all) != looks[len(looks)-1].list.first || !slices.IsSorted(all) {
			t.Fatalf("%v left, the window begins at %d", all, looks[len(looks)-1].list.first)
		}
	})
}
