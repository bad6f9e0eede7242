// Package api is weir for operators and their programs: what is live, where it
// comes in and who packages it, an end to a stream, the figure to scale by,
// whether a process lives and takes work. Handler answers, on whichever
// listener it is put; Client asks, for the verbs of the command line.
//
//	GET  /api/v1/streams                    the streams
//	GET  /api/v1/streams/{app}/{name}       one of them
//	GET  /api/v1/streams/{app}/{name}/health  how well what its encoder sends is
//	POST /api/v1/streams/{app}/{name}/kick  throw its encoder out
//	GET  /api/v1/scale                      how many segmenters are needed
//	GET  /api/v1/server                     where to publish, and the release
//	GET  /api/v1/openapi.json               all of this, for machines
//	GET  /metrics                           Prometheus
//	GET  /healthz                           the process is alive
//	GET  /readyz                            the process takes work
//
// docs/api.md is its page for people. Errors are problem details (RFC 9457).
package api

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"weir/media"
	"weir/media/health"
)

// Registry is what the API needs of the bus.
type Registry interface {
	// Streams returns what is known of all streams, in any order. The caller
	// may change the slice, and nothing that it points to.
	Streams(ctx context.Context) ([]Stream, error)
	// Scale measures what waits for segmenters, and what there is of them.
	Scale(ctx context.Context) (Scale, error)
	// Health is how well the session of a stream is that publishes it. It returns
	// ErrNotLive where nobody does.
	Health(ctx context.Context, s media.Stream) (health.Report, error)
	// Kick ends the session that publishes a stream, and its broadcast. It
	// returns ErrNotLive where nobody does.
	Kick(ctx context.Context, s media.Stream) error
}

// Playlists is what the API needs of an origin.
type Playlists interface {
	// Locate returns the URL of each of these playlists, which are named by
	// their keys. What is not there yet, or not any more, is left out.
	Locate(ctx context.Context, keys []string) map[string]string
}

// Config is what New needs. Every field has a use as zero.
type Config struct {
	// Registry answers for streams and scale; nil: there are none.
	Registry Registry
	// Playlists names playlists; nil names none (a process without a store).
	Playlists Playlists
	// Parts are what the process needs to take work; none: it is always ready.
	Parts []Part
	// Refusals returns the publishes that this process has refused last, the
	// newest first; nil: it takes none.
	Refusals func() []Refusal
	// Metrics answers /metrics; nil answers 404.
	Metrics http.Handler
	// Access says who may see and change what.
	Access Access
	// Publish tells where encoders go, Version what this is.
	Publish Publish
	Version string
	// Log takes what no client is told; nil is slog.Default().
	Log *slog.Logger
}

const (
	// answerTimeout bounds how long a request may wait for the bus, so that
	// its client, which waits for askTimeout, hears why.
	answerTimeout = 5 * time.Second
)

// Handler answers the API. Use New.
type Handler struct {
	cfg   Config
	mux   *http.ServeMux
	known snapshot
	ready *readiness
	asked change
}

// New returns the API's handler.
func New(cfg Config) *Handler {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	h := &Handler{cfg: cfg, mux: http.NewServeMux()}
	h.known.ask = func(ctx context.Context) ([]Stream, error) {
		if cfg.Registry == nil {
			return nil, nil
		}
		return cfg.Registry.Streams(ctx)
	}
	h.ready = newReadiness(cfg.Parts, cfg.Log)
	h.asked = change{log: cfg.Log, bad: "the registry does not answer", good: "the registry answers again"}
	for _, e := range h.endpoints() {
		h.mux.HandleFunc(e.method+" "+e.path, e.serve)
		h.mux.HandleFunc(e.path, otherMethod(e.method))
	}
	h.mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		writeProblem(w, http.StatusNotFound, "not_found", "there is nothing here; see /api/v1/openapi.json")
	})
	return h
}

// endpoint is one thing to ask for.
type endpoint struct {
	method, path string
	serve        http.HandlerFunc
}

// endpoints are those that this process answers.
func (h *Handler) endpoints() []endpoint {
	list := []endpoint{
		{"GET", "/api/v1/server", h.server},
		{"GET", "/api/v1/openapi.json", openAPI},
		{"GET", "/healthz", func(w http.ResponseWriter, _ *http.Request) { text(w, http.StatusOK, "ok") }},
		{"GET", "/readyz", h.serveReady},
	}
	a := h.cfg.Access
	if h.cfg.Metrics != nil {
		list = append(list, endpoint{"GET", "/metrics", a.operators(a.maySee, h.cfg.Metrics.ServeHTTP)})
	}
	return append(list,
		endpoint{"GET", "/api/v1/streams", h.streams},
		endpoint{"GET", "/api/v1/streams/{app}/{name}", h.stream},
		endpoint{"GET", "/api/v1/streams/{app}/{name}/health", a.operators(a.maySee, h.health)},
		endpoint{"POST", "/api/v1/streams/{app}/{name}/kick", a.operators(a.operator, h.kick)},
		endpoint{"GET", "/api/v1/refusals", a.operators(a.maySee, h.refusals)},
		endpoint{"GET", "/api/v1/scale", a.operators(a.maySee, h.scale)},
	)
}

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// Nothing here is ever what a browser might sniff it to be (Fetch, 3.6),
	// and all of it is of this moment.
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	h.mux.ServeHTTP(w, r)
}

// otherMethod answers methods that a path does not have (RFC 9110, 15.5.6).
func otherMethod(method string) http.HandlerFunc {
	allow := method + ", OPTIONS"
	if method == http.MethodGet {
		allow = "GET, HEAD, OPTIONS"
	}
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Allow", allow)
		if r.Method == http.MethodOptions {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		writeProblem(w, http.StatusMethodNotAllowed, "method_not_allowed", "this takes "+allow)
	}
}

//go:embed openapi.json
var openAPIText []byte

// openAPI answers with the API's description, OpenAPI 3.1.
func openAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(openAPIText) // the reader may have left
}

// httpsPort is what an RTMPS URL means that names none: encoders take that of
// HTTPS.
const httpsPort = 443

// Publish tells where encoders publish. The zero Publish shows nothing.
type Publish struct {
	// URL is the RTMP server and application as an encoder is to be given it,
	// as in rtmp://ingest.example.net/live. Empty is made of Port and the host
	// that the request was sent to.
	URL  string
	Port int
	// Secure: the port is one of TLS.
	Secure bool
	// Open says that anyone may publish under any name: the page shows a name
	// where it otherwise asks for the stream key.
	Open bool
}

// Server is what a weir says of itself: /api/v1/server.
type Server struct {
	Version string       `json:"version,omitempty"`
	Publish *PublishInfo `json:"publish,omitempty"`
	// Operator: who asked sees what operators see.
	Operator bool `json:"operator,omitempty"`
}

// PublishInfo is a Publish as seen from where it was asked for.
type PublishInfo struct {
	URL  string `json:"url"`
	Open bool   `json:"open"`
}

func (h *Handler) server(w http.ResponseWriter, r *http.Request) {
	info := Server{Version: h.cfg.Version, Operator: h.cfg.Access.maySee(r)}
	if u := h.cfg.Publish.url(r.Host); u != "" {
		info.Publish = &PublishInfo{URL: u, Open: h.cfg.Publish.Open}
	}
	writeJSON(w, info)
}

// url is what an encoder is to be given, seen from a client that reached this
// server as host (a Host header: RFC 9110, 7.2).
func (p Publish) url(host string) string {
	if p.URL != "" || p.Port == 0 {
		return p.URL
	}
	name := (&url.URL{Host: host}).Hostname() // without port and brackets
	scheme, standard := "rtmp://", RTMPPort
	if p.Secure {
		scheme, standard = "rtmps://", httpsPort
	}
	return scheme + URLHost(net.JoinHostPort(name, strconv.Itoa(p.Port)), standard) + "/live"
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(appendJSON(v)) // the reader may have left
}

// appendJSON writes one of this package's types, of which none fails.
func appendJSON(v any) []byte {
	var b bytes.Buffer
	_ = json.NewEncoder(&b).Encode(v)
	return b.Bytes()
}
