package rtmp

// handlePlay tells a player that there is nothing to play here [RTMP 7.2.2.1].
func (s *Server) handlePlay(c *command) {
	s.writeStatus(c.stream, "error", "NetStream.Play.StreamNotFound", "This server does not play over RTMP: open the HLS playlist of the stream.")
}
