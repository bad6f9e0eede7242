package main

import (
	"context"
	"log/slog"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"

	"weir/bus"
	"weir/hls"
	"weir/segmenter"
	"weir/storage"
)

// stage is a worker that packages what nobody else does. With once, it ends
// when it has packaged one broadcast to its end, and calls that.
func (f *segmentFlags) stage(b *bus.Bus, store storage.Store, metrics prometheus.Registerer, log *slog.Logger, once func()) (stage, error) {
	settings, err := f.settings()
	if err != nil {
		return stage{}, err
	}
	w := &segmenter.Worker{Source: b, Store: store, Settings: settings, Log: log, Metrics: segmenter.NewMetrics(metrics),
		Ahead: segmenter.NewBudget(int64(f.UploadAhead), f.UploadRequests)}
	claims := b.Work(bus.Segment, bus.WorkConfig{
		Capacity: f.Capacity, Formats: hls.Versions(), Stall: 3 * hls.MaxTarget,
	})
	registerWorker(metrics, claims)
	tellRefusals(store, log)
	handle := packageClaim(w)
	if once == nil {
		return stage{"segmenter", probing(store, log, func(ctx context.Context) error { return claims.Run(ctx, handle) })}, nil
	}
	return stage{"segmenter", probing(store, log, func(ctx context.Context) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer once()
		return claims.Run(ctx, func(ctx context.Context, c *bus.Claim) error {
			err := handle(ctx, c)
			if err == nil {
				cancel() // before the worker looks for the next
			}
			return err
		})
	})}, nil
}

// registerWorker exports what the worker owns and what waits for one: the
// signal to scale by.
func registerWorker(r prometheus.Registerer, w *bus.Worker) {
	gauge := func(name, help string, value func(bus.WorkerStats) float64) {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "weir_segmenter_" + name, Help: help},
			func() float64 { return value(w.Stats()) }))
	}
	counter := func(name, help string, value func(bus.WorkerStats) uint64) {
		r.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "weir_segmenter_" + name, Help: help},
			func() float64 { return float64(value(w.Stats())) }))
	}
	gauge("owned_broadcasts", "Broadcasts that this worker packages.", func(s bus.WorkerStats) float64 { return float64(s.Owned) })
	gauge("capacity_broadcasts", "Most broadcasts that this worker packages.", func(s bus.WorkerStats) float64 { return float64(s.Capacity) })
	gauge("unowned_broadcasts", "Broadcasts that nobody packages.", func(s bus.WorkerStats) float64 { return float64(s.Unowned) })
	counter("claims_total", "Broadcasts claimed.", func(s bus.WorkerStats) uint64 { return s.Claims })
	counter("takeovers_total", "Broadcasts claimed from a dead or stuck worker.", func(s bus.WorkerStats) uint64 { return s.Takeovers })
	counter("lost_claims_total", "Broadcasts lost to another worker.", func(s bus.WorkerStats) uint64 { return s.Lost })
}

// segmentCmd runs one segmenter.
type segmentCmd struct {
	segmentFlags
	natsFlags
	storeFlags
	opsFlags `embed:""`
	Once     bool     `help:"Package one broadcast to its end, and exit."`
	Memory   byteSize `help:"Memory that this process may use: it takes one broadcast for each 16 MB, up to --capacity, and collects garbage in time. Absent: no bound." placeholder:"SIZE"`
}

// broadcastMemory is what one broadcast may need while the store is away:
// three segments of 4 s at 4 Mbit/s (open, on its way, waiting), what a reader
// has in flight, and a collector's room.
const broadcastMemory = 16 << 20

func (c *segmentCmd) Run(ctx context.Context, log *slog.Logger) error {
	c.Store = c.Keep.tag(c.Store)
	store, err := c.storeFlags.open(ctx, "")
	if err != nil {
		return err
	}
	return c.run(ctx, store, log)
}

func (c *segmentCmd) run(ctx context.Context, store storage.Store, log *slog.Logger) error {
	if err := c.limit(); err != nil {
		return err
	}
	b, err := c.natsFlags.open(ctx, "", log)
	if err != nil {
		return err
	}
	defer closeBus(b, log)
	registry := newRegistry()
	registerStore(registry, store)
	ctx, done := context.WithCancel(ctx)
	defer done()
	var once func()
	if c.Once {
		once = done
	}
	worker, err := c.segmentFlags.stage(b, store, registry, log, once)
	if err != nil {
		return err
	}
	ops, err := c.opsFlags.stage(ctx, "localhost:8082", b, registry, log, nil)
	if err != nil {
		return err
	}
	log.Info("segmenter is ready", "node", b.Node())
	return runStages(ctx, []stage{worker, ops})
}

// limit bounds how much the process takes on.
func (c *segmentCmd) limit() error {
	if c.Memory > 0 {
		if c.Memory < broadcastMemory {
			return usagef("--memory: want at least 16MB, what one broadcast may need")
		}
		c.Capacity = min(c.Capacity, int(c.Memory/broadcastMemory))
		c.UploadAhead = min(c.UploadAhead, c.Memory/8)
		debug.SetMemoryLimit(int64(c.Memory / 8 * 7)) // the rest is the program itself
	}
	if c.Once {
		c.Capacity = 1
	}
	return nil
}
