package check

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"weir/check/report"
)

// at is when the live playlist of the tests is seen first: 10 ms after its
// last segment ended.
var at = time.Date(2026, 11, 21, 10, 0, 12, 510_000_000, time.UTC)

// version is the sound live playlist after n slides of its window.
func version(n int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:%d\n", 7+n)
	discontinuities := 1
	if n > 3 { // the tag left with segment 10
		discontinuities = 2
	}
	fmt.Fprintf(&b, "#EXT-X-DISCONTINUITY-SEQUENCE:%d\n#EXT-X-INDEPENDENT-SEGMENTS\n", discontinuities)
	for i := range 6 {
		sequence := 7 + n + i
		date := at.Add(-510*time.Millisecond + time.Duration(sequence-13)*2*time.Second)
		if sequence >= 10 {
			date = date.Add(500 * time.Millisecond)
		}
		if sequence == 10 {
			b.WriteString("#EXT-X-DISCONTINUITY\n")
		}
		fmt.Fprintf(&b, "#EXT-X-PROGRAM-DATE-TIME:%s\n#EXTINF:2.000,\n%d.ts\n", date.Format("2006-01-02T15:04:05.000Z"), sequence)
	}
	return b.String()
}

// versions follows a playlist that is seen every two seconds.
func versions(texts ...string) report.Report { return moments(2*time.Second, texts...) }

// moments follows a playlist that is seen every interval.
func moments(interval time.Duration, texts ...string) report.Report {
	f := followed{c: New("p.m3u8", Config{Watch: true, PlaylistsOnly: true})}
	for i, text := range texts {
		f.put(at.Add(time.Duration(i)*interval), text)
	}
	return f.c.Report()
}

// followed is a check of one media playlist that sees each version when the
// test says so, due or not.
type followed struct {
	c     *Checker
	again Want
}

func (f *followed) put(now time.Time, text string) {
	if f.again.URI == "" {
		f.again, _ = f.c.Next(now)
	}
	f.c.Put(now, f.again, Object{Body: []byte(text)})
	f.again.of = f.c.byURI[f.again.URI]
}

// watched runs a Checker over what a server has at each moment, two seconds
// apart: by name a body, or an error.
func watched(moments ...map[string]any) report.Report {
	c := New("p.m3u8", Config{Watch: true})
	for i, has := range moments {
		now := at.Add(time.Duration(i) * 2 * time.Second)
		for w, ok := c.Next(now); ok; w, ok = c.Next(now) {
			var o Object
			switch v := has[w.URI].(type) {
			case string:
				o.Body = []byte(v)
			case []byte:
				o.Body = v
			default:
				o.Err = errors.New("not found")
			}
			c.Put(now, w, o)
		}
	}
	return c.Report()
}

// serving is what a server has that lists version n, and keeps what left.
func serving(n int, more ...any) map[string]any {
	has := map[string]any{"p.m3u8": version(n)}
	for i := 7; i < 20; i++ {
		has[fmt.Sprintf("%d.ts", i)] = fmt.Sprintf("segment %d", i)
	}
	for i := 0; i < len(more); i += 2 {
		has[more[i].(string)] = more[i+1]
	}
	return has
}

func historyCases() []ruleCase {
	const end = "#EXT-X-ENDLIST\n"
	event := strings.Replace(vod, "VOD", "EVENT", 1)
	open := strings.Replace(event, end, "", 1)
	short := func(first, n int) string {
		s := fmt.Sprintf("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:%d\n", first)
		for i := range n {
			s += fmt.Sprintf("#EXTINF:2.000,\n%d.ts\n", first+i)
		}
		return s
	}
	longLive := moments(2*time.Second, version(0), version(1), version(2), version(3), version(4), version(5), version(5)+end)
	return []ruleCase{
		{"LIVE-SEQUENCE-BACK", versions(version(1), version(0)), longLive},
		{"LIVE-SEQUENCE-BACK", versions(short(0, 5), short(0, 4)), versions(short(0, 4), short(0, 5))},
		{"LIVE-DISCONTINUITY-SEQUENCE", versions(version(3), edit(version(4), "DISCONTINUITY-SEQUENCE:2", "DISCONTINUITY-SEQUENCE:1")), longLive},
		{"LIVE-DISCONTINUITY-SEQUENCE", versions(version(4), edit(version(20), "DISCONTINUITY-SEQUENCE:2", "DISCONTINUITY-SEQUENCE:0")), versions(version(4), version(20))},
		{"LIVE-FORK", versions(version(0), edit(version(1), "\n9.ts", "\n9-other.ts")), longLive},
		{"LIVE-FORK", versions(version(0), edit(version(1), "SEQUENCE:8", "SEQUENCE:9")), longLive},
		{"LIVE-CHANGED", versions(version(0), edit(version(1), "EXTINF:2.000", "EXTINF:1.900")), longLive},
		{"LIVE-CHANGED", versions(version(0), edit(version(1), "10:00:02.000Z", "10:00:02.100Z")), longLive},
		{"LIVE-TARGETDURATION", versions(version(0), edit(version(1), "TARGETDURATION:2", "TARGETDURATION:3")), longLive},
		{"LIVE-TYPE", versions(vod, event), versions(vod, vod)},
		{"LIVE-TYPE", versions(open, edit(open, "SEQUENCE:0", "SEQUENCE:1", "#EXTINF:2.000,\n0.ts\n", "")), versions(open, open+"#EXTINF:2.000,\n3.ts\n")},
		{"LIVE-ENDLIST", versions(version(0)+end, version(1)), versions(version(0), version(1)+end, version(1)+end)},
		{"LIVE-STALE", moments(time.Second, version(0), version(0), version(0), version(0), version(0)), moments(time.Second, version(0), version(0), version(1), version(1), version(2))},
		{"LIVE-STALE", moments(2*time.Second, version(0), version(0), version(0)), moments(2*time.Second, version(0), version(0)+end, version(0)+end, version(0)+end)},
		{"LIVE-WINDOW", versions(short(0, 3), short(1, 2)), versions(short(0, 3), short(1, 3))},
		{"LIVE-GONE", watched(serving(0), serving(1, "7.ts", nil)), watched(serving(0), serving(1), serving(2, "7.ts", nil))},
		{"LIVE-REUSED", watched(serving(0), serving(1, "7.ts", "other bytes")), watched(serving(0), serving(1))},
		{"LIVE-PDT-FUTURE", moments(0, edit(version(0), "10:00:10.500Z", "10:00:12.000Z")), longLive},
		{"LIVE-LATENCY", seenOnce(at.Add(7*time.Second), version(0)), seenOnce(at.Add(5*time.Second), version(0))},
		{"LIVE-UNAVAILABLE", watched(serving(0), serving(1, "p.m3u8", nil)), watched(serving(0), serving(1))},
	}
}

// seenOnce follows a playlist that is seen once.
func seenOnce(now time.Time, text string) report.Report {
	f := followed{c: New("p.m3u8", Config{Watch: true, PlaylistsOnly: true})}
	f.put(now, text)
	return f.c.Report()
}

// served checks a playlist and its segment as a server sent them.
func served(playlistURI, text string, header, segmentHeader map[string][]string, redirected bool) report.Report {
	c := New(playlistURI, Config{})
	for w, ok := c.Next(at); ok; w, ok = c.Next(at) {
		o := Object{HTTP: true, Header: header, Body: []byte(text)}
		if w.Kind == Segment {
			o = Object{HTTP: true, Header: segmentHeader, Body: (&made{}).bytes(), Redirected: redirected}
		}
		c.Put(at, w, o)
	}
	return c.Report()
}

func deliveryCases() []ruleCase {
	header := func(pairs ...string) map[string][]string {
		h := map[string][]string{"Content-Type": {"application/vnd.apple.mpegurl"}, "Access-Control-Allow-Origin": {"*"}}
		for i := 0; i < len(pairs); i += 2 {
			h[pairs[i]] = []string{pairs[i+1]}
		}
		return h
	}
	ts := header("Content-Type", "video/MP2T")
	sound := served("p.m3u8", live, header("Cache-Control", "public, max-age=1"), ts, false)
	long := vod + strings.Repeat("# a comment of some length, so that the playlist grows\n", 200)
	return []ruleCase{
		{"OBJ-MISSING", presentation(master, vod, "1.ts", nil), presentation(master, edit(vod, "#EXTINF:2.000,\n1.ts", "#EXT-X-GAP\n#EXTINF:2.000,\n1.ts"), "1.ts", nil)},
		{"OBJ-MISSING", files("m.m3u8", master), presentation(master, vod)},
		{"OBJ-PLAYLIST-TYPE", served("live", vod, header("Content-Type", "text/plain"), ts, false), served("live", vod, header("Content-Type", "audio/mpegurl; charset=utf-8"), ts, false)},
		{"OBJ-PLAYLIST-TYPE", served("live?x=.m3u8", vod, header("Content-Type", "text/plain"), ts, false), served("live.m3u8?token=x", vod, header("Content-Type", "text/plain"), ts, false)},
		{"OBJ-SEGMENT-TYPE", served("p.m3u8", live, header(), header("Content-Type", "application/octet-stream"), false), sound},
		{"OBJ-GZIP", served("p.m3u8", long, header(), ts, false), served("p.m3u8", long, header("Content-Encoding", "gzip"), ts, false)},
		{"OBJ-REDIRECT", served("p.m3u8", live, header(), ts, true), sound},
		{"OBJ-CACHE", served("p.m3u8", live, header("Cache-Control", "max-age=3"), ts, false), sound},
		{"OBJ-CACHE", served("p.m3u8", live, header("Cache-Control", "public,max-age=3600"), ts, false), served("p.m3u8", vod, header("Cache-Control", "max-age=3600"), ts, false)},
		{"OBJ-CORS", served("p.m3u8", live, nil, ts, false), sound},
	}
}
