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
	// EventReject: connect was answered with an error: what the peer logs in
	// with next, or that its login failed. Close the connection when Output is
	// written.
	EventReject
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
	case EventReject:
		return "reject"
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
	// App and TCURL are the connection's, in all events but tags and their end.
	// App has its query cut off, the slashes and blanks around it, and the
	// instance _definst_; it is the tcUrl's where the peer names none. It may
	// still have several parts, of which the last may be a secret that belongs
	// elsewhere. TCURL is as it came and may hold secrets.
	App, TCURL string
	// Encoder is what the peer calls itself, in printable ASCII.
	Encoder string
	// User is who has logged in, where ServerConfig.Login asks for that.
	User string
	// Failed is set in EventReject when the login has failed, and not when the
	// peer was only told how to go on with it.
	Failed bool
	// Name is what the peer publishes, its query cut off and the blanks and
	// slashes around it. In most ways to authenticate it is a secret.
	Name string
	// Query is the query of the name or, where that has none, of the app or of
	// the tcUrl, without the question mark, percent-encoding untouched.
	Query string
	// Tag is set in EventTag. Script data begins with the handler's name, as in
	// onMetaData: "@setDataFrame" is taken off.
	Tag flv.Tag
}
