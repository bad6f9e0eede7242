package object_test

import (
	"testing"
	"time"

	"weir/media"
	"weir/media/object"
)

func TestKeys(t *testing.T) {
	b := object.Broadcast{Stream: media.Stream{App: "live", Name: "alice"}, ID: "20261121T014500Z-k3v9m2x8q0r7t5wz"}
	const dir = "live/alice/20261121T014500Z-k3v9m2x8q0r7t5wz/"
	for _, tt := range []struct {
		key, want   string
		kind        object.Kind
		contentType string
	}{
		{object.EntryPoint("live/alice"), "live/alice/index.m3u8", object.Playlist, "application/vnd.apple.mpegurl"},
		{b.Index(), dir + "index.m3u8", object.Playlist, "application/vnd.apple.mpegurl"},
		{b.Key(object.Source, object.LivePlaylist), dir + "source/live.m3u8", object.Playlist, "application/vnd.apple.mpegurl"},
		{b.Key(object.Source, object.SegmentName(42, ".ts")), dir + "source/00000042.ts", object.Segment, "video/mp2t"},
		{b.Key(object.Source, object.AlternativeName(42, [4]byte{0xde, 0xad, 0xbe, 0xef}, ".ts")), dir + "source/00000042-deadbeef.ts", object.Segment, "video/mp2t"},
		{b.Key(object.Source, object.RunName(3)), dir + "source/index/00000003.json", object.Run, "application/json"},
		{"live/alice/notes.json", "live/alice/notes.json", object.Other, "application/octet-stream"},
	} {
		if tt.key != tt.want {
			t.Errorf("key %s, want %s", tt.key, tt.want)
		}
		if k, c := object.KindOf(tt.key), object.ContentType(tt.key); k != tt.kind || c != tt.contentType {
			t.Errorf("%s is of kind %d and served as %s, want %d and %s", tt.key, k, c, tt.kind, tt.contentType)
		}
	}
	stream, broadcast, name, ok := object.SplitKey(b.Key(object.Source, object.LivePlaylist))
	if !ok || stream != "live/alice" || broadcast != b.ID || name != "source/live.m3u8" {
		t.Errorf("the key comes apart as %q, %q, %q, %v", stream, broadcast, name, ok)
	}
	if _, _, _, ok := object.SplitKey(object.EntryPoint("live/alice")); ok {
		t.Error("the entry point is taken for an object of a broadcast")
	}
}

// Nobody keeps a live playlist for longer than half a target duration: players
// ask again after half of it at the earliest (RFC 8216, 6.3.4).
func TestCacheLive(t *testing.T) {
	for target, want := range map[time.Duration]string{
		time.Second: "no-cache", 2 * time.Second: "public, max-age=1", 5 * time.Second: "public, max-age=2", 12 * time.Second: "public, max-age=6",
	} {
		if got := object.CacheLive(target); got != want {
			t.Errorf("with a target duration of %v: %q, want %q", target, got, want)
		}
	}
}
