package storage_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/storage"
)

const day = 24 * time.Hour

// shop is a store with broadcasts in all conditions. The bubble's clock moves
// a day with each line of days.
func shop(t *testing.T) *storage.Memory {
	t.Helper()
	s := storage.NewMemory()
	for _, writes := range [][]string{
		{ // ten days ago: a show of which nothing was lost, and one that the entry point no longer names
			"live/a/b1/index.m3u8=source/vod.m3u8",
			"live/a/b1/source/live.m3u8=00000001.ts",
			"live/a/b1/source/vod.m3u8=#EXTM3U\n#EXTINF:4,\n00000000.ts\n#EXTINF:4,\n00000001.ts",
			"live/a/b1/source/00000000.ts", "live/a/b1/source/00000001.ts",
			"live/a/b1/source/index/00000000.json",
			"live/a/index.m3u8=b1/source/vod.m3u8",
		},
		{ // nine: a worker died behind its upload, and two releases made a segment
			"live/a/b2/index.m3u8=source/vod.m3u8",
			"live/a/b2/source/vod.m3u8=00000000.ts\n00000001-0badcafe.ts",
			"live/a/b2/source/00000000.ts", "live/a/b2/source/00000001.ts", "live/a/b2/source/00000001-0badcafe.ts", "live/a/b2/source/00000002.ts",
			"live/a/index.m3u8=b2/source/vod.m3u8",
			"live/a/notes.txt", "readme", "backup/a", "a/b/c",
		},
		{ // eight: one without any playlist; one whose playlist is not to be understood
			"live/c/b1/source/00000000.ts",
			"live/d/b1/source/vod.m3u8=https://cdn.example.com/x.ts", "live/d/b1/source/00000000.ts",
		},
		nil, nil, nil, nil, nil, nil,
		{ // one: a show that goes on, whose last playlist is behind
			"live/e/b1/source/live.m3u8=00000000.ts", "live/e/b1/source/00000000.ts", "live/e/b1/source/00000001.ts",
		},
		{ // today
			"live/f/b1/source/00000000.ts",
		},
	} {
		time.Sleep(day)
		for _, w := range writes {
			key, body, _ := strings.Cut(w, "=")
			put(t, s, key, body, always)
		}
	}
	return s
}

// inUse says that the show that goes on does.
func inUse(_ context.Context, stream, broadcast string) (bool, error) {
	return stream == "live/e" && broadcast == "b1", nil
}

func sweep(t *testing.T, sw storage.Sweep) (found []string, errs []error) {
	t.Helper()
	for l, err := range sw.Run(t.Context(), time.Now().Add(time.Hour)) {
		if err != nil {
			errs = append(errs, err)
			continue
		}
		found = append(found, string(l.Reason)+" "+l.Key)
	}
	return found, errs
}

var orphans = []string{
	"orphan live/a/b2/source/00000001.ts", "orphan live/a/b2/source/00000002.ts", "orphan live/c/b1/source/00000000.ts",
}

func TestSweepTellsFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := shop(t)
		before := keys(t, s, "")
		found, errs := sweep(t, storage.Sweep{Store: s, InUse: inUse})
		if !slices.Equal(found, orphans) {
			t.Errorf("found %q\nwant %q", found, orphans)
		}
		// The playlist that cannot be understood may name anything.
		if len(errs) != 1 || !strings.Contains(errs[0].Error(), "live/d/b1") {
			t.Errorf("errors %v, want one about live/d/b1", errs)
		}
		if got := keys(t, s, ""); !slices.Equal(got, before) {
			t.Error("a dry run deleted something")
		}
	})
}

func TestSweepDeletesOrphans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := shop(t)
		before := keys(t, s, "")
		sweep(t, storage.Sweep{Store: s, InUse: inUse, Delete: true})
		want := slices.DeleteFunc(before, func(key string) bool { return slices.Contains(orphans, "orphan "+key) })
		if got := keys(t, s, ""); !slices.Equal(got, want) {
			t.Errorf("left %q\nwant %q", got, want)
		}
		if found, _ := sweep(t, storage.Sweep{Store: s, InUse: inUse, Delete: true}); len(found) != 0 {
			t.Errorf("a second sweep found %q", found)
		}
	})
}

func TestSweepGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		found, _ := sweep(t, storage.Sweep{Store: shop(t), InUse: inUse, Grace: time.Minute, Prefix: "live/f/"})
		if want := []string{"orphan live/f/b1/source/00000000.ts"}; !slices.Equal(found, want) {
			t.Errorf("found %q, want %q, which is older than a minute", found, want)
		}
	})
}

// order is a store that notes what is deleted in which order.
type order struct {
	*storage.Memory
	deleted []string
}

func (o *order) Delete(ctx context.Context, key string) error {
	o.deleted = append(o.deleted, key)
	return o.Memory.Delete(ctx, key)
}

func TestSweepExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &order{Memory: shop(t)}
		sweep(t, storage.Sweep{Store: s, InUse: inUse, Prefix: "live/a/", Expire: 9*day + day/2, Delete: true})
		want := []string{
			"live/a/b1/index.m3u8", "live/a/b1/source/live.m3u8", "live/a/b1/source/vod.m3u8",
			"live/a/b1/source/00000000.ts", "live/a/b1/source/00000001.ts", "live/a/b1/source/index/00000000.json",
			"live/a/b2/source/00000001.ts", "live/a/b2/source/00000002.ts", // b2 is younger, and these are orphans
		}
		if !slices.Equal(s.deleted, want) {
			t.Errorf("deleted %q\nwant %q", s.deleted, want)
		}
		// The last show of a stream goes with the entry point that names it,
		// and that first: who asks for it gets nothing, and not half a show.
		s.deleted = nil
		sweep(t, storage.Sweep{Store: s, InUse: inUse, Prefix: "live/a/", Expire: 8 * day, Delete: true})
		if len(s.deleted) == 0 || s.deleted[0] != "live/a/index.m3u8" {
			t.Errorf("deleted %q, want live/a/index.m3u8 first", s.deleted)
		}
		if got, want := keys(t, s, "live/a/"), []string{"live/a/notes.txt"}; !slices.Equal(got, want) {
			t.Errorf("left %q, want %q", got, want)
		}
	})
}

// A stream whose entry point is young has a show that is not to go, whatever
// the registry says.
func TestSweepSparesWhatTheEntryNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := shop(t)
		put(t, s, "live/a/index.m3u8", "b1/source/vod.m3u8", always)
		found, _ := sweep(t, storage.Sweep{Store: s, InUse: inUse, Prefix: "live/a/b1/", Expire: 5 * day})
		if len(found) != 0 {
			t.Errorf("found %q of a show that the entry point names since today", found)
		}
	})
}

// A stream that begins again during the sweep is left alone.
func TestSweepAsksTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := shop(t)
		asked := 0
		again := func(context.Context, string, string) (bool, error) {
			asked++
			return asked > 1, nil
		}
		found, _ := sweep(t, storage.Sweep{Store: s, InUse: again, Prefix: "live/a/b2/", Delete: true})
		if len(found) != 0 || asked != 2 {
			t.Errorf("found %q, asked %d times", found, asked)
		}
	})
}

func TestSweepLeavesAloneWhatItCannotAskFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("no registry")
		found, errs := sweep(t, storage.Sweep{
			Store: shop(t), Delete: true, Expire: day,
			InUse: func(context.Context, string, string) (bool, error) { return false, broken },
		})
		if len(found) != 0 || len(errs) == 0 || !errors.Is(errs[0], broken) {
			t.Errorf("found %q, errors %v", found, errs)
		}
	})
}

// A prefix that cuts a broadcast in two hides its playlists.
func TestSweepRefusesHalves(t *testing.T) {
	for _, prefix := range []string{"live", "live/a", "live/a/b", "live/a/b/source/", "live/a/b/source/0"} {
		found, errs := sweep(t, storage.Sweep{Store: storage.NewMemory(), InUse: inUse, Prefix: prefix})
		if len(found) != 0 || len(errs) != 1 {
			t.Errorf("prefix %q: found %q, errors %v", prefix, found, errs)
		}
	}
}

func TestReferences(t *testing.T) {
	for _, c := range []struct {
		name, playlist string
		want           []string // nil for an error
	}{
		{"empty", "", []string{}},
		{"media", "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4.0,\n00000001.ts\r\n#EXTINF:4,title\n00000002-0a1b2c3d.ts", []string{"a/b/c/00000001.ts", "a/b/c/00000002-0a1b2c3d.ts"}},
		{"multivariant", "#EXT-X-STREAM-INF:BANDWIDTH=1\n../d/live.m3u8\n", []string{"a/b/d/live.m3u8"}},
		{"attributes", `#EXT-X-MAP:URI="init.mp4",BYTERANGE="1@0"` + "\n" + `#EXT-X-PART:DURATION=1,URI="1.0.ts"`, []string{"a/b/c/init.mp4", "a/b/c/1.0.ts"}},
		{"query", "1.ts?token=x\n", []string{"a/b/c/1.ts"}},
		{"escaped", "a%20b.ts\n", []string{"a/b/c/a b.ts"}},
		{"absolute", "https://h/1.ts\n", nil},
		{"of the host", "/1.ts\n", nil},
		{"of the scheme", "//h/1.ts\n", nil},
		{"outside", "../../../../1.ts\n", nil},
		{"no URI", "%zz\n", nil},
	} {
		got, err := storage.References("a/b/c/live.m3u8", []byte(c.playlist))
		if (err != nil) != (c.want == nil) || !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, %v, want %q", c.name, got, err, c.want)
		}
	}
}

func FuzzReferences(f *testing.F) {
	f.Add("#EXTM3U\n#EXT-X-MAP:URI=\"a\"\n1.ts\n../x/2.ts")
	f.Fuzz(func(t *testing.T, playlist string) {
		got, err := storage.References("a/b/c/live.m3u8", []byte(playlist))
		for _, key := range got {
			if err == nil && storage.CheckKey(key) != nil {
				t.Errorf("%q names %q", playlist, key)
			}
		}
	})
}
