package bench

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// usage is what a process tree has used so far, and holds now.
type usage struct {
	cpu time.Duration // of all threads, of children that live and that have ended
	pss int64         // bytes: memory that several processes share is divided among them
	all int           // processes
}

// clockTick is the unit of CPU times in /proc: 1/USER_HZ, which is 100 on all
// platforms that Go runs on.
const clockTick = time.Second / 100

// measure sums up the trees below some processes.
func measure(pids []int) (u usage, err error) {
	if len(pids) == 0 {
		return u, nil // this works where there is no /proc, too
	}
	parents, err := parentsOf()
	if err != nil {
		return u, err
	}
	for _, pid := range descendants(parents, pids) {
		cpu, err := cpuOf(pid)
		if errors.Is(err, os.ErrNotExist) {
			continue // it has ended since: its parent has its time
		}
		if err != nil {
			return u, err
		}
		pss, err := pssOf(pid)
		if err != nil {
			return u, err
		}
		u.cpu, u.pss, u.all = u.cpu+cpu, u.pss+pss, u.all+1
	}
	if u.all == 0 {
		return u, fmt.Errorf("measure processes: none of %v runs", pids)
	}
	return u, nil
}

// parentsOf reads the parent of every process.
func parentsOf() (map[int]int, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil || len(stats) == 0 {
		return nil, fmt.Errorf("measure processes: /proc shows none (this works on Linux): %w", err)
	}
	parents := map[int]int{}
	for _, name := range stats {
		fields, err := statOf(name)
		if err != nil {
			continue // it has ended since
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		parents[pid], _ = strconv.Atoi(fields[1])
	}
	return parents, nil
}

// descendants are some processes and all below them.
func descendants(parents map[int]int, roots []int) (all []int) {
	in := map[int]bool{}
	for _, pid := range roots {
		in[pid] = true
	}
	for grew := true; grew; {
		grew = false
		for pid, parent := range parents {
			if in[parent] && !in[pid] {
				in[pid], grew = true, true
			}
		}
	}
	for pid := range in {
		all = append(all, pid)
	}
	return all
}

// statOf are the fields of /proc/PID/stat behind the command's name, which may
// hold anything: the first is the state.
func statOf(name string) ([]string, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	i := bytes.LastIndexByte(b, ')')
	fields := strings.Fields(string(b[i+1:]))
	if len(fields) < 20 {
		return nil, fmt.Errorf("measure processes: %s has %d fields", name, len(fields))
	}
	return fields, nil
}

// cpuOf is the CPU time of a process, with the children it has waited for:
// utime, stime, cutime, cstime (proc(5)).
func cpuOf(pid int) (time.Duration, error) {
	fields, err := statOf(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	var ticks int64
	for _, f := range fields[11:15] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("measure processes: %w", err)
		}
		ticks += n
	}
	return time.Duration(ticks) * clockTick, nil
}

// pssOf is the proportional set size of a process in bytes, 0 where we may not
// see it.
func pssOf(pid int) (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if errors.Is(err, os.ErrPermission) || errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "Pss:"); ok {
			kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kib << 10, err
		}
	}
	return 0, nil // a zombie has none
}
