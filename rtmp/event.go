package rtmp

import (
	"weir/remux/flv"
)

// EventType is what an Event tells.
type EventType uint8

// The types of events.
const (
	// EventConnect: the peer connected to an application. It was answered.
	EventConnect EventType = iota + 1
	// EventPublish: the peer wants to publish. Answer with Accept or Refuse.
	// Tags may follow before the answer; after a Refuse none do.
	EventPublish
	// EventTag: audio, video or script data of a publish.
	EventTag
	// EventUnpublish: the peer ended a publish cleanly. It comes once per
	// publish; when the connection is lost instead, it does not come.
	EventUnpublish
)

// String returns the type's name.
func (t EventType) String() string {
	switch t {
	case EventConnect:
		return "connect"
	case EventPublish:
		return "publish"
	case EventTag:
		return "tag"
	case EventUnpublish:
		return "unpublish"
	}
	return "unknown"
}

// Event is one thing that happened on a server's connection.
type Event struct {
	Type EventType
	// StreamID is the message stream that the publish is on; 0 in EventConnect.
	StreamID uint32
	// App and TCURL are the connection's, in EventConnect and EventPublish. App
	// has its query cut off; TCURL is as it came and may hold secrets.
	App, TCURL string
	// Name is what the peer publishes, its query cut off. In most ways to
	// authenticate it is a secret.
	Name string
	// Query is the query of the name or, where that has none, of the app or of
	// the tcUrl, without the question mark, percent-encoding untouched.
	Query string
	// Tag is set in EventTag. Script data begins with the handler's name, as in
	// onMetaData: "@setDataFrame" is taken off.
	Tag flv.Tag
}
