package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"weir/bus"
	"weir/origin"
	"weir/storage"
)

// httpDrain is how long HTTP responses may take to end after SIGTERM.
const httpDrain = 5 * time.Second

// httpFlags say how viewers come in.
type httpFlags struct {
	HTTP    string   `name:"http" help:"Where viewers connect." default:"localhost:8080" placeholder:"ADDR"`
	BaseURL *url.URL `name:"base-url" help:"This server as viewers see it, behind a proxy or a CDN." placeholder:"URL"`
	adminFlags
}

// viewing is what an origin serves.
type viewing struct {
	bus     *bus.Bus
	store   storage.Store
	segment time.Duration
	publish origin.Publish
}

func (f *httpFlags) stage(ctx context.Context, v viewing, registry *prometheus.Registry, log *slog.Logger) (stage, error) {
	h := origin.New(origin.Config{
		Objects: v.store, Streams: streamList{v.bus}, Ready: v.bus.Ready,
		Metrics: promhttp.HandlerFor(registry, promhttp.HandlerOpts{}), Registerer: registry,
		Log: log, Segment: v.segment, BaseURL: f.BaseURL, Publish: v.publish, Version: version,
	})
	token, err := f.token()
	if err != nil {
		return stage{}, err
	}
	a := &admin{token: token, proxied: f.BaseURL != nil, foreign: http.NewCrossOriginProtection()}
	mux := http.NewServeMux()
	mux.Handle("POST /api/v1/streams/{app}/{name}/kick", serveKick(v.bus, a, log))
	mux.Handle("/", h)
	return httpStage(ctx, f.HTTP, mux, log)
}

func httpStage(ctx context.Context, address string, h http.Handler, log *slog.Logger) (stage, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return stage{}, fmt.Errorf("listen for HTTP: %w (choose another address with --http)", err)
	}
	return stage{"http", func(ctx context.Context) error { return origin.Serve(ctx, l, h, httpDrain, log) }}, nil
}

// originCmd runs one origin.
type originCmd struct {
	httpFlags
	natsFlags
	storeFlags
	Segment time.Duration `help:"Duration of segments, for cache times." default:"4s"`
}

func (c *originCmd) Run(ctx context.Context, log *slog.Logger) error {
	store, err := c.storeFlags.open(ctx, "")
	if err != nil {
		return err
	}
	tellRefusals(store, log)
	b, err := c.natsFlags.open(ctx, "", log)
	if err != nil {
		return err
	}
	defer closeBus(b, log)
	registry := newRegistry()
	registerStore(registry, store)
	s, err := c.httpFlags.stage(ctx, viewing{bus: b, store: store, segment: c.Segment}, registry, log)
	if err != nil {
		return err
	}
	log.Info("origin is ready", "http", c.HTTP)
	return runStages(ctx, []stage{s})
}

// opsFlags are the HTTP side of a stage that viewers do not see.
type opsFlags struct {
	HTTP string `name:"http" help:"Where /metrics, /healthz and /readyz are. Absent: localhost:8081 for ingest, localhost:8082 for segment." placeholder:"ADDR"`
}

// stage serves them. more are patterns of this stage's own.
func (f *opsFlags) stage(ctx context.Context, address string, b *bus.Bus, registry *prometheus.Registry, log *slog.Logger, more map[string]http.Handler) (stage, error) {
	if f.HTTP != "" {
		address = f.HTTP
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	for pattern, h := range more {
		mux.Handle(pattern, h)
	}
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
		defer cancel()
		if err := b.Ready(ctx); err != nil {
			http.Error(w, "not ready: NATS does not answer", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
	return httpStage(ctx, address, mux, log)
}

// newRegistry is a metrics registry with the process' own figures.
func newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

func closeBus(b *bus.Bus, log *slog.Logger) {
	if err := b.Close(); err != nil {
		log.Error("closing the bus", "error", err)
	}
}

// port is the port of an address, 0 where it has none.
func port(address string) int {
	_, p, err := net.SplitHostPort(address)
	if err != nil {
		return 0
	}
	n, err := strconv.Atoi(p)
	if err != nil {
		return 0
	}
	return n
}
