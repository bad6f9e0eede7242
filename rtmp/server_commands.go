package rtmp

import (
	"math"
	"slices"
	"strings"

	"weir/rtmp/amf"
)

// handleCommand obeys a command. Before connect there is no other.
func (s *Server) handleCommand(m message) error {
	c, err := decodeCommand(m)
	if err != nil {
		return err
	}
	if !s.connected {
		return s.handleConnect(&c)
	}
	switch c.name {
	case "connect":
		return broke("RTMP 7.2.1.1", "a connection is connected once")
	case "createStream":
		s.lastStream++
		s.writeCommand(0, "_result", c.transaction, amf.Null{}, amf.Number(s.lastStream))
	case "publish":
		return s.handlePublish(&c)
	case "FCPublish":
		s.handleFCPublish(&c)
	case "FCUnpublish":
		s.handleFCUnpublish(&c)
	case "deleteStream":
		s.handleDeleteStream(&c)
	case "closeStream":
		s.unpublish(s.find(c.stream))
	case "play", "play2":
		s.writeStatus(c.stream, "error", "NetStream.Play.StreamNotFound", "This server takes publishers only.")
	case "releaseStream", "FCSubscribe", "FCUnsubscribe", "_checkbw", "ping":
		s.result(&c, amf.Undefined{})
	case "getStreamLength":
		s.result(&c, amf.Number(0))
	case "_result", "_error", "onStatus", "onBWDone", "close":
		// Answers to nothing that was asked, and goodbyes.
	default:
		s.refuseCall(&c)
	}
	return nil
}

// result answers a command. GStreamer gives its commands the transaction id 0,
// which asks for no answer.
func (s *Server) result(c *command, v amf.Value) {
	if c.transaction != 0 {
		s.writeCommand(0, "_result", c.transaction, amf.Null{}, v)
	}
}

// refuseCall answers a command that is not known [RTMP 7.2.1.2].
func (s *Server) refuseCall(c *command) {
	if c.transaction != 0 {
		s.writeCommand(0, "_error", c.transaction, amf.Null{},
			status("error", "NetConnection.Call.Failed", "This server does not know the command."))
	}
}

// reconnectBit of capsEx says that the client understands a reconnect request
// [E-RTMP, "Enhancing NetConnection connect Command"].
const reconnectBit = 1

// handleConnect answers connect with all that any encoder waits for: the
// windows, the chunk size and the result [RTMP 7.2.1.1].
func (s *Server) handleConnect(c *command) error {
	if c.name != "connect" {
		return broke("RTMP 7.2.1.1", "the first command is connect")
	}
	s.connected = true
	app, appQuery, _ := strings.Cut(asString(c.object.Get("app")), "?")
	s.app, s.tcURL = app, asString(c.object.Get("tcUrl"))
	_, urlQuery, _ := strings.Cut(s.tcURL, "?")
	s.query = first(appQuery, urlQuery)
	caps, _ := asNumber(c.object.Get("capsEx"))
	s.canReconnect = flags(caps)&reconnectBit != 0

	s.announceWindow(s.config.Window)
	s.writeBandwidth(s.config.Window)
	s.out.setChunkSize(s.config.ChunkSize)
	encoding, _ := asNumber(c.object.Get("objectEncoding"))
	s.writeConnectResult(c.transaction, encoding)
	s.events = append(s.events, Event{Type: EventConnect, App: s.app, TCURL: s.tcURL, Query: s.query})
	return nil
}

// first returns the first string that is not empty.
func first(ss ...string) string {
	i := slices.IndexFunc(ss, func(s string) bool { return s != "" })
	if i < 0 {
		return ""
	}
	return ss[i]
}

// flags reads a number as flags; what is no such number has none.
func flags(f float64) uint32 {
	if f >= 0 && f <= math.MaxUint32 {
		return uint32(f)
	}
	return 0
}

// writeBandwidth sends Set Peer Bandwidth with a dynamic limit [RTMP 5.4.5].
func (s *Server) writeBandwidth(window uint32) {
	s.out.control(typeSetPeerBandwidth,
		byte(window>>24), byte(window>>16), byte(window>>8), byte(window), limitDynamic)
}

// writeConnectResult accepts a connection. GStreamer gives up without the
// information object. The object encoding is the client's: it says that data
// in it will be understood.
func (s *Server) writeConnectResult(transaction, encoding float64) {
	info := append(status("status", "NetConnection.Connect.Success", "Connection succeeded."),
		amf.Property{Name: "objectEncoding", Value: amf.Number(encoding)})
	s.writeCommand(0, "_result", transaction, amf.Object{
		{Name: "fmsVer", Value: amf.String("FMS/3,0,1,123")},
		{Name: "capabilities", Value: amf.Number(31)},
	}, info)
}

// handlePublish begins a publish on the command's message stream
// [RTMP 7.2.2.6]. A publish of nothing, as of false or an empty name, ends the
// one before: that is how Wirecast stops.
func (s *Server) handlePublish(c *command) error {
	full := asString(c.arg)
	if i := s.find(c.stream); i >= 0 {
		s.unpublish(i)
		if full == "" {
			s.writeStatus(c.stream, "status", "NetStream.Unpublish.Success", "The publish ended.")
			return nil
		}
	}
	if len(s.publishes) == maxPublishes {
		return brokeGot("RTMP 7.2.2.6", "a connection publishes a limited number of streams at a time", "more than %d", maxPublishes)
	}
	s.in.allow(s.config.MaxMessage)
	name, query, _ := strings.Cut(full, "?")
	s.publishes = append(s.publishes, publish{stream: c.stream, name: name})
	s.events = append(s.events, Event{
		Type: EventPublish, StreamID: c.stream, App: s.app, TCURL: s.tcURL, Name: name, Query: first(query, s.query),
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
	name, _, _ := strings.Cut(asString(c.arg), "?")
	s.unpublish(slices.IndexFunc(s.publishes, func(p publish) bool { return p.name == name }))
	s.result(c, amf.Undefined{})
}

// handleDeleteStream ends the publish on the message stream that the argument
// names [RTMP 7.2.2.3]. There is no answer.
func (s *Server) handleDeleteStream(c *command) {
	if id, ok := asNumber(c.arg); ok {
		s.unpublish(s.find(flags(id)))
	}
}

// unpublish ends the publish at index i, if there is one.
func (s *Server) unpublish(i int) {
	if i < 0 {
		return
	}
	stream := s.publishes[i].stream
	s.publishes = slices.Delete(s.publishes, i, i+1)
	s.events = append(s.events, Event{Type: EventUnpublish, StreamID: stream})
}

// writeStatus sends an onStatus on a message stream [RTMP 7.2.2]. GStreamer
// ignores one on another stream than it publishes on.
func (s *Server) writeStatus(stream uint32, level, code, description string) {
	s.writeCommand(stream, "onStatus", 0, amf.Null{}, status(level, code, description))
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
// The caller must close the connection when Output is written: librtmp waits
// for ever otherwise. No more tags come of the publish, and no EventUnpublish.
// A publish that was accepted can be refused later.
func (s *Server) Refuse(streamID uint32, code, description string) {
	if i := s.find(streamID); i >= 0 {
		s.publishes = slices.Delete(s.publishes, i, i+1)
		s.writeStatus(streamID, "error", code, description)
	}
}

// RequestReconnect asks the client to connect anew, to tcURL if that is not
// empty, which may be relative. It reports false, and does nothing, when the
// client did not say that it understands this. The client goes on with this
// connection until it has another [E-RTMP, "Reconnect Request"].
func (s *Server) RequestReconnect(description, tcURL string) bool {
	if !s.canReconnect {
		return false
	}
	info := status("status", "NetConnection.Connect.ReconnectRequest", description)
	if tcURL != "" {
		info = append(info, amf.Property{Name: "tcUrl", Value: amf.String(tcURL)})
	}
	s.writeCommand(0, "onStatus", 0, amf.Null{}, info)
	return true
}
