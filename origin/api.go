package origin

import (
	"cmp"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The states of a stream.
const (
	Live    = "live"    // an encoder publishes
	Waiting = "waiting" // it went, and may come back to the same broadcast
	Ended   = "ended"   // the broadcast is over and complete
)

// Stream is what is known of a stream, and its JSON form in the API. What is
// not known stays zero and is not written.
type Stream struct {
	// Name is app/name, as in live/alice. State is one of the above.
	Name  string `json:"name"`
	State string `json:"state"`
	// Playlist is where viewers find it, once there is something to find: a
	// stream that has begun has none before its first segment. The origin fills
	// it in.
	Playlist string `json:"playlist,omitempty"`
	// Broadcast is the present broadcast, or the last one; Since is when it
	// began. UptimeSeconds is how long ago that was, for what has not ended.
	// The origin fills it in.
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

// streams answers /api/v1/streams.
func (h *Handler) streams(w http.ResponseWriter, r *http.Request) {
	list := []Stream{}
	if h.cfg.Streams != nil {
		known, err := h.cfg.Streams.Streams(r.Context())
		if err != nil {
			h.fails.report("streams not listed", err)
			w.Header().Set("Retry-After", "1")
			writeJSON(w, http.StatusServiceUnavailable, map[string]string{"error": "the registry does not answer, try again"})
			return
		}
		list = append(list, known...)
	}
	points := h.entries.of(r.Context(), list)
	now := time.Now()
	for i := range list {
		s := &list[i]
		if s.Playlist = ""; points[s.Name].there {
			s.Playlist = h.base + "/hls/" + entryKey(s.Name)
		}
		if s.State != Ended && !s.Since.IsZero() {
			s.UptimeSeconds = max(0, int64(now.Sub(s.Since)/time.Second))
		}
	}
	slices.SortFunc(list, func(a, b Stream) int { return cmp.Compare(a.Name, b.Name) })
	writeJSON(w, http.StatusOK, map[string][]Stream{"streams": list})
}

// serverInfo is /api/v1/server.
type serverInfo struct {
	Version string       `json:"version,omitempty"`
	Publish *publishInfo `json:"publish,omitempty"`
}

type publishInfo struct {
	URL  string `json:"url"`
	Open bool   `json:"open"`
}

// server answers /api/v1/server.
func (h *Handler) server(w http.ResponseWriter, r *http.Request) {
	info := serverInfo{Version: h.cfg.Version}
	if u := h.cfg.Publish.url(r.Host); u != "" {
		info.Publish = &publishInfo{URL: u, Open: h.cfg.Publish.Open}
	}
	writeJSON(w, http.StatusOK, info)
}

// rtmpPort is what a URL means that names none: IANA has it as macromedia-fcs.
const rtmpPort = 1935

// url is what an encoder is to be given, seen from a client that reached this
// server as host (a Host header: RFC 9110, 7.2).
func (p Publish) url(host string) string {
	if p.URL != "" || p.Port == 0 {
		return p.URL
	}
	name := (&url.URL{Host: host}).Hostname() // without port and brackets
	switch {
	case p.Port != rtmpPort:
		name = net.JoinHostPort(name, strconv.Itoa(p.Port))
	case strings.Contains(name, ":"): // an IPv6 address (RFC 3986, 3.2.2)
		name = "[" + name + "]"
	}
	return "rtmp://" + name + "/live"
}

func writeJSON(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	// An error here is the client's connection: there is nobody to tell.
	_ = json.NewEncoder(w).Encode(v)
}
