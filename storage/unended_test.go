package storage

import (
	"slices"
	"testing"

	"weir/media/object"
)

// TestUnended: which renditions have no end, and whether they are the last of
// their stream.
func TestUnended(t *testing.T) {
	const list, ended = "#EXTM3U\n#EXTINF:4,\n0.ts\n", "#EXTM3U\n#EXTINF:4,\n0.ts\n#EXT-X-ENDLIST\n"
	s := NewMemory()
	for key, body := range map[string]string{
		"live/a/20260101T000000Z-a/source/live.m3u8": list,
		"live/a/20260101T000000Z-a/source/vod.m3u8":  list,
		"live/a/20260102T000000Z-a/source/live.m3u8": list,
		"live/a/20260102T000000Z-a/720p/live.m3u8":   list,
		"live/a/20260102T000000Z-a/index.m3u8":       list,
		"live/a/index.m3u8":                          list,
		"live/b/20260101T000000Z-b/source/live.m3u8": list,
		"live/b/20260102T000000Z-b/source/live.m3u8": ended,
		"live/c/20260101T000000Z-c/source/live.m3u8": ended,
		"other/live.m3u8":                            list,
	} {
		if _, err := s.Put(t.Context(), object.Object{Key: key, Body: []byte(body)}, object.Condition{}); err != nil {
			t.Fatal(err)
		}
	}
	var got []Rendition
	for r, err := range Unended(t.Context(), s, "") {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, r)
	}
	want := []Rendition{
		{"live/a", "20260101T000000Z-a", "source", false},
		{"live/a", "20260102T000000Z-a", "720p", true},
		{"live/a", "20260102T000000Z-a", "source", true},
		{"live/b", "20260101T000000Z-b", "source", false},
	}
	if !slices.Equal(got, want) {
		t.Errorf("unended are %+v, want %+v", got, want)
	}
}
