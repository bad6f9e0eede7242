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
	"weir/origin"
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
func httpStage(ctx context.Context, flag, address string, h http.Handler, most int, log *slog.Logger) (stage, error) {
	l, err := api.Listen(ctx, address)
	if err != nil {
		return stage{}, fmt.Errorf("listen for HTTP: %w (choose another address with %s)", err, flag)
	}
	return stage{"http", func(ctx context.Context) error { return origin.Serve(ctx, l, h, most, httpDrain, log) }}, nil
}

// stage is the HTTP side of a stage that viewers do not see.
func (f *opsFlags) stage(ctx context.Context, b *bus.Bus, metrics *prometheus.Registry, log *slog.Logger) (stage, error) {
	token, err := f.token()
	if err != nil {
		return stage{}, err
	}
	return httpStage(ctx, "--http", f.HTTP, api.New(api.Config{
		Registry: registry{b}, Ready: b.Ready, Metrics: promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}),
		Access: api.Access{Token: token, Own: api.IsSocket(f.HTTP)}, Version: version, Log: log,
	}), origin.DefaultConnections, log)
}
