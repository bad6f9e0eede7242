package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"weir/api"
	"weir/bus"
	"weir/media/object"
	"weir/origin"
	"weir/storage"
)

// stage is one part of the pipeline that runs in this process.
type stage struct {
	name string
	run  func(context.Context) error
}

// runStages runs the stages until ctx is done or one of them fails, and ends
// them one after another in the order given: what a stage still hands on
// while it drains, the next one takes. It returns the first failure.
func runStages(ctx context.Context, stages []stage) error {
	failed := make(chan struct{}, len(stages))
	errs := make([]error, len(stages))
	cancels := make([]context.CancelFunc, len(stages))
	ended := make([]chan struct{}, len(stages))
	var wg sync.WaitGroup
	for i, s := range stages {
		own, cancel := context.WithCancel(context.WithoutCancel(ctx))
		cancels[i], ended[i] = cancel, make(chan struct{})
		wg.Go(func() {
			defer close(ended[i])
			if err := s.run(own); err != nil && !(own.Err() != nil && errors.Is(err, context.Canceled)) {
				errs[i] = err
				failed <- struct{}{}
			}
		})
	}
	select {
	case <-ctx.Done():
	case <-failed:
	}
	for i := range stages {
		cancels[i]()
		<-ended[i]
	}
	wg.Wait()
	return errors.Join(errs...)
}

// httpDrain is how long HTTP responses may take to end after SIGTERM.
const httpDrain = 5 * time.Second

// httpStage answers on a listener.
func httpStage(ctx context.Context, flag, address string, h http.Handler, limits origin.Limits, log *slog.Logger) (stage, error) {
	l, err := api.Listen(ctx, address)
	if err != nil {
		return stage{}, fmt.Errorf("listen for HTTP: %w (choose another address with %s)", err, flag)
	}
	return stage{"http", func(ctx context.Context) error { return origin.Serve(ctx, l, h, limits, httpDrain, log) }}, nil
}

// stage is the HTTP side of a stage that viewers do not see. refused may be nil.
func (f *opsFlags) stage(ctx context.Context, nats *late, store storage.Store, refused func() []api.Refusal, metrics *prometheus.Registry, log *slog.Logger) (stage, error) {
	token, err := f.token()
	if err != nil {
		return stage{}, err
	}
	return httpStage(ctx, "--http", f.HTTP, api.New(api.Config{
		Registry: registry{nats}, Parts: parts(nats, store, false), Refusals: refused, Metrics: promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}),
		Access: api.Access{Token: token, Own: api.IsSocket(f.HTTP)}, Version: version, Log: log,
	}), origin.Limits{}, log)
}

// parts are what a process needs; store may be nil. Without NATS an origin
// still serves what is in the store.
func parts(nats *late, store storage.Store, withoutNATS bool) []api.Part {
	list := []api.Part{{Name: "nats", Check: nats.check, Optional: withoutNATS}}
	if store == nil {
		return list
	}
	return append(list, api.Part{Name: "store", Check: func(ctx context.Context) error {
		_, err := store.Stat(ctx, "weir-ready")
		if errors.Is(err, object.ErrNotExist) {
			return nil // as it should be
		}
		return err
	}})
}

// work is the stage that needs the bus, which is opened in it: HTTP answers
// meanwhile. begin returns the stages that then run.
func (f *natsFlags) work(name, data string, nats *late, log *slog.Logger, begin func(context.Context, *bus.Bus) ([]stage, error)) stage {
	return stage{name, func(ctx context.Context) error {
		b, err := f.open(ctx, data, log)
		if err != nil {
			return err
		}
		defer closeBus(b, log)
		stages, err := begin(ctx, b)
		if err != nil {
			return err
		}
		nats.bus.Store(b)
		defer nats.bus.Store(nil)
		return runStages(ctx, stages)
	}}
}
