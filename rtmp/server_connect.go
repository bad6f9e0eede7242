package rtmp

import (
	"math"
	"slices"

	"weir/rtmp/amf"
)

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
	s.readAddress(c)
	if s.login != nil {
		user, reject, failed := s.login.check(s.now, s.query)
		if reject != "" {
			s.reject(c, reject, failed)
			return nil
		}
		s.user = user
	}
	caps, _ := asNumber(c.object.Get("capsEx"))
	s.canReconnect = flags(caps)&reconnectBit != 0

	s.announceWindow(s.window)
	s.writeBandwidth(s.window)
	if s.cipher == nil {
		// ffmpeg echoes the message over RTMPE before it reads it, and encrypts it
		// in place: it then fails over a chunk size that it never was sent.
		s.out.setChunkSize(s.chunkSize)
	}
	encoding, _ := asNumber(c.object.Get("objectEncoding"))
	s.writeConnectResult(c.transaction, encoding)
	s.events = append(s.events, Event{
		Type: EventConnect, App: s.app, TCURL: s.tcURL, Query: s.query, Encoder: s.encoder, User: s.user,
	})
	return nil
}

// readAddress reads what the client calls us, and what it calls itself. An app
// may be empty where all of the path is in the tcUrl.
func (s *Server) readAddress(c *command) {
	app, appQuery := cutApp(asString(c.object.Get("app")))
	s.tcURL = asString(c.object.Get("tcUrl"))
	urlApp, urlQuery := cutApp(pathOf(s.tcURL))
	s.app, s.query = first(app, urlApp), first(appQuery, urlQuery)
	s.encoder = printable(asString(c.object.Get("flashVer")))
}

// reject answers connect with an error [RTMP 7.2.1.1]. No command counts any
// more.
func (s *Server) reject(c *command, description string, failed bool) {
	s.rejected = true
	s.writeCommand(0, "_error", c.transaction, amf.Null{},
		status("error", "NetConnection.Connect.Rejected", description))
	s.events = append(s.events, Event{Type: EventReject, App: s.app, TCURL: s.tcURL, Encoder: s.encoder, Failed: failed})
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
