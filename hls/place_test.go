package hls

import "testing"

// TestPlace: of two playlists, which one tells less.
func TestPlace(t *testing.T) {
	const head = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n"
	const segment = "#EXTINF:4.000,\n00000000.ts\n"
	entry := func(uri string) string { return "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n" + uri + "\n" }
	inOrder := [][]string{
		{"", "<html>", head, head + "#EXT-X-MEDIA-SEQUENCE:x\n"}, // nothing is told
		{head + segment, head + "#EXT-X-MEDIA-SEQUENCE:0\n" + segment},
		{head + "#EXT-X-MEDIA-SEQUENCE:4\n" + segment + segment, head + segment + segment + segment + segment + segment + segment},
		{head + "#EXT-X-MEDIA-SEQUENCE:9\n" + segment},
		{head + "#EXT-X-MEDIA-SEQUENCE:9\n" + segment + "#EXT-X-ENDLIST\n", head + "#EXT-X-MEDIA-SEQUENCE:9\r\n" + segment + "#EXT-X-ENDLIST\r\n"},
	}
	ordered(t, inOrder)
	ordered(t, [][]string{
		{entry("20261121T014500Z-b/source/live.m3u8")},
		{entry("20261121T014500Z-b/source/vod.m3u8"), entry("20261121T014500Z-b/audio/vod.m3u8")},
		{entry("20261121T014501Z-a/source/live.m3u8")}, // a newer broadcast, whatever the one before says
	})
	ordered(t, [][]string{{entry("source/live.m3u8")}, {entry("source/vod.m3u8")}})

	// A list that ends before one that goes on is behind it, and the other is
	// behind what has ended: neither is written over the other.
	ended, goesOn := PlaceOf([]byte(head+segment+"#EXT-X-ENDLIST\n")), PlaceOf([]byte(head+segment+segment))
	if !ended.Behind(goesOn) || !goesOn.Behind(ended) {
		t.Errorf("ended %+v, goes on %+v: each must be kept from overwriting the other", ended, goesOn)
	}
}

// ordered fails unless each playlist is behind those of later lines only.
func ordered(t *testing.T, lines [][]string) {
	t.Helper()
	for i, line := range lines {
		for j, other := range lines {
			for _, a := range line {
				for _, b := range other {
					if got := PlaceOf([]byte(a)).Behind(PlaceOf([]byte(b))); got != (i < j) {
						t.Errorf("%q behind %q: %v, want %v", a, b, got, i < j)
					}
				}
			}
		}
	}
}
