package hls

import (
	"path"
	"strconv"
	"strings"

	"weir/media/object"
)

// Place is how much a playlist tells, so that of two the one that is behind
// can be told: nobody writes a playlist over one that tells more, whoever owns
// the broadcast by then.
type Place struct {
	// Broadcast is the one that a stream's multivariant playlist names; empty
	// of all others. Ids sort as their broadcasts began.
	Broadcast string
	// Next is the media sequence behind the last segment, 0 of a multivariant
	// playlist.
	Next uint64
	// Ended: nothing follows. A multivariant playlist then names vod.m3u8.
	Ended bool
}

// Behind tells whether p tells less than q. What has ended is ahead of all
// that goes on, except where that has come further.
func (p Place) Behind(q Place) bool {
	switch {
	case p.Broadcast != q.Broadcast:
		return p.Broadcast < q.Broadcast
	case p.Ended != q.Ended:
		return q.Ended || p.Next < q.Next
	}
	return p.Next < q.Next
}

// PlaceOf reads how far a playlist has come. Of what is no playlist it is the
// zero Place, behind all others.
func PlaceOf(playlist []byte) (p Place) {
	for line := range lines(playlist) {
		line := string(line)
		switch {
		case strings.HasPrefix(line, "#EXTINF:"):
			p.Next++
		case strings.HasPrefix(line, "#EXT-X-MEDIA-SEQUENCE:"):
			first, err := strconv.ParseUint(line[len("#EXT-X-MEDIA-SEQUENCE:"):], 10, 48)
			if err == nil {
				p.Next += first
			}
		case line == "#EXT-X-ENDLIST":
			p.Ended = true
		case object.KindOf(line) == object.Playlist && line[0] != '#':
			dir, name := path.Split(line)
			p.Ended = name == object.VODPlaylist
			if broadcast, _, deep := strings.Cut(strings.TrimSuffix(dir, "/"), "/"); deep {
				p.Broadcast = broadcast
			}
		}
	}
	return p
}
