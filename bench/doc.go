// Package bench publishes many streams at very low cost, and measures what a
// server spends on them: CPU time and memory of its processes, how soon after
// its last frame a segment is listed, how soon the first playlist can be
// played, and whether every frame came out.
//
// Streams are made, not encoded: pictures and sound of the right sizes at the
// right times, cut into RTMP chunks once for all publishers. Servers that
// repackage do not decode them. Each frame says which one it is, so that what
// comes out can be counted.
//
//   - clip.go: what is published, a loop of tags
//   - publisher.go, pace.go: connections, and who sends when
//   - process.go: CPU time and memory of a process tree
//   - playlist.go, watch.go: playlists over HTTP or from a directory, and when
//     they list what
//   - frames.go: which frames came out
//   - result.go: the figures, as JSON and as a table
//
// bench/peers runs it against weir and nginx-rtmp in turn.
package bench
