package main

import (
	"context"
	"log/slog"
	"net"
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
	b, err := c.natsFlags.open(ctx, "", log)
	if err != nil {
		return err
	}
	defer closeBus(b, log)
	metrics := newMetrics()
	registerStore(metrics, store)
	s, err := c.httpFlags.stage(ctx, viewing{bus: b, store: store, segment: c.Segment}, metrics, log)
	if err != nil {
		return err
	}
	log.Info("origin is ready", "http", c.HTTP)
	return runStages(ctx, []stage{s})
}

// viewing is what viewers are shown.
type viewing struct {
	bus     *bus.Bus
	store   storage.Store
	segment time.Duration
	publish api.Publish
}

// stage is the side of viewers, and of operators.
func (f *httpFlags) stage(ctx context.Context, v viewing, metrics *prometheus.Registry, log *slog.Logger) (stage, error) {
	token, err := f.token()
	if err != nil {
		return stage{}, err
	}
	a := api.New(api.Config{
		Registry: registry{v.bus}, Playlists: origin.NewEntries(v.store, f.BaseURL.url), Ready: v.bus.Ready,
		Metrics: promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}), Admin: api.Admin{Token: token, Proxied: f.BaseURL.url != nil},
		Publish: v.publish, Version: version, Log: log,
	})
	h := origin.New(origin.Config{Objects: v.store, API: a, Registerer: metrics, Log: log, Segment: v.segment, BaseURL: f.BaseURL.url})
	return httpStage(ctx, f.HTTP, h, log)
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
