package check

import (
	"crypto/sha256"
	"slices"
	"strings"

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
	current *playlist
	text    int // bytes of current
	history history
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
	gap    gap // the entries so far that no segment follows yet

	holed    bool // a segment is a gap, or was not there
	sealed   bool // a segment was encrypted
	weights  []weight
	codecs   []string
	size     size
	rate     float64
	firstPTS int64
	hasPTS   bool
	videos   int // segments with H.264
	keyed    int // of them, those that begin with an IDR picture
}

// maxWeights bounds what a long watch keeps.
const maxWeights = 100_000

// take reads a segment of the rendition.
func (m *rendition) take(e segment, body []byte, r *Report) {
	fail := func(rule, format string, args ...any) { r.add(rule, e.uri, 0, format, args...) }
	r.Segments++
	r.Bytes += int64(len(body))
	r.Seconds += e.duration
	if len(m.weights) < maxWeights {
		m.weights = append(m.weights, weight{e.sequence, int64(len(body)), e.duration})
	}
	if e.bitrate > 0 && e.duration > 0 && !e.hasRange {
		rate := float64(len(body)) * 8 / 1000 / e.duration
		if float64(e.bitrate) < 0.9*rate || float64(e.bitrate) > 1.1*rate {
			fail("M3U-BITRATE", "EXT-X-BITRATE is %d, the segment has %.0f kbit/s", e.bitrate, rate)
		}
	}
	switch {
	case e.encrypted:
		r.note("Encrypted segments were fetched, but not looked into.")
		m.sealed = true
		m.part(r)
		return
	case m.current.iFrames:
		r.note("Segments of I-frame playlists were fetched, but not looked into.")
		return
	}
	m.read(e, body, r, fail)
}

// read looks into a segment by its format.
func (m *rendition) read(e segment, body []byte, r *Report, fail report) {
	f := formatOf(body)
	if f != transportStream {
		m.part(r)
	}
	switch f {
	case transportStream:
		m.follow(e, readStream(body, e.init != nil, fail), r, fail)
	case fragmentedMP4:
		r.note("The boxes of fMP4 segments were checked, their media was not.")
		if e.init == nil && !isFragmentName(e.uri) {
			fail("M3U-MAP", "the segment is fMP4, and no EXT-X-MAP precedes it")
		}
		checkFragment(body, fail)
	case packedAudio:
		checkPackedAudio(body, fail)
	case webVTT:
	default:
		if e.init != nil && strings.HasSuffix(cutQuery(e.uri), ".vtt") {
			return
		}
		if strings.HasSuffix(cutQuery(e.uri), ".vtt") || strings.HasSuffix(cutQuery(e.uri), ".webvtt") {
			fail("VTT-HEADER", "it does not begin with WEBVTT")
			return
		}
		fail("SEG-FORMAT", "%d bytes that begin with %q are of no format of HLS", len(body), clip(string(body[:min(len(body), 16)]), 40))
	}
}

// broken: a segment is missing, its successor has no neighbour.
func (m *rendition) broken(r *Report) {
	m.holed = true
	m.part(r)
}

// gather notes what the multivariant playlist is compared with.
func (m *rendition) gather(e segment, s *stream) {
	for _, t := range s.tracks {
		if c := codecOf(t); c != "" && t.pes > 0 && !slices.Contains(m.codecs, c) && len(m.codecs) < 64 {
			m.codecs = append(m.codecs, c)
		}
		if t.kind == media.Video {
			if t.size.width*t.size.height > m.size.width*m.size.height {
				m.size = t.size
			}
			m.rate = max(m.rate, t.rate())
		}
	}
	if t := s.main(); t != nil && t.stamped && e.sequence == m.current.first() {
		m.firstPTS, m.hasPTS = t.minPTS, true
	}
}

// checkStart: what a segment begins with [RFC 8216bis 3, 4.4.2.1].
func (m *rendition) checkStart(s *stream, fail report) {
	v := s.first(media.Video)
	if v == nil || v.codec == "" && !v.anyKey {
		return
	}
	m.videos++
	independent := m.independent || m.current.independent
	switch {
	case v.firstKey && v.keyed:
		m.keyed++
	case independent:
		fail("SEG-INDEPENDENT", "IDR picture first: %v, SPS and PPS before it: %v", v.firstKey, v.keyed)
	case !v.firstKey:
		fail("SEG-IDR", "it begins with another picture than an IDR picture")
	}
}

// checkCounters: continuity counters go on across segments [RFC 8216bis 3].
func (m *rendition) checkCounters(s *stream, fail report) {
	var tables, streams []uint16
	for pid, c := range s.counters {
		b := m.before.stream.counters[pid]
		if b == nil || c.free {
			continue
		}
		want := b.last
		if c.payload {
			want = (b.last + 1) & 15
		}
		switch {
		case c.first == want:
		case pid < 32 || s.pmts[pid]:
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
func (m *rendition) checkTracks(s *stream, fail report) {
	before := m.before.stream
	if !slices.Equal(before.pmt.Streams, s.pmt.Streams) {
		fail("SEG-TRACKS", "%d tracks became %d, or others", len(before.pmt.Streams), len(s.pmt.Streams))
		return
	}
	for _, t := range s.tracks {
		for _, b := range before.tracks {
			if b.pid == t.pid && b.params != "" && t.params != "" && b.params != t.params {
				fail("SEG-PARAMETERS", "PID %d was %s, and is %s", t.pid, b.params, t.params)
			}
		}
	}
}

// codecOf is the CODECS value of a track, "" where it is not known.
func codecOf(t *track) string {
	switch {
	case t.codec != "":
		return t.codec
	case t.kind == 0 || t.pes == 0:
		return ""
	}
	switch t.typ {
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
	target := float64(m.current.target)
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
