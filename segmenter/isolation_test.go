package segmenter

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"weir/hls"
	"weir/internal/synthetic"
	"weir/media"
	"weir/media/framelog"
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
	rec := synthetic.Record(t, synthetic.New(60))
	for _, late := range []time.Duration{3 * time.Second, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			store := lame{storage.NewMemory(), "live/slow", late}
			worker := &Worker{Source: tape{rec.Batches}, Store: store, Settings: settings, Log: quiet}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
			defer cancel()
			begin := time.Now()
			var all sync.WaitGroup
			for _, name := range []string{"slow", "a", "b", "c"} {
				all.Go(func() {
					job := Job{Stream: media.Stream{App: "live", Name: name}, Broadcast: broadcast, Rendition: object.Source, Checkpoint: new(key).claim()}
					err := worker.Package(ctx, job)
					if name == "slow" {
						if (err == nil) != (late < time.Minute) {
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

// live is a Source that has each batch when it would come.
type live struct {
	tape
	begin time.Time
}

func (s live) Read(ctx context.Context, _, _ string, after framelog.Position, fn func(*framelog.Batch, bool) error) error {
	for i, b := range s.batches {
		select {
		case <-time.After(time.Until(s.begin.Add(time.Duration(i) * 250 * time.Millisecond))):
		case <-ctx.Done():
			return ctx.Err()
		}
		if b.Seq <= after.Seq {
			continue
		}
		if err := fn(b, false); err != nil {
			return err
		}
	}
	return errTapeEnd
}

// A store that needs most of a segment's time for each request, or several
// times that, makes a show later and no slower: segments are on their way
// together, and a playlist follows the newest checkpoint.
func TestSlowStoreKeepsUp(t *testing.T) {
	const long = 120
	rec := synthetic.Record(t, synthetic.New(long))
	for _, tt := range []struct {
		late   time.Duration // of each put
		behind time.Duration // the most that the end may come late
	}{
		{3 * time.Second, 22 * time.Second},
		{8 * time.Second, 60 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			store := lame{storage.NewMemory(), "live/slow", tt.late}
			worker := &Worker{Source: live{tape{rec.Batches}, time.Now()}, Store: store, Settings: settings, Log: quiet, Ahead: NewBudget(64<<20, 64)}
			job := Job{Stream: media.Stream{App: "live", Name: "slow"}, Broadcast: broadcast, Rendition: object.Source, Checkpoint: new(key).claim()}
			begin := time.Now()
			if err := worker.Package(t.Context(), job); err != nil {
				t.Fatal(err)
			}
			if late := time.Since(begin) - long*time.Second; late > tt.behind {
				t.Errorf("each put takes %v: a show of %d s is whole %v after its end, want %v at most", tt.late, long, late, tt.behind)
			} else {
				t.Logf("each put takes %v: the show is whole %v after its end", tt.late, late)
			}
		})
	}
}

// What runs ahead is bounded, by requests and by bytes, for each broadcast and
// for all; and that nobody's first upload waits for.
func TestUploadsAheadAreBounded(t *testing.T) {
	rec := synthetic.Record(t, synthetic.New(60))
	for _, tt := range []struct {
		ahead *Budget
		most  int
	}{
		{nil, 3},
		{NewBudget(1<<30, 0), 3},
		{NewBudget(1, 64), 3},
		{NewBudget(1<<30, 2), 5},
		{NewBudget(1<<30, 64), 3 * uploadsAhead},
	} {
		synctest.Test(t, func(t *testing.T) {
			store := &counting{lame: lame{storage.NewMemory(), "live", 5 * time.Second}}
			worker := &Worker{Source: tape{rec.Batches}, Store: store, Settings: settings, Log: quiet, Ahead: tt.ahead}
			var all sync.WaitGroup
			for _, name := range []string{"a", "b", "c"} {
				all.Go(func() {
					job := Job{Stream: media.Stream{App: "live", Name: name}, Broadcast: broadcast, Rendition: object.Source, Checkpoint: new(key).claim()}
					if err := worker.Package(t.Context(), job); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
			if got := int(store.most.Load()); got != tt.most {
				t.Errorf("budget %+v: %d segments were on their way at once, want %d", tt.ahead, got, tt.most)
			}
		})
	}
}

// counting counts the segments on their way.
type counting struct {
	lame
	now, most atomic.Int32
}

func (s *counting) Put(ctx context.Context, o object.Object, c object.Condition) (string, error) {
	if strings.HasSuffix(o.Key, ".ts") {
		n := s.now.Add(1)
		defer s.now.Add(-1)
		for most := s.most.Load(); n > most && !s.most.CompareAndSwap(most, n); most = s.most.Load() {
		}
	}
	return s.lame.Put(ctx, o, c)
}

// faulty is a store, and a log, that bring out a fault of ours.
type faulty struct {
	tape
	storage.Store
	name string // of the object, or "log"
}

func (s faulty) Read(ctx context.Context, b, r string, after framelog.Position, fn func(*framelog.Batch, bool) error) error {
	return s.tape.Read(ctx, b, r, after, func(b *framelog.Batch, missed bool) error {
		if s.name == "log" && b.Seq > 100 {
			panic("fault")
		}
		return fn(b, missed)
	})
}

func (s faulty) Put(ctx context.Context, o object.Object, c object.Condition) (string, error) {
	if s.name != "" && strings.HasSuffix(o.Key, s.name) {
		panic("fault")
	}
	return s.Store.Put(ctx, o, c)
}

// A fault that one broadcast brings out, wherever, ends that one: the others
// of the process go on, and nothing of it is left behind.
func TestFaultIsContained(t *testing.T) {
	rec := synthetic.Record(t, synthetic.New(60))
	for _, name := range []string{"log", "00000003.ts", "live.m3u8", "vod.m3u8", "/index.m3u8"} {
		synctest.Test(t, func(t *testing.T) { // waits for all goroutines
			f := faulty{tape{rec.Batches}, storage.NewMemory(), name}
			worker := &Worker{Source: f, Store: f, Settings: settings, Log: quiet, Ahead: NewBudget(1<<20, 8)}
			err := worker.Package(t.Context(), Job{Stream: alice, Broadcast: broadcast, Rendition: object.Source, Checkpoint: new(key).claim()})
			if err == nil || !strings.Contains(err.Error(), "panic: fault") {
				t.Errorf("a fault at %s: %v", name, err)
			}
		})
	}
}

// line is a store at the end of a line that all uploads share.
type line struct {
	storage.Store
	alone time.Duration // how long a segment takes with nothing beside it
	now   atomic.Int32
}

func (s *line) Put(ctx context.Context, o object.Object, c object.Condition) (string, error) {
	if strings.HasSuffix(o.Key, ".ts") {
		s.now.Add(1)
		defer s.now.Add(-1)
		const moment = 100 * time.Millisecond
		for left := s.alone; left > 0; left -= moment / time.Duration(s.now.Load()) {
			select {
			case <-time.After(moment):
			case <-ctx.Done():
				return "", ctx.Err()
			}
		}
	}
	return s.Store.Put(ctx, o, c)
}

// Uploads that share a line take longer than each alone would. They are given
// the time, or all of them would be given up and begun again for ever.
func TestUploadsShareALine(t *testing.T) {
	rec := synthetic.Record(t, synthetic.New(60))
	synctest.Test(t, func(t *testing.T) {
		store := &line{Store: storage.NewMemory(), alone: 3500 * time.Millisecond}
		worker := &Worker{Source: tape{rec.Batches}, Store: storage.Persist(store, quiet), Settings: settings, Log: quiet, Ahead: NewBudget(1<<30, 64)}
		begin := time.Now()
		if err := worker.Package(t.Context(), Job{Stream: alice, Broadcast: broadcast, Rendition: object.Source, Checkpoint: new(key).claim()}); err != nil {
			t.Fatal(err)
		}
		took := time.Since(begin)
		t.Logf("15 segments that take %v each are there after %v", store.alone, took)
		if took > 2*time.Minute {
			t.Errorf("15 segments that take %v each are there after %v", store.alone, took)
		}
	})
}

// A window of three segments over a store that takes as long as five for each
// answer: the show falls behind, and every segment is listed all the same.
func TestEverySegmentIsListed(t *testing.T) {
	a := synthetic.New(40)
	a.PictureLen, a.GOP, a.FPS = 20, 1, 5
	rec := synthetic.Record(t, a)
	synctest.Test(t, func(t *testing.T) {
		store := &remembering{Store: storage.NewMemory(), listed: make(map[string]bool)}
		worker := &Worker{Source: live{tape{rec.Batches}, time.Now()}, Store: tardy{store, 5 * time.Second}, Log: quiet, Ahead: NewBudget(64<<20, 64),
			Settings: hls.Settings{Segment: time.Second, Window: 3 * time.Second}}
		job := Job{Stream: alice, Broadcast: broadcast, Rendition: object.Source, Checkpoint: new(key).claim()}
		if err := worker.Package(t.Context(), job); err != nil {
			t.Fatal(err)
		}
		for i := range 40 {
			if !store.listed[fmt.Sprintf("%08d.ts", i)] {
				t.Errorf("segment %d was never in the live playlist", i)
			}
		}
	})
}

// remembering remembers what live.m3u8 has listed.
type remembering struct {
	storage.Store
	listed map[string]bool
}

func (s *remembering) Put(ctx context.Context, o object.Object, c object.Condition) (string, error) {
	if strings.HasSuffix(o.Key, "/live.m3u8") {
		for line := range strings.SplitSeq(string(o.Body), "\n") {
			s.listed[line] = true
		}
	}
	return s.Store.Put(ctx, o, c)
}
