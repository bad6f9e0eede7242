//go:build soak && unix

package store

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"weir/internal/faultproxy"
	"weir/internal/testmedia"
	"weir/internal/testweir"
	"weir/internal/versitygw"
)

// TestS3LiveFaults' outage, as long as the log is asked to bridge.
func TestSoakStoreOutage(t *testing.T) {
	b := testweir.NewBucket(t)
	s, proxy := serveBehindProxy(t, b, "outage")
	storeOutage(t, b, s, proxy, "outage", testmedia.FLV(t, testweir.ShortShow(32)), 20*time.Second)
}

// TestS3LateStore for two minutes: what grows slowly would show.
func TestSoakLateStore(t *testing.T) { lateShows(t, 120) }

// A store that refuses conditional writes, and a weir that was told so.
func TestSoakUnconditionalStore(t *testing.T) {
	b := testweir.NewBucket(t)
	proxy := faultproxy.Start(t, b.URL)
	proxy.Set(func(w http.ResponseWriter, r *http.Request, forward http.Handler) {
		if r.Header.Get("If-Match")+r.Header.Get("If-None-Match") != "" {
			faultproxy.Refuse(http.StatusNotImplemented, "NotImplemented")(w, r, forward)
			return
		}
		forward.ServeHTTP(w, r)
	})
	if code, text := testweir.RunIn(t, versitygw.Environ(), "store", "check", storeBehind(proxy, "u")); code != testweir.ExitFailed || !strings.Contains(text, "add conditional=false") {
		t.Errorf("store check: exit code %d, want %d and advice:\n%s", code, testweir.ExitFailed, text)
	}
	s := testweir.ServeIn(t, versitygw.Environ(), "--segment", "2s", "--store", storeBehind(proxy, "u")+"&conditional=false")
	input := testmedia.FLV(t, testweir.ShortShow(16))
	shows := liveShows(t, b, s, "u", input, []string{"alice"}, nil)
	checkShow(t, b, "u", "alice", shows["alice"], input, nil)
	testweir.Conforms(t, b.Objects("u", ""))
}

// The store is down for a minute while 20 streams are live: the worker's
// memory stays within 16 MB for each (what a broadcast is given by --memory), every frame arrives.
func TestSoakStoreOutageMemory(t *testing.T) {
	const streams = 20
	b := testweir.NewBucket(t)
	proxy := faultproxy.Start(t, b.URL)
	c := testweir.NewCluster(t, 1)
	const budget = streams * int64(16<<20)
	worker := c.Start(t, versitygw.Environ(), "segment", "--store", storeBehind(proxy, "m"), "--segment", "4s", "--memory", fmt.Sprint(budget))
	in := c.Ingest(t)
	// The card takes so few bits that only its key frames make it 4 Mbit/s.
	spec := testmedia.Spec{Seconds: 90, Video: true, Audio: true, BFrames: 2, GOP: 10, Bitrate: 4_100_000}
	input := testmedia.FLV(t, spec)
	if info, err := os.Stat(input); err != nil || info.Size() < 90*4_000_000/8 {
		t.Fatalf("%v, %v: want 4 Mbit/s", info, err)
	}
	for i := range streams {
		testweir.Publish(t, input, in.URL(fmt.Sprint("s", i)))
	}
	time.Sleep(15 * time.Second)
	before := worker.Memory(t, "VmRSS")
	proxy.Down()
	time.Sleep(time.Minute)
	down := worker.Memory(t, "VmRSS")
	if err := proxy.Up(); err != nil {
		t.Fatal(err)
	}
	for i := range streams {
		name := fmt.Sprint("s", i)
		prefix := "live/" + name + "/" + c.Broadcast(t, name) + "/source/"
		testweir.Eventually(t, 2*time.Minute, name+" ends", func() bool {
			_, body := testweir.Get(b.Object("m", prefix+"live.m3u8"))
			return strings.Contains(string(body), "#EXT-X-ENDLIST")
		})
		if i < 3 { // of the others the number of segments will do
			checkShow(t, b, "m", name, prefix, input, nil)
		}
		if n := len(segments(t, b.Objects("m", prefix))); n < 22 || n > 23 {
			t.Errorf("%s has %d segments of 90 s, want 22 or 23", name, n)
		}
	}
	peak := worker.Memory(t, "VmHWM")
	t.Logf("resident: %d MB live, %d MB after a minute without a store, %d MB at most; ingest %d MB", before>>20, down>>20, peak>>20, in.Memory(t, "VmHWM")>>20)
	if peak > budget {
		t.Errorf("%d MB at most, want %d", peak>>20, budget>>20)
	}
}
