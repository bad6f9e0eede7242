package api

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"weir/media"
)

// The states of a stream.
const (
	Live    = "live"    // an encoder publishes
	Waiting = "waiting" // it went, and may come back to the same broadcast
	Ended   = "ended"   // the broadcast is over and complete
)

// Stream is what is known of a stream, and its JSON form. What is not known
// stays zero and is not written.
type Stream struct {
	// Name is app/name, as in live/alice. State is one of the above.
	Name  string `json:"name"`
	State string `json:"state"`
	// Playlist is where viewers find it, once there is something to find: a
	// stream that has begun has none before its first segment. The API fills
	// it in.
	Playlist string `json:"playlist,omitempty"`
	// Broadcast is the present broadcast, or the last one; Since is when it
	// began. UptimeSeconds is how long ago that was, for what has not ended.
	// The API fills it in.
	Broadcast     string    `json:"broadcast,omitempty"`
	Since         time.Time `json:"since,omitzero"`
	UptimeSeconds int64     `json:"uptime_seconds,omitempty"`
	Video         *Video    `json:"video,omitempty"`
	Audio         *Audio    `json:"audio,omitempty"`
	// Bitrate is of everything, as measured, in bits per second.
	Bitrate int64 `json:"bitrate,omitempty"`
	// Ingest is the node that the encoder is connected to, Worker the one that
	// packages. Epoch counts the broadcast's sessions.
	Ingest string `json:"ingest,omitempty"`
	Worker string `json:"worker,omitempty"`
	Epoch  uint64 `json:"epoch,omitempty"`
	// LagSeconds is how much media the worker has yet to package; Restarts how
	// often another worker took the broadcast over.
	LagSeconds *float64 `json:"lag_seconds,omitempty"`
	Restarts   *int     `json:"restarts,omitempty"`
}

// Video describes a stream's picture. Codec is as in RFC 6381, avc1.64001f;
// Width and Height are in pixels, FrameRate in frames per second, Bitrate in
// bits per second.
type Video struct {
	Codec     string  `json:"codec,omitempty"`
	Width     int     `json:"width,omitempty"`
	Height    int     `json:"height,omitempty"`
	FrameRate float64 `json:"frame_rate,omitempty"`
	Bitrate   int64   `json:"bitrate,omitempty"`
}

// Audio describes a stream's sound. Codec is as in RFC 6381, mp4a.40.2;
// SampleRate is in Hz, Bitrate in bits per second.
type Audio struct {
	Codec      string `json:"codec,omitempty"`
	SampleRate int    `json:"sample_rate,omitempty"`
	Channels   int    `json:"channels,omitempty"`
	Bitrate    int64  `json:"bitrate,omitempty"`
}

// Streams is the answer to GET /api/v1/streams, in the order of the names.
type Streams struct {
	Streams []Stream `json:"streams"`
}

// streams answers GET /api/v1/streams.
func (h *Handler) streams(w http.ResponseWriter, r *http.Request) {
	list, ok := h.list(w, r)
	if !ok {
		return
	}
	h.complete(r.Context(), list)
	slices.SortFunc(list, func(a, b Stream) int { return cmp.Compare(a.Name, b.Name) })
	writeJSON(w, Streams{list})
}

// stream answers GET /api/v1/streams/{app}/{name}.
func (h *Handler) stream(w http.ResponseWriter, r *http.Request) {
	list, ok := h.list(w, r)
	if !ok {
		return
	}
	name := r.PathValue("app") + "/" + r.PathValue("name")
	i := slices.IndexFunc(list, func(s Stream) bool { return s.Name == name })
	if i < 0 {
		writeProblem(w, http.StatusNotFound, "not_found", "no such stream is known")
		return
	}
	h.complete(r.Context(), list[i:i+1])
	writeJSON(w, list[i])
}

// list asks the registry. Where that fails it has answered.
func (h *Handler) list(w http.ResponseWriter, r *http.Request) ([]Stream, bool) {
	if h.cfg.Registry == nil {
		return []Stream{}, true
	}
	ctx, cancel := context.WithTimeout(r.Context(), answerTimeout)
	defer cancel()
	list, err := h.cfg.Registry.Streams(ctx)
	if !h.answered(w, r, err) {
		return nil, false
	}
	return append([]Stream{}, list...), true
}

// answered tells whether the registry did; it has told the client if not.
func (h *Handler) answered(w http.ResponseWriter, r *http.Request, err error) bool {
	if err != nil && r.Context().Err() != nil {
		return false // the client has gone: nobody reads, and nothing failed
	}
	h.asked.report(err)
	if err != nil {
		writeProblem(w, http.StatusServiceUnavailable, "unavailable", "the registry does not answer, try again")
	}
	return err == nil
}

// complete adds what the registry does not know.
func (h *Handler) complete(ctx context.Context, list []Stream) {
	var there map[string]string
	if h.cfg.Playlists != nil {
		names := make([]string, len(list))
		for i, s := range list {
			names[i] = s.Name
		}
		there = h.cfg.Playlists.Locate(ctx, names)
	}
	now := time.Now()
	for i := range list {
		s := &list[i]
		s.Playlist = there[s.Name]
		if s.State != Ended && !s.Since.IsZero() {
			s.UptimeSeconds = max(0, int64(now.Sub(s.Since)/time.Second))
		}
	}
}

// kick answers POST /api/v1/streams/{app}/{name}/kick.
func (h *Handler) kick(w http.ResponseWriter, r *http.Request) {
	if !h.cfg.Admin.allows(r) {
		writeProblem(w, http.StatusForbidden, "forbidden", "this needs the admin token, or without one a request from this machine")
		return
	}
	s, err := media.ParseStream(r.PathValue("app"), r.PathValue("name"))
	if err != nil {
		writeProblem(w, http.StatusBadRequest, "bad_stream", err.Error())
		return
	}
	if h.cfg.Registry == nil {
		writeProblem(w, http.StatusNotFound, "not_live", "the stream is not live")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), answerTimeout)
	defer cancel()
	switch err := h.cfg.Registry.Kick(ctx, s); {
	case errors.Is(err, ErrNotLive):
		writeProblem(w, http.StatusNotFound, "not_live", "the stream is not live")
	case err != nil:
		h.cfg.Log.Warn("kick failed", "stream", s, "error", err)
		writeProblem(w, http.StatusServiceUnavailable, "unavailable", "its ingest does not answer, try again")
	default:
		h.cfg.Log.Info("stream kicked", "stream", s, "by", r.RemoteAddr)
		w.WriteHeader(http.StatusNoContent)
	}
}
