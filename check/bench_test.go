package check

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir/check/playlist"
	"weir/check/report"
)

// BenchmarkHour checks a VOD of one hour, 1800 segments of two seconds: the
// playlist, and every byte of every segment. MB/s is of all bytes.
func BenchmarkHour(b *testing.B) {
	body, err := os.ReadFile(filepath.Join(ffmpegHLS(b), "1.ts"))
	if err != nil {
		b.Fatal(err)
	}
	var text strings.Builder
	text.WriteString("#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXT-X-PLAYLIST-TYPE:VOD\n")
	for i := range 1800 {
		fmt.Fprintf(&text, "#EXT-X-DISCONTINUITY\n#EXTINF:2.000,\n%d.ts\n", i)
	}
	text.WriteString("#EXT-X-ENDLIST\n")
	b.SetBytes(int64(text.Len() + 1800*len(body)))
	b.ReportAllocs()
	for b.Loop() {
		c := New("p.m3u8", Config{})
		for w, ok := c.Next(time.Time{}); ok; w, ok = c.Next(time.Time{}) {
			o := Object{Body: body}
			if w.Kind == Playlist {
				o.Body = []byte(text.String())
			}
			c.Put(time.Time{}, w, o)
		}
		if r := c.Report(); r.Errors() > 0 || r.Segments != 1800 {
			b.Fatal(r.Err())
		}
	}
}

// BenchmarkPlaylist reads the longest playlist that is met: 12 hours of EVENT.
func BenchmarkPlaylist(b *testing.B) {
	var text strings.Builder
	text.WriteString("#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXT-X-PLAYLIST-TYPE:EVENT\n#EXT-X-PROGRAM-DATE-TIME:2026-11-21T10:00:00.000Z\n")
	for i := range 21600 {
		fmt.Fprintf(&text, "#EXTINF:2.000,\n%08d.ts\n", i)
	}
	body := text.String()
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		var r report.Report
		playlist.Parse("p.m3u8", body, nil, &r).CheckMedia(&r)
		if len(r.Counts) > 0 {
			b.Fatal(r.Findings)
		}
	}
}
