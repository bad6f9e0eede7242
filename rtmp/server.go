package rtmp

import "time"

// ServerConfig configures a Server. Its zero value is ready to use.
type ServerConfig struct {
	// ChunkSize is the most payload the server puts in one chunk, in bytes.
	// ffmpeg then uses it too. The default is 4096.
	ChunkSize uint32
	// Window is the acknowledgement window that the server announces, in bytes.
	// The default is 2.5 MB.
	Window uint32
	// MaxMessage bounds the messages of a publish, in bytes; all others are at
	// most 64 KiB. The default is 8 MiB, the most 16 MiB - 1.
	MaxMessage int
	// MaxEvents bounds the events of one Receive, about: see More. Zero: nothing
	// does.
	MaxEvents int
	// Random fills S1. Zeros are as good to every client known.
	Random [1528]byte
	// Secret is the private key for a client that asks for encryption (RTMPE),
	// made anew for each connection. Zero: those clients are answered in the
	// clear, and go on so if they can.
	Secret [32]byte
	// Login asks every client for a user and a password. Nil: none is asked for.
	Login *Login
}

// Server is the server's end of one connection. It is not safe for concurrent
// use.
type Server struct {
	conn
	// chunkSize, window and maxMessage are as configured.
	chunkSize, window uint32
	maxMessage        int
	maxEvents         int
	connected         bool
	// rejected is set when connect was answered with an error.
	rejected bool
	// app, tcURL, query and encoder are what connect told, and user is who has
	// logged in.
	app, tcURL, query, encoder, user string
	login                            *Login
	// canReconnect is set when the client understands a reconnect request.
	canReconnect bool
	// lastStream is the last message stream id that createStream answered.
	lastStream uint32
	// publishes are the publishes that were neither ended nor refused, and ended
	// the message streams of the last that were.
	publishes []publish
	ended     [maxPublishes]uint32
	nEnded    int
	dropped   Dropped
	events    []Event
}

// maxMessageLength is the longest message that a chunk header can declare.
const maxMessageLength = 1<<24 - 1

// NewServer returns the server's end of a connection of which no byte was read.
func NewServer(config ServerConfig) *Server {
	if config.ChunkSize == 0 {
		config.ChunkSize = defaultChunkSize
	}
	config.ChunkSize = min(config.ChunkSize, maxMessageLength)
	if config.Window == 0 {
		config.Window = defaultWindow
	}
	if config.MaxMessage == 0 {
		config.MaxMessage = defaultMaxMessage
	}
	config.MaxMessage = min(config.MaxMessage, maxMessageLength)
	s := &Server{
		chunkSize: config.ChunkSize, window: config.Window,
		maxMessage: config.MaxMessage, maxEvents: config.MaxEvents, login: config.Login,
	}
	s.conn = conn{
		handshake: newHandshake(true, &config.Random, &config.Secret),
		in:        newChunkReader(min(maxCommand, config.MaxMessage)),
		out:       newChunkWriter(),
		acks:      acks{window: config.Window},
		side:      s,
	}
	return s
}

// maxIdleEvents is the largest slice of events that is kept for the next
// Receive.
const maxIdleEvents = 4096

// Receive takes bytes that arrived at the time now and returns the events in
// them. The slice, its tags' data and p itself belong to the events until the
// next Receive: data may alias p, and what is encrypted is decrypted in p.
//
// An error is of type *PeerError and final. The events before it are returned
// with it.
func (s *Server) Receive(now time.Time, p []byte) ([]Event, error) {
	clear(s.events)
	s.events = s.events[:0]
	if cap(s.events) > maxIdleEvents {
		s.events = nil
	}
	err := s.receive(now, p)
	return s.events, err
}

// More reports whether the last Receive left some of its input: it made
// MaxEvents of what came before. Receive without bytes goes on with the rest;
// the buffer stays the server's until then.
func (s *Server) More() bool { return len(s.rest) > 0 && s.err == nil }

// full tells whether there are enough events.
func (s *Server) full() bool {
	return s.maxEvents > 0 && len(s.events) >= s.maxEvents
}

// Output returns the bytes to send since the last Output. They are valid until
// the next call of any method.
func (s *Server) Output() []byte { return s.output() }

// HandshakeDone reports whether the peer finished the handshake.
func (s *Server) HandshakeDone() bool { return s.handshake == nil }

// Encrypted reports whether the connection is encrypted (RTMPE). It is known
// when the handshake is done.
func (s *Server) Encrypted() bool { return s.cipher != nil }

// Publishing reports whether the peer publishes, or asked to and was not
// answered yet.
func (s *Server) Publishing() bool { return len(s.publishes) > 0 }

// Partial is how many bytes the server holds of messages that are not whole
// yet.
func (s *Server) Partial() int { return s.in.partial }

// Dropped counts the messages that were passed over, by why.
type Dropped struct {
	// NoPublish had a message stream that publishes nothing, where it could
	// belong to none or to several: the tail of a publish that ended is that, too.
	NoPublish int
	// NoScript were data messages whose values could not be read.
	NoScript int
}

// Dropped returns what was passed over since the connection began.
func (s *Server) Dropped() Dropped { return s.dropped }

// handshook has nothing to send: the client speaks first.
func (s *Server) handshook() {}

// handle obeys a message of the client's.
func (s *Server) handle(m message) error {
	switch m.typ {
	case typeAudio, typeVideo, typeDataAMF0, typeDataAMF3:
		s.handleMedia(m)
		return nil
	case typeAggregate:
		return eachOfAggregate(m, s.handleMedia)
	case typeCommandAMF0, typeCommandAMF3:
		return s.handleCommand(m)
	}
	// Shared objects, and types that are not known, are passed over.
	return nil
}
