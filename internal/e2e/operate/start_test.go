//go:build unix

package operate

import (
	"os"
	"syscall"
	"testing"
	"time"

	"weir/internal/testmedia"
	"weir/internal/testweir"
)

// Weir scales from zero: a process is ready soon after its start, takes little
// memory while nothing is live, and takes on a broadcast that waits at once.
func TestStart(t *testing.T) {
	t.Parallel()
	const (
		aim        = 300 * time.Millisecond // on a machine that has nothing else to do
		most       = 10 * aim
		idleMemory = 40 << 20
	)
	c := testweir.NewCluster(t, 1)
	c.Binary = testweir.Release(t)
	watch := testweir.StartStopwatch()
	in, idle := c.Ingest(t), c.Segmenter(t, "")
	nodes := []*testweir.Node{in, idle, c.Start(t, nil, "origin", "--store", c.Store())}
	time.Sleep(500 * time.Millisecond)
	for _, n := range nodes {
		resident := n.Memory(t, "VmRSS")
		t.Logf("%s: ready %v after its start (aim %v), %.0f MB resident", n.Name, n.Ready.Round(time.Millisecond), aim, float64(resident)/(1<<20))
		watch.Judge(t, n.Name+" until it is ready", n.Ready, most)
		if resident > idleMemory {
			t.Errorf("%s takes %d bytes with nothing to do, want %d", n.Name, resident, idleMemory)
		}
	}
	idle.Send(t, syscall.SIGTERM)
	<-idle.Ended

	testweir.Publish(t, testmedia.MP4(t, testweir.Small(8)), in.URL("alice"))
	testweir.Eventually(t, 5*time.Second, "a broadcast waits", func() bool { _, ok := c.Stream(t, "alice"); return ok })
	time.Sleep(3 * time.Second) // for whole segments to wait
	w := c.Segmenter(t, "")
	prefix := c.Rendition(t, "alice")
	claimed := w.Said(t, "broadcast claimed").Sub(w.Began)
	stored := modified(t, c.Objects(prefix+"00000000.ts")).Sub(w.Began)
	testweir.Eventually(t, 5*time.Second, "it can be watched", func() bool { code, _ := testweir.Get(c.Object("live/alice/index.m3u8")); return code == 200 })
	listed := modified(t, c.Objects("live/alice/index.m3u8")).Sub(w.Began)
	watch.Judge(t, "the listing of a waiting broadcast", listed, most)
	t.Logf("a broadcast that waited, from the start of the process: ready %v, claimed %v, first segment stored %v, to be watched %v (aim %v)",
		w.Ready.Round(time.Millisecond), claimed.Round(time.Millisecond), stored.Round(time.Millisecond), listed.Round(time.Millisecond), aim)
}

// modified is when a file was written.
func modified(t testing.TB, name string) time.Time {
	t.Helper()
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return info.ModTime()
}
