package check

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"weir/check/report"
	"weir/check/stream"
)

// FuzzPlaylist feeds one playlist to everything that reads playlists: a
// checker that follows it, and a history that sees it and a later version.
// Whatever it is, the report stays bounded and each finding is of a rule.
func FuzzPlaylist(f *testing.F) {
	for _, c := range []string{vod, live, master, version(5), "", "#EXTM3U", strings.ReplaceAll(vod, "\n", "\r\n"),
		edit(vod, "#EXTINF", "#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n#EXT-X-MAP:URI=\"i\",BYTERANGE=\"9@1\"\n#EXT-X-BYTERANGE:5\n#EXTINF"),
		edit(vod, "#EXTINF", "#EXT-X-DEFINE:NAME=\"a\",VALUE=\"b\"\n#EXT-X-DATERANGE:ID=\"{$a}\",START-DATE=\"2026-01-01T00:00:00Z\"\n#EXTINF"),
		edit(live, "#EXTINF", "#EXT-X-PART-INF:PART-TARGET=.5\n#EXT-X-PART:URI=\"p\",DURATION=.5\n#EXT-X-SKIP:SKIPPED-SEGMENTS=3\n#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"q\"\n#EXTINF"),
		edit(vod, "SEQUENCE:0", "SEQUENCE:18446744073709551615"),
		gapped(4, "0.500"), edit(gapped(1, "2.000"), "#EXT-X-GAP", "#EXT-X-DISCONTINUITY\n#EXT-X-GAP"),
	} {
		f.Add([]byte(c), []byte(edit(vod, "0.ts", "x.ts")))
	}
	f.Fuzz(func(t *testing.T, text, later []byte) {
		l := followed{c: New("p.m3u8?a=%62", Config{Watch: true, PlaylistsOnly: true})}
		l.put(at, string(text))
		l.put(at.Add(4*time.Second), string(later))
		l.put(at.Add(9*time.Second), string(text))
		sane(t, l.c.Report())

		c := New("p.m3u8", Config{Watch: true})
		for i, now := 0, at; i < 50; i++ {
			w, ok := c.Next(now)
			if !ok {
				if now = c.Due(); now.IsZero() {
					break
				}
				continue
			}
			body := later
			if i == 0 {
				body = text
			}
			c.Put(now, w, Object{Body: body})
		}
		sane(t, c.Report())
	})
}

// FuzzSegment feeds two segments to everything that reads segments.
func FuzzSegment(f *testing.F) {
	sound := soundSegments(2)
	small := (&made{seconds: 0.2}).bytes()
	f.Add(sound[0][:188*20], sound[1][:188*20])
	f.Add(small, (&made{seconds: 0.2, sps: sps180}).bytes())
	f.Add((&made{seconds: 0.2, noVideo: true}).bytes(), (&made{seconds: 0.2, noAudio: true}).bytes())
	f.Add(small[:len(small)-7], without(bytes.Clone(small), 188*3, 188))
	f.Add([]byte("\x00\x00\x00\x10styp\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x18moof\x00\x00\x00\x10traf\x00\x00\x00\x08tfdt\x00\x00\x00\x08mdat"), []byte("WEBVTT"))
	f.Add([]byte("ID3\x04"+stream.TimestampOwner), []byte{0xFF, 0xF1, 0x50, 0x80})
	f.Fuzz(func(t *testing.T, first, second []byte) {
		c := New("v.m3u8", Config{})
		for w, ok := c.Next(time.Time{}); ok; w, ok = c.Next(time.Time{}) {
			body := []byte(vod)
			switch {
			case w.URI == "0.ts":
				body = first
			case w.Kind == Segment:
				body = second
			}
			c.Put(time.Time{}, w, Object{Body: body})
		}
		sane(t, c.Report())
		stream.CheckInitialization(first, func(rule, _ string, _ ...any) {
			if _, ok := report.ByID[rule]; !ok {
				t.Errorf("%s is no rule", rule)
			}
		})
	})
}

// sane: findings are of rules, printable and bounded.
func sane(t *testing.T, r report.Report) {
	t.Helper()
	kept := map[string]int{}
	for _, f := range r.Findings {
		if _, ok := report.ByID[f.Rule]; !ok || f.Severity == 0 {
			t.Errorf("%s is no rule", f.Rule)
		}
		if len(f.Text) > 500 || len(f.Where) > 250 || strings.ContainsFunc(f.Text+f.Where, report.IsControl) {
			t.Errorf("a finding of %s is too long or cannot be printed: %q", f.Rule, f)
		}
		kept[f.Rule]++
	}
	for rule, n := range kept {
		if n > report.MaxPerRule || n > r.Counts[rule] {
			t.Errorf("%d findings of %s are kept, %d counted", n, rule, r.Counts[rule])
		}
	}
	var b bytes.Buffer
	if err := r.WriteText(&b); err != nil {
		t.Fatal(err)
	}
}
