package segmenter

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/media"
	"weir/media/object"
	"weir/storage"
)

// lame is a store that is slow for one stream.
type lame struct {
	storage.Store
	stream string
	late   time.Duration
}

func (s lame) Put(ctx context.Context, o object.Object, c object.Condition) (string, error) {
	if strings.HasPrefix(o.Key, s.stream+"/") {
		select {
		case <-time.After(s.late):
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
	return s.Store.Put(ctx, o, c)
}

// One worker's broadcasts do not wait for each other: that one has a store
// that takes seconds, or never answers, delays no other by a moment.
func TestSlowBroadcastDelaysNoOther(t *testing.T) {
	rec := record(t, show(60))
	for _, late := range []time.Duration{3 * time.Second, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			store := lame{storage.NewMemory(), "live/slow", late}
			worker := &Worker{Source: tape{rec.batches}, Store: store, Settings: settings, Log: quiet}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
			defer cancel()
			begin := time.Now()
			var all sync.WaitGroup
			for _, name := range []string{"slow", "a", "b", "c"} {
				all.Go(func() {
					job := Job{Stream: media.Stream{App: "live", Name: name}, Broadcast: broadcast, Rendition: SourceRendition, Checkpoint: new(key).claim()}
					err := worker.Package(ctx, job)
					if name == "slow" {
						if (err == nil) != (late < attemptMost) {
							t.Errorf("with a store that takes %v: %v", late, err)
						}
						return
					}
					if took := time.Since(begin); err != nil || took > 0 {
						t.Errorf("%s: %v, after %v, want no error and no delay", name, err, took)
					}
				})
			}
			all.Wait()
			for _, name := range []string{"a", "b", "c"} {
				key := fmt.Sprintf("live/%s/%s/source/vod.m3u8", name, broadcast)
				if _, _, err := store.Get(t.Context(), key); err != nil {
					t.Error(err)
				}
			}
		})
	}
}
