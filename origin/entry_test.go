package origin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"weir/media/object"
)

// asked is a store that counts what it is asked for, and answers as told.
type asked struct {
	there map[string]bool
	fails error
	count atomic.Int64
}

func (a *asked) Open(_ context.Context, key string) (io.ReadSeekCloser, object.Info, error) {
	a.count.Add(1)
	if a.fails != nil {
		return nil, object.Info{}, a.fails
	}
	if !a.there[key] {
		return nil, object.Info{}, fmt.Errorf("open %s: %w", key, object.ErrNotExist)
	}
	return readSeekCloser{strings.NewReader("")}, object.Info{}, nil
}

type readSeekCloser struct{ io.ReadSeeker }

func (readSeekCloser) Close() error { return nil }

// A playlist is named as soon as it is there, and no longer than that; the
// store is not asked for what it has just said, and one that does not answer
// changes nothing.
func TestPlaylistIsNamedWhenThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		objects := &asked{there: map[string]bool{"live/a/index.m3u8": true}}
		entries := NewEntries(objects, nil)
		look := func(want string, asked int64) {
			t.Helper()
			objects.count.Store(0)
			there := entries.Locate(t.Context(), []string{"live/a/index.m3u8", "live/b/index.m3u8", "live/../x/index.m3u8"})
			named := slices.Sorted(maps.Keys(there))
			for i := range named {
				named[i] = strings.TrimSuffix(named[i], "/index.m3u8")
			}
			if got := strings.Join(named, " "); got != want || objects.count.Load() != asked {
				t.Errorf("a playlist have %q, want %q; the store was asked %d times, want %d", got, want, objects.count.Load(), asked)
			}
			for d, u := range there {
				if u != "/hls/"+d {
					t.Errorf("the playlist of %s is at %s", d, u)
				}
			}
		}
		look("live/a", 2)
		look("live/a", 0)
		objects.there["live/b/index.m3u8"] = true
		time.Sleep(entryAgain)
		look("live/a live/b", 1)
		look("live/a live/b", 0)
		delete(objects.there, "live/a/index.m3u8")
		time.Sleep(entryFresh)
		look("live/b", 2)
		objects.fails = errors.New("the store is away")
		time.Sleep(entryFresh)
		look("live/b", 2)
		look("live/b", 0)
		time.Sleep(entryAgain)
		look("live/b", 1)
		time.Sleep(entryAgain)
		look("live/b", 1) // what is still not there is asked for less and less often
		time.Sleep(entryAgain)
		look("live/b", 1)
	})
}

// What is remembered is bounded, whatever is asked for.
func TestEntriesAreBounded(t *testing.T) {
	entries := NewEntries(&asked{}, nil)
	for i := range 3 * entriesMost / 100 {
		var names []string
		for j := range 100 {
			names = append(names, fmt.Sprintf("live/s%d/index.m3u8", 100*i+j))
		}
		entries.Locate(t.Context(), names)
	}
	if n := len(entries.known); n > entriesMost {
		t.Errorf("%d are remembered, want at most %d", n, entriesMost)
	}
}
