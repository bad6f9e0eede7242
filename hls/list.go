package hls

import (
	"bytes"
	"fmt"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// List is a media playlist as it was read.
type List struct {
	// First is the media sequence of Entries[0], Breaks the discontinuity
	// sequence there.
	First, Breaks uint64
	Target        int // seconds
	Entries       []Entry
	Ended         bool
}

// Next is the media sequence behind the last segment.
func (l *List) Next() uint64 { return l.First + uint64(len(l.Entries)) }

// Standing is how a playlist agrees with another one of its rendition.
type Standing int

const (
	// Continues is that it tells all that the other tells, or more behind it.
	Continues Standing = iota
	// IsBehind is that the other tells more behind the same.
	IsBehind
	// Contradicts is that of a segment, or of the end, they tell different things.
	Contradicts
)

// Against tells how l agrees with the playlist that is there. What one of the
// two does not list any more, nobody can compare.
func (l *List) Against(there *List) Standing {
	if differs(l, there) < min(l.Next(), there.Next()) {
		return Contradicts
	}
	switch {
	case there.Ended && (!l.Ended || l.Next() != there.Next()):
		if l.Next() > there.Next() {
			return Contradicts
		}
		return IsBehind
	case l.Next() < there.Next():
		if l.Ended {
			return Contradicts
		}
		return IsBehind
	}
	return Continues
}

// differs is the first segment of which two lists tell different things, or
// where the shorter one ends.
func differs(a, b *List) uint64 {
	end := min(a.Next(), b.Next())
	for n := max(a.First, b.First); n < end; n++ {
		x, y := a.Entries[n-a.First], b.Entries[n-b.First]
		x.Bytes, y.Bytes = 0, 0
		if x != y {
			return n
		}
	}
	return end
}

// list is what the State lists, as it would be read.
func (s *State) list() *List {
	l := &List{First: s.First, Target: s.Target, Entries: slices.Clone(s.Entries), Ended: s.Phase != Live}
	for i := range l.Entries {
		e := &l.Entries[i]
		e.URI = s.EntryName(s.First+uint64(i), e)
	}
	return l
}

// ParseList reads a media playlist (RFC 8216, 4.3) that this project has
// rendered: what other servers may write is left out. An entry has the URI of
// its segment, and no size, which playlists do not tell.
func ParseList(playlist []byte) (l List, err error) {
	if !bytes.HasPrefix(playlist, []byte("#EXTM3U")) {
		return List{}, fmt.Errorf("parse playlist: it does not begin with #EXTM3U")
	}
	var e Entry
	for line := range bytes.Lines(playlist) {
		tag, value, _ := strings.Cut(strings.TrimSpace(string(line)), ":")
		switch tag {
		case "#EXT-X-TARGETDURATION":
			l.Target, err = strconv.Atoi(value)
		case "#EXT-X-MEDIA-SEQUENCE":
			l.First, err = strconv.ParseUint(value, 10, 48)
		case "#EXT-X-DISCONTINUITY-SEQUENCE":
			l.Breaks, err = strconv.ParseUint(value, 10, 48)
		case "#EXTINF":
			e.DurationMS, err = parseSeconds(value)
		case "#EXT-X-PROGRAM-DATE-TIME":
			var at time.Time
			at, err = time.Parse(time.RFC3339, value)
			e.WallMS = at.UnixMilli()
		case "#EXT-X-DISCONTINUITY":
			e.Flags |= Discontinuity
		case "#EXT-X-GAP":
			e.Flags |= Gap
		case "#EXT-X-ENDLIST":
			l.Ended = true
		default:
			if tag == "" || tag[0] == '#' {
				continue
			}
			e.URI = tag
			l.Entries = append(l.Entries, e)
			e = Entry{}
		}
		if err != nil {
			return List{}, fmt.Errorf("parse playlist: %s: %w", tag, err)
		}
	}
	return l, nil
}

// parseSeconds reads an EXTINF, "4.004,", in milliseconds.
func parseSeconds(s string) (int64, error) {
	s, _, _ = strings.Cut(s, ",")
	seconds, err := strconv.ParseFloat(s, 64)
	if err != nil || !(seconds >= 0 && seconds < 1e6) {
		return 0, fmt.Errorf("%q is no duration", s)
	}
	return int64(math.Round(seconds * 1000)), nil
}

// declared takes what a multivariant playlist of one variant declares into a
// State that knows nothing of its segments (RFC 8216, 4.3.4.2).
func (s *State) declared(playlist []byte) {
	for line := range bytes.Lines(playlist) {
		attributes, ok := strings.CutPrefix(strings.TrimSpace(string(line)), "#EXT-X-STREAM-INF:")
		if !ok {
			continue
		}
		for attributes != "" {
			var name, value string
			name, attributes, _ = strings.Cut(attributes, "=")
			if quoted, ok := strings.CutPrefix(attributes, `"`); ok {
				value, attributes, _ = strings.Cut(quoted, `"`)
				attributes = strings.TrimPrefix(attributes, ",")
			} else {
				value, attributes, _ = strings.Cut(attributes, ",")
			}
			s.declare1(name, value)
		}
	}
}

// declare1 takes one attribute; what cannot be read is as if it were not there.
func (s *State) declare1(name, value string) {
	switch name {
	case "BANDWIDTH":
		n, _ := strconv.ParseUint(value, 10, 32)
		s.Bandwidth, s.Peak = int64(n), int64(n)
	case "AVERAGE-BANDWIDTH":
		n, _ := strconv.ParseUint(value, 10, 32)
		s.Average = int64(n)
	case "RESOLUTION":
		if _, err := fmt.Sscanf(value, "%dx%d", &s.Width, &s.Height); err != nil {
			s.Width, s.Height = 0, 0
		}
	case "FRAME-RATE":
		rate, err := strconv.ParseFloat(value, 64)
		if err == nil && rate >= 0 && rate < 1e4 {
			s.FrameRate = int64(math.Round(rate * 1000))
		}
	case "VIDEO-RANGE":
		if slices.Contains(videoRanges[:], value) {
			s.VideoRange = value
		}
	case "CODECS":
		if codecs := strings.Split(value, ","); value != "" && len(codecs) <= maxCodecs {
			s.Codecs = codecs
		}
	}
}

// uri is an entry's URI as a State keeps it: empty where the media sequence
// gives it.
func (s *State) uri(sequence uint64, uri string) string {
	if uri == s.SegmentName(sequence) || path.Base(uri) != uri {
		return ""
	}
	return uri
}
