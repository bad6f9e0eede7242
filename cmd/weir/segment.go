package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"

	"weir/bus"
	"weir/hls"
	"weir/media/framelog"
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
	w := &segmenter.Worker{Store: storage.Persist(store, log), Settings: settings, Log: log, Metrics: segmenter.NewMetrics(metrics),
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

// claimedLog is the log of a claim, of which its worker knows how far it was read.
type claimedLog struct{ claim *bus.Claim }

var _ segmenter.Source = claimedLog{}

func (l claimedLog) Read(ctx context.Context, _, _ string, after framelog.Position, fn func(*framelog.Batch, bool) error) error {
	return l.claim.Read(ctx, after, fn)
}

// packageClaim is what a bus worker does with a claim: where w has no Source, it
// reads the claim's own log.
func packageClaim(w *segmenter.Worker) func(context.Context, *bus.Claim) error {
	return func(ctx context.Context, c *bus.Claim) (err error) {
		// A broadcast that brings out a fault of ours must not take the others
		// of this process with it.
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("package %s: panic: %v\n%s", c.Broadcast(), p, debug.Stack())
			}
		}()
		own := *w
		if own.Source == nil {
			own.Source = claimedLog{c}
		}
		err = own.Package(ctx, segmenter.Job{
			Stream: c.Stream(), Broadcast: c.Broadcast(), Rendition: c.Rendition(),
			State: c.State(), Checkpoint: checkpoint{c}, Owe: c.Owe,
		})
		if errors.Is(err, segmenter.ErrNotOwner) {
			return bus.ErrNotOwner
		}
		return err
	}
}

// broadcastMemory is what one broadcast may need while the store is away:
// three segments of 4 s at 4 Mbit/s (open, on its way, waiting), what a reader
// has in flight, and a collector's room.
const broadcastMemory = 16 << 20

func (c *segmentCmd) Run(ctx context.Context, log *slog.Logger) error {
	c.Store = c.Keep.Tag(c.Store)
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
	if err := c.natsFlags.check(""); err != nil {
		return err
	}
	if _, err := c.settings(); err != nil {
		return err
	}
	metrics, nats := newMetrics(), new(late)
	registerStore(metrics, store)
	ctx, done := context.WithCancel(ctx)
	defer done()
	var once func()
	if c.Once {
		once = done
	}
	ops, err := c.opsFlags.stage(ctx, nats, store, nil, metrics, log)
	if err != nil {
		return err
	}
	work := c.natsFlags.work("segment", "", nats, log, func(_ context.Context, b *bus.Bus) ([]stage, error) {
		worker, err := c.segmentFlags.stage(b, store, metrics, log, once)
		if err == nil {
			log.Info("segmenter is ready", "node", b.Node())
		}
		return []stage{worker}, err
	})
	return runStages(ctx, []stage{work, ops})
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
