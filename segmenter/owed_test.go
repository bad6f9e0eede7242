package segmenter

import (
	"bytes"
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"weir/internal/synthetic"
	"weir/media/framelog"
	"weir/media/object"
	"weir/storage"
)

// silent is a log on which nothing comes any more.
type silent struct{ tape }

func (s silent) Read(ctx context.Context, broadcast, rendition string, after framelog.Position, fn func(*framelog.Batch, bool) error) error {
	if err := s.tape.Read(ctx, broadcast, rendition, after, fn); !errors.Is(err, errTapeEnd) {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

// gated is a store that takes no object with part in it before it is opened.
type gated struct {
	storage.Store
	part string
	open chan struct{}
}

func (g gated) Put(ctx context.Context, o object.Object, c object.Condition) (string, error) {
	if bytes.Contains(o.Body, []byte(g.part)) {
		select {
		case <-g.open:
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
	return g.Store.Put(ctx, o, c)
}

// Whoever has read all of a log still owes what the store has not taken, and
// at last the end; whoever has listed all owes nothing.
func TestOwed(t *testing.T) {
	rec := synthetic.Record(t, synthetic.New(4))
	for _, tt := range []struct {
		name    string
		batches []*framelog.Batch
		part    string
		onAir   bool
	}{
		{"on air", rec.Batches[:len(rec.Batches)-1], "", true},
		{"on air, not listed", rec.Batches[:len(rec.Batches)-1], "#EXTINF", true},
		{"at its end", rec.Batches, "#EXT-X-ENDLIST", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var owed atomic.Int64
				store := gated{storage.NewMemory(), tt.part, make(chan struct{})}
				w := &Worker{Source: silent{tape{tt.batches}}, Store: store, Settings: shortSegments, Log: quiet, Ahead: NewBudget(1<<20, 8)}
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				k := new(key)
				go func() {
					ended <- w.Package(ctx, Job{Stream: alice, Broadcast: broadcast, Rendition: object.Source, Checkpoint: k.claim(),
						Owe: func(n int) { owed.Add(int64(n)) }})
				}()
				time.Sleep(time.Minute)
				if owed.Load() <= 0 {
					t.Errorf("%d is owed though the store has not taken all", owed.Load())
				}
				close(store.open)
				time.Sleep(time.Minute)
				if (owed.Load() == 0) != tt.onAir {
					t.Errorf("%d is owed when the store has taken all", owed.Load())
				}
				cancel()
				if err := <-ended; (err == nil) != k.closed {
					t.Errorf("ended with %v", err)
				}
			})
		})
	}
}
