package testweir

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// Stopwatch holds how long something took to a bound, by what the machine had
// to give meanwhile: no verdict may hang on what else it does.
type Stopwatch struct {
	began   time.Time
	stalled time.Duration
	known   bool
}

// StartStopwatch starts one.
func StartStopwatch() Stopwatch {
	w := Stopwatch{began: time.Now()}
	w.stalled, w.known = stalled()
	return w
}

// A machine is busy if something waited for it for more than a tenth
// of the time. Then, and where nobody knows, a bound is ten times as long.
const (
	busyShare = 10
	patience  = 10
)

// Within returns how long it took, and fails the test if that was too long.
func (w Stopwatch) Within(t testing.TB, what string, most time.Duration) (took time.Duration) {
	t.Helper()
	took = time.Since(w.began)
	w.Judge(t, what, took, most)
	return took
}

// Judge is Within for what happened between the start and now, and took so
// long.
func (w Stopwatch) Judge(t testing.TB, what string, took, most time.Duration) {
	t.Helper()
	allowed := most
	waited, known := stalled()
	if busy := waited - w.stalled; !known || !w.known || busy > time.Since(w.began)/busyShare {
		allowed *= patience
		if took > most {
			t.Logf("%s took %v, %v on an idle machine: processes waited for the machine for %v of that", what, took.Round(time.Millisecond), most, busy.Round(time.Millisecond))
		}
	}
	if took > allowed {
		t.Errorf("%s took %v, want %v at most", what, took, allowed)
	}
}

// stalled is for how long, since the machine was started, some process has
// waited for a processor, a disk or memory: the kernel's pressure stall
// information.
func stalled() (total time.Duration, known bool) {
	for _, what := range []string{"cpu", "io", "memory"} {
		text, err := os.ReadFile("/proc/pressure/" + what)
		if err != nil {
			return 0, false
		}
		_, rest, found := strings.Cut(string(text), "total=")
		var us int64
		if _, err := fmt.Sscan(rest, &us); !found || err != nil {
			return 0, false
		}
		total += time.Duration(us) * time.Microsecond
	}
	return total, true
}
