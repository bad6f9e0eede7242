package hls

import (
	"slices"
	"testing"
	"time"
)

func TestReadHead(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       Head
	}{
		{"nothing", "", Head{}},
		{"live", "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4.000,\n00000000.ts\n", Head{Media: true, Target: 4 * time.Second}},
		{"ended, with the line ends of others", "#EXTM3U\r\n#EXT-X-TARGETDURATION:6\r\n#EXTINF:6,\r\na.ts\r\n#EXT-X-ENDLIST\r\n", Head{Media: true, Ended: true, Target: 6 * time.Second}},
		{"multivariant", "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nsource/live.m3u8\n", Head{}},
		{"a target duration that is none", "#EXT-X-TARGETDURATION:1e9\n", Head{}},
		{"a tag's name within another's, and in a comment", "#EXT-X-ENDLISTS\n# #EXT-X-ENDLIST\n", Head{}},
	} {
		if got := ReadHead([]byte(tt.text)); got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

func TestURIs(t *testing.T) {
	const text = "#EXTM3U\n#EXT-X-MAP:URI=\"init.mp4\"\n#EXTINF:4,\n  a.ts \r\n\n# comment\n#EXT-X-MEDIA:TYPE=AUDIO,URI=\"b/c.m3u8\",NAME=\"x\"\n#EXT-X-KEY:URI=\"\"\nd.ts"
	want := []string{"init.mp4", "a.ts", "b/c.m3u8", "d.ts"}
	if got := slices.Collect(URIs([]byte(text))); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for uri := range URIs([]byte(text)) {
		if uri == "a.ts" {
			break // an iterator may be left
		}
	}
}

// What is rendered here is read here.
func TestReadWhatIsWritten(t *testing.T) {
	for name, want := range map[string]Head{
		"live.m3u8": {Media: true, Target: 4 * time.Second}, "vod.m3u8": {Media: true, Ended: true, Target: 4 * time.Second}, "index.m3u8": {},
	} {
		if got := ReadHead(readGolden(t, name)); got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
}
