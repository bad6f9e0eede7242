//go:build linux

package hostile

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"weir/internal/testmedia"
	"weir/internal/testweir"
)

// long: these are the long tests, which say more of the same things, and judge
// how long they took. The others judge what was lost, kept and refused, which
// no busy machine changes.
var long bool

// show is a weir with an encoder and a viewer. Whatever is done beside them,
// the encoder loses nothing, and the viewer sees the playlist go on.
type show struct {
	*testweir.Server
	input   string
	encoder *testweir.Process
	viewer  *testweir.Viewer
	before  level
	watch   testweir.Stopwatch
}

// segment is how long the shows' segments are.
const segment = time.Second

// showFor starts a weir, as it ships, and a show of so many seconds.
func showFor(t *testing.T, seconds int, args ...string) *show {
	t.Helper()
	s := &show{Server: testweir.NewServer(t), input: testmedia.MP4(t, testweir.Small(seconds))}
	s.Process = testweir.Spawn(t, nil, testweir.Release(t), s.Args("serve", append([]string{"--segment", segment.String()}, args...)...)...)
	s.WaitReady(t)
	s.encoder = testweir.Publish(t, s.input, s.URL("alice"))
	testweir.Eventually(t, 20*time.Second, "the encoder publishes", func() bool { _, live := s.Stream(t, "alice"); return live })
	s.viewer = testweir.WatchEvery(t, 100*time.Millisecond, s.Object(s.Source(t, "alice")+"live.m3u8"))
	s.before, s.watch = s.level(t), testweir.StartStopwatch()
	return s
}

// end waits for the show's end, and holds it and the weir to what they were
// promised. budget is the most memory, in bytes.
func (s *show) end(t *testing.T, budget int64) {
	t.Helper()
	if code := s.encoder.Wait(); code != 0 {
		t.Errorf("the encoder ended with %d:\n%s", code, s.encoder.Output.String())
	}
	prefix := s.WaitForEnd(t, "alice", 20*time.Second)
	if err := testmedia.SameFrames(testweir.Increasing(testmedia.Probe(t, s.input)), testmedia.Probe(t, s.Object(prefix+"vod.m3u8"))); err != nil {
		t.Errorf("the encoder beside the attack: %v", err)
	}
	seen := s.viewer.Leave()
	if !seen.Last.Ended {
		t.Error("the viewer has not seen the end")
	}
	if long {
		s.watch.Judge(t, "the longest pause between two segments", seen.Pause, segment+2*time.Second)
	}
	most := s.Memory(t, "VmHWM")
	t.Logf("%d MiB at most, of a budget of %d; the viewer's longest pause between two segments was %v", most>>20, budget>>20, seen.Pause.Round(time.Millisecond))
	if most > budget {
		t.Errorf("the process took %d bytes of memory, want at most %d", most, budget)
	}
	s.recovers(t)
	for line := range strings.Lines(s.Output.String()) {
		// Attackers that take one stream from each other may not all get it in time.
		storm := strings.Contains(line, `"publish refused"`) && !strings.Contains(line, "alice")
		if strings.Contains(line, `"ERROR"`) && !storm || strings.Contains(line, "panic") {
			t.Errorf("a bad peer is not our fault: %s", line)
		}
	}
}

// recovers wants the process to hold as little as before, a minute later at
// most.
func (s *show) recovers(t *testing.T) {
	t.Helper()
	left := time.Now()
	var after level
	testweir.Eventually(t, time.Minute, "all is as before", func() bool {
		after = s.level(t)
		return after.files <= s.before.files+5 && after.goroutines <= s.before.goroutines+20
	})
	t.Logf("before %+v; %v after the show %+v", s.before, time.Since(left).Round(time.Second), after)
}

// level is what a process holds.
type level struct{ files, goroutines, megabytes int }

func (s *show) level(t *testing.T) level {
	t.Helper()
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.PID()))
	if err != nil {
		t.Fatal(err)
	}
	return level{len(files), int(s.Metric(t, "go_goroutines")), int(s.Memory(t, "VmRSS") >> 20)}
}

// The memory that docs/limits.md allows a weir serve, in bytes.
func budget(ingestMemory, connections, shows int) int64 {
	return 160<<20 + 2*int64(ingestMemory) + int64(connections)*(128<<10) + int64(shows)*(16<<20)
}
