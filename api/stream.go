package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"weir/media"
	"weir/media/health"
	"weir/media/object"
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
	// Playlist is where viewers find the broadcast, once there is something to
	// find: one that has begun has none before its first segment. The API
	// fills it in.
	Playlist string `json:"playlist,omitempty"`
	// Broadcast is the present broadcast, or the last one; Since is when it
	// began, Until when it ended. UptimeSeconds is how long ago it began, for
	// what has not ended. The API fills it in.
	Broadcast     string    `json:"broadcast,omitempty"`
	Since         time.Time `json:"since,omitzero"`
	Until         time.Time `json:"until,omitzero"`
	UptimeSeconds int64     `json:"uptime_seconds,omitempty"`
	Video         *Video    `json:"video,omitempty"`
	Audio         *Audio    `json:"audio,omitempty"`
	// Bitrate is of everything, as measured, in bits per second; Segments is
	// how many the broadcast has so far, as far as its worker has told.
	Bitrate  int64  `json:"bitrate,omitempty"`
	Segments uint64 `json:"segments,omitempty"`
	// Ingest is the node that the encoder is connected to, Worker the one that
	// packages. Epoch counts the broadcast's sessions.
	Ingest string `json:"ingest,omitempty"`
	Worker string `json:"worker,omitempty"`
	Epoch  uint64 `json:"epoch,omitempty"`
	// EncoderLagSeconds is how long nothing has come from the encoder of a live
	// stream, WorkerLagSeconds how much of what came is not listed yet. Up to a
	// segment and a half is normal of the latter. Both compare the clocks of
	// nodes. Restarts is how often another worker took the broadcast over.
	EncoderLagSeconds *float64 `json:"encoder_lag_seconds,omitempty"`
	WorkerLagSeconds  *float64 `json:"worker_lag_seconds,omitempty"`
	Restarts          *int     `json:"restarts,omitempty"`
	// Health is how well what comes from the encoder is: ok, warn, bad. Operators
	// see it.
	Health health.Level `json:"health,omitempty"`
	// Advice is what would make the stream better for its viewers.
	Advice []Advice `json:"advice,omitempty"`
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

// Streams is the answer to GET /api/v1/streams: a page of the streams, in the
// order of their names.
type Streams struct {
	Streams []Stream `json:"streams"`
	// Total is how many there are on all pages; Next is what the next page is
	// asked for by, as after. Empty: this is the last.
	Total int    `json:"total"`
	Next  string `json:"next,omitempty"`
}

// streams answers GET /api/v1/streams.
func (h *Handler) streams(w http.ResponseWriter, r *http.Request) {
	q, wanted, err := parseQuery(r.URL.Query())
	if err != nil {
		writeProblem(w, http.StatusBadRequest, "bad_query", err.Error())
		return
	}
	l, ok := h.list(w, r)
	if !ok {
		return
	}
	q.all = h.cfg.Access.maySee(r)
	body := h.page(r.Context(), l, q, wanted)
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body) // the reader may have left
}

// page writes a page, once for all who ask for it of one listing.
func (h *Handler) page(ctx context.Context, l *listing, q query, wanted func(string) bool) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	if body := l.pages[q]; body != nil {
		return body
	}
	page, next, total := l.choose(q, wanted)
	h.complete(ctx, page, q.all)
	body := appendJSON(Streams{Streams: page, Total: total, Next: next})
	if len(l.pages) < maxPages {
		l.pages[q] = body
	}
	return body
}

// parseQuery reads what a list is asked for.
func parseQuery(v url.Values) (q query, wanted func(state string) bool, err error) {
	q = query{states: v.Get("state"), after: v.Get("after"), limit: defaultLimit}
	if text := v.Get("limit"); text != "" {
		q.limit, err = strconv.Atoi(text)
		if err != nil || q.limit < 1 || q.limit > maxLimit {
			return q, nil, fmt.Errorf("limit: want a number from 1 to %d", maxLimit)
		}
	}
	if q.states == "" {
		return q, func(string) bool { return true }, nil
	}
	states := strings.Split(q.states, ",")
	for _, s := range states {
		if s != Live && s != Waiting && s != Ended {
			return q, nil, fmt.Errorf("state: want %s, %s, %s, or several of them with commas between", Live, Waiting, Ended)
		}
	}
	return q, func(state string) bool { return slices.Contains(states, state) }, nil
}

// stream answers GET /api/v1/streams/{app}/{name}.
func (h *Handler) stream(w http.ResponseWriter, r *http.Request) {
	l, ok := h.list(w, r)
	if !ok {
		return
	}
	s, ok := l.find(r.PathValue("app") + "/" + r.PathValue("name"))
	if !ok {
		writeProblem(w, http.StatusNotFound, "not_found", "no such stream is known")
		return
	}
	one := []Stream{s}
	h.complete(r.Context(), one, h.cfg.Access.maySee(r))
	writeJSON(w, one[0])
}

// list returns the streams as they are. Where that fails it has answered.
func (h *Handler) list(w http.ResponseWriter, r *http.Request) (*listing, bool) {
	l, err := h.known.get(r.Context())
	return l, h.answered(w, r, err)
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

// complete adds what the registry does not know, and leaves out what is not for
// viewers if it is not to say all.
func (h *Handler) complete(ctx context.Context, list []Stream, all bool) {
	key := func(s Stream) string { return object.BroadcastPrefix(s.Name, s.Broadcast) + object.IndexPlaylist }
	var there map[string]string
	if h.cfg.Playlists != nil {
		var keys []string
		for _, s := range list {
			if s.Broadcast != "" && (s.Segments > 0 || s.State == Ended) {
				keys = append(keys, key(s))
			}
		}
		there = h.cfg.Playlists.Locate(ctx, keys)
	}
	now := time.Now()
	for i := range list {
		s := &list[i]
		s.Playlist = there[key(*s)]
		if !all {
			s.Health = ""
			s.Ingest, s.Worker, s.Epoch, s.EncoderLagSeconds, s.WorkerLagSeconds, s.Restarts = "", "", 0, nil, nil, nil
		}
		if s.State != Ended && !s.Since.IsZero() {
			s.UptimeSeconds = max(0, int64(now.Sub(s.Since)/time.Second))
		}
	}
}

// health answers GET /api/v1/streams/{app}/{name}/health.
func (h *Handler) health(w http.ResponseWriter, r *http.Request) {
	h.askIngest(w, r, func(ctx context.Context, s media.Stream) error {
		report, err := h.cfg.Registry.Health(ctx, s)
		if err == nil {
			writeJSON(w, report)
		}
		return err
	})
}

// kick answers POST /api/v1/streams/{app}/{name}/kick.
func (h *Handler) kick(w http.ResponseWriter, r *http.Request) {
	h.askIngest(w, r, func(ctx context.Context, s media.Stream) error {
		err := h.cfg.Registry.Kick(ctx, s)
		switch {
		case err == nil:
			h.cfg.Log.Info("stream kicked", "stream", s, "by", r.RemoteAddr)
			w.WriteHeader(http.StatusNoContent)
		case !errors.Is(err, ErrNotLive):
			h.cfg.Log.Warn("kick failed", "stream", s, "err", err)
		}
		return err
	})
}

// askIngest has ask ask the ingest of the stream that the path names, and
// answer. Where ask fails, it says why instead.
func (h *Handler) askIngest(w http.ResponseWriter, r *http.Request, ask func(context.Context, media.Stream) error) {
	s, err := media.ParseStream(r.PathValue("app"), r.PathValue("name"))
	if err != nil {
		writeProblem(w, http.StatusBadRequest, "bad_stream", err.Error())
		return
	}
	err = ErrNotLive
	if h.cfg.Registry != nil {
		ctx, cancel := context.WithTimeout(r.Context(), answerTimeout)
		defer cancel()
		err = ask(ctx, s)
	}
	switch {
	case errors.Is(err, ErrNotLive):
		writeProblem(w, http.StatusNotFound, "not_live", "the stream is not live")
	case err != nil:
		writeProblem(w, http.StatusServiceUnavailable, "unavailable", "its ingest does not answer, try again")
	}
}
