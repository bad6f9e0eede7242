//go:build unix && soak

package encoders

import (
	"strings"
	"testing"
	"time"

	"weir/internal/testweir"
)

// TestSoakOBS is a streamer's evening: streaming, stopping, streaming again, and a
// server that is killed and comes back meanwhile.
func TestSoakOBS(t *testing.T) {
	t.Parallel()
	// OBS waits half as long again after each try that failed: on a busy machine
	// that takes longer than a broadcast waits by default.
	const patience = "--reconnect-window=10m"
	s := testweir.Serve(t, patience)
	o := startOBS(t, s.RTMP, "obs")
	// The list of streams may be older than an end that the playlist tells.
	liveAfter := func(before, why string, most time.Duration) (broadcast string) {
		t.Helper()
		testweir.Eventually(t, most, why, func() bool {
			x, ok := s.Stream(t, "obs")
			broadcast = x.Broadcast
			return ok && x.State == "live" && broadcast != before
		})
		return broadcast
	}
	first := liveAfter("", "OBS streams", time.Minute)
	time.Sleep(3 * time.Second)
	if !o.ask("StopStream") {
		t.Fatal("OBS does not stop")
	}
	s.WaitForEnd(t, "obs", 20*time.Second)
	testweir.Eventually(t, 20*time.Second, "OBS starts again", func() bool { return o.ask("StartStream") })
	second := liveAfter(first, "OBS streams again, another show", 30*time.Second)
	time.Sleep(3 * time.Second)

	// The server dies, and OBS is not told.
	s.Kill(t)
	s.Process = testweir.Start(t, s.Args("serve", patience)...)
	s.WaitReady(t)
	testweir.Eventually(t, time.Minute, "OBS is back by itself", func() bool {
		x, ok := s.Stream(t, "obs")
		return ok && x.State == "live" && x.Epoch >= 2
	})
	if third := s.Broadcast(t, "obs"); third != second {
		t.Errorf("broadcast %s, want %s to go on", third, second)
	}
	time.Sleep(3 * time.Second)
	if !o.ask("StopStream") {
		t.Fatal("OBS does not stop")
	}
	if prefix := s.WaitForEnd(t, "obs", 20*time.Second); !strings.Contains(prefix, second) {
		t.Errorf("the show ended in %s, want broadcast %s", prefix, second)
	}
	testweir.Conforms(t, s.Objects(""))
	hasOBSFacts(t, s.Output.String())
}

// TestSoakOBSIsTold: OBS writes down what it is told of a key that cannot be, and
// stops (its window says that the key is to be checked).
func TestSoakOBSIsTold(t *testing.T) {
	t.Parallel()
	s := testweir.Serve(t)
	o := startOBS(t, s.RTMP, "two words")
	testweir.Eventually(t, time.Minute, "OBS is told", func() bool {
		return strings.Contains(s.Output.String(), "publish refused")
	})
	testweir.Eventually(t, 20*time.Second, "OBS says what to change, and stops", func() bool {
		said := o.process.Output.String()
		return strings.Contains(said, "NetStream.Publish.Denied (The stream key holds a blank") && strings.Contains(said, "Streaming Stop")
	})
}
