package ingest

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"weir/media/framelog"
	"weir/media/h264"
	"weir/remux/flv"
)

// The rules by which tags become batches. They are constants where nobody
// gains by turning them.
const (
	// maxBegin is how long a session's first batch waits for a key frame, of
	// media time and of arrival time.
	maxBegin = time.Second
	// maxSpan is the most media time of one batch, in milliseconds of one
	// track's timestamps: segments are cut between batches, and what an encoder
	// sends faster than it plays would else be one batch of many segments.
	maxSpan = 1000
	// audioKey is the distance of key batches while there is no video, in
	// milliseconds of audio timestamps.
	audioKey = 1000
	// videoGone is for how long no picture may come, in milliseconds of audio
	// timestamps, before the session counts as audio only. It is longer than
	// the pause between two frames of the slowest slide show.
	videoGone = 10_000
	// maxPrelude is the most bytes of headers in force. Real ones hold about
	// 1 kB. How often they are repeated is bounded by credit.
	maxPrelude = 64 << 10
	// maxConfig is the largest sequence header that is repeated: no reader uses a
	// configuration of more than 4 KiB, and an FLV body adds a few bytes.
	maxConfig = 4<<10 + 64
	// maxMetadata is the largest onMetaData that the prelude repeats; no
	// decoder needs it, so that a larger one is only passed on.
	maxMetadata = 16 << 10
	// maxHeaders is the most sequence headers in force: video and audio of
	// sixteen tracks.
	maxHeaders = 32
	// batchSize is the default of BatcherConfig.Size.
	batchSize = 256 << 10
	// spareBatches is how many idle batches a Batcher keeps for reuse: one in
	// flight and one that grows need no more.
	spareBatches = 2
)

// What an encoder may not do to a Batcher. Each ends its session.
var (
	ErrTagSize = errors.New("tag is larger than the limit")
	ErrPrelude = errors.New("more sequence headers in force than the limit")
)

// BatcherConfig configures a Batcher; zero fields mean the defaults.
type BatcherConfig struct {
	// Interval is how long a batch waits for more tags, counted from the
	// arrival of its first one. Default 250 ms.
	Interval time.Duration
	// Size is the most bytes of a batch that holds more than one tag. Default
	// 256 kB.
	Size int
	// MaxTag is the largest body of one tag. Default 8 MiB, at most
	// flv.MaxBody.
	MaxTag int
}

func (c BatcherConfig) withDefaults() BatcherConfig {
	if c.Interval <= 0 {
		c.Interval = DefaultBatch
	}
	if c.Size <= 0 {
		c.Size = batchSize
	}
	if c.MaxTag <= 0 {
		c.MaxTag = DefaultMaxMessage
	}
	c.MaxTag = min(c.MaxTag, flv.MaxBody)
	return c
}

// Batcher groups one session's tags into batches for the frame log, in the
// order in which they came.
//
// A batch ends before a key frame, before sound of another configuration, before
// it grows past Size or a second of media time, and, as soon as someone takes it, when its first tag is Interval
// old. A taker that is slow therefore gets fewer and larger batches. Every key
// frame that credit covers opens a key batch, which begins with the prelude: the
// metadata and sequence headers in force, stamped with the key frame's time. The
// session's first batch is a key batch whatever it holds; it has no prelude but
// the headers that the encoder itself sent, and waits up to a second for the
// first key frame, which joins it if it holds no media before. Without video
// each second of audio opens a key batch.
//
// Time is a parameter, and it may only be used by one goroutine at a time. The
// zero Batcher is not ready; NewBatcher makes one.
type Batcher struct {
	cfg BatcherConfig

	open   *framelog.Batch   // grows; nil when there is none
	opened time.Time         // arrival of its first tag
	span   span              // of its media
	sealed []*framelog.Batch // complete, oldest first
	spare  []*framelog.Batch
	held   int // capacity of every batch that is not with the garbage collector
	queued int // bytes in open and sealed

	begun   bool      // the first batch has been sealed
	media   time.Time // arrival of the last media
	first   beginning
	headers []header
	prelude int // what the headers in force take as tags
	// lengthSize is how many bytes stand before each NAL unit, as the sequence
	// header says. led tells that what leads up to a key picture has come, and
	// opened a batch: the picture goes on with it.
	lengthSize int
	led        bool
	credit     credit
	sent       progress
	sounds     soundClock
	heard      soundFormat
}

// beginning is what the session's first batch knows of its media.
type beginning struct {
	media    bool      // it holds audio or pictures
	key      bool      // it holds a key frame
	at       time.Time // arrival of the first media
	late     bool      // it spans maxBegin of media time
	sound    uint32    // first audio timestamp
	picture  uint32
	sounds   bool
	pictures bool
}

// span is where a batch's media begins, for each track by itself: tracks may be
// on different bases.
type span struct {
	sounds, pictures bool
	sound, picture   uint32
}

// of returns the track of a tag; nil where the tag has no place in time.
func (s *span) of(kind tagKind) (seen *bool, from *uint32) {
	switch kind {
	case soundTag:
		return &s.sounds, &s.sound
	case picture, keyPicture, keyLead:
		return &s.pictures, &s.picture
	}
	return nil, nil
}

func (s *span) note(kind tagKind, timestamp uint32) {
	if seen, from := s.of(kind); seen != nil && !*seen {
		*seen, *from = true, timestamp
	}
}

// ends tells whether a batch that held the tag as well would be too long.
func (s *span) ends(kind tagKind, timestamp uint32) bool {
	seen, from := s.of(kind)
	return seen != nil && *seen && int32(timestamp-*from) >= maxSpan
}

// NewBatcher returns a Batcher that has seen no tag.
func NewBatcher(cfg BatcherConfig) *Batcher {
	return &Batcher{cfg: cfg.withDefaults(), credit: newCredit(), lengthSize: h264.PartLengthSize}
}

// Add takes a tag that arrived at now; it copies its data. An error means that
// the tag was not taken and that the encoder broke a rule.
func (b *Batcher) Add(now time.Time, t flv.Tag) error {
	if len(t.Data) > b.cfg.MaxTag {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrTagSize, len(t.Data), b.cfg.MaxTag)
	}
	kind, id := classify(t, b.lengthSize)
	otherSound := false
	switch kind {
	case headerTag:
		otherSound = b.changesSound(id, t.Data)
		if err := b.remember(id, t.Data); err != nil {
			return err
		}
	case keyPicture, keyLead:
		if err := b.rememberInBand(t.Data); err != nil {
			return err
		}
	}
	size := flv.TagOverhead + len(t.Data)
	b.credit.earn(now, len(t.Data))
	switch {
	case b.opensKey(kind, t.Timestamp) && b.credit.covers(b.prelude):
		if b.begun || b.first.media {
			b.Flush()
		}
		if b.open == nil {
			b.credit.spend(b.prelude)
			b.start(now, true, t.Timestamp, size)
		}
	case b.open != nil && len(b.open.Tags)+size > b.cfg.Size:
		b.seal()
	case b.open != nil && (otherSound || b.span.ends(kind, t.Timestamp)) && b.credit.covers(0):
		b.credit.spend(0)
		b.seal()
	}
	if b.open == nil {
		b.start(now, false, t.Timestamp, size)
	}
	b.span.note(kind, t.Timestamp)
	b.append(t)
	b.observe(now, kind, t)
	return nil
}

// OpensKey tells whether t would open a key batch: the place where a session
// can end so that the next one, or a player, loses least.
func (b *Batcher) OpensKey(t flv.Tag) bool {
	kind, _ := classify(t, b.lengthSize)
	return b.opensKey(kind, t.Timestamp)
}

func (b *Batcher) opensKey(kind tagKind, timestamp uint32) bool {
	return (kind == keyPicture || kind == keyLead) && !b.led || kind == soundTag && b.sounds.opensKey(timestamp)
}

// observe notes what a tag that was just added means for those to come.
func (b *Batcher) observe(now time.Time, kind tagKind, t flv.Tag) {
	timestamp := t.Timestamp
	switch kind {
	case soundTag:
		b.sounds.sound(timestamp)
		for range b.heard.note(t.Data) {
			b.sent.configure()
		}
	case picture, keyPicture:
		b.sounds.picture()
		b.led = false
	case keyLead:
		b.led = true
	default:
		return
	}
	b.media = now
	b.sent.note(kind, timestamp)
	if !b.begun {
		b.first.observe(now, kind, timestamp)
	}
}

// observe compares timestamps within a track only: tracks may be on different
// bases.
func (f *beginning) observe(now time.Time, kind tagKind, timestamp uint32) {
	if !f.media {
		f.media, f.at = true, now
	}
	seen, from := &f.pictures, &f.picture
	if kind == soundTag {
		seen, from = &f.sounds, &f.sound
	}
	if !*seen {
		*seen, *from = true, timestamp
	}
	f.key = f.key || kind == keyPicture || kind == keyLead
	f.late = f.late || int32(timestamp-*from) >= int32(maxBegin/time.Millisecond)
}

// Due returns when the open batch will have waited long enough, or the zero
// time when no batch is open or it still waits for its first media.
func (b *Batcher) Due() time.Time {
	switch {
	case b.open == nil:
		return time.Time{}
	case b.begun || b.first.key:
		return b.opened.Add(b.cfg.Interval)
	case !b.first.media:
		return time.Time{}
	case b.first.late:
		return b.opened
	}
	return b.first.at.Add(max(maxBegin, b.cfg.Interval))
}

// Ready tells whether Take would return a batch.
func (b *Batcher) Ready(now time.Time) bool {
	if len(b.sealed) > 0 {
		return true
	}
	due := b.Due()
	return !due.IsZero() && !now.Before(due)
}

// Take returns the oldest batch that is complete or due, or nil. Session,
// Epoch, Number and LastKey are the log's to fill. The batch belongs to the
// caller until it gives it back with Recycle.
func (b *Batcher) Take(now time.Time) *framelog.Batch {
	if !b.Ready(now) {
		return nil
	}
	if len(b.sealed) == 0 {
		b.seal()
	}
	batch := b.sealed[0]
	n := copy(b.sealed, b.sealed[1:])
	b.sealed[n] = nil
	b.sealed = b.sealed[:n]
	b.queued -= len(batch.Tags)
	return batch
}

// Flush completes the open batch, whatever it holds.
func (b *Batcher) Flush() {
	if b.open != nil {
		b.seal()
	}
}

// Recycle takes back a batch that Take returned. Its bytes are used again.
func (b *Batcher) Recycle(batch *framelog.Batch) {
	if len(b.spare) == spareBatches || cap(batch.Tags) > 2*b.cfg.Size {
		b.held -= cap(batch.Tags)
		return
	}
	b.spare = append(b.spare, batch)
}

// MediaAt returns when the last media came; the zero time: none has.
func (b *Batcher) MediaAt() time.Time { return b.media }

// Progress returns how much media was added, by its timestamps.
func (b *Batcher) Progress() time.Duration { return b.sent.total() }

// Queued returns the bytes that wait to be taken.
func (b *Batcher) Queued() int { return b.queued }

// Held returns the memory that the batches take, those included that were
// taken and not yet given back.
func (b *Batcher) Held() int { return b.held }

func (b *Batcher) seal() {
	b.begun = true
	b.sealed = append(b.sealed, b.open)
	b.open = nil
}

// start opens a batch for a first tag of the given size and timestamp. A key
// batch gets the prelude, except that the first of a session is a key batch
// without one: nothing was sent that it does not hold itself.
func (b *Batcher) start(now time.Time, key bool, timestamp uint32, size int) {
	b.open, b.opened, b.span = b.reuse(), now, span{}
	switch {
	case !b.begun:
		b.open.Flags, b.open.Wall = framelog.Begin|framelog.Key, now
	case key:
		b.open.Flags, b.open.Wall = framelog.Key, now
		b.reserve(b.prelude + size)
		for _, h := range b.headers {
			b.append(flv.Tag{Type: h.of.tag, Timestamp: timestamp, Data: h.body})
		}
		b.open.Prelude = len(b.open.Tags)
	}
}

func (b *Batcher) reuse() *framelog.Batch {
	n := len(b.spare)
	if n == 0 {
		return new(framelog.Batch)
	}
	batch := b.spare[n-1]
	b.spare[n-1] = nil
	b.spare = b.spare[:n-1]
	*batch = framelog.Batch{Tags: batch.Tags[:0]}
	return batch
}

func (b *Batcher) append(t flv.Tag) {
	b.reserve(flv.TagOverhead + len(t.Data))
	before := len(b.open.Tags)
	b.open.Tags = flv.AppendTag(b.open.Tags, t)
	b.queued += len(b.open.Tags) - before
}

// reserve makes room for n more bytes, by doubling so that a batch of any size
// is copied at most once over.
func (b *Batcher) reserve(n int) {
	tags := b.open.Tags
	if cap(tags)-len(tags) >= n {
		return
	}
	b.open.Tags = slices.Grow(tags, max(n, min(len(tags), b.cfg.Size)))
	b.held += cap(b.open.Tags) - cap(tags)
}
