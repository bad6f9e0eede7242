//go:build linux && soak

package hostile

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"weir/internal/testweir"
)

// listed is what weir bench says.
type listed struct {
	CPU      float64                       `json:"cpu_seconds"`
	LateMS   float64                       `json:"late_ms"`
	ListedMS struct{ Median, P95 float64 } `json:"listed_ms"`
	Frames   struct{ Lost int }            `json:"frames"`
}

// One publisher of a hundred times the bit rate of each of twenty others: their
// segments come no later than without it, plus a tenth. The two are measured by
// turns, four times each. WEIR_SOAK_LARGE is the large one's bit rate in kbit/s,
// 200000, where a machine cannot carry that.
func TestSoakLargePublisher(t *testing.T) {
	rate := 200_000
	if v := os.Getenv("WEIR_SOAK_LARGE"); v != "" {
		var err error
		if rate, err = strconv.Atoi(v); err != nil {
			t.Fatal(err)
		}
	}
	s := testweir.NewServer(t)
	s.Process = testweir.Spawn(t, nil, testweir.Release(t), s.Args("serve", "--segment", "2s")...)
	s.WaitReady(t)
	small := func(turn int) listed {
		p := testweir.Spawn(t, nil, testweir.Release(t), "bench", s.URL(fmt.Sprint("small", turn)), "--streams", "20", "--window", "12s", "--warmup", "4s",
			"--video", strconv.Itoa(rate/100), "--watch", "20", "--playlist", s.Objects("live/{name}/index.m3u8"), "--pid", strconv.Itoa(s.PID()), "--json")
		if code := p.Wait(); code != 0 {
			t.Fatalf("the bench ended with %d:\n%s", code, p.Output.String())
		}
		said := p.Output.String()
		var r listed
		if err := json.Unmarshal([]byte(said[max(strings.Index(said, "{\n"), 0):]), &r); err != nil {
			t.Fatalf("%v: %s", err, said)
		}
		return r
	}
	watch := testweir.StartStopwatch()
	var alone, beside float64
	for turn := range 4 {
		a := small(2 * turn)
		large := testweir.Spawn(t, nil, testweir.Release(t), "bench", s.URL(fmt.Sprint("large", turn)), "--streams", "1", "--window", "60s", "--warmup", "1s",
			"--video", strconv.Itoa(rate))
		time.Sleep(2 * time.Second)
		b := small(2*turn + 1)
		large.Kill(t)
		alone, beside = alone+a.ListedMS.Median/4, beside+b.ListedMS.Median/4
		t.Logf("turn %d: listed after %.0f ms (95 %% within %.0f), beside %d kbit/s %.0f (%.0f); frames late by %.0f and %.0f ms at most; %.2f and %.2f CPU-s",
			turn, a.ListedMS.Median, a.ListedMS.P95, rate, b.ListedMS.Median, b.ListedMS.P95, a.LateMS, b.LateMS, a.CPU, b.CPU)
		if a.Frames.Lost+b.Frames.Lost > 0 {
			t.Errorf("turn %d: %d and %d frames were lost", turn, a.Frames.Lost, b.Frames.Lost)
		}
	}
	t.Logf("listed after %.0f ms alone, %.0f beside one of %d kbit/s: %+.0f %%; %d MiB at most", alone, beside, rate, 100*(beside/alone-1), s.Memory(t, "VmHWM")>>20)
	watch.Judge(t, "segments beside a large publisher", time.Duration(beside*float64(time.Millisecond)), time.Duration(alone*1.1*float64(time.Millisecond)))
}
