package check

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"weir/check/report"
)

// ruleCase is the specification of one rule: what it catches, and what it
// leaves alone although it looks alike.
type ruleCase struct {
	rule   string
	caught report.Report
	left   report.Report
}

// allCases are made once: to make them is to check them.
var allCases = sync.OnceValue(func() []ruleCase {
	return slices.Concat(playlistCases(), mediaCases(), multivariantCases(), lowLatencyCases(), historyCases(),
		deliveryCases(), segmentCases(), timelineCases(), gapCases(), streamCases())
})

// TestRules: every rule catches and leaves alone. A rule without a case fails.
func TestRules(t *testing.T) {
	cases := allCases()
	covered := map[string]bool{}
	for _, c := range cases {
		covered[c.rule] = true
		t.Run(c.rule, func(t *testing.T) {
			if !c.caught.Has(c.rule) {
				t.Errorf("the breach was not caught; found instead: %v", c.caught.Findings)
			}
			if c.left.Has(c.rule) {
				t.Errorf("what is right was reported: %v", c.left.Findings)
			}
			if c.left.Playlists+c.left.Segments == 0 {
				t.Error("the case that is left alone checked nothing")
			}
		})
	}
	for _, r := range report.Rules() {
		if !covered[r.ID] {
			t.Errorf("%s has no case", r.ID)
		}
	}
	if n := len(report.Rules()); n < 60 {
		t.Errorf("%d rules, the issue asks for 60", n)
	}
}

// TestRulesAreWhole: names are unique and of one form, nothing is left blank.
func TestRulesAreWhole(t *testing.T) {
	form := regexp.MustCompile(`^(M3U|MVP|REN|LL|LIVE|OBJ|SEG|TS|MP4|AUD|VTT)(-[A-Z0-9]+)+$`)
	seen := map[string]bool{}
	for _, r := range report.Rules() {
		if !form.MatchString(r.ID) || seen[r.ID] {
			t.Errorf("%s: the name is not of its form, or there twice", r.ID)
		}
		seen[r.ID] = true
		if r.Section == "" || r.Severity == 0 || !strings.HasSuffix(r.Text, ".") || r.Advice == "" {
			t.Errorf("%s is not whole: %+v", r.ID, r)
		}
	}
}

// The sound presentation that the cases begin with.
const (
	vod = `#EXTM3U
#EXT-X-VERSION:3
#EXT-X-TARGETDURATION:2
#EXT-X-MEDIA-SEQUENCE:0
#EXT-X-PLAYLIST-TYPE:VOD
#EXTINF:2.000,
0.ts
#EXTINF:2.000,
1.ts
#EXTINF:2.000,
2.ts
#EXT-X-ENDLIST
`
	live = `#EXTM3U
#EXT-X-VERSION:3
#EXT-X-TARGETDURATION:2
#EXT-X-MEDIA-SEQUENCE:7
#EXT-X-DISCONTINUITY-SEQUENCE:1
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-PROGRAM-DATE-TIME:2026-11-21T10:00:00.000Z
#EXTINF:2.000,
7.ts
#EXTINF:2.000,
8.ts
#EXTINF:2.000,
9.ts
#EXT-X-DISCONTINUITY
#EXT-X-PROGRAM-DATE-TIME:2026-11-21T10:00:06.500Z
#EXTINF:2.000,
10.ts
#EXTINF:2.000,
11.ts
#EXTINF:2.000,
12.ts
`
	master = `#EXTM3U
#EXT-X-VERSION:4
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="English",LANGUAGE="en",CHANNELS="2",DEFAULT=YES,AUTOSELECT=YES
#EXT-X-STREAM-INF:BANDWIDTH=132400,AVERAGE-BANDWIDTH=131600,CODECS="avc1.4d401e,mp4a.40.2",RESOLUTION=640x360,FRAME-RATE=25.000,AUDIO="a"
v.m3u8
`
)

// edit replaces text that must be there.
func edit(s string, pairs ...string) string {
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(s, pairs[i]) {
			panic("the sound text lacks " + pairs[i])
		}
		s = strings.Replace(s, pairs[i], pairs[i+1], 1)
	}
	return s
}

// one checks one media playlist or multivariant playlist, without what it
// lists.
func one(text string) report.Report {
	c := New("p.m3u8", Config{PlaylistsOnly: true})
	w, _ := c.Next(time.Time{})
	c.Put(time.Time{}, w, Object{Body: []byte(text)})
	return c.Report()
}

// files checks a presentation of several files, the first of which is m.m3u8.
func files(pairs ...string) report.Report {
	fsys := fstest.MapFS{}
	for i := 0; i < len(pairs); i += 2 {
		fsys[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1])}
	}
	r, err := Directory(fsys, pairs[0])
	if err != nil {
		panic(err)
	}
	return r
}

// presentation checks master and vod with the sound segments, some of which
// are replaced: a name with its bytes each.
func presentation(multi, media string, replace ...any) report.Report {
	fsys := sound(multi, media)
	for i := 0; i < len(replace); i += 2 {
		name := replace[i].(string)
		if replace[i+1] == nil {
			delete(fsys, name)
			continue
		}
		fsys[name] = &fstest.MapFile{Data: replace[i+1].([]byte)}
	}
	r, err := Directory(fsys, "m.m3u8")
	if err != nil {
		panic(err)
	}
	return r
}

// sound is a presentation of three segments in which everything is right.
func sound(multi, media string) fstest.MapFS {
	fsys := fstest.MapFS{"m.m3u8": {Data: []byte(multi)}, "v.m3u8": {Data: []byte(media)}}
	for i, b := range soundSegments(3) {
		fsys[string(rune('0'+i))+".ts"] = &fstest.MapFile{Data: b}
	}
	return fsys
}

// soundSegments makes n segments of two seconds that follow one another.
func soundSegments(n int) (out [][]byte) {
	counters := map[uint16]uint8{}
	audio := int64(0) // the audio begins where that of the segment before ended
	for i := range n {
		m := made{start: 900000 + int64(i)*180000, counters: counters, audioLate: audio}
		out = append(out, m.bytes())
		audio = m.audioEnd - m.start - 180000
	}
	return out
}

// TestSoundIsSilent: the sound presentation breaks no rule at all.
func TestSoundIsSilent(t *testing.T) {
	for name, r := range map[string]report.Report{"presentation": presentation(master, vod), "live playlist": one(live), "vod playlist": one(vod)} {
		if len(r.Counts) != 0 {
			t.Errorf("%s: %v", name, r.Findings)
		}
	}
}

// TestEveryFindingHasItsRule: no finding of any case names a rule that is not
// in the table.
func TestEveryFindingHasItsRule(t *testing.T) {
	ids := slices.Sorted(maps.Keys(report.ByID))
	for _, c := range allCases() {
		for id := range c.caught.Counts {
			if !slices.Contains(ids, id) {
				t.Errorf("a finding names %s, which is no rule", id)
			}
		}
	}
}
