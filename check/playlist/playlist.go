package playlist

import (
	"time"
)

// Playlist is a parsed playlist, of either kind.
type Playlist struct {
	URI          string
	Multivariant bool
	Media        bool
	version      int
	Independent  bool
	floats       bool // some EXTINF has decimals
	// Held is about how many bytes of memory it takes: a few bytes of text can
	// make many of structure.
	Held      int
	Variables map[string]string

	// Of a media playlist.
	Target                  int // seconds; 0 where it is missing, too
	HasTarget               bool
	MediaSequence           uint64
	DiscontinuitySequence   uint64
	hasDiscontinuitySeq     bool
	Kind                    string // EXT-X-PLAYLIST-TYPE
	Ended, IFrames, started bool
	startOffset             float64
	startLine               int
	Segments                []Segment
	pending                 []part // parts of a segment that is not listed yet
	partTarget              float64
	ServerControl           Attributes
	serverControlLine       int
	dateRanges              []tagged
	hints, reports          []tagged
	skipped                 uint64

	// Of a multivariant playlist.
	Variants   []Variant
	Renditions []tagged // EXT-X-MEDIA
	steering   *tagged
	sessions   []tagged // EXT-X-SESSION-DATA and EXT-X-SESSION-KEY
}

// About what an attribute, a segment and a part take in memory.
const (
	attributeSize = 64
	segmentSize   = 256
	partSize      = 64
)

// tagged is a tag with an attribute list.
type tagged struct {
	Line int
	name string
	Attributes
}

// Variant is an EXT-X-STREAM-INF or EXT-X-I-FRAME-STREAM-INF.
type Variant struct {
	tagged
	URI     string
	IFrames bool
}

// Segment is an entry of a media playlist. sequence and discontinuities are
// its media sequence number and its discontinuity sequence number.
type Segment struct {
	Line            int
	URI             string
	Duration        float64 // seconds
	Sequence        uint64
	Discontinuities uint64
	Discontinuity   bool
	Gap             bool
	HasRange        bool
	Offset, Length  int64
	Date            time.Time // zero: none
	Bitrate         uint64    // kbit/s, 0: none
	Encrypted       bool
	Init            *initialization
	parts           []part
	After           Gap // right before it
}

// Gap is a run of entries marked EXT-X-GAP.
type Gap struct {
	Entries       uint64
	Seconds       float64
	Discontinuity bool // one of them is marked so
}

// initialization is an EXT-X-MAP.
type initialization struct {
	line           int
	URI            string
	Offset, Length int64
}

// part is an EXT-X-PART.
type part struct {
	line             int
	uri              string
	duration         float64
	independent, gap bool
}

// Seconds is how long the playlist is.
func (p *Playlist) Seconds() (sum float64) {
	for i := range p.Segments {
		sum += p.Segments[i].Duration
	}
	return sum
}

// End is the media sequence number behind the last segment.
func (p *Playlist) End() uint64 { return p.First() + uint64(len(p.Segments)) }

// First is the media sequence number of the first segment that is written out.
func (p *Playlist) First() uint64 { return p.MediaSequence + p.skipped }

// At returns the entry with a media sequence number, or nil.
func (p *Playlist) At(sequence uint64) *Segment {
	if sequence < p.First() || sequence >= p.End() {
		return nil
	}
	return &p.Segments[sequence-p.First()]
}
