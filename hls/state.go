package hls

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"weir/media"
	"weir/media/framelog"
)

// StateVersion is the format version of State that a broadcast begins with.
// One that an older release began keeps the version it has, so that workers of
// both releases can go on with it: see Versions.
const StateVersion = 2

// MuxerVersion names the rules by which this release makes bytes out of
// frames. A broadcast keeps the version that it began with: a State of version
// 1 has 1.
const MuxerVersion = 2

// Versions returns the format versions of State that this release reads, and
// writes where a broadcast has them; StateVersion is the last.
func Versions() []int { return []int{1, StateVersion} }

// The limits of what a State may fix, so that its size stays bounded.
const (
	// MaxTarget is the longest target duration. A group of pictures that is
	// longer is cut at a message boundary.
	MaxTarget        = 12 * time.Second
	maxTargetSeconds = int(MaxTarget / time.Second)
	// MaxWindowSegments is how many segments a live window may hold.
	MaxWindowSegments = 240
	// RunLength is how many entries an index object holds.
	RunLength = 64
)

// Phase is where a broadcast stands.
type Phase string

// The phases, in their order.
const (
	Live   Phase = "live"
	Ending Phase = "ending" // the last segment is stored; playlists are to be closed
	Closed Phase = "closed" // everything is written
)

// What Settings should be, where nobody says better.
const (
	DefaultSegment = 4 * time.Second
	DefaultWindow  = time.Minute
)

// Settings fix what the bytes of a broadcast depend on beside its log. They
// are taken at the first claim and kept in its State.
type Settings struct {
	// Segment is the wished duration of a segment.
	Segment time.Duration
	// Window is how much a live playlist lists.
	Window time.Duration
	// Forget has segments deleted that have left the live playlist, when no
	// player can know of them any more. vod.m3u8 then appears at the end, and
	// lists the last minutes.
	Forget bool
}

// Kept is for how long a segment stays in the store with Forget, at most: what
// it takes to be sure that no player asks for it.
func (s Settings) Kept() time.Duration { return 3*RunLength*s.Segment + 2*s.Window }

// Check tells what is wrong with the settings.
func (s Settings) Check() error {
	switch {
	case s.Segment%time.Millisecond != 0 || s.Window%time.Millisecond != 0:
		return fmt.Errorf("segment duration %v, window %v: want whole milliseconds", s.Segment, s.Window)
	case s.Segment < time.Second/2 || s.Segment > MaxTarget:
		return fmt.Errorf("segment duration %v: want 500ms to %v", s.Segment, MaxTarget)
	case s.Window < 3*s.Segment:
		return fmt.Errorf("window %v: want at least three segments, %v (RFC 8216, 6.2.2)", s.Window, 3*s.Segment)
	case s.Window > MaxWindowSegments*s.Segment:
		return fmt.Errorf("window %v: want at most %d segments, %v", s.Window, MaxWindowSegments, MaxWindowSegments*s.Segment)
	}
	return nil
}

// State is everything a Cutter must know at a segment boundary to go on
// with the same bytes: it and the log from Position on determine the rest.
type State struct {
	Version   int   `json:"version"`
	Muxer     int   `json:"muxer"`
	SegmentMS int64 `json:"segment_ms"`
	WindowMS  int64 `json:"window_ms"`
	Forget    bool  `json:"forget,omitempty"`
	Phase     Phase `json:"phase"`

	// Log is which log was read, Position the last batch of it that the segments
	// so far hold, and Number that one's.
	Log      string `json:"log,omitempty"`
	Position uint64 `json:"position"`
	Number   uint64 `json:"number,omitempty"`
	// Epoch is the highest that has begun; batches of a lower one are dropped.
	Epoch uint64 `json:"epoch"`
	// InSession tells that the session of Epoch has begun and not ended.
	InSession bool `json:"in_session,omitempty"`
	// SessionStart is when the session's first frame is shown, in ticks, and
	// GridStart its DTS, from where the segment grid counts. WallMS is the
	// ingest's wall clock there. Started tells whether they are known.
	Started      bool  `json:"started,omitempty"`
	SessionStart int64 `json:"session_start,omitempty"`
	GridStart    int64 `json:"grid_start,omitempty"`
	WallMS       int64 `json:"wall_ms,omitempty"`
	// WallEndMS is the PROGRAM-DATE-TIME at which the last segment ends.
	WallEndMS int64 `json:"wall_end_ms,omitempty"`

	Timeline media.Timeline `json:"timeline"`
	// Format is the segments' format, Carry what it hands from one segment to
	// the next, and Tracks are the codec configurations in force.
	Format string          `json:"format,omitempty"`
	Carry  json.RawMessage `json:"carry,omitempty"`
	Tracks []track         `json:"tracks,omitempty"`
	// Kinds are the tracks that the show has, and Pauses what is known of
	// those that send nothing.
	Kinds  Kinds  `json:"kinds,omitzero"`
	Pauses Pauses `json:"pauses,omitzero"`
	// Split tells that pictures come in several messages, Late how far the
	// encoder is behind the session's clock.
	Split bool     `json:"split,omitempty"`
	Late  lateness `json:"late,omitzero"`

	// Target is the target duration in seconds, 0 before the first segment.
	Target int `json:"target,omitempty"`
	// First is the media sequence of Entries[0]; Breaks counts the
	// discontinuities before it.
	First   uint64  `json:"first"`
	Breaks  uint64  `json:"breaks,omitempty"`
	Entries []Entry `json:"entries,omitempty"`
	// AdoptedMS is set while the log may hold what was adopted from the store's
	// playlists: the wall clock to which that goes, in Unix milliseconds.
	AdoptedMS int64 `json:"adopted_ms,omitempty"`
	// Break tells that the next segment begins with a discontinuity.
	Break bool `json:"break,omitempty"`
	// Dependent tells that some segment does not begin with a key frame.
	Dependent bool `json:"dependent,omitempty"`
	// Forgotten is how many segments, from the first, have been deleted.
	Forgotten uint64 `json:"forgotten,omitempty"`
	// VODLength is how many segments vod.m3u8 lists.
	VODLength uint64 `json:"vod_length,omitempty"`

	// Bandwidth and Average are what the multivariant playlists declare, in
	// bits per second; Peak the highest of one segment; Bytes and DurationMS
	// the sums.
	Bandwidth  int64 `json:"bandwidth,omitempty"`
	Average    int64 `json:"average,omitempty"`
	Peak       int64 `json:"peak,omitempty"`
	Bytes      int64 `json:"bytes,omitempty"`
	DurationMS int64 `json:"duration_ms,omitempty"`
	// FrameRate is in thousandths of a picture per second, the highest
	// measured. Codecs are all that segments hold, sorted, as in RFC 6381;
	// Width and Height the largest picture's.
	FrameRate int64    `json:"frame_rate,omitempty"`
	Codecs    []string `json:"codecs,omitempty"`
	Width     int      `json:"width,omitempty"`
	Height    int      `json:"height,omitempty"`
	// VideoRange is that of the pictures with the widest one, empty where no
	// parameter set says.
	VideoRange string `json:"video_range,omitempty"`
	// LostFrames counts frames that could not be stored: before the first key
	// frame, without a codec configuration, or damaged. LostBatches counts
	// times that the log had lost batches before they were read, LostMS the
	// media time of those, as far as it is known.
	LostFrames  uint64 `json:"lost_frames,omitempty"`
	LostBatches uint64 `json:"lost_batches,omitempty"`
	LostMS      int64  `json:"lost_ms,omitempty"`
	// Drops counts, by reason, what reached no segment: LostFrames is their sum,
	// and what a release before counted.
	Drops media.Drops `json:"drops,omitzero"`
}

// ErrState is wrapped by every error of ParseState that is not ErrVersion.
var ErrState = errors.New("bad state")

// ErrVersion is returned for a State that a newer release wrote.
var ErrVersion = errors.New("state of an unknown version")

// newState returns the State before the first segment.
func newState(s Settings, f Format) State {
	return State{
		Version: StateVersion, Muxer: MuxerVersion, Phase: Live, Format: f.Name(),
		SegmentMS: s.Segment.Milliseconds(), WindowMS: s.Window.Milliseconds(), Forget: s.Forget,
	}
}

// ParseState reads a State and checks that a Cutter can go on from it.
func ParseState(blob []byte) (State, error) {
	var versions struct{ Version, Muxer int }
	if err := json.Unmarshal(blob, &versions); err != nil {
		return State{}, fmt.Errorf("%w: %w", ErrState, err)
	}
	read := parseV2
	switch {
	case versions.Version == 1 && versions.Muxer == 1:
		read = parseV1
	case versions.Version != StateVersion || versions.Muxer != MuxerVersion:
		return State{}, fmt.Errorf("%w: format %d, muxer %d; this release reads format 1, muxer 1, and format %d, muxer %d", ErrVersion, versions.Version, versions.Muxer, StateVersion, MuxerVersion)
	}
	s, err := read(blob)
	if err != nil {
		return State{}, fmt.Errorf("%w: %w", ErrState, err)
	}
	if err := s.check(); err != nil {
		return State{}, fmt.Errorf("%w: %w", ErrState, err)
	}
	return s, nil
}

func parseV2(blob []byte) (s State, err error) {
	err = json.Unmarshal(blob, &s)
	return s, err
}

func (s *State) check() error {
	if err := s.Settings().Check(); err != nil {
		return err
	}
	switch {
	case s.Phase != Live && s.Phase != Ending && s.Phase != Closed:
		return errors.New("unknown phase")
	case s.Target < 0 || s.Target > int(MaxTarget/time.Second) || s.Target == 0 && len(s.Entries) > 0:
		return errors.New("target duration out of range")
	case len(s.Codecs) > maxCodecs || min(s.Width, s.Height) < 0 || max(s.Width, s.Height) > 1<<16:
		return errors.New("codecs or size out of range")
	case len(s.Entries) > MaxWindowSegments+2*RunLength:
		return errors.New("too many entries")
	case s.First%RunLength != 0 || s.First > 1<<48 || s.Forgotten > s.First:
		return errors.New("first media sequence is not the begin of a run, or is forgotten")
	case min(s.Bandwidth, s.Average, s.Peak, s.Bytes, s.DurationMS, s.FrameRate) < 0:
		return errors.New("negative sum")
	}
	if err := s.checkMedia(); err != nil {
		return err
	}
	for _, e := range s.Entries {
		if err := e.check(); err != nil {
			return err
		}
	}
	return nil
}

// checkMedia checks what the next segment begins from.
func (s *State) checkMedia() error {
	f, err := formatNamed(s.Format)
	if err != nil {
		return err
	}
	if err := f.Check(s.Carry); err != nil {
		return err
	}
	_, err = parseTracks(s.Tracks)
	return err
}

// Encode returns the State's stored form, in the version that it has.
func (s *State) Encode() []byte {
	var form any = s
	if s.Version == 1 {
		form = toV1(s)
	}
	b, err := json.Marshal(form)
	if err != nil {
		panic(err) // numbers, strings and byte slices only: json cannot refuse them
	}
	return b
}

// Settings returns what the broadcast began with.
func (s *State) Settings() Settings {
	return Settings{
		Segment: time.Duration(s.SegmentMS) * time.Millisecond,
		Window:  time.Duration(s.WindowMS) * time.Millisecond,
		Forget:  s.Forget,
	}
}

// Place is where in the log the State stands.
func (s *State) Place() framelog.Position {
	return framelog.Position{Log: s.Log, Seq: s.Position, Epoch: s.Epoch, Number: s.Number}
}

// whole tells whether each segment holds every track of the show: a rule since
// MuxerVersion 2.
func (s *State) whole() bool { return s.Muxer >= 2 }

// Next is the media sequence of the next segment: how many there are so far.
func (s *State) Next() uint64 { return s.First + uint64(len(s.Entries)) }

// Clone returns a State that changes of this one leave as it is.
func (s *State) Clone() *State {
	c := *s
	c.Entries = slices.Clone(s.Entries)
	return &c
}

// Window returns how many of the last entries the live playlist lists: enough
// for Window, and never less than three target durations (RFC 8216, 6.2.2:
// "The server MUST NOT remove a Media Segment ... if the duration of the
// Playlist minus the duration of the Media Segment is less than three times
// the target duration."). But an encoder that comes and goes several times a
// second gets no more than MaxWindowSegments of its pieces.
func (s *State) Window() int {
	want := max(s.WindowMS, 3000*int64(s.Target))
	n := 0
	for want > 0 && n < min(len(s.Entries), MaxWindowSegments) {
		n++
		want -= s.Entries[len(s.Entries)-n].DurationMS
	}
	return n
}

// evict takes the oldest run of entries out of the State when none of it is
// in the live window, and returns it.
func (s *State) evict() []Entry {
	if len(s.Entries)-s.Window() < RunLength {
		return nil
	}
	run := s.Entries[:RunLength:RunLength]
	s.Entries = append([]Entry(nil), s.Entries[RunLength:]...)
	s.First += RunLength
	s.Breaks += countBreaks(run)
	return run
}
