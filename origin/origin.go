// Package origin puts the pipeline's objects before viewers over HTTP:
// playlists and segments with the headers that players and caches need, and
// the page to watch them on.
//
// It keeps nothing that matters between requests. Any number of origins may serve the same
// store, behind a CDN or without one; a store that speaks HTTP itself (a
// bucket behind a CDN) needs none.
//
//	GET /                    the page
//	GET /hls/<object key>    playlists and segments
//
// What the page asks, and what probes and scrapers do, is the API's: it is
// handed on.
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

	"weir/hls"
	"weir/media/object"
)

// Objects is what the origin needs of a store.
type Objects interface {
	// Open returns the object and what is known of it. A missing object is an
	// error that wraps object.ErrNotExist. An *os.File is handed to the kernel
	// as it is (sendfile).
	Open(ctx context.Context, key string) (io.ReadSeekCloser, object.Info, error)
}

// Config is what New needs. Every field has a use as zero, except Objects.
type Config struct {
	Objects Objects
	// API answers /api/, /healthz, /readyz and /metrics; nil answers 404.
	API http.Handler
	// Registerer takes the request metrics; nil leaves them uncollected.
	Registerer prometheus.Registerer
	// Log takes what the origin can tell nobody else; nil is slog.Default().
	Log *slog.Logger

	// Segment is the target duration of playlists that do not say one
	// themselves, the multivariant ones. 0 is hls.DefaultSegment.
	Segment time.Duration
	// BaseURL is this server's root as viewers see it, behind a proxy or a
	// CDN: links are BaseURL + "/hls/…". nil makes links without a host.
	BaseURL *url.URL
	// AllowOrigins are the web origins whose pages may play from /hls/
	// (Fetch, 3.2). Empty allows all.
	AllowOrigins []string

	// A response must be taken within Grace + its size / Rate (bytes per
	// second), or its connection is closed: a client that stops reading holds
	// a goroutine and an open object no longer. 0 is 10 s, and 16 KiB/s: slower
	// than any video.
	Grace time.Duration
	Rate  int64
}

// Handler is the origin. Use New.
type Handler struct {
	cfg     Config
	metrics *metrics
	fails   *failures
	assets  map[string]*asset

	playlists, segments *shared
	wanted              wanted
	policy              string // Content-Security-Policy of the page
}

// New returns the origin's handler.
func New(cfg Config) *Handler {
	if cfg.Segment <= 0 {
		cfg.Segment = hls.DefaultSegment
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
		assets:  loadAssets(),
		policy:  contentPolicy(cfg.BaseURL),
	}
	h.playlists, h.segments = newPlaylists(cfg.Objects), newSegments(cfg.Objects)
	h.wanted.last = make(map[string]time.Time)
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
	serve(rec, r)
}

// route names a path for the metrics, and who answers it.
func (h *Handler) route(path string) (route string, serve http.HandlerFunc) {
	if route := apiRoute(path); route != "" && h.cfg.API != nil {
		return route, h.cfg.API.ServeHTTP
	}
	route, read := "other", func(w http.ResponseWriter, _ *http.Request) { notFound(w) }
	if key, ok := strings.CutPrefix(path, "/hls/"); ok {
		kind := kindOf(key)
		route, read = routeOf(kind), func(w http.ResponseWriter, r *http.Request) { h.object(w, r, key, kind) }
	} else if a := h.assets[path]; a != nil {
		route, read = "page", func(w http.ResponseWriter, r *http.Request) { h.page(w, r, a) }
	}
	return route, func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodGet, http.MethodHead:
			// A server may ignore Range (RFC 9110, 14.2): no player asks for several
			// ranges at once, and answering them costs a goroutine and a pipe.
			if strings.Contains(r.Header.Get("Range"), ",") {
				r.Header.Del("Range")
			}
			read(w, r)
		case http.MethodOptions:
			h.options(w, r, route)
		default:
			w.Header().Set("Allow", allowMethods)
			text(w, http.StatusMethodNotAllowed, "method not allowed")
		}
	}
}

// apiRoute names a path of the API's, or is empty.
func apiRoute(path string) string {
	switch {
	case strings.HasPrefix(path, "/api/"):
		return "api"
	case path == "/healthz", path == "/readyz":
		return "health"
	case path == "/metrics":
		return "metrics"
	}
	return ""
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
