//go:build unix

package main

import (
	"math"
	"os"
	"testing"
	"time"

	"weir/check"
	"weir/internal/testmedia"
	"weir/media"
)

// A log that holds seconds of a show is enough for as long as a segmenter
// keeps up: what goes was read.
func TestFullLog(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	in := c.ingest(t, "--log-max", "100KB")
	w := c.segmenter(t, "")
	file := testmedia.MP4(t, small(8))
	encoders, viewers := c.shows(t, in, file, 1)
	pause := c.finish(t, file, encoders, viewers)
	dropped := c.frameLog(t).State.FirstSeq - 1
	if dropped == 0 {
		t.Error("the log was never full")
	}
	if n := metric(t, w, "weir_segmenter_lost_batches_total"); n != 0 {
		t.Errorf("weir_segmenter_lost_batches_total is %g", n)
	}
	t.Logf("a log of 100 KB dropped %d messages under a show of 8 s, no frame lost; longest pause %v", dropped, pause.Round(time.Millisecond))
}

// While no segmenter is there the log drops the oldest frames, of a show that
// was listed before and of one that nobody has seen yet. Both go on where the
// log begins, with a hole that is counted and marked; nothing goes back.
func TestFullLogWithoutSegmenters(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	in := c.ingest(t, "--log-max", "120KB")
	away := c.segmenter(t, "")
	files := []string{testmedia.MP4(t, small(10)), testmedia.MP4(t, small(8))}
	encoders, viewers := c.shows(t, in, files[0], 1)
	time.Sleep(time.Second)
	away.kill(t)
	encoders = append(encoders, publish(t, files[1], in.url("s1")))
	time.Sleep(4 * time.Second)
	w := c.segmenter(t, "")
	viewers = append(viewers, watch(t, c.object(c.rendition(t, "s1")+"live.m3u8")))
	var lost [2]int // pictures
	for i, name := range []string{"s0", "s1"} {
		<-encoders[i].ended
		prefix := c.waitForEnd(t, name, 10*time.Second)
		viewers[i].leave()
		holes, pictures, sounds := missing(t, testmedia.Probe(t, files[i]), testmedia.Probe(t, c.object(prefix+"vod.m3u8")))
		if holes != 1 {
			t.Errorf("%s has %d holes, want one", name, holes)
		}
		lost[i] = pictures
		t.Logf("%s: %d pictures and %d audio frames had gone from the log before they were read", name, pictures, sounds)
	}
	if n := metric(t, w, "weir_segmenter_lost_batches_total"); n != 2 {
		t.Errorf("weir_segmenter_lost_batches_total is %g, want one for each show", n)
	}
	// How much s1 had lost nobody knows who has not seen its beginning.
	if told, want := metric(t, w, "weir_segmenter_lost_media_seconds_total"), float64(lost[0])/30; math.Abs(told-want) > 0.1 {
		t.Errorf("weir_segmenter_lost_media_seconds_total is %.3f, %.3f s of s0 are missing", told, want)
	}
	r, err := check.Directory(os.DirFS(c.objects("")), ".")
	if err != nil {
		t.Fatal(err)
	}
	deserves(t, r)
}

// missing wants got to be want without some runs, and returns how many there
// are among the pictures, and the frames they had.
func missing(t testing.TB, want, got []testmedia.Packet) (holes, pictures, sounds int) {
	t.Helper()
	order, counts := numbered(want)
	next := map[media.Kind]int{}
	for _, p := range got {
		n, known := order[p.MD5]
		if !known || n < next[p.Kind] {
			t.Errorf("%s frame %d, %v, was never sent, or comes twice", p.Kind, n, p.PTS)
			continue
		}
		if p.Kind == media.Video && n > next[p.Kind] {
			holes++
		}
		next[p.Kind] = n + 1
	}
	if next[media.Video] != counts[media.Video] || next[media.Audio] != counts[media.Audio] {
		t.Errorf("the end is missing: after %v of %v", next, counts)
	}
	return holes, counts[media.Video] - count(got, media.Video), counts[media.Audio] - count(got, media.Audio)
}
