package hls

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/grafov/m3u8"
)

// The playlist versions (RFC 8216bis, 8): 3 for EXTINF with decimals, 8 where
// EXT-X-GAP stands in the list.
const (
	playlistVersion    = 3
	playlistVersionGap = 8
)

// LivePlaylist renders the sliding window, with ENDLIST once the broadcast
// has ended.
func (s *State) LivePlaylist() []byte {
	n := s.Window()
	left := s.Entries[:len(s.Entries)-n]
	first := s.First + uint64(len(left))
	return s.media(first, s.Breaks+countBreaks(left), s.Entries[len(left):], "")
}

// VODPlaylist renders the whole broadcast, or what retention has left of it.
// runs are the entries of the index objects in order, the first of media
// sequence first. While the broadcast is live the list is an EVENT: it only
// grows, so that one without its beginning is none.
func (s *State) VODPlaylist(first uint64, runs []Entry) []byte {
	kind := "#EXT-X-PLAYLIST-TYPE:EVENT"
	switch {
	case s.Phase != Live:
		kind = "#EXT-X-PLAYLIST-TYPE:VOD"
	case first > 0:
		kind = ""
	}
	return s.media(first, s.Breaks-countBreaks(runs), append(runs[:len(runs):len(runs)], s.Entries...), kind)
}

// media renders a media playlist (RFC 8216, 4.3.2 and 4.3.3).
func (s *State) media(first, breaks uint64, entries []Entry, kind string) []byte {
	p, err := m3u8.NewMediaPlaylist(0, uint(max(1, len(entries))))
	if err != nil {
		panic(err) // the window is not larger than the capacity
	}
	p.SeqNo, p.DiscontinuitySeq, p.TargetDuration = first, breaks, float64(s.Target)
	p.SetVersion(playlistVersion)
	p.Closed = s.Phase != Live
	// One custom tag holds all lines: grafov writes several in the order of a
	// map, which is no order.
	var head []string
	if !s.Dependent {
		head = append(head, "#EXT-X-INDEPENDENT-SEGMENTS")
	}
	switch {
	case kind != "":
		head = append(head, kind)
	case breaks == 0: // grafov writes it from 1 on; players want it from the start
		head = append(head, "#EXT-X-DISCONTINUITY-SEQUENCE:0")
	}
	if len(head) > 0 {
		p.SetCustomTag(tagLines(strings.Join(head, "\n")))
	}
	for i := range entries {
		e := &entries[i]
		// PROGRAM-DATE-TIME as one custom tag with what follows it: grafov
		// leaves out milliseconds that end in zeros.
		tags := "#EXT-X-PROGRAM-DATE-TIME:" + time.UnixMilli(e.WallMS).UTC().Format("2006-01-02T15:04:05.000Z07:00")
		if e.Flags&Gap != 0 {
			tags += "\n#EXT-X-GAP"
			p.SetVersion(playlistVersionGap)
		}
		seg := &m3u8.MediaSegment{
			URI:           s.EntryName(first+uint64(i), e),
			Duration:      float64(e.DurationMS) / 1000,
			Discontinuity: e.Flags&Discontinuity != 0,
			Custom:        map[string]m3u8.CustomTag{"": tagLines(tags)},
		}
		if err := p.AppendSegment(seg); err != nil {
			panic(err) // the capacity is the number of entries
		}
	}
	// Encode may have raised TARGETDURATION to a rounding of the longest
	// segment; it is fixed for the broadcast.
	p.TargetDuration = float64(s.Target)
	return bytes.Clone(p.Encode().Bytes())
}

// tagLines is a custom tag of whole lines.
type tagLines string

func (t tagLines) TagName() string       { return string(t) }
func (t tagLines) Encode() *bytes.Buffer { return bytes.NewBufferString(string(t)) }
func (t tagLines) String() string        { return string(t) }

// Multivariant renders a multivariant playlist with one rendition at uri (RFC
// 8216, 4.3.4.2). That segments are independent stands in the media playlists,
// which are right about it at every moment, and so not here, too.
func (s *State) Multivariant(uri string) []byte {
	p := m3u8.NewMasterPlaylist()
	p.SetVersion(playlistVersion)
	v := m3u8.VariantParams{Bandwidth: bandwidth(s.Bandwidth), AverageBandwidth: bandwidth(s.Average)}
	if s.Phase != Live && s.DurationMS > 0 {
		mean := s.Bytes * 8000 / s.DurationMS
		v.Bandwidth, v.AverageBandwidth = bandwidth(max(s.Peak, mean)), bandwidth(mean)
	}
	if s.Width > 0 {
		v.Resolution = fmt.Sprintf("%dx%d", s.Width, s.Height)
		v.FrameRate = float64(s.FrameRate) / 1000
		v.VideoRange = s.VideoRange
	}
	v.Codecs = strings.Join(s.Codecs, ",")
	p.Append(uri, nil, v)
	// PROGRAM-ID was removed in protocol version 6 (RFC 8216, 7); grafov
	// always writes it.
	return bytes.Replace(p.Encode().Bytes(), []byte("PROGRAM-ID=0,"), nil, 1)
}

// bandwidth fits a bit rate into the attribute; 0 is no legal value.
func bandwidth(bits int64) uint32 { return uint32(min(max(bits, 1), 1<<32-1)) }
