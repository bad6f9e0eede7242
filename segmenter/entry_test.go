package segmenter

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/hls"
	"weir/internal/synthetic"
	"weir/media/framelog"
	"weir/media/object"
	"weir/storage"
)

// A rule of the store that goes by age, or somebody's mistake, takes the entry
// point of a show that goes on for weeks: it comes back within the hour, and
// at once where the live playlist has gone, too.
func TestEntryPointComesBack(t *testing.T) {
	s := synthetic.New(4000)
	s.FPS, s.PictureLen, s.GOP, s.Audio = 2, 20, 4, false
	rec := new(synthetic.Log)
	rec.Session(t, s.Tags(), framelog.Final)
	own, entry := "live/alice/"+broadcast+"/index.m3u8", "live/alice/index.m3u8"
	for _, tt := range []struct {
		name string
		gone []string
		back time.Duration
	}{
		{"the multivariants", []string{own, entry}, time.Hour},
		{"all playlists", []string{own, entry, source00 + "live.m3u8"}, 20 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := storage.NewMemory()
				worker := &Worker{Source: live{tape{rec.Batches}, time.Now()}, Store: store, Settings: settings, Log: quiet}
				ctx, leave := context.WithCancel(t.Context())
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					err := worker.Package(ctx, Job{Stream: alice, Broadcast: broadcast, Rendition: object.Source, Checkpoint: new(key).claim()})
					if err != nil && !errors.Is(err, context.Canceled) {
						t.Error(err)
					}
				}()
				time.Sleep(101 * time.Second)
				for _, key := range tt.gone {
					if err := store.Delete(ctx, key); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(tt.back)
				for _, key := range tt.gone {
					if _, _, err := store.Get(ctx, key); err != nil {
						t.Errorf("%v later: %v", tt.back, err)
					}
				}
				leave()
				<-ended
			})
		})
	}
}

// Between the publish of a second show and its first segment the entry point
// names the first one: what it names can be played at every moment, and it
// never goes away (docs/decisions/0005).
func TestEntryPointBetweenTwoShows(t *testing.T) {
	const next = "20261121T020000Z-z9v9m2x8q0r7t5wz"
	synctest.Test(t, func(t *testing.T) {
		store := storage.NewMemory()
		rec := synthetic.Record(t, synthetic.New(30))
		show := func(id string) {
			worker := &Worker{Source: live{tape{rec.Batches}, time.Now()}, Store: store, Settings: settings, Log: quiet}
			job := Job{Stream: alice, Broadcast: id, Rendition: object.Source, Checkpoint: new(key).claim()}
			if err := worker.Package(t.Context(), job); err != nil {
				t.Error(err)
			}
		}
		show(broadcast)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			show(next)
		}()
		began, changed := time.Now(), time.Duration(0)
		for range 400 {
			time.Sleep(50 * time.Millisecond)
			body, _, err := store.Get(t.Context(), object.EntryPoint(alice.String()))
			if err != nil {
				t.Fatalf("%v after the publish: %v", time.Since(began), err)
			}
			for uri := range hls.URIs(body) {
				if _, err := store.Stat(t.Context(), alice.String()+"/"+uri); err != nil {
					t.Fatalf("%v after the publish it names %s: %v", time.Since(began), uri, err)
				}
				switch now := strings.HasPrefix(uri, next); {
				case now && changed == 0:
					changed = time.Since(began)
				case !now && changed > 0:
					t.Fatal("it went back to the first show")
				}
			}
		}
		if changed < 3*time.Second || changed > 6*time.Second {
			t.Errorf("it names the second show %v after the publish, want it with the first segment, of 4 s", changed)
		}
		<-ended
	})
}

// tardy is a store that is late with each answer.
type tardy struct {
	storage.Store
	late time.Duration
}

func (s tardy) Put(ctx context.Context, o object.Object, c object.Condition) (string, error) {
	time.Sleep(s.late)
	return s.Store.Put(ctx, o, c)
}

func (s tardy) Get(ctx context.Context, key string) ([]byte, object.Info, error) {
	time.Sleep(s.late)
	return s.Store.Get(ctx, key)
}

// How long after its end a show's first segment can be watched, over a store
// that takes 3 s for each answer: its put, the live playlist's, and the
// multivariants', together.
func TestFirstSegmentOverASlowStore(t *testing.T) {
	rec := synthetic.Record(t, synthetic.New(60))
	synctest.Test(t, func(t *testing.T) {
		const late = 3 * time.Second
		store := storage.NewMemory()
		worker := &Worker{Source: live{tape{rec.Batches}, time.Now()}, Store: tardy{store, late}, Settings: settings, Log: quiet}
		ended := make(chan struct{})
		begin := time.Now()
		go func() {
			defer close(ended)
			if err := worker.Package(t.Context(), Job{Stream: alice, Broadcast: broadcast, Rendition: object.Source, Checkpoint: new(key).claim()}); err != nil {
				t.Error(err)
			}
		}()
		for {
			if _, _, err := store.Get(t.Context(), "live/alice/index.m3u8"); err == nil {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		// A segment of 4 s, whose end the next batch tells.
		if took := time.Since(begin) - 4*time.Second; took > 3*late+time.Second {
			t.Errorf("the show can be watched %v after its first segment's end, want three answers at most", took)
		} else {
			t.Logf("the show can be watched %v after its first segment's end", took)
		}
		<-ended
	})
}
