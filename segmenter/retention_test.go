package segmenter

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
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

// keeper remembers every live playlist that there was, and what each listed:
// a player may ask for all of it for as long as the list is.
type keeper struct {
	t      *testing.T
	store  storage.Store
	until  map[string]time.Time // by segment: a player may still ask for it
	listed map[string]bool      // ever
	most   int                  // segments that were there at once
}

func newKeeper(t *testing.T, s storage.Store) *keeper {
	return &keeper{t: t, store: s, until: make(map[string]time.Time), listed: make(map[string]bool)}
}

const source00 = "live/alice/" + broadcast + "/source/"

func (k *keeper) look() {
	k.t.Helper()
	for _, name := range []string{"live.m3u8", "vod.m3u8"} {
		body, _, err := k.store.Get(k.t.Context(), source00+name)
		if errors.Is(err, object.ErrNotExist) {
			continue
		}
		if err != nil {
			k.t.Error(err)
			return
		}
		var length float64
		var names []string
		for line := range strings.SplitSeq(string(body), "\n") {
			var d float64
			if n, _ := fmt.Sscanf(line, "#EXTINF:%g,", &d); n == 1 {
				length += d
			}
			if strings.HasSuffix(line, ".ts") {
				names = append(names, line)
			}
		}
		for _, n := range names {
			k.until[n] = time.Now().Add(time.Duration((length + 1) * float64(time.Second)))
			k.listed[n] = true
		}
	}
	for n, until := range k.until {
		if time.Now().After(until) {
			delete(k.until, n)
			continue
		}
		if _, err := k.store.Stat(k.t.Context(), source00+n); err != nil {
			k.t.Errorf("%s may be asked for until %v: %v", n, time.Until(until), err)
		}
	}
	k.most = max(k.most, k.segments())
}

func (k *keeper) segments() (n int) {
	for info, err := range k.store.List(k.t.Context(), "") {
		if err != nil {
			k.t.Error(err)
		}
		if strings.HasSuffix(info.Key, ".ts") {
			n++
		}
	}
	return n
}

// A worker that forgets keeps what a player may still ask for, by RFC 8216,
// 6.2.2, and a bounded number of segments; whether it goes on undisturbed, is
// killed again and again, or catches up after the store was away.
func TestForget(t *testing.T) {
	rec := new(synthetic.Log)
	a := synthetic.New(420)
	a.PictureLen, a.GOP, a.FPS, a.Audio = 20, 1, 5, false
	rec.Session(t, a.Tags(), framelog.Final)
	set := shortSegments
	set.Forget = true
	errKilled := fmt.Errorf("%w: killed", ErrNotOwner)
	for _, tt := range []struct {
		name  string
		pace  func(segment int) time.Duration // of the log
		lives bool
		left  int // segments at the end
	}{
		{"undisturbed", func(int) time.Duration { return time.Second }, false, 220},
		{"killed", func(int) time.Duration { return time.Second }, true, 260},
		{"catching up", func(n int) time.Duration {
			if n == 200 {
				return time.Minute
			}
			if n > 200 && n < 300 {
				return 20 * time.Millisecond
			}
			return time.Second
		}, false, 300},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store, k := storage.NewMemory(), new(key)
				watch := newKeeper(t, store)
				for n, rng := 0, rand.New(rand.NewPCG(1, 2)); !k.closed; {
					left := 1 << 30
					if tt.lives {
						left = 50 + rng.IntN(400)
					}
					err := life(t, k, store, rec, set, func(what string) error {
						if what == "after save" {
							time.Sleep(tt.pace(n))
							n++
						}
						if n%5 == 0 || strings.Contains(what, "delete") {
							watch.look()
						}
						if left--; left < 0 {
							return errKilled
						}
						return nil
					})
					if err != nil && !errors.Is(err, errKilled) && !errors.Is(err, context.DeadlineExceeded) {
						t.Fatal(err)
					}
				}
				watch.look()
				// A playlist may be left out where the next one is due already.
				if len(watch.listed) < 410 {
					t.Errorf("%d segments were seen listed, want all 420, or nearly", len(watch.listed))
				}
				if n := watch.segments(); n > tt.left || watch.most > tt.left {
					t.Errorf("%d segments are left, and %d were there at once, want at most %d", n, watch.most, tt.left)
				}
				state, err := hls.ParseState(k.state)
				if err != nil || state.Forgotten == 0 {
					t.Errorf("%d segments are forgotten, %v", state.Forgotten, err)
				}
			})
		})
	}
}

// What the setting was at the first claim holds for the whole broadcast.
func TestForgetIsFixed(t *testing.T) {
	rec := synthetic.Record(t, synthetic.New(10))
	for _, first := range []bool{false, true} {
		store, k := storage.NewMemory(), new(key)
		set := settings
		set.Forget = first
		stop, n := fmt.Errorf("%w: killed", ErrNotOwner), 0
		err := life(t, k, store, rec, set, func(string) error {
			if n++; n > 8 {
				return stop
			}
			return nil
		})
		if !errors.Is(err, stop) {
			t.Fatal(err)
		}
		set.Forget = !first
		if err := life(t, k, store, rec, set, anyStep); err != nil {
			t.Fatal(err)
		}
		if state, err := hls.ParseState(k.state); err != nil || state.Forget != first {
			t.Errorf("Forget is %t, began as %t; %v", state.Forget, first, err)
		}
	}
}
