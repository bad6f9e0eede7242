package main

import (
	"context"
	"errors"
	"sync"
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
