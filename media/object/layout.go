package object

import (
	"fmt"
	"path"
	"strings"
	"time"

	"weir/media"
)

// The layout of a store: this is the one place that knows keys, content types
// and cache times.
//
//	app/name/index.m3u8                            the entry point: the stream's current broadcast, or its last
//	app/name/broadcast/index.m3u8                  the broadcast, for ever
//	app/name/broadcast/rendition/live.m3u8         a sliding window
//	app/name/broadcast/rendition/vod.m3u8          the whole
//	app/name/broadcast/rendition/00000042.ts       a segment, by its media sequence
//	app/name/broadcast/rendition/index/00000000.json  entries that left the window

// Source is the rendition that the encoder itself sent.
const Source = "source"

// The names of playlists.
const (
	IndexPlaylist = "index.m3u8"
	LivePlaylist  = "live.m3u8"
	VODPlaylist   = "vod.m3u8"
)

// EntryPoint is the key of the playlist that viewers of a stream open; stream
// is app/name.
func EntryPoint(stream string) string { return stream + "/" + IndexPlaylist }

// Broadcast is where the objects of one broadcast are.
type Broadcast struct {
	Stream media.Stream
	ID     string
}

// Prefix is what the keys of all objects of the broadcast begin with.
func (b Broadcast) Prefix() string { return BroadcastPrefix(b.Stream.String(), b.ID) }

// BroadcastPrefix is what the keys of a broadcast's objects begin with; stream
// is app/name.
func BroadcastPrefix(stream, id string) string { return stream + "/" + id + "/" }

// Index is the key of the broadcast's multivariant playlist.
func (b Broadcast) Index() string { return b.Prefix() + IndexPlaylist }

// Key is the key of an object of a rendition.
func (b Broadcast) Key(rendition, name string) string {
	return b.Prefix() + path.Join(rendition, name)
}

// SegmentName is a segment's name within its rendition: by media sequence.
func SegmentName(sequence uint64, extension string) string {
	return fmt.Sprintf("%08d%s", sequence, extension)
}

// AlternativeName is the name of a segment whose own name has other bytes;
// mark tells the bytes apart.
func AlternativeName(sequence uint64, mark [4]byte, extension string) string {
	return fmt.Sprintf("%08d-%x%s", sequence, mark, extension)
}

// runs is the folder of index runs within a rendition.
const runs = "index/"

// RunName is the name of an index run within its rendition.
func RunName(number uint64) string { return fmt.Sprintf(runs+"%08d.json", number) }

// SplitKey takes the key of a broadcast's object apart; stream is app/name.
func SplitKey(key string) (stream, broadcast, name string, ok bool) {
	parts := strings.SplitN(key, "/", 4)
	if len(parts) < 4 {
		return "", "", "", false
	}
	return parts[0] + "/" + parts[1], parts[2], parts[3], true
}

// Kind is what an object is, told by its key alone.
type Kind uint8

// The kinds of objects.
const (
	// Other is what weir does not write.
	Other Kind = iota
	Playlist
	Segment
	// Run is an index run: it is the pipeline's own, and for no viewer.
	Run
)

// segmentTypes are the content types of segments by their extension: MPEG-TS
// (RFC 8216, 3.2, with RFC 3555).
var segmentTypes = map[string]string{".ts": "video/mp2t"}

// KindOf tells what a key names.
func KindOf(key string) Kind {
	extension := path.Ext(key)
	switch {
	case extension == ".m3u8":
		return Playlist
	case segmentTypes[extension] != "":
		return Segment
	case extension == ".json" && strings.HasSuffix(path.Dir(key)+"/", "/"+runs):
		return Run
	}
	return Other
}

// ContentType is what an object is served as: playlists as RFC 8216, 4 wants
// it.
func ContentType(key string) string {
	switch KindOf(key) {
	case Playlist:
		return "application/vnd.apple.mpegurl"
	case Segment:
		return segmentTypes[path.Ext(key)]
	case Run:
		return "application/json"
	}
	return "application/octet-stream"
}

// The Cache-Control of what stays as it is: of segments and index runs, and of
// playlists that have ended (RFC 8216, 6.2.1), which may still be removed.
const (
	CacheForever = "public, max-age=31536000, immutable"
	CacheEnded   = "public, max-age=86400"
)

// CacheLive is the Cache-Control of a playlist that changes: half a target
// duration, as players ask again after half of it at the earliest (RFC 8216,
// 6.3.4).
func CacheLive(target time.Duration) string {
	half := int(target / 2 / time.Second)
	if half < 1 {
		return "no-cache"
	}
	return fmt.Sprintf("public, max-age=%d", half)
}
