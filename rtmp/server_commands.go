package rtmp

import "weir/rtmp/amf"

// handleCommand obeys a command. Before connect there is no other.
func (s *Server) handleCommand(m message) error {
	c, err := decodeCommand(m)
	if err != nil {
		return err
	}
	switch {
	case s.rejected:
		return nil
	case !s.connected:
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
		s.unpublish(s.target(c.stream))
	case "@setDataFrame", "onMetaData":
		// Metadata in a command's type: its message is that of script data.
		m.typ = typeDataAMF0 + m.typ - typeCommandAMF0
		s.handleMedia(m)
	case "play", "play2":
		s.handlePlay(&c)
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

// writeStatus sends an onStatus on a message stream [RTMP 7.2.2]. GStreamer
// ignores one on another stream than it publishes on.
func (s *Server) writeStatus(stream uint32, level, code, description string) {
	s.writeCommand(stream, "onStatus", 0, amf.Null{}, status(level, code, description))
}
