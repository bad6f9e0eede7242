package segmenter

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"weir/hls"
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

// What was saved is not what viewers have seen: NATS had lost a claim, and it was
// written anew by a worker that another one had followed. Nobody writes over what
// is listed; the broadcast goes on behind it.
func TestStateContradictsTheStore(t *testing.T) {
	rec := longShow(t)
	for _, crash := range []int{3, 20, 80} {
		t.Run(fmt.Sprint(crash), func(t *testing.T) {
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
			for i := range min(3, len(state.Entries)) {
				state.Entries[len(state.Entries)-1-i].WallMS += 1000
			}
			k.state = state.Encode()
			v := newViewer(t, store)
			if err := life(t, k, store, rec, shortSegments, func(string) error { v.look(); return nil }); err != nil {
				t.Fatal(err)
			}
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
	store := storage.NewMemory()
	worker := &Worker{Source: tape{rec.Batches}, Store: store, Settings: shortSegments, Log: quiet}
	job := Job{Stream: alice, Broadcast: broadcast, Rendition: object.Source, Checkpoint: &restored{claim: new(key).claim()}}
	if err := worker.Package(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	sameObjects(t, contents(t, store), contents(t, undisturbed))
}
