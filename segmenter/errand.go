package segmenter

import (
	"context"

	"weir/hls"
)

// errand is something that one goroutine does for a line now and then, for
// the newest State that it was asked to. Whoever asks never waits.
type errand struct {
	do   func(context.Context, *hls.State) error
	next chan *hls.State
}

func newErrand(do func(context.Context, *hls.State) error) *errand {
	return &errand{do: do, next: make(chan *hls.State, 1)}
}

// ask has the errand done for s, in the place of what was asked and not begun.
// One goroutine at a time may ask.
func (e *errand) ask(s *hls.State) {
	select {
	case <-e.next:
	default:
	}
	e.next <- s
}

// run does what is asked until ctx ends (nil) or it fails.
func (e *errand) run(ctx context.Context) error {
	for {
		select {
		case s := <-e.next:
			if err := e.do(ctx, s); err != nil && ctx.Err() == nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}
