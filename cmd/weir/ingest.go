package main

import (
	"context"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"weir/bus"
	"weir/endpoint"
	"weir/ingest"
)

// stages are the listeners, and the watch over broadcasts whose encoder or node
// has gone. Where own is not nil, it lets in who else need not be asked about.
func (f *rtmpFlags) stages(ctx context.Context, b *bus.Bus, own *ownKey, way *entrance, refused *endpoint.Refusals, metrics prometheus.Registerer, log *slog.Logger) ([]stage, error) {
	who, asking, err := f.authFlags.open(ctx, b, log)
	if err != nil {
		return nil, err
	}
	if own != nil {
		who = own.before(who)
	}
	ifLive := bus.Contend
	if f.PublishConflict == "reject" {
		ifLive = bus.Reject
	}
	p := ingest.NewPublisher(ingest.Config{
		Log: ingestLog{bus: b, ifLive: ifLive}, Logger: log, Metrics: ingest.NewMetrics(metrics),
		Batch: f.Batch, MaxMessage: int(f.MaxMessage), Buffer: int64(f.IngestMemory),
		IdleTimeout: f.IdleTimeout, BusTimeout: f.BusTimeout, MaxSpeed: f.MaxSpeed,
	})
	metrics.MustRegister(p)
	if err := b.AnswerHealth(p.AnswerHealth); err != nil {
		return nil, err
	}
	s := endpoint.NewServer(endpoint.Config{
		Publisher: publisher{p}, Auth: who, Logger: log, Metrics: endpoint.NewMetrics(metrics), Refusals: refused,
		MaxMessage: int(f.MaxMessage), MaxConnections: f.MaxConnections, MaxPerAddress: f.MaxPerAddress, MaxPublishes: f.MaxPublishes, Drain: f.Drain,
	})
	listen, err := f.listen(ctx, s, way)
	if err != nil {
		return nil, err
	}
	return append([]stage{
		listen,
		{"supervisor", func(ctx context.Context) error { return b.Supervise(ctx, f.ReconnectWindow) }},
	}, asking...), nil
}

func (c *ingestCmd) Run(ctx context.Context, log *slog.Logger) error {
	if err := c.natsFlags.check(""); err != nil {
		return err
	}
	if err := c.rtmpFlags.checkAuth("", len(c.ProxyProtocol) > 0); err != nil {
		return err
	}
	way, watch, err := c.tlsFlags.open(log)
	if err != nil {
		return err
	}
	metrics, nats, refused := newMetrics(), new(late), new(endpoint.Refusals)
	registerCertificates(metrics, way.certificates)
	ops, err := c.opsFlags.stage(ctx, nats, nil, refusals(refused), metrics, log)
	if err != nil {
		return err
	}
	work := c.natsFlags.work("ingest", "", nats, log, func(ctx context.Context, b *bus.Bus) ([]stage, error) {
		stages, err := c.stages(ctx, b, nil, way, refused, metrics, log)
		if err == nil {
			log.Info("ingest is ready", "rtmp", c.RTMP, "node", b.Node())
		}
		return stages, err
	})
	return runStages(ctx, []stage{work, ops, watch})
}
