// Package origin puts the pipeline's objects before viewers over HTTP:
// playlists and segments with the headers that players and caches need, a
// JSON list of the streams, and the page to watch them on.
//
// It keeps nothing that matters between requests. Any number of origins may serve the same
// store, behind a CDN or without one; a store that speaks HTTP itself (a
// bucket behind a CDN) needs none.
//
//	GET /                    the page
//	GET /hls/<object key>    playlists and segments
//	GET /api/v1/streams      the streams, as JSON
//	GET /api/v1/server       where to publish, and the release, as JSON
//	GET /metrics             Prometheus
//	GET /healthz             the process is alive
//	GET /readyz              the process takes work
package origin

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"weir/media/object"
)

// Objects is what the origin needs of a store.
type Objects interface {
	// Open returns the object and what is known of it. A missing object is an
	// error that wraps object.ErrNotExist. An *os.File is handed to the kernel
	// as it is (sendfile).
	Open(ctx context.Context, key string) (io.ReadSeekCloser, object.Info, error)
}

// Streams is what the origin needs of the registry.
type Streams interface {
	// Streams returns the streams that are known now, in any order. The slice
	// is not changed.
	Streams(ctx context.Context) ([]Stream, error)
}

// Config is what New needs. Every field has a use as zero, except Objects.
type Config struct {
	Objects Objects
	// Streams lists the streams; nil lists none (an origin that sees a bucket
	// and nothing else).
	Streams Streams
	// Ready reports why the process can take no work; nil is always ready.
	Ready func(context.Context) error
	// Metrics answers /metrics; nil answers 404.
	Metrics http.Handler
	// Registerer takes the request metrics; nil leaves them uncollected.
	Registerer prometheus.Registerer
	// Log takes what the origin can tell nobody else; nil is slog.Default().
	Log *slog.Logger

	// Segment is the target duration of playlists that do not say one
	// themselves, the multivariant ones. 0 is 4 s.
	Segment time.Duration
	// BaseURL is this server's root as viewers see it, behind a proxy or a
	// CDN: links are BaseURL + "/hls/…". nil makes links without a host.
	BaseURL *url.URL
	// AllowOrigins are the web origins whose pages may play from /hls/
	// (Fetch, 3.2). Empty allows all.
	AllowOrigins []string
	// Publish tells the page where encoders go.
	Publish Publish
	// Version is the release, shown on the page.
	Version string

	// A response must be taken within Grace + its size / Rate (bytes per
	// second), or its connection is closed: a client that stops reading holds
	// a goroutine and an open object no longer. 0 is 10 s, and 16 KiB/s: slower
	// than any video.
	Grace time.Duration
	Rate  int64
}

// Publish tells where encoders publish. The zero Publish shows nothing.
type Publish struct {
	// URL is the RTMP server and application as an encoder is to be given it,
	// as in rtmp://ingest.example.net/live. Empty is made of Port and the host
	// that the request was sent to.
	URL  string
	Port int
	// Open says that anyone may publish under any name: the page shows a name
	// where it otherwise asks for the stream key.
	Open bool
}

// Handler is the origin. Use New.
type Handler struct {
	cfg     Config
	base    string // BaseURL without a slash at the end, or ""
	metrics *metrics
	fails   *failures
	entries *entries
	assets  map[string]*asset
	policy  string // Content-Security-Policy of the page
}

// New returns the origin's handler.
func New(cfg Config) *Handler {
	if cfg.Segment <= 0 {
		cfg.Segment = 4 * time.Second
	}
	if cfg.Grace <= 0 {
		cfg.Grace = 10 * time.Second
	}
	if cfg.Rate <= 0 {
		cfg.Rate = 16 << 10
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	h := &Handler{
		cfg:     cfg,
		metrics: newMetrics(cfg.Registerer),
		fails:   &failures{log: cfg.Log},
		entries: &entries{objects: cfg.Objects},
		assets:  loadAssets(),
		policy:  contentPolicy(cfg.BaseURL),
	}
	if cfg.BaseURL != nil {
		h.base = strings.TrimSuffix(cfg.BaseURL.String(), "/")
	}
	return h
}

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	rec := &recorder{ResponseWriter: w}
	route, serve := h.route(r.URL.Path)
	defer func() { h.metrics.observe(route, rec, time.Since(start)) }()
	h.allowTime(rec, 0)
	// Nothing here is ever what a browser might sniff it to be (Fetch, 3.6).
	rec.Header().Set("X-Content-Type-Options", "nosniff")
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		serve(rec, r)
	case http.MethodOptions:
		h.options(rec, r, route)
	default:
		rec.Header().Set("Allow", allowMethods)
		text(rec, http.StatusMethodNotAllowed, "method not allowed")
	}
}

// route names a path for the metrics, and who answers it.
func (h *Handler) route(path string) (route string, serve http.HandlerFunc) {
	if key, ok := strings.CutPrefix(path, "/hls/"); ok {
		kind := kindOf(key)
		return kind.route(), func(w http.ResponseWriter, r *http.Request) { h.object(w, r, key, kind) }
	}
	switch path {
	case "/api/v1/streams":
		return "api", h.streams
	case "/api/v1/server":
		return "api", h.server
	case "/healthz":
		return "health", func(w http.ResponseWriter, _ *http.Request) { text(w, http.StatusOK, "ok") }
	case "/readyz":
		return "health", h.ready
	case "/metrics":
		if h.cfg.Metrics != nil {
			return "metrics", h.cfg.Metrics.ServeHTTP
		}
	}
	if a := h.assets[path]; a != nil {
		return "page", func(w http.ResponseWriter, r *http.Request) { h.page(w, r, a) }
	}
	return "other", func(w http.ResponseWriter, _ *http.Request) { notFound(w) }
}

// ready answers the readiness probe. Why it is not ready goes to the log: the
// port may be open to the world.
func (h *Handler) ready(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if h.cfg.Ready != nil {
		ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
		defer cancel()
		if err := h.cfg.Ready(ctx); err != nil {
			h.fails.report("not ready", err)
			text(w, http.StatusServiceUnavailable, "not ready")
			return
		}
	}
	text(w, http.StatusOK, "ready")
}

// allowTime moves the write deadline to what a response of size bytes may
// take from now on. It belongs to the response, not to the connection, which
// stays for as long as its client keeps asking.
func (h *Handler) allowTime(w http.ResponseWriter, size int64) {
	d := h.cfg.Grace + time.Duration(float64(size)/float64(h.cfg.Rate)*float64(time.Second))
	// What cannot set deadlines is no network connection and needs none.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(d))
}

// text answers with one short line.
func text(w http.ResponseWriter, code int, line string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	fmt.Fprintln(w, line)
}

// notFound answers 404 for one second: what is not there may be the live
// edge's next object, and no cache may hide it for longer.
func notFound(w http.ResponseWriter) {
	w.Header().Set("Cache-Control", "public, max-age=1")
	text(w, http.StatusNotFound, "not found")
}
