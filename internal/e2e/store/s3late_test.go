//go:build unix

package store

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/internal/faultproxy"
	"weir/internal/testmedia"
	"weir/internal/testweir"
	"weir/internal/versitygw"
)

// storeBehind is the URL of a store in the bucket, by way of a proxy.
func storeBehind(proxy *faultproxy.Proxy, prefix string) string {
	return "s3://" + versitygw.Bucket + "/" + prefix + "?endpoint=" + proxy.URL
}

// lateStore is a store that is late with each answer, and the show that has to
// live with it.
type lateStore struct {
	late, segment time.Duration
	// behind is how long after its end a segment is listed at the latest: its
	// put, and the list's, which may wait for the one before.
	behind time.Duration
}

func (l lateStore) String() string { return l.late.String() }

var lateStores = []lateStore{
	{3 * time.Second, 4 * time.Second, 20 * time.Second},
	{time.Second, time.Second, 7 * time.Second},
}

// A store that is late with every answer, by nearly as long as a segment lasts
// or as long, makes a show later and no slower: how far viewers are behind does
// not grow. All objects are there, byte for byte those of a show whose store is
// prompt.
func TestS3LateStore(t *testing.T) {
	t.Parallel()
	lateShows(t, 20)
}

func lateShows(t *testing.T, seconds int) {
	b := testweir.NewBucket(t)
	input := testmedia.FLV(t, testweir.ShortShow(seconds))
	parts := make(map[string]func(*testing.T))
	for _, l := range lateStores {
		parts[l.String()] = func(t *testing.T) { l.test(t, b, input, time.Duration(seconds)*time.Second) }
	}
	atOnce(t, parts)
}

// atOnce runs subtests that mostly wait at the same time, in the one place of
// -parallel that their test has.
func atOnce(t *testing.T, parts map[string]func(*testing.T)) {
	var all sync.WaitGroup
	for name, part := range parts {
		all.Go(func() { t.Run(name, part) })
	}
	all.Wait()
}

func (l lateStore) test(t *testing.T, b testweir.Bucket, input string, long time.Duration) {
	w := testweir.StartStopwatch()
	proxy := faultproxy.Start(t, b.URL)
	proxy.Set(faultproxy.Delay(l.late))
	args := func(store string) []string {
		return []string{"--segment", l.segment.String(), "--window", (8 * l.segment).String(), "--store", store}
	}
	here, there := "late"+l.String(), "prompt"+l.String()
	late := testweir.ServeIn(t, versitygw.Environ(), args(storeBehind(proxy, here))...)
	prompt := testweir.ServeIn(t, versitygw.Environ(), args(b.StoreURL(there))...)
	testweir.Publish(t, input, late.URL("alice"))
	testweir.Publish(t, input, prompt.URL("alice"))
	prefix := late.Source(t, "alice")
	delays := delaysOf(t, b.Object(here, prefix+"live.m3u8"))
	watched := testweir.CheckWatch(t, b.Object(here, "live/alice/index.m3u8"), 3*time.Minute)

	want := segments(t, b.Objects(there, prompt.WaitForEnd(t, "alice", long+10*time.Second)))
	late.WaitForEnd(t, "alice", 40*time.Second)
	checkShow(t, b, here, "alice", prefix, input, want)
	testweir.Conforms(t, b.Objects(here, ""))
	// Deserved until the first listing is whole; and a playlist that takes a bit
	// more than a segment lasts brings two of them now and then.
	testweir.Deserves(t, watched.End(), "LIVE-STALE")
	l.steady(t, w, <-delays)
}

// steady wants delays to be bounded, and no longer in the last third of the
// show than in the middle one.
func (l lateStore) steady(t *testing.T, w testweir.Stopwatch, delays []time.Duration) {
	t.Helper()
	t.Logf("%v late, segments of %v: listed %v after their end", l.late, l.segment, delays)
	n := len(delays) - 1 // the last listing comes behind vod.m3u8
	if n < 1 {
		t.Fatal("nothing was listed before the end: this was no live show")
	}
	delays = delays[:n]
	w.Judge(t, "a segment is listed after its end", slices.Max(delays), l.behind)
	if n < 6 {
		return
	}
	const jitter = 1500 * time.Millisecond
	before, after := slices.Max(delays[n/3:2*n/3]), slices.Max(delays[2*n/3:n])
	w.Judge(t, "viewers are no further behind in the end", after, before+jitter)
}

// delaysOf follows a live playlist to its end, and then sends how long after
// the end of its newest segment each version of it was seen.
func delaysOf(t testing.TB, url string) <-chan []time.Duration {
	all := make(chan []time.Duration, 1)
	go func() {
		var delays []time.Duration
		defer func() { all <- delays }()
		var last time.Time
		for t.Context().Err() == nil {
			_, body := testweir.Get(url)
			if until := endOfList(body); until.After(last) {
				last = until
				delays = append(delays, time.Since(until).Round(10*time.Millisecond))
			}
			if strings.Contains(string(body), "#EXT-X-ENDLIST") {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
	}()
	return all
}

// endOfList is the wall clock at the end of a playlist's newest segment.
func endOfList(body []byte) (until time.Time) {
	for _, s := range testweir.ParseMediaPlaylist(body).Segments {
		for tag := range strings.SplitSeq(s.Tags, " ") {
			if v, ok := strings.CutPrefix(tag, "#EXT-X-PROGRAM-DATE-TIME:"); ok {
				until, _ = time.Parse(time.RFC3339, v) // a bad one has no delay
			}
		}
		until = until.Add(s.Duration())
	}
	return until
}
