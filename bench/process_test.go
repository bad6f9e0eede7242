//go:build linux

package bench

import (
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestDescendants: a tree is its root and all below it, whatever else runs.
func TestDescendants(t *testing.T) {
	parents := map[int]int{1: 0, 10: 1, 11: 10, 12: 11, 20: 1, 21: 20, 30: 99}
	for _, tt := range []struct{ roots, want []int }{
		{[]int{10}, []int{10, 11, 12}},
		{[]int{12, 21}, []int{12, 21}},
		{[]int{10, 11}, []int{10, 11, 12}}, // one is counted once
		{nil, nil},
	} {
		got := descendants(parents, tt.roots)
		if slices.Sort(got); !slices.Equal(got, tt.want) {
			t.Errorf("below %v are %v, want %v", tt.roots, got, tt.want)
		}
	}
	if len(slices.Collect(maps.Keys(parents))) != 7 {
		t.Error("the input was changed")
	}
}

// TestMeasure: the time of a shell, of a child that it has waited for, and of
// one that still runs, all count.
func TestMeasure(t *testing.T) {
	// A child counts to a number and ends, the next one goes on for ever.
	cmd := exec.Command("sh", "-c", `sh -c 'i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done'; echo ended; sh -c 'while :; do :; done'; :`)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stopped := false
	defer func() {
		if !stopped {
			stopTree(t, cmd)
		}
	}()
	if _, err := out.Read(make([]byte, 16)); err != nil {
		t.Fatal(err)
	}
	first, err := measure([]int{cmd.Process.Pid})
	if err != nil {
		t.Fatal(err)
	}
	if first.cpu < clockTick {
		t.Errorf("the child that has ended took %v", first.cpu)
	}
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		u, err := measure([]int{cmd.Process.Pid})
		if err != nil {
			t.Fatal(err)
		}
		if u.all == 2 && u.cpu >= first.cpu+5*clockTick && u.pss > 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("a child that runs all the time: %+v, before it %+v", u, first)
		}
	}
	stopTree(t, cmd)
	stopped = true
	if _, err := measure([]int{cmd.Process.Pid}); err == nil || !strings.Contains(err.Error(), "none of") {
		t.Errorf("of a process that has ended: %v", err)
	}
	if u, err := measure(nil); err != nil || u != (usage{}) {
		t.Errorf("of none: %+v, %v", u, err)
	}
}

// stopTree kills a shell and its child.
func stopTree(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	parents, err := parentsOf()
	if err != nil {
		t.Fatal(err)
	}
	for _, pid := range descendants(parents, []int{cmd.Process.Pid}) {
		if p, err := os.FindProcess(pid); err == nil {
			_ = p.Kill() // it may have ended
		}
	}
	_ = cmd.Wait() // it was killed
}
