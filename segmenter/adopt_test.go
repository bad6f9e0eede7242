package segmenter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/hls"
	"weir/internal/synthetic"
	"weir/media/object"
	"weir/storage"
)

// vodOf is the VOD playlist of the test's broadcast.
func vodOf(t *testing.T, s storage.Store) hls.List {
	t.Helper()
	body, _, err := s.Get(t.Context(), alice.String()+"/"+broadcast+"/source/vod.m3u8")
	if err != nil {
		t.Fatal(err)
	}
	l, err := hls.ParseList(body)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// NATS goes back: the checkpoint is an old one, or is gone, and the store has
// more. Playlists never go back, what they named stays as it is, what follows
// is whole, and there is an end.
func TestStateGoesBack(t *testing.T) {
	rec := longShow(t)
	undisturbed, k := storage.NewMemory(), new(key)
	if err := life(t, k, undisturbed, rec, shortSegments, anyStep); err != nil {
		t.Fatal(err)
	}
	want := vodOf(t, undisturbed)
	for _, tt := range []struct{ crash, back int }{{3, 1}, {20, 0}, {20, 12}, {80, 0}, {80, 20}, {80, 70}, {1 << 30, 30}, {1 << 30, 0}} {
		t.Run(fmt.Sprintf("at %d to %d", tt.crash, tt.back), func(t *testing.T) {
			store, k := storage.NewMemory(), new(key)
			v := newViewer(t, store)
			states := [][]byte{nil}
			err := life(t, k, store, rec, shortSegments, oneByOne(func(what string) error {
				v.look()
				if what == "after save" {
					states = append(states, k.state)
				}
				if len(states) > tt.crash {
					return fmt.Errorf("%w: power cut", ErrNotOwner)
				}
				return nil
			}))
			if err != nil && !errors.Is(err, ErrNotOwner) {
				t.Fatal(err)
			}
			k.state = states[tt.back]
			before := contents(t, store)
			listed := before[alice.String()+"/"+broadcast+"/source/live.m3u8"]
			if err := life(t, k, store, rec, shortSegments, oneByOne(func(string) error { v.look(); return nil })); err != nil {
				t.Fatal(err)
			}
			v.look()
			after := contents(t, store)
			for name, body := range before {
				if strings.HasSuffix(name, ".ts") && after[name] != body {
					t.Errorf("%s was seen, and became another", name)
				}
			}
			got := vodOf(t, store)
			if !got.Ended || got.Next() != want.Next() {
				t.Errorf("the show has %d segments, ended %t; want %d", got.Next(), got.Ended, want.Next())
			}
			breaks := 0
			for i := range min(len(got.Entries), len(want.Entries)) {
				g, w := got.Entries[i], want.Entries[i]
				if g.Flags != w.Flags {
					breaks++
					g.Flags = w.Flags
				}
				// One that was stored and not listed may be there with other bytes.
				if len(g.URI) > len(w.URI) && before[alice.String()+"/"+broadcast+"/source/"+w.URI] != "" && !strings.Contains(listed, w.URI) {
					g.URI = w.URI
				}
				if g.URI == w.URI && g.DurationMS == w.DurationMS && g.WallMS == w.WallMS {
					continue
				}
				t.Errorf("segment %d became %+v, want %+v", i, g, w)
			}
			if breaks > 1 {
				t.Errorf("%d discontinuities more, want one at most", breaks)
			}
			if tt.back > 0 { // else the true peak of bit rates is not known, only what was declared
				conforms(t, after)
			}
		})
	}
}

// A broadcast that was closed long ago is announced again, by an ingest that
// had stood still since: it stays as it is.
func TestClosedIsRevived(t *testing.T) {
	rec := longShow(t)
	store, k := storage.NewMemory(), new(key)
	if err := life(t, k, store, rec, shortSegments, anyStep); err != nil {
		t.Fatal(err)
	}
	want := contents(t, store)
	again := new(key)
	if err := life(t, again, store, rec, shortSegments, anyStep); err != nil {
		t.Fatal(err)
	}
	if got := contents(t, store); !maps.Equal(got, want) || !again.closed {
		t.Errorf("closed again: %t; objects: %v, want %v", again.closed, slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
	}
}

// even is a store each of whose requests takes as long.
type even struct {
	storage.Store
	put, get time.Duration
}

func (s even) Put(ctx context.Context, o object.Object, c object.Condition) (string, error) {
	if err := pauseFor(ctx, s.put); err != nil {
		return "", err
	}
	return s.Store.Put(ctx, o, c)
}

func (s even) Get(ctx context.Context, key string) ([]byte, object.Info, error) {
	if err := pauseFor(ctx, s.get); err != nil {
		return nil, object.Info{}, err
	}
	return s.Store.Get(ctx, key)
}

func pauseFor(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// contradiction is a claim whose State tells other things of the last segments
// that the store lists than the list does: NATS had lost a claim, and it was
// written anew by a worker that another one had followed.
func contradiction(t *testing.T, rec *synthetic.Log, crash int) (storage.Store, *key, hls.List) {
	t.Helper()
	store, k := storage.NewMemory(), new(key)
	saves := 0
	err := life(t, k, store, rec, shortSegments, func(what string) error {
		if what == "after save" {
			if saves++; saves > crash {
				return fmt.Errorf("%w: power cut", ErrNotOwner)
			}
		}
		return nil
	})
	if !errors.Is(err, ErrNotOwner) {
		t.Fatal(err)
	}
	state, err := hls.ParseState(k.state)
	if err != nil {
		t.Fatal(err)
	}
	listed := liveOf(t, store)
	from := max(listed.Next(), 2) - 2
	for n := max(from, state.First); n < state.Next(); n++ {
		state.Entries[n-state.First].WallMS += 1000
	}
	if from >= listed.Next() || !state.Beyond(&listed) {
		t.Fatalf("%d segments are listed: the State does not contradict them", listed.Next())
	}
	k.state = state.Encode()
	return store, k, listed
}

// What was saved is not what viewers have seen. However long requests take, nobody
// writes over what is listed, the broadcast goes on behind it, and that is found
// once.
func TestStateContradictsTheStore(t *testing.T) {
	rec := longShow(t)
	const ms = time.Millisecond
	for _, crash := range []int{12, 20, 80} {
		for _, takes := range [][2]time.Duration{{0, 0}, {ms, ms}, {20 * ms, 20 * ms}, {60 * ms, 20 * ms}, {20 * ms, 300 * ms}} {
			t.Run(fmt.Sprint(crash, takes), func(t *testing.T) {
				store, k, listed := contradiction(t, rec, crash)
				synctest.Test(t, func(t *testing.T) {
					v := newViewer(t, store)
					w := world{store: even{store, takes[0], takes[1]}, claim: k.claim(), step: oneByOne(func(string) error { v.look(); return nil })}
					told := new(records)
					worker := &Worker{Source: tape{rec.Batches}, Store: w, Settings: shortSegments, Log: slog.New(told)}
					ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
					defer cancel()
					if err := worker.Package(ctx, Job{Stream: alice, Broadcast: broadcast, Rendition: object.Source, State: k.state, Checkpoint: w}); err != nil {
						t.Fatal(err)
					}
					if n := told.count("gone on from there"); n > 0 {
						t.Errorf("it was begun again %d times", n)
					}
				})
				got := vodOf(t, store)
				if !got.Ended || got.Next() < listed.Next() {
					t.Errorf("the show has %d segments, ended %t; %d were listed", got.Next(), got.Ended, listed.Next())
				}
				for i, want := range listed.Entries {
					if e := got.Entries[listed.First+uint64(i)]; e != want {
						t.Errorf("segment %d became %+v, was %+v", listed.First+uint64(i), e, want)
					}
				}
			})
		}
	}
}

// A worker that dies at any step of putting right a State that contradicts the
// store leaves the next one the same to do, or less.
func TestAdoptionIsCutShort(t *testing.T) {
	rec := longShow(t)
	errKilled := fmt.Errorf("%w: killed", ErrNotOwner)
	for steps := range 30 {
		store, k, listed := contradiction(t, rec, 50)
		v, n := newViewer(t, store), 0
		look := func(string) error {
			v.look()
			if n++; n > steps {
				return errKilled
			}
			return nil
		}
		if err := life(t, k, store, rec, shortSegments, look); !errors.Is(err, ErrNotOwner) {
			t.Fatal(err)
		}
		v.look()
		if err := life(t, k, store, rec, shortSegments, func(string) error { v.look(); return nil }); err != nil {
			t.Fatal(err)
		}
		got := vodOf(t, store)
		if !got.Ended || got.Next() < listed.Next() {
			t.Errorf("killed at step %d: the show has %d segments, ended %t; %d were listed", steps, got.Next(), got.Ended, listed.Next())
		}
	}
}

// disagreeing is a store whose live playlist always tells something else, as if
// somebody wrote it without a claim.
type disagreeing struct{ storage.Store }

func (s disagreeing) Put(ctx context.Context, o object.Object, c object.Condition) (string, error) {
	if !strings.HasSuffix(o.Key, "live.m3u8") {
		return s.Store.Put(ctx, o, c)
	}
	_, info, err := s.Store.Get(ctx, o.Key)
	if err == nil {
		list := string(o.Body)
		if there := strings.Replace(list, "#EXT-X-GAP\n", "", 1); there != list {
			list = there
		} else {
			list = strings.Replace(list, "#EXTINF:", "#EXT-X-GAP\n#EXTINF:", 1)
		}
		o.Body, c = []byte(list), object.Condition{Match: info.ETag}
	}
	if etag, err := s.Store.Put(ctx, o, c); err != nil || info.ETag == "" {
		return etag, err
	}
	return "", object.ErrPrecondition
}

// Whatever begins a broadcast again and again, that takes its time.
func TestBeginAgainWaits(t *testing.T) {
	rec := longShow(t)
	synctest.Test(t, func(t *testing.T) {
		told, store := new(records), disagreeing{storage.NewMemory()}
		worker := &Worker{Source: tape{rec.Batches}, Store: store, Settings: shortSegments, Log: slog.New(told)}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_ = worker.Package(ctx, Job{Stream: alice, Broadcast: broadcast, Rendition: object.Source, Checkpoint: new(key).claim()})
		if n := told.count("gone on from there"); n < 3 || n > 100 {
			t.Errorf("begun again %d times in %v; want some, and fewer than 100", n, time.Minute)
		}
	})
}

// records counts what is logged.
type records struct {
	mu   sync.Mutex
	said []string
}

func (r *records) count(part string) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.said {
		if strings.Contains(s, part) {
			n++
		}
	}
	return n
}

func (r *records) Enabled(context.Context, slog.Level) bool { return true }
func (r *records) WithAttrs([]slog.Attr) slog.Handler       { return r }
func (r *records) WithGroup(string) slog.Handler            { return r }
func (r *records) Handle(_ context.Context, what slog.Record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said = append(r.said, what.Message)
	return nil
}

func liveOf(t *testing.T, s storage.Store) hls.List {
	t.Helper()
	body, _, err := s.Get(t.Context(), source00+"live.m3u8")
	if errors.Is(err, object.ErrNotExist) {
		return hls.List{} // nothing is listed yet
	}
	if err != nil {
		t.Fatal(err)
	}
	l, err := hls.ParseList(body)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// restored is a claim that NATS loses again and again.
type restored struct {
	*claim
	saves int
}

func (r *restored) Save(ctx context.Context, state []byte) error {
	err := r.claim.Save(ctx, state)
	if r.saves++; err == nil && r.saves%7 == 0 {
		return ErrRestored
	}
	return err
}

// A claim that was lost, and that nobody else had: the broadcast goes on as if it
// had not been.
func TestClaimIsRestored(t *testing.T) {
	rec := longShow(t)
	undisturbed := storage.NewMemory()
	if err := life(t, new(key), undisturbed, rec, shortSegments, anyStep); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		store := storage.NewMemory()
		worker := &Worker{Source: tape{rec.Batches}, Store: store, Settings: shortSegments, Log: quiet}
		job := Job{Stream: alice, Broadcast: broadcast, Rendition: object.Source, Checkpoint: &restored{claim: new(key).claim()}}
		if err := worker.Package(t.Context(), job); err != nil {
			t.Fatal(err)
		}
		sameObjects(t, contents(t, store), contents(t, undisturbed))
	})
}
