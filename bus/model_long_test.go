//go:build soak

package bus

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestSoakModel is TestModel for longer.
func TestSoakModel(t *testing.T) {
	t.Parallel()
	exploreMany(t, 5000)
}

// TestSoakModelExhausted takes every step that there is, and after that every step,
// WEIR_DEPTH of them, from a show with one worker, and from one whose second
// worker has not been told from the first.
func TestSoakModelExhausted(t *testing.T) {
	t.Parallel()
	depth := fromEnv(t, "WEIR_DEPTH", 3)
	for workers := 1; workers <= 2; workers++ {
		t.Run(fmt.Sprint(workers), func(t *testing.T) {
			t.Parallel()
			var o odometer
			runs, failed := 0, 0
			for more := true; more && failed < 3; more = o.next() {
				runs++
				rng := rand.New(rand.NewPCG(1, uint64(workers)))
				m := newModel(func(int) int { return 0 })
				m.onAir(workers)
				m.pick = o.pick
				fault, trace := schedule(m, func() {
					for range depth {
						all := m.steps()
						all[m.pick(len(all))]()
					}
					m.pick = rng.IntN
				})
				if fault != "" {
					failed++
					t.Errorf("choices %v: %s\n\t%s", o.digits, fault, strings.Join(trace, "\n\t"))
				}
			}
			t.Logf("%d schedules", runs)
		})
	}
}
