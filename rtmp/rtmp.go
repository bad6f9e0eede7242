// Package rtmp is RTMP without sockets: the two ends of a connection that
// carries a publish, as push-fed state machines.
//
// A Server or Client is given the bytes that arrived and the time, returns the
// events in them, and collects the bytes to send:
//
//	n, err := conn.Read(buf)
//	events, err := server.Receive(time.Now(), buf[:n])
//	// for each EventPublish: server.Accept or server.Refuse
//	conn.Write(server.Output())
//
// It never blocks, logs, or asks for the time, and starts no goroutine. How
// the input is split makes no difference to the events. Deadlines are the
// caller's, who can ask HandshakeDone and Publishing.
//
// What a peer can cost is bounded: memory is allocated as bytes arrive, never
// from declared lengths; a message is at most MaxMessage, and 64 KiB until the
// peer publishes; partial messages together are at most twice MaxMessage; and
// the numbers of chunk streams and publishes, the depth of AMF values and the
// output that waits for the caller have fixed limits. A peer that breaks a rule
// gets a *PeerError that names it.
//
// Sources: Adobe's Real Time Messaging Protocol (Chunking) 1.0 of December
// 2012, cited as [RTMP]; Veovera's Enhanced RTMP v2, cited as [E-RTMP]; and
// what encoders were measured to do.
package rtmp

// The limits that are not configured.
const (
	// maxCommand bounds every message but media, and media too until the peer
	// publishes: a stranger holds no more than small messages here.
	maxCommand = 64 << 10
	// maxChunkStreams bounds the chunk streams of one direction. Encoders use
	// up to five.
	maxChunkStreams = 64
	// maxPublishes bounds the streams that one connection publishes at a time.
	// Wirecast overlaps two.
	maxPublishes = 8
	// maxOutput bounds the answers that wait in Output. It is far above what one
	// read of a sane peer can ask for.
	maxOutput = 256 << 10
)

// The defaults of both configurations.
const (
	defaultChunkSize  = 4096
	defaultWindow     = 2_500_000
	defaultMaxMessage = 8 << 20
)
