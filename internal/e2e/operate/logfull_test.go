//go:build unix

package operate

import (
	"math"
	"os"
	"testing"
	"time"

	"weir/check"
	"weir/internal/testmedia"
	"weir/internal/testweir"
)

// A log that holds seconds of a show is enough for as long as a segmenter
// keeps up: what goes was read.
func TestFullLog(t *testing.T) {
	t.Parallel()
	c := testweir.NewCluster(t, 1)
	in := c.Ingest(t, "--log-max", "100KB")
	w := c.Segmenter(t, "")
	file := testmedia.MP4(t, testweir.Small(8))
	encoders, viewers := c.Shows(t, in, file, 1)
	pause := c.Finish(t, file, encoders, viewers)
	dropped := c.FrameLog(t).State.FirstSeq - 1
	if dropped == 0 {
		t.Error("the log was never full")
	}
	if n := w.Metric(t, "weir_segmenter_lost_batches_total"); n != 0 {
		t.Errorf("weir_segmenter_lost_batches_total is %g", n)
	}
	t.Logf("a log of 100 KB dropped %d messages under a show of 8 s, no frame lost; longest pause %v", dropped, pause.Round(time.Millisecond))
}

// While no segmenter is there the log drops the oldest frames, of a show that
// was listed before and of one that nobody has seen yet. Both go on where the
// log begins, with a hole that is counted and marked; nothing goes back.
func TestFullLogWithoutSegmenters(t *testing.T) {
	t.Parallel()
	c := testweir.NewCluster(t, 1)
	in := c.Ingest(t, "--log-max", "120KB")
	away := c.Segmenter(t, "")
	files := []string{testmedia.MP4(t, testweir.Small(10)), testmedia.MP4(t, testweir.Small(8))}
	encoders, viewers := c.Shows(t, in, files[0], 1)
	time.Sleep(time.Second)
	away.Kill(t)
	encoders = append(encoders, testweir.Publish(t, files[1], in.URL("s1")))
	time.Sleep(4 * time.Second)
	w := c.Segmenter(t, "")
	viewers = append(viewers, testweir.Watch(t, c.Object(c.Rendition(t, "s1")+"live.m3u8")))
	var lost [2]int // pictures
	for i, name := range []string{"s0", "s1"} {
		<-encoders[i].Ended
		prefix := c.WaitForEnd(t, name, 10*time.Second)
		viewers[i].Leave()
		holes, pictures, sounds := testweir.Missing(t, testmedia.Probe(t, files[i]), testmedia.Probe(t, c.Object(prefix+"vod.m3u8")))
		if holes != 1 {
			t.Errorf("%s has %d holes, want one", name, holes)
		}
		lost[i] = pictures
		t.Logf("%s: %d pictures and %d audio frames had gone from the log before they were read", name, pictures, sounds)
	}
	if n := w.Metric(t, "weir_segmenter_lost_batches_total"); n != 2 {
		t.Errorf("weir_segmenter_lost_batches_total is %g, want one for each show", n)
	}
	// How much s1 had lost nobody knows who has not seen its beginning.
	if told, want := w.Metric(t, "weir_segmenter_lost_media_seconds_total"), float64(lost[0])/30; math.Abs(told-want) > 0.1 {
		t.Errorf("weir_segmenter_lost_media_seconds_total is %.3f, %.3f s of s0 are missing", told, want)
	}
	r, err := check.Directory(os.DirFS(c.Objects("")), ".")
	if err != nil {
		t.Fatal(err)
	}
	testweir.Deserves(t, r)
}
