package mpegts

import (
	"errors"
	"fmt"

	"weir/media"
	"weir/media/aac"
	"weir/media/h264"
	"weir/media/mp3"
)

// The clock of the stream, in ticks of 90 kHz.
const (
	// Lead is how far the PCR stays behind the DTS of the frame it comes with:
	// the time a decoder has to take a frame in. A DTS must not be less than
	// Lead, or its PCR has wrapped below 0. An access unit stays in the
	// decoder's buffer for a second at most (ISO/IEC 13818-1, 2.4.2.7): Lead, audioSlack and
	// audioSpan together are less.
	Lead = media.Clock / 2

	// pcrInterval is the longest time between two PCRs: "shall be less than or
	// equal to 0.1 s" (ISO/IEC 13818-1, 2.7.2).
	pcrInterval = media.Clock / 10
	// audioSlack is how much further the PCR stays behind the audio where the
	// audio has to drive it because video, whose PID it is on, is silent:
	// ordinary interleaving never brings it past the next picture.
	audioSlack = 3 * media.Clock / 10
	// maxFill is the longest gap in the media that PCRs are written through.
	// Over a longer one, and backwards, a new time base begins.
	maxFill = 10 * media.Clock
)

// The limits of an audio PES packet.
const (
	// audioSpan is the longest time from its first frame's start to its last
	// frame's end, unless one frame alone is longer. It keeps audio close to
	// the pictures it belongs to, and, alone, its PCRs close enough together.
	audioSpan = media.Clock / 10
	// maxAudioPES is what PES_packet_length leaves to the payload.
	maxAudioPES = 0xffff - pesOptional - timeSize
	// audioDrift is how far a frame's PTS may be from where the frames before
	// it in the PES packet put it; further off, it begins a PES packet, and so
	// has its own PTS on the wire. 1 ms is what RTMP's timestamps round by.
	audioDrift = media.Clock / 1000
)

// Config names the tracks of a stream: nil is a track that is not there. Of AAC
// and MP3 at most one is.
type Config struct {
	Video *h264.Config
	AAC   *aac.Config
	MP3   *mp3.Config
}

// sound returns what the audio track is to the muxer, if there is one.
func (c Config) sound() (sound, error) {
	switch {
	case c.AAC != nil && c.MP3 != nil:
		return sound{}, errors.New("both AAC and MP3")
	case c.AAC != nil:
		return sound{typ: StreamAAC, samples: int64(c.AAC.FrameLength), rate: int64(c.AAC.SampleRate), adts: c.AAC}, c.AAC.CheckADTS()
	case c.MP3 != nil:
		s := sound{typ: StreamMPEG2Audio, samples: int64(c.MP3.FrameLength()), rate: int64(c.MP3.SampleRate)}
		if c.MP3.Version == mp3.MPEG1 {
			s.typ = StreamMPEG1Audio
		}
		return s, nil
	}
	return sound{}, nil
}

// sound is an audio track: its stream_type, and that a frame is so many samples
// at rate Hz. Frames stand behind headers of adts, or by themselves where there
// is none. The zero value is no track.
type sound struct {
	typ           StreamType
	samples, rate int64
	adts          *aac.Config
}

func (s *sound) there() bool { return s.typ != 0 }

// Continuity is all that a segment takes over from the one before it: the
// next continuity_counter of each PID, and the last PCR, on the unwrapped
// 90 kHz clock, 0 where there was none. The zero value begins a stream.
type Continuity struct {
	PAT   uint8 `json:"pat"`
	PMT   uint8 `json:"pmt"`
	Video uint8 `json:"video"`
	Audio uint8 `json:"audio"`
	PCR   int64 `json:"pcr,omitempty"`
}

// Muxer makes the bytes of MPEG-TS segments out of frames. A segment is
// AppendTables, AppendFrame for each of its frames, Flush. Its bytes are a
// pure function of the Config, the Continuity it begins with, and its frames.
//
// A Muxer has no locks, and no memory of one segment in the next but its
// Continuity. In the steady state it allocates nothing but what dst grows by.
type Muxer struct {
	next   Continuity
	tables []byte // PAT and PMT
	pes    pesWriter
	video  *h264.Config
	// prefix is what stands first in an access unit, keyPrefix what does in a
	// key frame's: the delimiter, and the parameter sets.
	prefix, keyPrefix []byte
	audio             sound
	pending           audioPES
	// lastVideo is the DTS of the segment's last picture, if hasVideo.
	lastVideo int64
	hasVideo  bool
	// hasClock tells that the segment has a PCR.
	hasClock bool
	// hasAudio tells that an audio PES packet of the segment is written. The
	// first one holds one frame: readers that have yet to learn how long a
	// frame lasts (ffmpeg's) would misplace those behind it.
	hasAudio bool
}

// audioPES is the audio PES packet that grows.
type audioPES struct {
	payload []byte
	frames  int64
	pts     int64 // of the first frame
	// since is the pictures' time when it began, or pts if that is later: with
	// audio that is interleaved late, or early, it may still grow.
	since int64
}

// ErrFrame is wrapped by the errors about frames that cannot be written. The
// Muxer is as it was before such a frame.
var ErrFrame = errors.New("frame unfit for MPEG-TS")

var (
	errTrack = fmt.Errorf("%w: of a track that the Config does not have", ErrFrame)
	errEmpty = fmt.Errorf("%w: access unit without a NAL unit", ErrFrame)
)

// NewMuxer returns a Muxer that goes on where next says.
func NewMuxer(cfg Config, next Continuity) (*Muxer, error) {
	audio, err := cfg.sound()
	if err != nil {
		return nil, fmt.Errorf("new MPEG-TS muxer: %w", err)
	}
	if cfg.Video == nil && !audio.there() {
		return nil, errors.New("new MPEG-TS muxer: neither video nor audio")
	}
	if next.PAT|next.PMT|next.Video|next.Audio > 0x0f {
		return nil, errors.New("new MPEG-TS muxer: a continuity counter above 15")
	}
	m := &Muxer{next: next, audio: audio}
	if cfg.Video != nil {
		if n := cfg.Video.LengthSize; n != 1 && n != 2 && n != 4 {
			return nil, fmt.Errorf("new MPEG-TS muxer: NAL unit lengths of %d bytes", n)
		}
		m.video = cfg.Video
		m.prefix, m.keyPrefix = prefixes(cfg.Video)
	}
	if err := m.pes.init(cfg.Video != nil, audio.typ); err != nil {
		return nil, fmt.Errorf("new MPEG-TS muxer: %w", err)
	}
	m.tables = m.pes.tables
	return m, nil
}

// Continuity returns what the next segment begins with. It is whole only after
// EndPart or Flush.
func (m *Muxer) Continuity() Continuity { return m.next }

// AppendTables appends the PAT and the PMT, with which a segment begins.
func (m *Muxer) AppendTables(dst []byte) []byte {
	at := len(dst)
	dst = append(dst, m.tables...)
	stamp(dst[at:], &m.next.PAT)
	stamp(dst[at+PacketSize:], &m.next.PMT)
	return dst
}

// AppendFrame appends the packets that f completes: a video frame's own, and
// those of the audio before it that has waited long enough. On an error dst
// is returned as it came; the frame is left out, the stream goes on.
func (m *Muxer) AppendFrame(dst []byte, f *media.Frame) ([]byte, error) {
	switch {
	case f.Kind == media.Video && m.video != nil:
		return m.appendVideo(dst, f)
	case f.Kind == media.Audio && m.audio.there():
		return m.appendAudio(dst, f)
	}
	return dst, errTrack
}

// EndPart appends the audio PES packet that is still open, so that dst holds
// every frame so far.
func (m *Muxer) EndPart(dst []byte) []byte { return m.flushAudio(dst) }

// Flush appends the audio PES packet that is still open: it ends a segment.
func (m *Muxer) Flush(dst []byte) []byte {
	if !m.hasClock && m.pending.frames > 0 && m.video != nil {
		// A moment of sound without a picture to give it a clock.
		dst = m.appendPCR(dst, max(m.next.PCR+1, m.pending.pts-Lead-audioSlack), false)
	}
	dst = m.flushAudio(dst)
	m.lastVideo, m.hasVideo, m.hasAudio, m.hasClock = 0, false, false, false
	return dst
}

func (m *Muxer) flushAudio(dst []byte) []byte {
	if m.pending.frames == 0 {
		return dst
	}
	h := pesHeader{pid: audioPID, streamID: audioStreamID, pts: m.pending.pts, dts: m.pending.pts, random: true}
	if m.video == nil {
		dst, h = m.clock(dst, h)
	}
	m.pes.body = body{part: m.pending.payload, size: len(m.pending.payload)}
	dst = m.pes.append(dst, h, &m.next.Audio)
	m.pending.payload, m.pending.frames = m.pending.payload[:0], 0
	m.hasAudio = true
	return dst
}

func (m *Muxer) appendVideo(dst []byte, f *media.Frame) ([]byte, error) {
	b := body{part: m.prefix, units: f.Data, lengthSize: m.video.LengthSize}
	if f.Key {
		b.part = m.keyPrefix
		b.dropSets = m.repeatsSets(f.Data)
	}
	if err := b.measure(); err != nil {
		return dst, err
	}
	if m.pending.frames > 0 && f.DTS-m.pending.since >= audioSpan {
		dst = m.flushAudio(dst)
	}
	m.lastVideo, m.hasVideo = f.DTS, true
	h := pesHeader{pid: videoPID, streamID: videoStreamID, pts: f.PTS, dts: f.DTS, random: f.Key}
	dst, h = m.clock(dst, h)
	m.pes.body = b
	return m.pes.append(dst, h, &m.next.Video), nil
}

func (m *Muxer) appendAudio(dst []byte, f *media.Frame) ([]byte, error) {
	var head [aac.ADTSHeader]byte
	header := head[:0]
	if m.audio.adts != nil {
		var err error
		if header, err = m.audio.adts.AppendADTS(header, len(f.Data)); err != nil {
			return dst, fmt.Errorf("%w: %w", ErrFrame, err)
		}
	}
	if m.pending.frames > 0 && !m.fits(f) {
		dst = m.flushAudio(dst)
	}
	if m.video != nil {
		dst = m.driveClock(dst, f.PTS-Lead-audioSlack)
	}
	p := &m.pending
	if p.frames == 0 {
		p.pts, p.since = f.PTS, f.PTS
		if m.hasVideo {
			p.since = max(p.since, m.lastVideo)
		}
	}
	p.payload = append(append(p.payload, header...), f.Data...)
	p.frames++
	return dst, nil
}

// fits tells whether an audio frame may join the PES packet that is open.
func (m *Muxer) fits(f *media.Frame) bool {
	p := &m.pending
	due := p.pts + m.audioTime(p.frames)
	return m.hasAudio &&
		len(p.payload)+aac.ADTSHeader+len(f.Data) <= maxAudioPES &&
		m.audioTime(p.frames+1) <= audioSpan &&
		f.PTS >= due-audioDrift && f.PTS <= due+audioDrift
}

// audioTime returns how long n audio frames last.
func (m *Muxer) audioTime(n int64) int64 {
	return n * m.audio.samples * media.Clock / m.audio.rate
}

// clock gives a PES packet on the PCR PID its PCR, Lead before its DTS, and
// appends the PCRs that are due before it. A packet whose PCR would not be
// later than the last one has none.
func (m *Muxer) clock(dst []byte, h pesHeader) ([]byte, pesHeader) {
	target := h.dts - Lead
	switch ahead := target - m.next.PCR; {
	case m.next.PCR == 0:
	case ahead > maxFill || ahead < -maxFill:
		h.discontinuity = true
	case ahead <= 0:
		return dst, h
	default:
		dst = m.fill(dst, target)
	}
	h.hasPCR, h.pcr, m.next.PCR, m.hasClock = true, target, target, true
	return dst, h
}

// driveClock brings the PCR to target where its own PID has not done so.
func (m *Muxer) driveClock(dst []byte, target int64) []byte {
	ahead := target - m.next.PCR
	jump := m.next.PCR != 0 && (ahead > maxFill || ahead < -maxFill)
	if m.next.PCR == 0 || jump {
		return m.appendPCR(dst, target, jump)
	}
	return m.fill(dst, target)
}

// fill appends PCR packets so that target is due no sooner than the next one.
func (m *Muxer) fill(dst []byte, target int64) []byte {
	for target-m.next.PCR > pcrInterval {
		dst = m.appendPCR(dst, m.next.PCR+pcrInterval, false)
	}
	return dst
}

// appendPCR appends a packet with a PCR and no payload.
func (m *Muxer) appendPCR(dst []byte, pcr int64, discontinuity bool) []byte {
	pid, counter := uint16(videoPID), m.next.Video
	if m.video == nil {
		pid, counter = audioPID, m.next.Audio
	}
	m.next.PCR, m.hasClock = pcr, true
	return m.pes.appendClock(dst, pid, counter, pcr, discontinuity)
}
