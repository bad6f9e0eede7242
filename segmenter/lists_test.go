package segmenter

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/hls"
	"weir/internal/synthetic"
	"weir/media/object"
	"weir/storage"
)

// cutOff is a checkpoint that a worker cannot reach for a while.
type cutOff struct {
	*claim
	back time.Time
}

func (c cutOff) Save(ctx context.Context, state []byte) error {
	time.Sleep(time.Until(c.back)) // as a bus that is away does
	return c.claim.Save(ctx, state)
}

// A worker that reaches the store, and not the log, is taken over. Its
// playlists are older than what it finds in the store, and stay away from it
// though it cannot ask whether they should.
func TestZombieThatIsCutOff(t *testing.T) {
	rec := longShow(t)
	synctest.Test(t, func(t *testing.T) {
		// The first worker has saved a State, and has not listed it yet.
		store, k := storage.NewMemory(), new(key)
		saves := 0
		err := life(t, k, store, rec, shortSegments, func(what string) error {
			if what == "after save" {
				saves++
			}
			if saves == 20 {
				return fmt.Errorf("%w: asleep", ErrNotOwner)
			}
			return nil
		})
		if !errors.Is(err, ErrNotOwner) {
			t.Fatal(err)
		}
		job := Job{Stream: alice, Broadcast: broadcast, Rendition: object.Source, State: k.state}
		job.Checkpoint = cutOff{k.claim(), time.Now().Add(time.Minute)}
		if err := life(t, k, store, rec, shortSegments, anyStep); err != nil {
			t.Fatal(err)
		}
		want := contents(t, store)
		worker := &Worker{Source: tape{rec.Batches}, Store: store, Settings: shortSegments, Log: quiet}
		if err := worker.Package(t.Context(), job); !errors.Is(err, ErrNotOwner) {
			t.Errorf("the zombie ended with %v, want %v", err, ErrNotOwner)
		}
		sameObjects(t, contents(t, store), want)
	})
}

// stubborn is a store that denies every overwriting, though the condition
// holds by what it says itself.
type stubborn struct {
	storage.Store
	puts int
}

func (s *stubborn) Put(ctx context.Context, o object.Object, c object.Condition) (string, error) {
	if c.Match != "" {
		s.puts++
		return "", fmt.Errorf("stale: %w", object.ErrPrecondition)
	}
	return s.Store.Put(ctx, o, c)
}

// A store whose answers contradict each other is asked now and then, not all
// the time.
func TestContradictionsAreNotHammered(t *testing.T) {
	rec := synthetic.Record(t, synthetic.New(60))
	synctest.Test(t, func(t *testing.T) {
		store := &stubborn{Store: storage.NewMemory()}
		worker := &Worker{Source: tape{rec.Batches}, Store: store, Settings: settings, Log: quiet}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := worker.Package(ctx, Job{Stream: alice, Broadcast: broadcast, Rendition: object.Source, Checkpoint: new(key).claim()})
		if err == nil || store.puts > 200 {
			t.Errorf("%d puts in a minute, and %v; want at most 200, and an error", store.puts, err)
		}
	})
}

// An index object that is damaged costs what it lists, and not the end of the
// broadcast.
func TestDamagedIndex(t *testing.T) {
	rec := longShow(t)
	store, k := storage.NewMemory(), new(key)
	damaged := object.Object{Key: source00 + object.RunName(0), Body: []byte("{")}
	err := life(t, k, store, rec, shortSegments, func(what string) error {
		if what == "after save" {
			if _, err := store.Stat(t.Context(), damaged.Key); err == nil {
				if _, err := store.Put(t.Context(), damaged, object.Condition{}); err != nil {
					t.Error(err)
				}
			}
		}
		return nil
	})
	if err != nil || !k.closed {
		t.Errorf("the broadcast ended with %v", err)
	}
	vod := contents(t, store)[source00+"vod.m3u8"]
	if !strings.Contains(vod, "#EXT-X-MEDIA-SEQUENCE:64\n") || !strings.Contains(vod, "#EXT-X-ENDLIST") {
		t.Errorf("vod.m3u8 is not what is left:\n%.300s", vod)
	}
	if live := contents(t, store)[source00+"live.m3u8"]; !strings.Contains(live, "#EXT-X-ENDLIST") {
		t.Errorf("live.m3u8 has no end:\n%s", live)
	}
}

// One that a worker finds damaged before it saved what is in it, it mends.
func TestIndexIsMended(t *testing.T) {
	rec := longShow(t)
	undisturbed := storage.NewMemory()
	if err := life(t, new(key), undisturbed, rec, shortSegments, anyStep); err != nil {
		t.Fatal(err)
	}
	store, k := storage.NewMemory(), new(key)
	torn := object.Object{Key: source00 + object.RunName(0), Body: []byte(`{"first":0,"entr`)}
	if _, err := store.Put(t.Context(), torn, object.Condition{}); err != nil {
		t.Fatal(err)
	}
	if err := life(t, k, store, rec, shortSegments, anyStep); err != nil {
		t.Fatal(err)
	}
	sameObjects(t, contents(t, store), contents(t, undisturbed))
}

// late is a store that takes its time for one segment.
type late struct {
	storage.Store
	name string
}

func (s late) Put(ctx context.Context, o object.Object, c object.Condition) (string, error) {
	if strings.HasSuffix(o.Key, s.name) {
		time.Sleep(5 * time.Second)
	}
	return s.Store.Put(ctx, o, c)
}

// A segment that finds its name taken leaves the window while that is not
// known yet: the index object has the name that it got.
func TestIndexHasTheNamesThatWereDecided(t *testing.T) {
	rec := longShow(t)
	set := hls.Settings{Segment: time.Second, Window: 3 * time.Second}
	synctest.Test(t, func(t *testing.T) {
		store, k := storage.NewMemory(), new(key)
		const last = "00000063.ts" // of the first run
		if _, err := store.Put(t.Context(), object.Object{Key: source00 + last, Body: []byte("other bytes")}, object.Condition{}); err != nil {
			t.Fatal(err)
		}
		worker := &Worker{Source: tape{rec.Batches}, Store: late{store, last}, Settings: set, Log: quiet, Ahead: NewBudget(1<<20, 8)}
		if err := worker.Package(t.Context(), Job{Stream: alice, Broadcast: broadcast, Rendition: object.Source, Checkpoint: k.claim()}); err != nil {
			t.Fatal(err)
		}
		if vod := contents(t, store)[source00+"vod.m3u8"]; strings.Contains(vod, last) || !strings.Contains(vod, "00000063-") {
			t.Error("vod.m3u8 names the other release's segment")
		}
	})
}

// asleepAtPut is a store on which the n-th put of live.m3u8 lasts until
// others have been at work.
type asleepAtPut struct {
	storage.Store
	left   int
	others func()
}

func (s *asleepAtPut) Put(ctx context.Context, o object.Object, c object.Condition) (string, error) {
	if strings.HasSuffix(o.Key, "/live.m3u8") {
		if s.left--; s.left == 0 {
			s.others()
		}
	}
	return s.Store.Put(ctx, o, c)
}

// trusting is a checkpoint whose leader is stale: what it is asked it answers
// out of the past, and nothing is stored.
type trusting struct{ *claim }

func (c trusting) Save(context.Context, []byte) error { return nil }

// A worker is cut off together with the leader of its checkpoint, and reaches
// the store. Its slow put of a playlist meets a longer one of the new owner: it
// stays, whatever the old leader would say.
func TestStaleLeader(t *testing.T) {
	rec := longShow(t)
	for _, at := range []int{1, 2, 7} {
		store, k := storage.NewMemory(), new(key)
		v := newViewer(t, store)
		slow := &asleepAtPut{Store: store, left: at}
		slow.others = func() {
			v.look()
			if err := life(t, k, store, rec, shortSegments, anyStep); err != nil {
				t.Error(err)
			}
			v.look()
		}
		worker := &Worker{Source: tape{rec.Batches}, Store: slow, Settings: shortSegments, Log: quiet}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		err := worker.Package(ctx, Job{Stream: alice, Broadcast: broadcast, Rendition: object.Source, Checkpoint: trusting{k.claim()}})
		cancel()
		if slow.left > 0 {
			t.Fatalf("the worker ended with %v before its playlist %d", err, at)
		}
		v.look()
	}
}
