package rtmp

import (
	"slices"

	"weir/remux/flv"
	"weir/rtmp/amf"
)

// publish is one stream that the peer publishes.
type publish struct {
	stream uint32
	// name is without its query.
	name     string
	answered bool
}

// handlePublish begins a publish on the command's message stream
// [RTMP 7.2.2.6]. A publish of nothing, as of false or an empty name, ends the
// one before: that is how Wirecast stops.
func (s *Server) handlePublish(c *command) error {
	full := asString(c.arg)
	name, query := cutName(full)
	if i := s.find(c.stream); i >= 0 {
		s.unpublish(i)
		if name == "" {
			s.writeStatus(c.stream, "status", "NetStream.Unpublish.Success", "The publish ended.")
			return nil
		}
	}
	if len(s.publishes) == maxPublishes {
		return brokeGot("RTMP 7.2.2.6", "a connection publishes a limited number of streams at a time", "more than %d", maxPublishes)
	}
	s.in.allow(s.maxMessage)
	s.publishes = append(s.publishes, publish{stream: c.stream, name: name})
	s.events = append(s.events, Event{
		Type: EventPublish, StreamID: c.stream, App: s.app, TCURL: s.tcURL, Name: name, Query: first(query, s.query),
		Encoder: s.encoder, User: s.user,
	})
	return nil
}

// handleFCPublish answers FCPublish twice over: some encoders wait for its
// result, Livestream Studio and others for onFCPublish.
func (s *Server) handleFCPublish(c *command) {
	s.result(c, amf.Undefined{})
	s.writeCommand(0, "onFCPublish", 0, amf.Null{}, amf.Object{
		{Name: "code", Value: amf.String("NetStream.Publish.Start")},
		{Name: "description", Value: amf.String(asString(c.arg))},
	})
}

// handleFCUnpublish ends the oldest publish of that name. It names no message
// stream, so an encoder that publishes the name anew before it ends the old
// publish means the older one.
func (s *Server) handleFCUnpublish(c *command) {
	name, _ := cutName(asString(c.arg))
	s.unpublish(slices.IndexFunc(s.publishes, func(p publish) bool { return p.name == name }))
	s.result(c, amf.Undefined{})
	// Flash Media Live Encoder waits for this one before it hangs up.
	s.writeCommand(0, "onFCUnpublish", 0, amf.Null{}, amf.Object{
		{Name: "code", Value: amf.String("NetStream.Unpublish.Success")},
		{Name: "description", Value: amf.String(asString(c.arg))},
	})
}

// handleDeleteStream ends the publish on the message stream that the argument
// names [RTMP 7.2.2.3], or without one that on the command's. There is no
// answer.
func (s *Server) handleDeleteStream(c *command) {
	switch id, ok := asNumber(c.arg); {
	case ok:
		s.unpublish(s.find(flags(id)))
	case c.arg == nil:
		s.unpublish(s.find(c.stream))
	}
}

// unpublish ends the publish at index i, if there is one.
func (s *Server) unpublish(i int) {
	if i < 0 {
		return
	}
	stream := s.publishes[i].stream
	s.remove(i)
	s.events = append(s.events, Event{Type: EventUnpublish, StreamID: stream})
}

// remove forgets the publish at index i, but not where it was: what still comes
// on its message stream is nobody's.
func (s *Server) remove(i int) {
	s.ended[s.nEnded%len(s.ended)] = s.publishes[i].stream
	s.nEnded++
	s.publishes = slices.Delete(s.publishes, i, i+1)
}

// Accept answers the publish on a message stream: the encoder begins to send.
// It does nothing when there is no publish that waits for an answer.
func (s *Server) Accept(streamID uint32) {
	if i := s.find(streamID); i >= 0 && !s.publishes[i].answered {
		s.publishes[i].answered = true
		s.writeStatus(streamID, "status", "NetStream.Publish.Start", "The publish began.")
	}
}

// Refuse answers the publish on a message stream with an error. All encoders
// understand the codes NetStream.Publish.BadName and NetStream.Publish.Denied.
// The caller must close the connection when Output is written, unless it
// publishes something else: librtmp waits for ever otherwise. No more tags come of the publish, and no EventUnpublish.
// A publish that was accepted can be refused later.
func (s *Server) Refuse(streamID uint32, code, description string) {
	if i := s.find(streamID); i >= 0 {
		s.remove(i)
		s.writeStatus(streamID, "error", code, description)
	}
}

// handleMedia makes an event of a message that belongs to a publish.
func (s *Server) handleMedia(m message) {
	if len(m.payload) == 0 {
		return // an empty message is silence [E-RTMP]: there is nothing to keep
	}
	tag := flv.Tag{Timestamp: m.timestamp, Data: m.payload}
	switch m.typ {
	case typeAudio, typeVideo:
		tag.Type = flv.TagType(m.typ)
	case typeDataAMF0, typeDataAMF3:
		tag.Type = flv.TagScript
	default:
		return
	}
	i := s.target(m.stream)
	if i < 0 {
		s.dropped.NoPublish++
		return
	}
	if tag.Type == flv.TagScript {
		if tag.Data = scriptData(m); len(tag.Data) == 0 {
			s.dropped.NoScript++
			return
		}
	}
	s.events = append(s.events, Event{Type: EventTag, StreamID: s.publishes[i].stream, Tag: tag})
}

// target returns the index of the publish that a message is about, or -1. Some
// encoders send their media on message stream 0, or write the stream's number
// the wrong way round: with one publish on the connection there is no doubt
// what is meant, but for a stream whose own publish has ended.
func (s *Server) target(stream uint32) int {
	i := s.find(stream)
	if i < 0 && len(s.publishes) == 1 && !slices.Contains(s.ended[:min(s.nEnded, len(s.ended))], stream) {
		return 0
	}
	return i
}

// find returns the index of the publish on a message stream, or -1.
func (s *Server) find(stream uint32) int {
	for i := range s.publishes {
		if s.publishes[i].stream == stream {
			return i
		}
	}
	return -1
}
