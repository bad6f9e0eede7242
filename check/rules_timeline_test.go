package check

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"weir/check/report"
	"weir/media"
)

// paused leaves out the pictures from number from up to before number to.
func paused(m *made, from, to int) {
	m.skip = map[int]bool{}
	for i := from; i < to; i++ {
		m.skip[i] = true
	}
}

// shows are what is rare and right: segments of one picture, and tracks that
// pause. Each is three segments of two seconds, and the rules that it breaks
// nevertheless.
var shows = []struct {
	name   string
	change func(i int, m *made)
	breaks string
}{
	{"a slide show", func(_ int, m *made) { m.every, m.noAudio = 180000, true }, ""},
	{"a slide show with sound", func(_ int, m *made) { m.every = 180000 }, ""},
	{"a slide show with late pictures", func(_ int, m *made) { m.every, m.videoLate, m.pcrLead = 180000, 80000, 90000 }, ""},
	{"a picture a second", func(_ int, m *made) { m.every, m.noAudio = 90000, true }, "TS-PCR-INTERVAL"},
	{"a picture a second with sound", func(_ int, m *made) { m.every = 90000 }, "TS-PCR-INTERVAL"},
	{"the video stops, and is back", func(i int, m *made) {
		if i == 1 {
			paused(m, 10, 50)
		}
	}, "SEG-HOLE"},
	{"the video stops, and comes back in the midst of a segment", func(i int, m *made) {
		switch i {
		case 1:
			paused(m, 10, 50)
		case 2:
			paused(m, 0, 25)
		}
	}, "SEG-HOLE SEG-AV-START"},
	{"the video pauses in a segment", func(i int, m *made) {
		if i == 1 {
			paused(m, 10, 40)
		}
	}, "SEG-HOLE TS-PCR-INTERVAL"},
	{"the video stops in the last segment", func(i int, m *made) {
		if i == 2 {
			paused(m, 10, 50)
		}
	}, ""},
	{"there is no video for a segment", func(i int, m *made) {
		if i == 1 {
			paused(m, 0, 50)
		}
	}, "TS-PCR-MISSING SEG-TRACK-EMPTY"},
	{"the sound stops, and is back", func(i int, m *made) { m.audioStops = i == 1 }, "SEG-HOLE"},
	{"the sound stops in the last segment", func(i int, m *made) { m.audioStops = i == 2 }, ""},
	{"there is no sound for a segment", func(i int, m *made) {
		if i == 1 {
			m.audioLast, m.audioLate = true, 180000 // none before its end
		}
	}, "SEG-TRACK-EMPTY"},
	{"a picture stands until the segment ends, without sound", func(i int, m *made) {
		if m.noAudio = true; i == 1 {
			paused(m, 10, 50)
		}
	}, "SEG-HOLE"},
	{"the last picture stands until the show ends, without sound", func(i int, m *made) {
		if m.noAudio = true; i == 2 {
			paused(m, 1, 50)
		}
	}, ""},
}

// TestRareShows: of what is rare and right is told what it breaks, which is
// little, and no more.
func TestRareShows(t *testing.T) {
	for _, s := range shows {
		t.Run(s.name, func(t *testing.T) {
			r := unbound(s.change, vod)
			for rule, n := range r.Counts {
				if !slices.Contains(strings.Fields(s.breaks), rule) {
					t.Errorf("%d times %s", n, rule)
				}
			}
			for rule := range strings.FieldsSeq(s.breaks) {
				if !r.Has(rule) {
					t.Errorf("%s was not found", rule)
				}
			}
			if t.Failed() {
				t.Log(r.Findings)
			}
		})
	}
}

// unbound checks three segments by the media playlist alone.
func unbound(change func(i int, m *made), media string) report.Report {
	pairs := []string{"v.m3u8", edit(media, "#EXTINF", "#EXT-X-INDEPENDENT-SEGMENTS\n#EXTINF")}
	segments := links(change)
	for i := 0; i < len(segments); i += 2 {
		pairs = append(pairs, segments[i].(string), string(segments[i+1].([]byte)))
	}
	return files(pairs...)
}

// show is one of shows.
func show(name string, more ...func(i int, m *made)) func(i int, m *made) {
	for _, s := range shows {
		if s.name == name {
			return func(i int, m *made) {
				s.change(i, m)
				for _, f := range more {
					f(i, m)
				}
			}
		}
	}
	panic("no such show: " + name)
}

// timelineCases: what EXTINF and timestamps are held to where a segment does
// not say itself for how long it is.
func timelineCases() (all []ruleCase) {
	at := func(n int, change func(m *made)) func(i int, m *made) {
		return func(i int, m *made) {
			if i == n {
				change(m)
			}
		}
	}
	late := func(seconds float64) func(i int, m *made) {
		return func(i int, m *made) {
			if i > 0 {
				m.start += int64(seconds * media.Clock)
			}
		}
	}
	extinf := func(n int, s string) string {
		name := fmt.Sprintf(",\n%d.ts", n)
		return edit(vod, "EXTINF:2.000"+name, "EXTINF:"+s+name)
	}
	for _, name := range []string{"a slide show", "a slide show with sound", "a picture a second", "a picture a second with sound"} {
		all = append(all,
			ruleCase{"SEG-EXTINF", unbound(show(name), extinf(0, "1.400")), unbound(show(name), extinf(0, "1.900"))},
			ruleCase{"SEG-TIMESTAMP", unbound(show(name, late(100)), vod), unbound(show(name, late(0.3)), vod)},
			ruleCase{"SEG-TIMESTAMP", unbound(show(name, late(-5)), vod), unbound(show(name), vod)},
		)
	}
	stops, gone := "the video stops, and is back", "there is no video for a segment"
	mute, silent := "the sound stops, and is back", "there is no sound for a segment"
	for _, name := range []string{stops, gone, mute, silent} {
		all = append(all,
			ruleCase{"SEG-EXTINF", unbound(show(name), extinf(1, "0.400")), unbound(show(name), vod)},
			ruleCase{"SEG-TIMESTAMP", unbound(show(name, at(2, func(m *made) { m.start += 2 * media.Clock })), vod), unbound(show(name), vod)},
		)
	}
	open := func(i int, m *made) {
		if i > 0 {
			m.leading = 3
		}
	}
	// The sound comes seconds behind its pictures, and the first segment waits for
	// it; what EXTINF goes by goes on.
	behind := func(i int, m *made) {
		if m.audioFor = 2 * media.Clock; i == 0 {
			m.start, m.seconds = m.start-4*media.Clock, 6
			return
		}
		m.audioLate = -4*media.Clock + int64(i)*4320 // whole frames
	}
	waited := edit(extinf(0, "6.000"), "TARGETDURATION:2", "TARGETDURATION:6")
	return append(all,
		ruleCase{"SEG-TIMESTAMP", unbound(func(i int, m *made) {
			if behind(i, m); i == 1 {
				m.videoLate = 2 * media.Clock
			}
		}, waited), unbound(behind, waited)},
		// Open GOPs, from the second segment on: cut at the key picture, it is
		// three pictures from there to the first one that is shown.
		ruleCase{"SEG-EXTINF-SUM", unbound(open, extinf(0, "2.200")), unbound(open, extinf(0, "2.120"))},
		// The sound begins a tenth of a second before the first picture.
		ruleCase{"SEG-EXTINF-SUM", unbound(at(0, func(m *made) { paused(m, 0, 3) }), extinf(0, "2.300")), unbound(at(0, func(m *made) { paused(m, 0, 3) }), extinf(0, "2.000"))},
		// The last segment has no successor: it may be as long as its video, or
		// as all of it, but no longer and no shorter.
		ruleCase{"SEG-EXTINF", unbound(show("the video stops in the last segment"), edit(extinf(2, "3.000"), "TARGETDURATION:2", "TARGETDURATION:3")), unbound(show("the video stops in the last segment"), extinf(2, "0.400"))},
		ruleCase{"SEG-EXTINF", unbound(show("the sound stops in the last segment"), extinf(2, "0.400")), unbound(show("the sound stops in the last segment"), extinf(2, "2.100"))},
		ruleCase{"SEG-EXTINF", unbound(at(2, func(m *made) { m.seconds = 0.6 }), vod), unbound(at(2, func(m *made) { m.seconds = 0.6 }), extinf(2, "0.600"))},
		// One track jumps, the other goes on.
		ruleCase{"SEG-TIMESTAMP", unbound(at(1, func(m *made) { m.audioShift = 100 * media.Clock }), vod), unbound(at(1, func(m *made) { m.audioLate = media.Clock }), vod)},
		ruleCase{"SEG-TIMESTAMP", unbound(at(1, func(m *made) { m.audioLate = -media.Clock }), vod), unbound(show(stops), vod)},
		ruleCase{"SEG-TIMESTAMP", unbound(show(silent, at(2, func(m *made) { m.audioShift = -100 * media.Clock })), vod), unbound(show(silent), vod)},
		ruleCase{"SEG-TIMESTAMP", unbound(show(silent, at(2, func(m *made) { m.audioShift = 100 * media.Clock })), vod), unbound(show(silent), vod)},
		ruleCase{"SEG-TIMESTAMP", through(gapped(1, "2.000"), func(m *made) { m.audioShift = 100 * media.Clock }), through(gapped(1, "2.000"), nil)},
		// What is between IDR pictures, not how far apart pictures are.
		ruleCase{"SEG-KEYFRAMES", unbound(func(_ int, m *made) { m.every, m.gop, m.seconds = 90000, 4, 4 }, strings.ReplaceAll(vod, "2.000", "4.000")), unbound(func(_ int, m *made) { m.every, m.gop, m.seconds = 225000, 1, 5 }, strings.ReplaceAll(vod, "2.000", "5.000"))},
		ruleCase{"SEG-INTERLEAVE", unbound(at(1, func(m *made) { m.audioLast = true }), vod), unbound(show("a slide show with sound"), vod)},
		ruleCase{"SEG-AV-START", unbound(at(1, func(m *made) { m.audioLate = 50000 }), vod), unbound(show("a slide show with late pictures"), vod)},
	)
}
