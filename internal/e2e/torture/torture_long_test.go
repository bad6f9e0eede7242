//go:build linux && soak

package torture

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"weir/internal/inputs"
	"weir/internal/players"
	"weir/internal/testweir"
)

// soakTime is how long the show is: WEIR_SOAK, or 10 minutes.
func soakTime(t *testing.T) time.Duration {
	long := 10 * time.Minute
	if text := os.Getenv("WEIR_SOAK"); text != "" {
		var err error
		if long, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	return long
}

const (
	// segmentLength is --segment here, longest the longest fault.
	segmentLength = 2 * time.Second
	longest       = 4 * time.Second
)

// tortured is the show: a fault each 5 to 10 s, by a seed that is printed and that
// WEIR_SEED sets.
func tortured(t *testing.T, long time.Duration) inputs.Input {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("WEIR_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("WEIR_SEED=%d", seed)
	clip, err := os.ReadFile("../../../cmd/weir/demo/clip.flv")
	if err != nil {
		t.Fatal(err)
	}
	in, err := inputs.Load(clip, 24*time.Second, long)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(seed, 1))
	headers := in[:2:2]
	for at := 8 * time.Second; ; {
		at += 2*time.Second + time.Duration(rng.Int64N(int64(4*time.Second)))
		if at+longest > long {
			return in
		}
		e := inputs.Draw(rng, at, longest, headers...)
		t.Log(e)
		in, at = e.Fault(in), at+e.Long
	}
}

// watch plays the show in Chromium while it is live, and then its recording.
func watch(t *testing.T, s *testweir.Server, address string, names []string, long time.Duration, during func(over <-chan struct{})) {
	in := tortured(t, long)
	over, published := make(chan struct{}), make(chan error, 1)
	go func() {
		published <- inputs.Publish(address, "alice", in)
		close(over)
	}()
	during(over)
	index := s.Object("live/alice/index.m3u8")
	testweir.Eventually(t, 30*time.Second, "the show can be played", func() bool {
		code, _ := testweir.Get(index)
		return code == 200
	})
	time.Sleep(3 * segmentLength)
	live := long - 20*time.Second
	for _, r := range players.Play(t, names, index, longest+20*time.Second, live) {
		t.Logf("live: %v", r)
		if len(r.Fatal) > 0 || r.Longest > (longest+2*segmentLength).Seconds() {
			t.Errorf("live: %s stood for %.1f s at once, fatal %q", r.Player, r.Longest, r.Fatal)
		}
	}
	<-over
	if err := <-published; err != nil {
		t.Error(err)
	}
	s.WaitForEnd(t, "alice", 30*time.Second)
	for _, r := range players.Play(t, names, index, longest+20*time.Second, 2*long) {
		t.Logf("recording: %v", r)
		if !r.Ended || len(r.Fatal) > 0 || r.Longest > (longest+segmentLength).Seconds() {
			t.Errorf("recording: %s to %.1f s, ended %v, stood for %.1f s at once, fatal %q", r.Player, r.Position, r.Ended, r.Longest, r.Fatal)
		}
	}
	testweir.Conforms(t, s.Objects(""), "SEG-HOLE", "SEG-AV-DRIFT", "SEG-AV-START", "SEG-INTERLEAVE", "SEG-KEYFRAMES", "SEG-FRAME-RATE", "SEG-IDR", "SEG-INDEPENDENT-UNSAID", "M3U-PDT-JUMP", "TS-PCR-LATE")
}

// make soak PKG=./internal/e2e/torture: no player stops, whatever the encoder does.
func TestSoakTorture(t *testing.T) {
	s := testweir.Serve(t, "--segment", segmentLength.String())
	watch(t, s, s.RTMP, []string{players.HLSJS, players.Shaka}, soakTime(t), func(<-chan struct{}) {})
}

// The same under a segmenter that is killed every 20 s.
func TestSoakTortureKilled(t *testing.T) {
	c := testweir.NewCluster(t, 1)
	in := c.Ingest(t)
	watch(t, c.Server, in.RTMP, []string{players.HLSJS, players.Shaka}, soakTime(t), func(over <-chan struct{}) {
		worker, spare := c.Segmenter(t, ""), c.Segmenter(t, "")
		go func() {
			for {
				select {
				case <-over:
					return
				case <-time.After(20 * time.Second):
				}
				worker.Kill(t)
				worker, spare = spare, c.Segmenter(t, "")
			}
		}()
	})
}
