// Package playlist reads HLS playlists, of either kind, and checks what holds for
// one of them alone [RFC 8216bis 4]. It is no parser to build a player on: it keeps
// what rules ask for.
package playlist
