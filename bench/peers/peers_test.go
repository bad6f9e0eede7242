package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir/bench"
	"weir/internal/external"
)

// TestPeers: the real nginx-rtmp, a real weir, and a real weir in stages: each
// of them is measured, lists segments, and loses no frame.
func TestPeers(t *testing.T) {
	external.Need(t, "nginx")
	weir := filepath.Join(t.TempDir(), "weir")
	if out, err := exec.Command("go", "build", "-o", weir, "weir/cmd/weir").CombinedOutput(); err != nil {
		t.Fatalf("build weir: %v\n%s", err, out)
	}
	var out bytes.Buffer
	o := options{weir: weir, nats: "nats-server", nginx: "nginx", dir: t.TempDir(), windows: 1, window: 3 * time.Second, watch: 2, kbps: 500}
	for _, name := range []string{"nginx-rtmp", "serve", "apart"} {
		r, err := o.measure(t.Context(), name, 2)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		processes := map[string]int{"nginx-rtmp": 1, "serve": 1, "apart": 4}[name]
		switch {
		case r.Processes != processes:
			t.Errorf("%s: %d processes were measured, want %d", name, r.Processes, processes)
		case r.CPU <= 0 || r.PSS < 1<<20:
			t.Errorf("%s: %.2f CPU-s, %d bytes", name, r.CPU, r.PSS)
		case r.PlayableMS.Count != 2 || r.PlayableMS.Least < 1500: // the first GOP must be over
			t.Errorf("%s: first playable: %v", name, r.PlayableMS)
		case r.ListedMS.Count < 2 || r.ListedMS.Least < 0:
			t.Errorf("%s: listed: %v", name, r.ListedMS)
		case r.Frames.Checked < 2*2*60 || r.Frames.Lost > 0 || r.Frames.Doubled > 0:
			t.Errorf("%s: of 2 streams of two GOPs at least: %+v", name, r.Frames)
		}
	}
	if left, err := os.ReadDir(o.dir); err != nil || len(left) > 0 {
		t.Errorf("%d directories are left, %v", len(left), err)
	}
	if err := run(t.Context(), options{streams: "one"}, &out); err == nil {
		t.Error("-streams one was taken")
	}
	if _, err := o.measure(t.Context(), "apache", 1); err == nil {
		t.Error("a peer that is none was started")
	}
}

// TestServerThatFails: what a server says when it does not start reaches the
// user, and nothing waits for it for long.
func TestServerThatFails(t *testing.T) {
	o := options{weir: "false", dir: t.TempDir()}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := o.measure(ctx, "serve", 1); err == nil {
		t.Error("a weir that is none was measured")
	}
}

// TestTable: medians, their ratios to nginx-rtmp's, and a sum of lost frames.
func TestTable(t *testing.T) {
	windows := func(lost int, cpu ...float64) (all []bench.Result) {
		for i, c := range cpu {
			r := bench.Result{CPUPerStream: c, PSSPerStream: 2, ListedMS: bench.Spread{Median: 10 * c}}
			if i == 0 {
				r.Frames.Lost = lost
			}
			all = append(all, r)
		}
		return all
	}
	got := table([]string{"nginx-rtmp", "serve"}, map[string][]bench.Result{"nginx-rtmp": windows(0, 4, 9, 1), "serve": windows(3, 1, 6, 7, 8)})
	for _, want := range []string{"| nginx-rtmp | 4.00 | 2.00 | 40 |", "| serve | 6.50 (1.62) | 2.00 | 65 (1.62) |", "| 3 | 0.00 |"} {
		if !strings.Contains(got, want) {
			t.Errorf("the table lacks %q:\n%s", want, got)
		}
	}
	if got := table([]string{"serve"}, map[string][]bench.Result{"serve": windows(0, 1)}); strings.Contains(got, "(") {
		t.Errorf("without nginx-rtmp: %s", got)
	}
}
