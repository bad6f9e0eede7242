package media

import (
	"encoding/json"
	"fmt"
)

// DropReason says why something that an encoder sent reaches no viewer. The
// reasons are a closed enumeration: whoever drops a tag, a frame or a part of
// one counts it under one of them, and nothing is dropped in silence. The zero
// DropReason is none.
type DropReason uint8

// The reasons.
const (
	// DropUnread: not even its headers can be read.
	DropUnread DropReason = iota + 1
	// DropCodec: its codec is not one that segments are made with.
	DropCodec
	// DropTrack: it is of a further track of a multitrack stream.
	DropTrack
	// DropHeader: a codec configuration that says nothing a decoder could use.
	DropHeader
	// DropUnconfigured: it came before the configuration of its track.
	DropUnconfigured
	// DropNoKey: nothing can be decoded before the first picture that decoding
	// can start with.
	DropNoKey
	// DropDamaged: its bytes are no access unit, or end inside one.
	DropDamaged
	// DropNoPicture: NAL units without a picture that they belong to, or the
	// rest of one whose beginning did not come.
	DropNoPicture
	// DropUnlisted: the show does not have its track: it came too late for the
	// first segment, which decides.
	DropUnlisted
	// DropUnfit: the container of the segments has no form for it.
	DropUnfit
	// DropStream: it came on a message stream that nothing is published on.
	DropStream
	// DropFenced: a newer session has taken the stream over.
	DropFenced
	// DropLate: silence had to take its place before it came.
	DropLate

	dropReasons = int(DropLate)
)

var drops = [dropReasons + 1]struct{ name, sentence string }{
	DropUnread:       {"unread", "tags whose headers cannot be read"},
	DropCodec:        {"codec", "frames of a codec that no segment is made with"},
	DropTrack:        {"track", "frames of further tracks"},
	DropHeader:       {"header", "codec configurations that cannot be used"},
	DropUnconfigured: {"unconfigured", "frames in front of the configuration of their track"},
	DropNoKey:        {"no_key", "pictures in front of the first that decoding can start with"},
	DropDamaged:      {"damaged", "frames that are damaged"},
	DropNoPicture:    {"no_picture", "NAL units that belong to no picture"},
	DropUnlisted:     {"unlisted", "frames of a track that came too late: what the first segment has, the show has"},
	DropUnfit:        {"unfit", "frames that the segments' container has no form for"},
	DropStream:       {"stream", "tags on a message stream that nothing is published on"},
	DropFenced:       {"fenced", "tags of a session that another one took over from"},
	DropLate:         {"late", "sounds that came when silence had taken their place"},
}

// String returns the reason's short name, for metrics and logs.
func (r DropReason) String() string {
	if int(r) < len(drops) && r > 0 {
		return drops[r].name
	}
	return fmt.Sprintf("drop reason %d", uint8(r))
}

// Sentence says in plain words what was dropped, as in "12 frames that are
// damaged".
func (r DropReason) Sentence() string {
	if int(r) < len(drops) && r > 0 {
		return drops[r].sentence
	}
	return r.String()
}

// DropReasons returns all of them, in the order of the enumeration.
func DropReasons() []DropReason {
	all := make([]DropReason, dropReasons)
	for i := range all {
		all[i] = DropReason(i + 1)
	}
	return all
}

// Drops counts what was dropped, by reason. It is a plain value.
type Drops [dropReasons + 1]uint64

// Count counts one.
func (d *Drops) Count(r DropReason) { d[r]++ }

// Add adds what e has counted.
func (d *Drops) Add(e *Drops) {
	for i, n := range e {
		d[i] += n
	}
}

// Since returns what d has counted more than e.
func (d *Drops) Since(e *Drops) (more Drops) {
	for i := range d {
		if d[i] > e[i] {
			more[i] = d[i] - e[i]
		}
	}
	return more
}

// Sum returns how many there are in all.
func (d *Drops) Sum() (n uint64) {
	for _, x := range d {
		n += x
	}
	return n
}

// IsZero tells that nothing was dropped: such a count is left out of JSON.
func (d Drops) IsZero() bool { return d == Drops{} }

// MarshalJSON writes an object of the counts that are not 0, by short name.
func (d Drops) MarshalJSON() ([]byte, error) {
	byName := make(map[string]uint64)
	for _, r := range DropReasons() {
		if n := d[r]; n > 0 {
			byName[r.String()] = n
		}
	}
	return json.Marshal(byName) // sorts the names
}

// UnmarshalJSON is the inverse of MarshalJSON. What a newer release counts
// under names of its own is passed over.
func (d *Drops) UnmarshalJSON(p []byte) error {
	var byName map[string]uint64
	if err := json.Unmarshal(p, &byName); err != nil {
		return fmt.Errorf("drops: %w", err)
	}
	*d = Drops{}
	for _, r := range DropReasons() {
		d[r] = byName[r.String()]
	}
	return nil
}
