package check

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/check/playlist"
	"weir/check/report"
	"weir/media"
)

// gapped is vod with its second segment marked as a gap, which lasts as long
// as said and may be of several entries.
func gapped(entries int, seconds string) string {
	var gaps strings.Builder
	for range entries {
		gaps.WriteString("#EXT-X-GAP\n#EXTINF:" + seconds + ",\n1.ts\n")
	}
	return edit(vod, "VERSION:3", "VERSION:8", "#EXTINF:2.000,\n1.ts\n", gaps.String())
}

// through checks three segments of which the second is a gap; after changes
// the third.
func through(text string, after func(m *made)) report.Report {
	segments := links(func(i int, m *made) {
		if i == 2 && after != nil {
			after(m)
		}
	})
	return presentation(master, text, append(segments, "1.ts", nil)...)
}

// gapCases: what is marked EXT-X-GAP is neither fetched nor missed, and the
// timeline goes on behind it [RFC 8216bis 4.4.4.7, 6.2.1].
func gapCases() []ruleCase {
	one2 := gapped(1, "2.000")
	marked := edit(one2, "#EXT-X-GAP", "#EXT-X-DISCONTINUITY\n#EXT-X-GAP")
	sound := through(one2, nil)
	later := func(seconds float64) func(m *made) {
		return func(m *made) { m.start += int64(seconds * media.Clock) }
	}
	small := func(m *made) { m.sps = sps180 }
	unlike := func(m *made) { m.counters = map[uint16]uint8{pidVideo: 3, pidAudio: 9} }
	wide := edit(master, "BANDWIDTH=132400,A", "BANDWIDTH=150000,A")
	unsaid := edit(master, "#EXT-X-INDEPENDENT-SEGMENTS\n", "")
	full := edit(master, "AVERAGE-BANDWIDTH=131600", "AVERAGE-BANDWIDTH=170000", "BANDWIDTH=132400", "BANDWIDTH=200000")
	return []ruleCase{
		{"M3U-GAP-VERSION", one(edit(one2, "VERSION:8", "VERSION:7")), one(one2)},
		{"M3U-VERSION-HIGH", one(edit(vod, "VERSION:3", "VERSION:8")), one(one2)},
		{"M3U-VERSION-HIGH", one(edit(live, "VERSION:3", "VERSION:9")), one(edit(live, "VERSION:3", "VERSION:8"))},
		{"M3U-GAP", sound, presentation(master, vod)},
		{"OBJ-MISSING", presentation(master, vod, "1.ts", nil), sound},
		{"SEG-FORMAT", presentation(master, vod, "1.ts", nil0), presentation(master, one2, "1.ts", nil0)},
		{"TS-CONTINUITY-ACROSS", chain(master, vod, 2, unlike), through(one2, unlike)},
		{"TS-CONTINUITY-TABLES", chain(master, vod, 2, func(m *made) { m.counters = map[uint16]uint8{0: 9} }), through(one2, func(m *made) { m.counters = map[uint16]uint8{0: 9} })},
		{"SEG-TIMESTAMP", through(one2, later(3)), sound},
		{"SEG-TIMESTAMP", through(one2, later(-2)), through(one2, later(0.4))},
		{"SEG-TIMESTAMP", through(gapped(1, "1.000"), nil), through(gapped(4, "0.500"), nil)},
		{"SEG-TIMESTAMP", through(gapped(3, "2.000"), nil), through(gapped(3, "2.000"), later(4))},
		{"SEG-TIMESTAMP", through(one2, later(100)), through(marked, later(100))},
		{"SEG-EXTINF", through(edit(one2, "EXTINF:2.000,\n0.ts", "EXTINF:1.400,\n0.ts"), later(-0.6)), sound},
		{"SEG-PARAMETERS", through(one2, small), through(marked, small)},
		{"SEG-BANDWIDTH-HIGH", presentation(wide, vod), presentation(wide, one2)},
		{"SEG-AVERAGE-BANDWIDTH", presentation(full, vod), presentation(full, one2)},
		{"SEG-INDEPENDENT-UNSAID", presentation(unsaid, vod), presentation(unsaid, one2, "1.ts", nil)},
		{"SEG-INDEPENDENT-UNSAID", presentation(unsaid, vod), presentation(unsaid, edit(vod, "#EXTINF:2.000,\n2.ts", "#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n#EXTINF:2.000,\n2.ts"))},
		{"REN-TIMESTAMP", pair(vod, 0, 20), pair(edit(vod, "VERSION:3", "VERSION:8", "#EXTINF", "#EXT-X-GAP\n#EXTINF"), 0)},
		{"LIVE-STALE", moments(time.Second, version(0), version(0), version(0), version(0), version(0)), moments(time.Second, version(0), version(0), asGap(1, 13), asGap(1, 13), asGap(2, 13, 14), asGap(2, 13, 14))},
		{"LIVE-CHANGED", versions(asGap(0, 12), version(1)), versions(version(0), asGap(1, 12))},
		{"LIVE-FORK", versions(edit(version(0), "\n11.ts", "\nx.ts"), edit(version(1), "\n11.ts", "\n11b.ts", "\n12.ts", "\nx.ts")),
			versions(edit(asGap(0, 12), "\n12.ts", "\ngap.ts"), edit(asGap(1, 12, 13), "\n12.ts", "\ngap.ts", "\n13.ts", "\ngap.ts"))},
		{"LIVE-GONE", watched(serving(0), serving(1, "7.ts", nil)), watched(serving(0, "p.m3u8", asGap(0, 7), "7.ts", nil), serving(1, "7.ts", nil))},
	}
}

// asGap is the live playlist after n slides, with segments marked as gaps.
func asGap(n int, sequences ...int) string {
	text := edit(version(n), "VERSION:3", "VERSION:8")
	for _, s := range sequences {
		text = edit(text, fmt.Sprintf("#EXTINF:2.000,\n%d.ts", s), fmt.Sprintf("#EXT-X-GAP\n#EXTINF:2.000,\n%d.ts", s))
	}
	return text
}

// pair checks vod beside another rendition, whose segments begin so many
// seconds later.
func pair(other string, late ...float64) report.Report {
	multi := master + edit(strings.SplitAfter(master, "AUTOSELECT=YES\n")[1], "\nv.m3u8", "\nw.m3u8")
	pairs := []string{"m.m3u8", multi, "v.m3u8", vod, "w.m3u8", strings.ReplaceAll(other, ".ts", "w.ts")}
	for i, b := range soundSegments(3) {
		pairs = append(pairs, fmt.Sprintf("%d.ts", i), string(b))
	}
	for i := range 3 {
		m := made{start: 900000 + int64(i)*180000 + int64(late[min(len(late)-1, 1)]*media.Clock)}
		pairs = append(pairs, fmt.Sprintf("%dw.ts", i), string(m.bytes()))
	}
	return files(pairs...)
}

// TestGapIsAllThatIsTold: of a show with a gap in it the gap is told, and
// nothing else.
func TestGapIsAllThatIsTold(t *testing.T) {
	for name, r := range map[string]report.Report{
		"of one entry":              through(gapped(1, "2.000"), nil),
		"of several":                through(gapped(4, "0.500"), nil),
		"with its object":           presentation(master, gapped(1, "2.000")),
		"with a discontinuity":      through(edit(gapped(1, "2.000"), "#EXT-X-GAP", "#EXT-X-DISCONTINUITY\n#EXT-X-GAP"), func(m *made) { m.start = 0 }),
		"and other counters behind": through(gapped(1, "2.000"), func(m *made) { m.counters = map[uint16]uint8{0: 7, pidPMT: 1, pidVideo: 3, pidAudio: 9} }),
		"at the start":              presentation(master, edit(vod, "VERSION:3", "VERSION:8", "#EXTINF", "#EXT-X-GAP\n#EXTINF"), "0.ts", nil),
		"at the end":                presentation(master, edit(vod, "VERSION:3", "VERSION:8", "#EXTINF:2.000,\n2.ts", "#EXT-X-GAP\n#EXTINF:2.000,\n2.ts"), "2.ts", nil),
	} {
		for rule := range r.Counts {
			if rule != "M3U-GAP" {
				t.Errorf("a gap %s: %v", name, r.Findings)
			}
		}
		if !r.Has("M3U-GAP") {
			t.Errorf("a gap %s is not told", name)
		}
	}
}

// TestGapWhileWatching: the entries of a gap come in one version of the
// playlist, what follows it in another, and none of them is ever asked for.
func TestGapWhileWatching(t *testing.T) {
	counters := map[uint16]uint8{}
	segments := map[string][]byte{}
	for i := range 10 {
		start := 900000 + int64(i)*180000
		segments[fmt.Sprintf("%d.ts", 7+i)] = (&made{start: start, counters: counters, noAudio: true}).bytes()
	}
	look := func(texts ...string) (report.Report, []string) {
		var asked []string
		c := New("p.m3u8", Config{Watch: true})
		for i, text := range texts {
			now := at.Add(time.Duration(i) * 2 * time.Second)
			for w, ok := c.Next(now); ok; w, ok = c.Next(now) {
				asked = append(asked, w.URI)
				o := Object{Body: segments[w.URI]}
				if w.Kind == Playlist {
					text = strings.Replace(text, "DISCONTINUITY-SEQUENCE:2", "DISCONTINUITY-SEQUENCE:1", 1)
					o.Body = []byte(strings.ReplaceAll(text, "#EXT-X-DISCONTINUITY\n", ""))
				} else if o.Body == nil {
					o.Err = errors.New("not found")
				}
				c.Put(now, w, o)
			}
		}
		return c.Report(), asked
	}
	delete(segments, "13.ts")
	delete(segments, "14.ts")
	r, asked := look(version(0), asGap(1, 13), asGap(2, 13, 14), asGap(3, 13, 14), asGap(4, 13, 14, 16))
	if r.Errors() > 0 || r.Has("SEG-HOLE") {
		t.Errorf("the watch found %v", r.Findings)
	}
	for _, name := range []string{"13.ts", "14.ts", "16.ts"} {
		if slices.Contains(asked, name) {
			t.Errorf("it asked for %s, which is a gap", name)
		}
	}
	if !slices.Contains(asked, "15.ts") {
		t.Errorf("it never asked for what follows the gap: %v", asked)
	}
	segments["15.ts"] = (&made{start: 900000 + 6*180000, counters: counters, noAudio: true}).bytes()
	if r, _ := look(version(0), asGap(1, 13), asGap(2, 13, 14), asGap(3, 13, 14)); !r.Has("SEG-TIMESTAMP") {
		t.Errorf("timestamps that go on as if there had been no gap are not found: %v", r.Findings)
	}
}

// TestPeakStopsAtGaps: the run of segments that makes the peak has no holes.
func TestPeakStopsAtGaps(t *testing.T) {
	m := rendition{current: &playlist.Playlist{Target: 2}, weights: []weight{{0, 100, 0.8}, {1, 100, 0.8}, {3, 1000, 0.8}, {5, 1000, 0.8}}}
	if got := m.peak(); got != 1000 {
		t.Errorf("the peak is %.0f bit/s, want that of the first two segments, 1000", got)
	}
}
