package publishing

import (
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
	// Until is when the publish has to be over; zero: it has not to.
	Until time.Time
	// Revoked is closed when the grant is taken back: the publish ends. Nil:
	// that never happens.
	Revoked <-chan struct{}
}
