// Package framelog is the wire form of the frame log: batches of FLV tags, and
// the one header that travels beside them.
//
// A batch's payload is a run of FLV tags laid out exactly as in an FLV file
// (11-byte header, body, 4-byte PreviousTagSize), so that the payloads of a
// session behind a 13-byte FLV file header are an FLV file.
package framelog

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// HeaderName is the NATS header that carries a Header.
const HeaderName = "Weir-Batch"

// Version is the format version this release writes. A reader takes part only
// in logs of versions that it knows.
const Version = 1

// Flags say what a batch is.
type Flags uint8

// The flags of a batch. Fence, End and Final mark messages without payload.
const (
	// Begin: the first batch of a session. Wall is set.
	Begin Flags = 1 << iota
	// Key: readers may join here; the payload opens with the prelude. A
	// segment may begin here.
	Key
	// More: the payload goes on in the next message of the subject; a batch
	// that is larger than one message allows. Readers of the log never see it,
	// the bus joins what it split.
	More
	// Fence: a newer session of the broadcast has begun. It ends every session
	// of a lower epoch, and is the new session's message number 0.
	Fence
	// End: the session has ended.
	End
	// Lost goes with End: the connection was lost, the session may be
	// followed by another of the same broadcast.
	Lost
	// Final: the broadcast has ended. Nothing follows.
	Final
)

// flagLetters are the flags' letters on the wire, lowest bit first.
const flagLetters = "bkmfelx"

// Header is what a log message says of itself.
type Header struct {
	// Session names the publishing connection, [0-9a-z]+.
	Session string
	// Epoch orders the sessions of a broadcast: a higher one fences a lower.
	Epoch uint64
	// Number counts the session's messages from 1; a Fence is number 0.
	Number uint64
	Flags  Flags
	// Prelude is how many bytes at the payload's start were injected by
	// ingest: the sequence headers and metadata in force. Recorders skip it
	// in all but the first batch.
	Prelude int
	// LastKey is the stream sequence of the last key batch before this one, 0
	// where there is none: where a reader that meets this batch may join.
	LastKey uint64
	// Wall is the ingest's wall clock at the arrival of the batch's first tag.
	// In a Begin batch, and in each Key batch; millisecond precision. Key batches
	// of older releases are without it: it is the zero time there.
	Wall time.Time
}

// Batch is a run of consecutive tags of one session.
type Batch struct {
	Header
	// Tags is a run of FLV tags; empty for Fence, End and Final.
	Tags []byte
	// What follows is set by the log, not by the writer.

	// Seq is the stream sequence of its last message, First that of its first
	// one: a large batch is split. Last is the number of its last message.
	First, Seq, Last uint64
	// Log is which log it was read from, see Position.
	Log string
	// Stored is when the log took its last message, by the log's clock.
	Stored time.Time
}

// Position is a place in a rendition's log: right behind a message. The zero
// Position is the begin of any log.
type Position struct {
	// Log is which log it is: one that is made anew has another name, and counts
	// from 1 again. Empty where that was not known.
	Log string
	// Seq is the stream sequence of the message, Epoch and Number are its own. A
	// log may go back, when its server has lost what it had not yet on disk:
	// then others get the same sequences, but never the same numbers.
	Seq, Epoch, Number uint64
}

// Position is the place behind the batch.
func (b *Batch) Position() Position { return Position{b.Log, b.Seq, b.Epoch, b.Last} }

// ErrHeader is wrapped by every error of ParseHeader.
var ErrHeader = errors.New("bad Weir-Batch header")

// Has tells whether all of the flags f are set.
func (f Flags) Has(g Flags) bool { return f&g == g }

// String returns the flags' letters, or "-" for none.
func (f Flags) String() string {
	if f == 0 {
		return "-"
	}
	var b []byte
	for i := range len(flagLetters) {
		if f&(1<<i) != 0 {
			b = append(b, flagLetters[i])
		}
	}
	return string(b)
}

func parseFlags(s string) (Flags, error) {
	if s == "-" {
		return 0, nil
	}
	var f Flags
	for i := range len(s) {
		bit := strings.IndexByte(flagLetters, s[i])
		if bit < 0 || f >= 1<<bit {
			return 0, fmt.Errorf("%w: flags", ErrHeader)
		}
		f |= 1 << bit
	}
	if f == 0 {
		return 0, fmt.Errorf("%w: flags", ErrHeader)
	}
	return f, nil
}

// String returns the header's wire form: version, session, epoch, number,
// flags, prelude, last key and, in a Begin or Key batch, the wall clock in Unix
// milliseconds, separated by spaces:
//
//	1 7f3k 1 1 bk 538 0 1795226260914
func (h Header) String() string {
	b := make([]byte, 0, 64)
	b = strconv.AppendInt(b, Version, 10)
	b = append(b, ' ')
	b = append(b, h.Session...)
	for _, n := range [...]uint64{h.Epoch, h.Number} {
		b = strconv.AppendUint(append(b, ' '), n, 10)
	}
	b = append(append(b, ' '), h.Flags.String()...)
	b = strconv.AppendInt(append(b, ' '), int64(h.Prelude), 10)
	b = strconv.AppendUint(append(b, ' '), h.LastKey, 10)
	if h.Flags.Has(Begin) || h.Flags.Has(Key) && !h.Wall.IsZero() {
		b = strconv.AppendInt(append(b, ' '), h.Wall.UnixMilli(), 10)
	}
	return string(b)
}

// ErrVersion is returned by ParseHeader, wrapped in ErrHeader's place, for a
// header that a newer release wrote.
var ErrVersion = errors.New("batch of an unknown format version")

// ParseHeader reads the wire form. Fields behind those it knows are ignored,
// so that a later release of the same version may add some.
func ParseHeader(s string) (Header, error) {
	f := strings.Split(s, " ")
	if v, err := strconv.ParseUint(f[0], 10, 16); err != nil {
		return Header{}, fmt.Errorf("%w: version", ErrHeader)
	} else if v != Version {
		return Header{}, fmt.Errorf("%w: %d, this release reads %d", ErrVersion, v, Version)
	}
	if len(f) < 7 {
		return Header{}, fmt.Errorf("%w: %d fields, want 7", ErrHeader, len(f))
	}
	h := Header{Session: f[1]}
	if h.Session == "" {
		return Header{}, fmt.Errorf("%w: empty session", ErrHeader)
	}
	var err error
	if h.Flags, err = parseFlags(f[4]); err != nil {
		return Header{}, err
	}
	var prelude uint64
	for _, x := range []struct {
		name string
		text string
		bits int
		to   *uint64
	}{{"epoch", f[2], 64, &h.Epoch}, {"number", f[3], 64, &h.Number}, {"prelude", f[5], 31, &prelude}, {"last key", f[6], 64, &h.LastKey}} {
		if *x.to, err = strconv.ParseUint(x.text, 10, x.bits); err != nil {
			return Header{}, fmt.Errorf("%w: %s", ErrHeader, x.name)
		}
	}
	h.Prelude = int(prelude)
	if !h.Flags.Has(Begin) && (!h.Flags.Has(Key) || len(f) < 8) {
		return h, nil
	}
	if len(f) < 8 {
		return Header{}, fmt.Errorf("%w: a begin batch without its wall clock", ErrHeader)
	}
	ms, err := strconv.ParseInt(f[7], 10, 64)
	switch {
	case err != nil && h.Flags.Has(Begin):
		return Header{}, fmt.Errorf("%w: wall clock", ErrHeader)
	case err != nil:
		return h, nil // nothing depends on it
	}
	h.Wall = time.UnixMilli(ms).UTC()
	return h, nil
}
