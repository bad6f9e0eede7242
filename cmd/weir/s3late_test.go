//go:build unix

package main

import (
	"context"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/check"
	"weir/internal/faultproxy"
	"weir/internal/testmedia"
	"weir/internal/versitygw"
)

// serveApart serves in a process of its own, so that tests with environments of
// their own may run at once.
func serveApart(t testing.TB, env []string, args ...string) (*server, *process) {
	t.Helper()
	s := &server{data: t.TempDir(), rtmp: freeAddress(t), http: freeAddress(t)}
	args = append([]string{"serve", "--data", s.data, "--rtmp", s.rtmp, "--http", s.http}, args...)
	if !slices.Contains(args, "--log-max") {
		args = append(args, "--log-max", "1GB")
	}
	p := spawn(t, append(env, asWeir+"=1"), os.Args[0], args...)
	s.wait(t)
	return s, p
}

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
	b := bucketApart(t)
	input := testmedia.FLV(t, shortShow(seconds))
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

func (l lateStore) test(t *testing.T, b bucket, input string, long time.Duration) {
	proxy := faultproxy.Start(t, b.URL)
	proxy.Set(faultproxy.Delay(l.late))
	args := func(store string) []string {
		return []string{"--segment", l.segment.String(), "--window", (8 * l.segment).String(), "--store", store}
	}
	here, there := "late"+l.String(), "prompt"+l.String()
	late, _ := serveApart(t, versitygw.Environ(), args(storeBehind(proxy, here))...)
	prompt, _ := serveApart(t, versitygw.Environ(), args(b.StoreURL(there))...)
	publish(t, input, late.url("alice"))
	publish(t, input, prompt.url("alice"))
	prefix := late.source(t, "alice")
	delays := delaysOf(t, b.object(here, prefix+"live.m3u8"))
	watched := watchShow(b.object(here, "live/alice/index.m3u8"))

	want := segments(t, b.objects(there, prompt.waitForEnd(t, "alice", long+10*time.Second)))
	late.waitForEnd(t, "alice", 40*time.Second)
	checkShow(t, b, here, "alice", prefix, input, want)
	conforms(t, b.objects(here, ""))
	// Deserved until the first listing is whole; and a playlist that takes a bit
	// more than a segment lasts brings two of them now and then.
	deserves(t, watched.end(), "LIVE-STALE")
	l.steady(t, <-delays)
}

// steady wants delays to be bounded, and no longer in the last third of the
// show than in the middle one.
func (l lateStore) steady(t *testing.T, delays []time.Duration) {
	t.Helper()
	t.Logf("%v late, segments of %v: listed %v after their end", l.late, l.segment, delays)
	n := len(delays) - 1 // the last listing comes behind vod.m3u8
	if n < 1 {
		t.Fatal("nothing was listed before the end: this was no live show")
	}
	delays = delays[:n]
	if worst := slices.Max(delays); worst > l.behind {
		t.Errorf("a segment was listed %v after its end, want %v at most", worst, l.behind)
	}
	if n < 6 {
		return
	}
	const jitter = 1500 * time.Millisecond
	if before, after := slices.Max(delays[n/3:2*n/3]), slices.Max(delays[2*n/3:n]); after > before+jitter {
		t.Errorf("viewers were behind by %v, and then by %v", before, after)
	}
}

// source is the prefix of the newest broadcast of live/name, when there is one.
func (s *server) source(t testing.TB, name string) string {
	t.Helper()
	eventually(t, 20*time.Second, name+" is listed", func() bool { _, ok := s.stream(t, name); return ok })
	return "live/" + name + "/" + s.broadcast(t, name) + "/source/"
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
			_, body := get(url)
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
	for _, s := range parseMediaPlaylist(body).segments {
		for tag := range strings.SplitSeq(s.tags, " ") {
			if v, ok := strings.CutPrefix(tag, "#EXT-X-PROGRAM-DATE-TIME:"); ok {
				until, _ = time.Parse(time.RFC3339, v) // a bad one has no delay
			}
		}
		until = until.Add(durationOf(s))
	}
	return until
}

// durationOf is a segment's EXTINF.
func durationOf(s listedSegment) time.Duration {
	for tag := range strings.SplitSeq(s.tags, " ") {
		if v, ok := strings.CutPrefix(tag, "#EXTINF:"); ok {
			d, _ := time.ParseDuration(strings.TrimSuffix(v, ",") + "s") // a bad one lasts for no time
			return d
		}
	}
	return 0
}

// watching is a weir check --watch that began when the show could be seen.
type watching struct {
	cancel context.CancelFunc
	report chan check.Report
}

func watchShow(url string) *watching {
	ctx, cancel := context.WithCancel(context.Background())
	w := &watching{cancel, make(chan check.Report, 1)}
	go func() {
		for ctx.Err() == nil {
			if code, _ := get(url); code == http.StatusOK {
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
		r, _ := checkURL(ctx, url, 3*time.Minute, nil) // it ends with the show, or when told to
		w.report <- r
	}()
	return w
}

// end returns what was found.
func (w *watching) end() check.Report {
	w.cancel()
	return <-w.report
}
