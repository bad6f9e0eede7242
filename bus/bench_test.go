package bus

import (
	"context"
	"errors"
	"testing"
	"time"

	"weir/media/framelog"
)

// BenchmarkAppend is what one batch of a 2.5 Mbit/s stream costs, four a
// second: the embedded server's part of it is in the figure.
func BenchmarkAppend(b *testing.B) {
	bus := embedded(b)
	s := openSession(b, bus)
	ctx := context.Background()
	x := batch(1, 80<<10)
	b.SetBytes(int64(len(x.Tags)))
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Append(ctx, x); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRead is how fast a reader catches up.
func BenchmarkRead(b *testing.B) {
	bus := embedded(b)
	s := openSession(b, bus)
	const batches = 200
	for i := range batches {
		appendBatches(b, s, 80<<10, i+1)
	}
	b.SetBytes(batches * 80 << 10)
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		err := bus.Read(context.Background(), s.Broadcast(), Source, framelog.Position{}, func(*framelog.Batch, bool) error {
			if n++; n == batches {
				return errEnough
			}
			return nil
		})
		if !errors.Is(err, errEnough) {
			b.Fatal(err)
		}
	}
}

// BenchmarkOpenSession is a publish: registry, claimable State, fence.
func BenchmarkOpenSession(b *testing.B) {
	bus := embedded(b)
	b.ReportAllocs()
	for b.Loop() {
		s, err := bus.OpenSession(context.Background(), "", live, time.Now(), Takeover)
		if err != nil {
			b.Fatal(err)
		}
		bus.dismiss(s)
	}
}

// BenchmarkSave is a checkpoint of the largest State.
func BenchmarkSave(b *testing.B) {
	bus := embedded(b)
	s := openSession(b, bus)
	ctx := context.Background()
	key := stateKey(s.Broadcast())
	it, err := bus.state.Get(ctx, key)
	if err != nil {
		b.Fatal(err)
	}
	c, err := bus.Work(Segment, WorkConfig{}).claim(ctx, key, it.Rev)
	if err != nil {
		b.Fatal(err)
	}
	state := make([]byte, 16<<10)
	b.SetBytes(int64(len(state)))
	b.ReportAllocs()
	for b.Loop() {
		state[0]++
		if err := c.Save(ctx, state); err != nil {
			b.Fatal(err)
		}
	}
}
