package publishing

import (
	"errors"
	"strings"
	"time"

	"weir/media"
)

// Conflict is what happens when a stream that is live is published again.
type Conflict string

// The policies for a conflict.
const (
	// ConflictDefault is what the server does where nothing else is said.
	ConflictDefault Conflict = ""
	// ConflictTakeover: the newcomer gets the stream.
	ConflictTakeover Conflict = "takeover"
	// ConflictReject: the newcomer is refused while the one that is there is.
	ConflictReject Conflict = "reject"
)

// Known tells whether c is one of the policies.
func (c Conflict) Known() bool {
	return c == ConflictDefault || c == ConflictTakeover || c == ConflictReject
}

// Grant is what a peer may do that has shown that it may publish. Nothing in it
// is a secret: it may be logged and stored.
type Grant struct {
	// ID names the grant among those of who gave it; empty where nobody keeps
	// them.
	ID string
	// Stream is what the peer may publish, under the name that viewers know.
	Stream media.Stream
	// Owner is whose publish it is, for operators: a person, or a key by its
	// public id. It may be empty.
	Owner string
	// Conflict is what happens if the stream is live already.
	Conflict Conflict
	// Limits are what the publish is held to.
	Limits Limits
	// Until is when the publish has to be over; zero: it has not to.
	Until time.Time
	// Revoked is closed when the grant is taken back: the publish ends. Nil:
	// that never happens.
	Revoked <-chan struct{}
}

// Limits are what a publish is held to, measured and not declared, and their JSON
// form. What is zero is not limited.
type Limits struct {
	// Bitrate is the most that may come, in bit/s, over seconds.
	Bitrate int64 `json:"bitrate,omitempty"`
	// DurationSeconds is how long one publish may last.
	DurationSeconds int64 `json:"duration_seconds,omitempty"`
	// Width and Height are the largest picture, upright or not, in pixels.
	Width  int `json:"width,omitempty"`
	Height int `json:"height,omitempty"`
	// Codecs are all that may be sent.
	Codecs Codecs `json:"codecs,omitempty"`
	// Sessions is how many streams of one owner may be live at a time.
	Sessions int `json:"sessions,omitempty"`
}

// Duration is how long one publish may last; 0: any time.
func (l Limits) Duration() time.Duration { return time.Duration(l.DurationSeconds) * time.Second }

// Codecs are names of codecs as RFC 6381 has them, without what follows the
// first dot: avc1, hvc1, av01, mp4a.
type Codecs []string

// Allow tells whether a codec is one of them. Where there are none, all are.
func (c Codecs) Allow(codec string) bool {
	kind, _, _ := strings.Cut(codec, ".")
	for _, allowed := range c {
		if strings.EqualFold(allowed, kind) {
			return true
		}
	}
	return len(c) == 0
}

// maxSeconds is the longest DurationSeconds: a time.Duration has no more than
// 292 years.
const maxSeconds = 100 * 365 * 24 * 3600

// Check tells which limit makes no sense.
func (l Limits) Check() error {
	switch {
	case l.Bitrate < 0 || l.DurationSeconds < 0 || l.Width < 0 || l.Height < 0 || l.Sessions < 0:
		return errors.New("a limit is negative")
	case (l.Width == 0) != (l.Height == 0):
		return errors.New("of width and height there is one only")
	case l.DurationSeconds > maxSeconds:
		return errors.New("a duration is longer than a hundred years")
	}
	for _, codec := range l.Codecs {
		if codec == "" || len(codec) > 8 || strings.ContainsFunc(codec, func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-'
		}) {
			return errors.New("a codec is no name as in avc1 or mp4a")
		}
	}
	return nil
}
