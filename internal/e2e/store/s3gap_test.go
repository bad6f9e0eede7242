//go:build unix

package store

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"weir/internal/chromium"
	"weir/internal/faultproxy"
	"weir/internal/testmedia"
	"weir/internal/testweir"
	"weir/internal/versitygw"
)

// A store is away for longer than the log holds the show. What has gone by then
// is listed as missing, and counted; nothing is listed that is not there; and a
// real player goes on behind the hole.
func TestS3Gap(t *testing.T) {
	t.Parallel()
	b := testweir.NewBucket(t)
	proxy := faultproxy.Start(t, b.URL)
	// 4 Mbit/s: a worker holds two segments and 2 MB of what follows (bus), the
	// log 2 s.
	spec := testweir.ShortShow(26)
	spec.GOP, spec.Bitrate = 3, 8_000_000
	input := testmedia.FLV(t, spec)
	s := testweir.ServeIn(t, versitygw.Environ(), "--segment", "1s", "--window", "40s", "--log-max", "1MB", "--upload-requests", "0", "--store", storeBehind(proxy, "gap"))
	testweir.Publish(t, input, s.URL("alice"))
	prefix := s.Source(t, "alice")
	entry := b.Object("gap", "live/alice/index.m3u8")
	watched := testweir.CheckWatch(t, entry, 3*time.Minute)
	testweir.Eventually(t, 10*time.Second, "the show can be watched", func() bool { code, _ := testweir.Get(entry); return code == 200 })
	tab := chromium.Open(t)
	tab.Load(playerPage(t, entry), 800, 600)
	tab.Wait("Chromium plays", "video.currentTime > 1")

	proxy.Down()
	time.Sleep(12 * time.Second)
	if err := proxy.Up(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	gap := gapOf(t, b.Object("gap", prefix+"live.m3u8"))
	t.Logf("%v after the store's return a gap is listed, %v long", time.Since(began).Round(time.Millisecond), gap)
	playsOver(t, tab)

	s.WaitForEnd(t, "alice", time.Minute)
	r := watched.End()
	if !r.Has("M3U-GAP") {
		t.Error("weir check --watch says nothing of a gap")
	}
	testweir.Deserves(t, r, "LIVE-STALE") // while the store was away
	testweir.Conforms(t, b.Objects("gap", ""), "M3U-GAP")
	holes, pictures, sounds := testweir.Missing(t, testmedia.Probe(t, input), testmedia.Probe(t, b.Object("gap", prefix+"vod.m3u8")))
	if holes != 1 {
		t.Errorf("the show has %d holes, want one", holes)
	}
	if lost := s.Metric(t, "weir_segmenter_lost_media_seconds_total"); math.Abs(lost-gap.Seconds()) > 0.001 {
		t.Errorf("weir_segmenter_lost_media_seconds_total is %g, listed are %v", lost, gap)
	}
	t.Logf("%d pictures and %d audio frames had gone from the log", pictures, sounds)
}

// gapOf waits until a live playlist lists a gap and something behind it, and
// returns how long it is.
func gapOf(t testing.TB, url string) (gap time.Duration) {
	t.Helper()
	testweir.Eventually(t, 30*time.Second, "live.m3u8 lists a gap", func() bool {
		_, body := testweir.Get(url)
		gap = 0
		behind := false
		for _, s := range testweir.ParseMediaPlaylist(body).Segments {
			behind = !strings.Contains(s.Tags, "GAP")
			if !behind {
				gap += s.Duration()
			}
		}
		return gap > 0 && behind
	})
	return gap
}

// playsOver wants the tab's player to come to a hole in its buffer and to go on
// behind it, without a fatal error and without much of a pause.
func playsOver(t *testing.T, tab *chromium.Tab) {
	t.Helper()
	var p struct {
		From, To, Stood float64 // s; Stood is how long the picture did
		Errors          []string
	}
	text := tab.Eval(`new Promise((resolve) => {
		const began = performance.now();
		let at = video.currentTime, since = began, looked = began;
		const timer = setInterval(() => {
			const now = performance.now(), to = video.currentTime;
			if (to - at > (now - looked) / 1000 + 2 || now - began > 25000) {
				clearInterval(timer);
				resolve({From: at, To: to, Stood: (now - since) / 1000, Errors: errors});
			}
			if (to !== at) { at = to; since = now; }
			looked = now;
		}, 20);
	})`)
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		t.Fatal(err)
	}
	t.Logf("hls.js goes from %.2f to %.2f, after the picture stood for %.2f s: %q", p.From, p.To, p.Stood, p.Errors)
	if p.To < p.From+2 || p.Stood > 3 {
		t.Errorf("the player went from %.2f to %.2f and stood there for %.2f s; want it behind the hole within 3 s", p.From, p.To, p.Stood)
	}
	tab.Wait("the picture moves on behind the hole", fmt.Sprintf("video.currentTime > %f", p.To+1.5))
	var now float64
	if err := json.Unmarshal([]byte(tab.Eval("video.currentTime")), &now); err != nil {
		t.Fatal(err)
	}
	if shown := float64(testweir.Shown(t, tab.Screenshot)) / 30; math.Abs(shown-now) > 1 {
		t.Errorf("at %.2f the picture is that of %.2f: a gap lasts as long as what is missing", now, shown)
	}
	if fatal := tab.Eval(`errors.filter((e) => e.endsWith("fatal"))`); fatal != "[]" {
		t.Errorf("fatal errors of hls.js: %s", fatal)
	}
}
