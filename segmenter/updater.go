package segmenter

import (
	"context"

	"weir/hls"
)

// updater is a goroutine that brings something up to date with the newest State
// that it was given. Whoever gives it one never waits.
type updater struct {
	do   func(context.Context, *hls.State) error
	next chan *hls.State
}

func newUpdater(do func(context.Context, *hls.State) error) *updater {
	return &updater{do: do, next: make(chan *hls.State, 1)}
}

// update takes s in the place of a State that is not begun with. One goroutine
// at a time may call it.
func (u *updater) update(s *hls.State) {
	select {
	case <-u.next:
	default:
	}
	u.next <- s
}

// run works until ctx ends (nil) or something fails.
func (u *updater) run(ctx context.Context) error {
	for {
		select {
		case s := <-u.next:
			if err := u.do(ctx, s); err != nil && ctx.Err() == nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}
