package check

import (
	"crypto/sha256"
	"slices"
	"strings"

	"weir/check/history"
	"weir/check/playlist"
	"weir/check/report"
	"weir/check/stream"
	"weir/media"
)

// weight is what the bit rates are computed from.
type weight struct {
	sequence uint64
	bytes    int64
	seconds  float64
}

// rendition is one media playlist and what its segments show.
type rendition struct {
	uri     string
	current *playlist.Playlist
	held    int // bytes that current takes
	history history.History
	// independent: the multivariant playlist says so for all.
	independent bool
	wasLive     bool // a version without EXT-X-ENDLIST was seen

	asked   uint64 // the media sequence number to fetch next
	started bool
	inits   map[string]bool
	sums    map[string][sha256.Size]byte // by URI, of what was fetched

	// before is the last segment that could be read, unless the chain broke.
	before *seenSegment
	run    run
	gap    playlist.Gap // the entries so far that no segment follows yet

	holed    bool // a segment is a gap, or was not there
	sealed   bool // a segment was encrypted
	weights  []weight
	codecs   []string
	size     stream.Size
	rate     float64
	firstPTS int64
	hasPTS   bool
	kinds    []media.Kind // that the segments list, as long as they stay
	videos   int          // segments with H.264
	keyed    int          // of them, those that begin with an IDR picture
}

// maxWeights bounds what a long watch keeps.
const maxWeights = 100_000

// take reads a segment of the rendition.
func (m *rendition) take(e playlist.Segment, body []byte, r *report.Report) {
	fail := func(rule, format string, args ...any) { r.Add(rule, e.URI, 0, format, args...) }
	r.Segments++
	r.Bytes += int64(len(body))
	r.Seconds += e.Duration
	if len(m.weights) < maxWeights {
		m.weights = append(m.weights, weight{e.Sequence, int64(len(body)), e.Duration})
	}
	if e.Bitrate > 0 && e.Duration > 0 && !e.HasRange {
		rate := float64(len(body)) * 8 / 1000 / e.Duration
		if float64(e.Bitrate) < 0.9*rate || float64(e.Bitrate) > 1.1*rate {
			fail("M3U-BITRATE", "EXT-X-BITRATE is %d, the segment has %.0f kbit/s", e.Bitrate, rate)
		}
	}
	switch {
	case e.Encrypted:
		r.Note("Encrypted segments were fetched, but not looked into.")
		m.sealed = true
		m.part(r)
		return
	case m.current.IFrames:
		r.Note("Segments of I-frame playlists were fetched, but not looked into.")
		return
	}
	m.read(e, body, r, fail)
}

// read looks into a segment by its format.
func (m *rendition) read(e playlist.Segment, body []byte, r *report.Report, fail report.Func) {
	f := stream.FormatOf(body)
	if f != stream.TransportStream {
		m.part(r)
	}
	switch f {
	case stream.TransportStream:
		m.follow(e, stream.Read(body, e.Init != nil, fail), r, fail)
	case stream.FragmentedMP4:
		r.Note("The boxes of fMP4 segments were checked, their media was not.")
		if e.Init == nil && !playlist.IsFragment(e.URI) {
			fail("M3U-MAP", "the segment is fMP4, and no EXT-X-MAP precedes it")
		}
		stream.CheckFragment(body, fail)
	case stream.PackedAudio:
		stream.CheckPackedAudio(body, fail)
	case stream.WebVTT:
	default:
		if e.Init != nil && strings.HasSuffix(playlist.Path(e.URI), ".vtt") {
			return
		}
		if strings.HasSuffix(playlist.Path(e.URI), ".vtt") || strings.HasSuffix(playlist.Path(e.URI), ".webvtt") {
			fail("VTT-HEADER", "it does not begin with WEBVTT")
			return
		}
		fail("SEG-FORMAT", "%d bytes that begin with %q are of no format of HLS", len(body), report.Clip(string(body[:min(len(body), 16)]), 40))
	}
}

// broken: a segment is missing, its successor has no neighbour.
func (m *rendition) broken(r *report.Report) {
	m.holed = true
	m.part(r)
}

// gather notes what the multivariant playlist is compared with.
func (m *rendition) gather(e playlist.Segment, s *stream.Stream) {
	for _, t := range s.Tracks {
		if c := codecOf(t); c != "" && t.Packets > 0 && !slices.Contains(m.codecs, c) && len(m.codecs) < 64 {
			m.codecs = append(m.codecs, c)
		}
		if t.Kind == media.Video {
			if t.Size.Width*t.Size.Height > m.size.Width*m.size.Height {
				m.size = t.Size
			}
			m.rate = max(m.rate, t.Rate())
		}
	}
	if t := s.Main(); t != nil && t.Stamped && e.Sequence == m.current.First() {
		m.firstPTS, m.hasPTS = t.MinPTS, true
	}
}

// checkStart: what a segment begins with [RFC 8216bis 3, 4.4.2.1].
func (m *rendition) checkStart(s *stream.Stream, fail report.Func) {
	v := s.First(media.Video)
	if v == nil || v.Codec == "" && !v.AnyKey {
		return
	}
	m.videos++
	independent := m.independent || m.current.Independent
	switch {
	case v.FirstKey && v.Keyed:
		m.keyed++
	case independent:
		fail("SEG-INDEPENDENT", "IDR picture first: %v, SPS and PPS before it: %v", v.FirstKey, v.Keyed)
	case !v.FirstKey:
		fail("SEG-IDR", "it begins with another picture than an IDR picture")
	}
}

// checkKinds: players make a buffer for each kind of track that their first
// segment lists, and wait for all of them to be filled. hls.js 1.7 stops for good
// at a track that comes later, at a segment without one, and where a track ends,
// whether or not EXT-X-DISCONTINUITY announces it; recoverMediaError does not help.
func (m *rendition) checkKinds(e playlist.Segment, s *stream.Stream, fail report.Func) {
	if len(s.Tracks) == 0 { // other rules tell
		return
	}
	var kinds []media.Kind
	last := m.current.Ended && e.Sequence+1 == m.current.End() // nothing is waited for behind it
	for _, t := range s.Tracks {
		if t.Kind == 0 {
			continue
		}
		if t.Packets == 0 && !last {
			fail("SEG-TRACK-EMPTY", "it lists %s on PID %d, and holds none", t.Kind, t.PID)
		}
		if !slices.Contains(kinds, t.Kind) {
			kinds = append(kinds, t.Kind)
		}
	}
	slices.Sort(kinds)
	if m.kinds != nil {
		for _, k := range []media.Kind{media.Video, media.Audio} {
			switch before, now := slices.Contains(m.kinds, k), slices.Contains(kinds, k); {
			case now && !before:
				fail("SEG-TRACK-SET", "%s comes here, the segments before had none", k)
			case before && !now && !last:
				fail("SEG-TRACK-SET", "%s goes away here, the segments before had some", k)
			}
		}
	}
	if len(kinds) > 0 {
		m.kinds = kinds
	}
}

// checkCounters: continuity counters go on across segments [RFC 8216bis 3].
func (m *rendition) checkCounters(s *stream.Stream, fail report.Func) {
	var tables, streams []uint16
	for pid, c := range s.Counters {
		b := m.before.stream.Counters[pid]
		if b == nil || c.Free {
			continue
		}
		want := b.Last
		if c.Payload {
			want = (b.Last + 1) & 15
		}
		switch {
		case c.First == want:
		case pid < 32 || s.PMTs[pid]:
			tables = append(tables, pid)
		default:
			streams = append(streams, pid)
		}
	}
	slices.Sort(tables)
	slices.Sort(streams)
	if len(streams) > 0 {
		fail("TS-CONTINUITY-ACROSS", "the counters of PIDs %v do not go on from the segment before", streams)
	}
	if len(tables) > 0 {
		fail("TS-CONTINUITY-TABLES", "the counters of PIDs %v do not go on from the segment before", tables)
	}
}

// checkTracks: tracks and their parameters stay [RFC 8216bis 4.4.4.3, 6.2.1].
func (m *rendition) checkTracks(s *stream.Stream, fail report.Func) {
	before := m.before.stream
	if !slices.Equal(before.PMT.Streams, s.PMT.Streams) {
		fail("SEG-TRACKS", "%d tracks became %d, or others", len(before.PMT.Streams), len(s.PMT.Streams))
		return
	}
	for _, t := range s.Tracks {
		for _, b := range before.Tracks {
			if b.PID == t.PID && b.Parameters != "" && t.Parameters != "" && b.Parameters != t.Parameters {
				fail("SEG-PARAMETERS", "PID %d was %s, and is %s", t.PID, b.Parameters, t.Parameters)
			}
		}
	}
}

// codecOf is the CODECS value of a track, "" where it is not known.
func codecOf(t *stream.Track) string {
	switch {
	case t.Codec != "":
		return t.Codec
	case t.Kind == 0 || t.Packets == 0:
		return ""
	}
	switch t.Type {
	case 0x24:
		return "hvc1"
	case 0x03, 0x04:
		return "mp4a.40.34"
	case 0x81:
		return "ac-3"
	case 0x87:
		return "ec-3"
	}
	return ""
}

// peak is the peak segment bit rate in bit/s: the largest of any contiguous
// run of segments that lasts 0.5 to 1.5 target durations [RFC 8216bis 4.1].
func (m *rendition) peak() (peak float64) {
	target := float64(m.current.Target)
	for i := range m.weights {
		var sum weight
		for k, w := range m.weights[i:min(len(m.weights), i+maxRun)] {
			if w.sequence != m.weights[i].sequence+uint64(k) { // a gap, or one that was not there
				break
			}
			sum.bytes += w.bytes
			sum.seconds += w.seconds
			if sum.seconds > 1.5*target {
				break
			}
			if sum.seconds >= 0.5*target && sum.seconds > 0 {
				peak = max(peak, float64(sum.bytes)*8/sum.seconds)
			}
		}
	}
	return peak
}

// maxRun bounds the run of segments, should they last no time at all.
const maxRun = 256

// average is the average segment bit rate in bit/s.
func (m *rendition) average() float64 {
	var sum weight
	for _, w := range m.weights {
		sum.bytes += w.bytes
		sum.seconds += w.seconds
	}
	if sum.seconds == 0 {
		return 0
	}
	return float64(sum.bytes) * 8 / sum.seconds
}
