package check

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"weir/check/playlist"
	"weir/check/report"
)

// TestCovers: which declared format lets a player decode which segments
// [RFC 8216bis 6.2.4, RFC 6381].
func TestCovers(t *testing.T) {
	for _, tt := range []struct {
		declared, actual string
		want             bool
	}{
		{"avc1.64001f", "avc1.64001f", true},
		{"avc1.64001F", "avc1.64001f", true},
		{"avc3.64001f", "avc1.64001f", true},
		{"avc1.640020", "avc1.64001f", true}, // a higher level plays the lower one
		{"avc1.64001e", "avc1.64001f", false},
		{"avc1.6400ff", "avc1.64000a", true},
		{"avc1.4d001f", "avc1.64001f", false},
		{"avc1.64011f", "avc1.64001f", true}, // constraints are not compared
		{"avc1.66.30", "avc1.42001e", false},
		{"avc1.zz001f", "avc1.64001f", false},
		{"mp4a.40.2", "mp4a.40.2", true},
		{"mp4a.40.5", "mp4a.40.2", true}, // ADTS says LC of HE-AAC
		{"mp4a.40.29", "mp4a.40.2", true},
		{"mp4a.40.2", "mp4a.40.5", false},
		{"mp4a.40.34", "mp4a.40.34", true},
		{"mp4a.69", "mp4a.40.34", true},
		{"mp4a.6B", "mp4a.40.34", true},
		{"mp4a.40.2", "mp4a.40.34", false},
		{"hvc1.2.4.L123", "hvc1", true},
		{"hev1.2.4.L123", "hvc1", true},
		{"ac-3", "ac-3", true},
		{"ec-3", "ac-3", false},
		{"avc1.64001f", "mp4a.40.2", false},
	} {
		if got := covers(tt.declared, tt.actual); got != tt.want {
			t.Errorf("%s declares %s: %v", tt.declared, tt.actual, got)
		}
	}
}

// TestPeak: the largest bit rate of a run of 0.5 to 1.5 target durations
// [RFC 8216bis 4.1], in bytes and seconds of a target duration of 2.
func TestPeak(t *testing.T) {
	run := func(pairs ...float64) *rendition {
		m := &rendition{current: &playlist.Playlist{Target: 2}}
		for i := 0; i < len(pairs); i += 2 {
			m.weights = append(m.weights, weight{uint64(i / 2), int64(pairs[i]), pairs[i+1]})
		}
		return m
	}
	for _, tt := range []struct {
		name          string
		m             *rendition
		peak, average float64
	}{
		{"one segment", run(250, 2), 1000, 1000},
		{"one that is half a target duration", run(125, 1), 1000, 1000},
		{"one that is shorter stands for nothing", run(125, 0.999), 0, 125 * 8 / 0.999},
		{"short ones together", run(125, 0.5, 125, 0.5), 2000, 2000},
		{"the larger of two", run(250, 2, 500, 2), 2000, 1500},
		{"a run ends at 1.5 target durations", run(100, 1, 100, 1, 1000, 1), 8000, 3200},
		{"a longer segment is none", run(1000, 3.001), 0, 8000 / 3.001},
		{"and 1.5 of them is one", run(750, 3), 2000, 2000},
		{"none", run(), 0, 0},
		{"of no time", run(100, 0, 100, 0), 0, 0},
	} {
		if got := tt.m.peak(); got != tt.peak {
			t.Errorf("%s: the peak is %g, want %g", tt.name, got, tt.peak)
		}
		if got := tt.m.average(); got != tt.average {
			t.Errorf("%s: the average is %g, want %g", tt.name, got, tt.average)
		}
	}
}

// TestBandwidth: BANDWIDTH and AVERAGE-BANDWIDTH on both sides of what is
// allowed, for a show of 1000 bit/s at its peak and on average
// [RFC 8216bis 4.4.6.2, Authoring 1.26 to 1.29].
func TestBandwidth(t *testing.T) {
	declared := func(attributes string, ended, wasLive, slid bool) string {
		var r Report
		p := playlist.Parse("m.m3u8", "#EXTM3U\n#EXT-X-STREAM-INF:"+attributes+"\nv.m3u8\n", nil, &r)
		m := &rendition{current: &playlist.Playlist{Target: 2, Ended: ended}, wasLive: wasLive, weights: []weight{{0, 250, 2}, {1, 250, 2}}}
		if slid {
			m.current.MediaSequence = 1
		}
		var found []string
		checkBandwidth(&p.Variants[0], m, nil, func(rule, _ string, _ ...any) { found = append(found, rule) })
		return strings.Join(found, " ")
	}
	for _, tt := range []struct {
		attributes           string
		ended, wasLive, slid bool
		want                 string
	}{
		{"BANDWIDTH=1000,AVERAGE-BANDWIDTH=1000", true, false, false, ""},
		{"BANDWIDTH=909", true, false, false, "SEG-BANDWIDTH"},
		{"BANDWIDTH=910", true, false, false, ""},
		{"BANDWIDTH=1101", true, false, false, "SEG-BANDWIDTH-HIGH"},
		{"BANDWIDTH=1100", true, false, false, ""},
		{"BANDWIDTH=5000", true, false, true, ""}, // what slid out may have been larger
		{"BANDWIDTH=5000", false, false, false, ""},
		{"BANDWIDTH=799", false, false, false, "SEG-BANDWIDTH-LIVE"},
		{"BANDWIDTH=800", false, false, false, ""},
		{"BANDWIDTH=900", true, true, false, ""}, // it was declared before it could be measured
		{"BANDWIDTH=1000,AVERAGE-BANDWIDTH=909", true, false, false, "SEG-AVERAGE-BANDWIDTH"},
		{"BANDWIDTH=1000,AVERAGE-BANDWIDTH=910", true, false, false, ""},
		{"BANDWIDTH=1100,AVERAGE-BANDWIDTH=1112", true, false, false, "SEG-AVERAGE-BANDWIDTH"},
		{"BANDWIDTH=1100,AVERAGE-BANDWIDTH=1111", true, false, false, ""},
		{"BANDWIDTH=1100,AVERAGE-BANDWIDTH=5000", false, false, false, ""},
		{"BANDWIDTH=0", true, false, false, ""}, // others tell
	} {
		if got := declared(tt.attributes, tt.ended, tt.wasLive, tt.slid); got != tt.want {
			t.Errorf("%s, ended: %v, was live: %v: %q, want %q", tt.attributes, tt.ended, tt.wasLive, got, tt.want)
		}
	}
}

// TestResolvePath: URIs of playlists that lie in a directory.
func TestResolvePath(t *testing.T) {
	for _, tt := range []struct{ base, ref, want string }{
		{"a/p.m3u8", "0.ts", "a/0.ts"}, {"p.m3u8", "0.ts", "0.ts"}, {"a/b/p.m3u8", "../0.ts", "a/0.ts"}, {"a/p.m3u8", "../../0.ts", "../0.ts"},
		{"a/p.m3u8", "/x/0.ts", "x/0.ts"}, {"a/p.m3u8", "0.ts?a=../b", "a/0.ts"}, {"a/p.m3u8", "0%20.ts", "a/0 .ts"}, {"a/p.m3u8", "./b/./0.ts", "a/b/0.ts"},
		{"a/p.m3u8", "https://example.com/0.ts?x", "https://example.com/0.ts?x"}, {"a/p.m3u8", "data:video/mp2t,x", "data:video/mp2t,x"},
	} {
		if got := resolvePath(tt.base, tt.ref); got != tt.want {
			t.Errorf("%s in %s is %s, want %s", tt.ref, tt.base, got, tt.want)
		}
	}
}

// TestRead: whole files and ranges of them; what is no file, or ends early.
func TestRead(t *testing.T) {
	fsys := fstest.MapFS{"a/0.ts": {Data: []byte("0123456789")}, "dir/x": {}}
	for _, tt := range []struct {
		want Want
		body string
		err  error // nil: none; errAny: any
	}{
		{Want{URI: "a/0.ts"}, "0123456789", nil},
		{Want{URI: "a/0.ts", Kind: Playlist}, "0123456789", nil},
		{Want{URI: "a/0.ts", Offset: 3, Length: 4}, "3456", nil},
		{Want{URI: "a/0.ts", Offset: 0, Length: 10}, "0123456789", nil},
		{Want{URI: "a/0.ts", Offset: 1, Length: 10}, "", errRange},
		{Want{URI: "a/0.ts", Offset: 100, Length: 1}, "", errRange},
		{Want{URI: "a/0.ts", Offset: 0, Length: maxObject + 1}, "", errTooLarge},
		{Want{URI: "dir"}, "", errNoFile},
		{Want{URI: "none"}, "", errAny},
		{Want{URI: "../a/0.ts"}, "", ErrElsewhere},
		{Want{URI: "/a/0.ts"}, "", ErrElsewhere},
		{Want{URI: "https://example.com/0.ts"}, "", ErrElsewhere},
		{Want{URI: "data:x"}, "", ErrElsewhere},
	} {
		body, err := Read(fsys, tt.want)
		switch {
		case tt.err == nil && (err != nil || string(body) != tt.body):
			t.Errorf("%+v: %q, %v", tt.want, body, err)
		case tt.err != nil && err == nil, tt.err != nil && !errors.Is(tt.err, errAny) && !errors.Is(err, tt.err):
			t.Errorf("%+v: %v, want %v", tt.want, err, tt.err)
		case err != nil && strings.Contains(err.Error(), "a/0.ts"):
			t.Errorf("%+v: the error repeats the path: %v", tt.want, err)
		}
	}
}

var errAny = errors.New("any")

// TestAhead: what will be asked for next, without taking it.
func TestAhead(t *testing.T) {
	c := New("p.m3u8", Config{})
	w, _ := c.Next(time.Time{})
	c.Put(time.Time{}, w, Object{Body: []byte(vod)})
	for range 2 {
		ahead := c.Ahead(2)
		if len(ahead) != 2 || ahead[0].URI != "0.ts" || ahead[1].URI != "1.ts" {
			t.Fatalf("%+v", ahead)
		}
	}
	if all := c.Ahead(100); len(all) != 3 {
		t.Errorf("%d objects, want 3", len(all))
	}
	w, _ = c.Next(time.Time{})
	if ahead := c.Ahead(1); w.URI != "0.ts" || ahead[0].URI != "1.ts" {
		t.Errorf("behind %s comes %s", w.URI, ahead[0].URI)
	}
}

// TestInitializationOnce: what EXT-X-MAP names is asked for once for each range
// of it, before the segments that need it.
func TestInitializationOnce(t *testing.T) {
	c := New("p.m3u8", Config{})
	w, _ := c.Next(time.Time{})
	c.Put(time.Time{}, w, Object{Body: []byte(`#EXTM3U
#EXT-X-VERSION:6
#EXT-X-TARGETDURATION:2
#EXT-X-MAP:URI="i",BYTERANGE="10@0"
#EXTINF:2.0,
0
#EXT-X-MAP:URI="i",BYTERANGE="10@0"
#EXTINF:2.0,
1
#EXT-X-MAP:URI="i",BYTERANGE="10@10"
#EXTINF:2.0,
2
`)})
	var asked []string
	for w, ok := c.Next(time.Time{}); ok; w, ok = c.Next(time.Time{}) {
		asked = append(asked, fmt.Sprintf("%d %s %d+%d", w.Kind, w.URI, w.Offset, w.Length))
	}
	if got, want := strings.Join(asked, ", "), "3 i 0+10, 2 0 0+0, 2 1 0+0, 3 i 10+10, 2 2 0+0"; got != want {
		t.Errorf("it asked for %s, want %s", got, want)
	}
}

// TestCache: how long a live playlist may be cached [RFC 8216bis 6.2.1].
func TestCache(t *testing.T) {
	for header, want := range map[string]bool{
		"": false, "max-age=2": false, "max-age=3": true, "public, Max-Age=3": true, "max-age=0, must-revalidate": false, "no-cache": false,
		"s-maxage=300": false, "max-age=abc": false, "max-age": false, "private,max-age=100": true,
	} {
		r := served("p.m3u8", live, map[string][]string{"Content-Type": {"application/vnd.apple.mpegurl"}, "Cache-Control": {header}}, nil, false)
		if got := r.Has("OBJ-CACHE"); got != want {
			t.Errorf("Cache-Control: %s: found %v, want %v", header, got, want)
		}
		if ended := served("p.m3u8", live+"#EXT-X-ENDLIST\n", map[string][]string{"Cache-Control": {header}}, nil, false); ended.Has("OBJ-CACHE") {
			t.Errorf("Cache-Control: %s of what has ended is found", header)
		}
	}
}

// TestOnceForEachPlaylist: what all objects of a playlist have wrong is told
// once of it, and again of another one.
func TestOnceForEachPlaylist(t *testing.T) {
	multi := "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\na.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=1\nb.m3u8\n"
	c := New("m.m3u8", Config{})
	for w, ok := c.Next(at); ok; w, ok = c.Next(at) {
		body := strings.ReplaceAll(vod, ".ts", "-"+strings.TrimSuffix(w.URI, ".m3u8")+".ts")
		if w.URI == "m.m3u8" {
			body = multi
		}
		c.Put(at, w, Object{HTTP: true, Body: []byte(body)})
	}
	if r := c.Report(); r.Counts["OBJ-CORS"] != 3 {
		t.Errorf("told %d times of three playlists", r.Counts["OBJ-CORS"])
	}
}

// TestNoSecondVariantsOfOne: a playlist that several variants name is asked for
// once, and one that names itself does not go round for ever.
func TestNoSecondVariantsOfOne(t *testing.T) {
	asked := 0
	c := New("m.m3u8", Config{PlaylistsOnly: true})
	for w, ok := c.Next(at); ok && asked < 100; w, ok = c.Next(at) {
		asked++
		c.Put(at, w, Object{Body: []byte("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nv.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=2\nv.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=3\nm.m3u8\n")})
	}
	r := c.Report()
	if asked != 3 || r.Counts["MVP-NESTED"] != 2 {
		t.Errorf("%d were asked for, %v", asked, r.Counts)
	}
	if n := len(r.Findings); n > report.MaxPerRule {
		t.Errorf("%d findings", n)
	}
}
