//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"weir/internal/testmedia"
)

// build builds weir: what this binary takes for its tests, and for the race
// detector that they may run with, is none of weir's.
func build(t testing.TB) (binary string) {
	t.Helper()
	binary = filepath.Join(t.TempDir(), "weir")
	tool(t, "go", "build", "-ldflags", "-s -w", "-o", binary, ".")
	return binary
}

// Weir scales from zero: a process is ready soon after its start, takes little
// memory while nothing is live, and takes on a broadcast that waits at once.
func TestStart(t *testing.T) {
	t.Parallel()
	const (
		aim        = 300 * time.Millisecond // on a machine that has nothing else to do
		most       = 10 * aim
		idleMemory = 40 << 20
	)
	c := newCluster(t, 1)
	c.binary = build(t)
	in, idle := c.ingest(t), c.segmenter(t, "")
	nodes := []*node{in, idle, c.start(t, nil, "origin", "--store", c.store())}
	time.Sleep(500 * time.Millisecond)
	for _, n := range nodes {
		resident := memory(t, n.process, "VmRSS")
		t.Logf("%s: ready %v after its start (aim %v), %.0f MB resident", n.name, n.ready.Round(time.Millisecond), aim, float64(resident)/(1<<20))
		if n.ready > most {
			t.Errorf("%s was ready after %v", n.name, n.ready)
		}
		if resident > idleMemory {
			t.Errorf("%s takes %d bytes with nothing to do, want %d", n.name, resident, idleMemory)
		}
	}
	idle.send(t, syscall.SIGTERM)
	<-idle.ended

	publish(t, testmedia.MP4(t, small(8)), in.url("alice"))
	eventually(t, 5*time.Second, "a broadcast waits", func() bool { _, ok := c.stream(t, "alice"); return ok })
	time.Sleep(3 * time.Second) // for whole segments to wait
	w := c.segmenter(t, "")
	prefix := c.rendition(t, "alice")
	claimed := w.said(t, "broadcast claimed").Sub(w.began)
	stored := modified(t, c.objects(prefix+"00000000.ts")).Sub(w.began)
	eventually(t, 5*time.Second, "it can be watched", func() bool { code, _ := get(c.object("live/alice/index.m3u8")); return code == 200 })
	listed := modified(t, c.objects("live/alice/index.m3u8")).Sub(w.began)
	if listed > most {
		t.Errorf("the waiting broadcast was listed after %v", listed)
	}
	t.Logf("a broadcast that waited, from the start of the process: ready %v, claimed %v, first segment stored %v, to be watched %v (aim %v)",
		w.ready.Round(time.Millisecond), claimed.Round(time.Millisecond), stored.Round(time.Millisecond), listed.Round(time.Millisecond), aim)
}

// said returns when a process first logged a message.
func (p *process) said(t testing.TB, message string) time.Time {
	t.Helper()
	for line := range strings.Lines(p.output.String()) {
		var record struct {
			Time time.Time
			Msg  string
		}
		if json.Unmarshal([]byte(line), &record) == nil && record.Msg == message {
			return record.Time
		}
	}
	t.Fatalf("the process never said %q", message)
	return time.Time{}
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

// memory is what the kernel says of a process, in bytes.
func memory(t testing.TB, p *process, what string) int64 {
	t.Helper()
	status, err := os.ReadFile(filepath.Join("/proc", fmt.Sprint(p.Process.Pid), "status"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		var kB int64
		if n, _ := fmt.Sscanf(line, what+": %d kB", &kB); n == 1 {
			return kB << 10
		}
	}
	t.Fatalf("no %s", what)
	return 0
}
