package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"weir/bus"
	"weir/endpoint"
	"weir/ingest"
)

// rtmpFlags say how encoders come in.
type rtmpFlags struct {
	RTMP            string        `name:"rtmp" help:"Where encoders connect. The default is this machine only; :1935 opens it to the world, and anyone may publish." default:"localhost:1935" placeholder:"ADDR"`
	Batch           time.Duration `help:"How long frames wait to be sent to the log together." default:"250ms"`
	PublishConflict string        `help:"When a live stream is published again: takeover or reject." enum:"takeover,reject" default:"takeover"`
	ReconnectWindow time.Duration `help:"How long a broadcast waits for its encoder to come back." default:"60s"`
	IdleTimeout     time.Duration `help:"How long an encoder may be silent." default:"30s"`
	BusTimeout      time.Duration `help:"How long a session with a full buffer waits for the log." default:"30s"`
	MaxMessage      byteSize      `help:"Largest frame." default:"8MB"`
	MaxConnections  int           `help:"Most connections at once." default:"1000"`
	IngestMemory    byteSize      `help:"Most memory for frames that arrive or wait for the log." default:"512MB"`
	Drain           time.Duration `help:"How long sessions may take to end after SIGTERM." default:"30s"`
}

// stages are the listener, and the watch over broadcasts whose encoder or node
// has gone.
func (f *rtmpFlags) stages(ctx context.Context, b *bus.Bus, metrics prometheus.Registerer, log *slog.Logger) ([]stage, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", f.RTMP)
	if err != nil {
		return nil, fmt.Errorf("listen for RTMP: %w (choose another address with --rtmp)", err)
	}
	ifLive := bus.Takeover
	if f.PublishConflict == "reject" {
		ifLive = bus.Reject
	}
	p := ingest.NewPublisher(ingest.Config{
		Log: ingestLog{bus: b, ifLive: ifLive}, Logger: log, Metrics: ingest.NewMetrics(metrics),
		Batch: f.Batch, MaxMessage: int(f.MaxMessage), Buffer: int64(f.IngestMemory),
		IdleTimeout: f.IdleTimeout, BusTimeout: f.BusTimeout,
	})
	s := endpoint.NewServer(endpoint.Config{
		Publisher: publisher{p}, Logger: log, Metrics: endpoint.NewMetrics(metrics),
		MaxMessage: int(f.MaxMessage), MaxConnections: f.MaxConnections, Drain: f.Drain,
	})
	return []stage{
		{"rtmp", func(ctx context.Context) error { return s.Serve(ctx, l) }},
		{"supervisor", func(ctx context.Context) error { return b.Supervise(ctx, f.ReconnectWindow) }},
	}, nil
}

// ingestCmd runs one ingest.
type ingestCmd struct {
	rtmpFlags
	natsFlags
	opsFlags `embed:""`
}

func (c *ingestCmd) Run(ctx context.Context, log *slog.Logger) error {
	b, err := c.natsFlags.open(ctx, "", log)
	if err != nil {
		return err
	}
	defer closeBus(b, log)
	registry := newRegistry()
	stages, err := c.stages(ctx, b, registry, log)
	if err != nil {
		return err
	}
	ops, err := c.opsFlags.stage(ctx, "localhost:8081", b, registry, log, map[string]http.Handler{"GET /api/v1/scale": serveScale(b)})
	if err != nil {
		return err
	}
	log.Info("ingest is ready", "rtmp", c.RTMP, "node", b.Node())
	return runStages(ctx, append(stages, ops))
}
