package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"weir/api"
	"weir/bus"
	"weir/origin"
	"weir/storage"
)

func (c *originCmd) Run(ctx context.Context, log *slog.Logger) error {
	store, err := c.storeFlags.open(ctx, "")
	if err != nil {
		return err
	}
	tellRefusals(store, log)
	if err := c.natsFlags.check(""); err != nil {
		return err
	}
	way, watch, err := c.tlsFlags.open(log)
	if err != nil {
		return err
	}
	metrics, nats := newMetrics(), new(late)
	registerStore(metrics, store)
	registerCertificates(metrics, way.certificates)
	stages, err := c.httpFlags.stages(ctx, viewing{nats: nats, parts: parts(nats, store, true), store: store, segment: c.Segment}, way, metrics, log)
	if err != nil {
		return err
	}
	log.Info("origin is ready", "http", c.HTTP)
	return runStages(ctx, append(stages, watch, c.natsFlags.work("bus", "", nats, log, func(context.Context, *bus.Bus) ([]stage, error) {
		return []stage{{"bus", func(ctx context.Context) error { <-ctx.Done(); return nil }}}, nil
	})))
}

// viewing is what viewers are shown.
type viewing struct {
	nats    *late
	parts   []api.Part
	store   storage.Store
	segment time.Duration
	publish api.Publish
	refused func() []api.Refusal // nil: no publish comes here
	data    string               // where serve keeps its data; empty: this is none
}

func (f *httpFlags) limits() origin.Limits {
	return origin.Limits{Connections: f.HTTPConnections, PerAddress: f.HTTPPerAddress}
}

// viewers are the listeners that viewers come to.
func (f *httpFlags) viewers(ctx context.Context, h http.Handler, way *entrance, log *slog.Logger) (stages []stage, err error) {
	for _, l := range []listener{{flag: "--http", address: f.HTTP}, {flag: "--https", address: f.HTTPS, tls: true}} {
		if l.address == "" {
			continue
		}
		ln, err := way.listen(ctx, l.address, l.tls)
		if err != nil {
			return nil, fmt.Errorf("listen for HTTP: %w (choose another address with %s)", err, l.flag)
		}
		stages = append(stages, stage{"http", func(ctx context.Context) error {
			return origin.Serve(ctx, ln, h, f.limits(), httpDrain, log)
		}})
	}
	return stages, nil
}

// viewersAPI is what viewers are told: not what operators see, but by --http
// where that is --admin-http, too. What comes by TLS comes to --https.
func (f *httpFlags) viewersAPI(ask api.Config) http.Handler {
	ask.Access.Public = f.AdminHTTP == "" || f.AdminHTTP != f.HTTP
	plain := api.New(ask)
	ask.Access.Public = true
	secure := api.New(ask)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS != nil {
			secure.ServeHTTP(w, r)
			return
		}
		plain.ServeHTTP(w, r)
	})
}

// stages are the listener of viewers, and that of operators.
func (f *httpFlags) stages(ctx context.Context, v viewing, way *entrance, metrics *prometheus.Registry, log *slog.Logger) ([]stage, error) {
	token, err := f.token()
	if err != nil {
		return nil, err
	}
	ask := api.Config{
		Registry: registry{v.nats}, Playlists: origin.NewEntries(v.store, f.BaseURL.url), Parts: v.parts, Refusals: v.refused,
		Metrics: promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}), Access: api.Access{Token: token},
		Publish: v.publish, Version: version, Log: log,
	}
	view := origin.Config{Objects: v.store, API: f.viewersAPI(ask), Registerer: metrics, Log: log, Segment: v.segment, BaseURL: f.BaseURL.url}
	stages, err := f.viewers(ctx, origin.New(view), way, log)
	if err != nil {
		return nil, err
	}
	view.Registerer = nil // what operators watch is counted nowhere
	operators := func(address string) error {
		ask.Access = api.Access{Token: token, Own: api.IsSocket(address)}
		view.API = api.New(ask)
		s, err := httpStage(ctx, "--admin-http", address, origin.New(view), f.limits(), log)
		if err != nil {
			return err
		}
		s.name = "admin-http"
		stages = append(stages, s)
		return nil
	}
	if f.AdminHTTP != "" && f.AdminHTTP != f.HTTP {
		if err := operators(f.AdminHTTP); err != nil {
			return nil, err
		}
	}
	if socket := api.Socket(v.data); v.data != "" && socket != f.AdminHTTP {
		if err := operators(socket); err != nil { // nobody asked for it
			log.Warn("no socket for operators; give them another way with --admin-http, or --admin-token-file", "err", err)
		}
	}
	return stages, nil
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
