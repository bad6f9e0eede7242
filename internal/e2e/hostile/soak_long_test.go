//go:build linux && soak

package hostile

import (
	"os"
	"testing"
	"time"

	"weir/internal/testweir"
)

func init() {
	long = true
	patience = 1500 * time.Millisecond
	testweir.LongestLife = 24 * time.Hour
}

// soakTime is how long the storm lasts: WEIR_SOAK, a minute where it says
// nothing, and less than ten: the media is made before.
func soakTime(t *testing.T) time.Duration {
	t.Helper()
	v := os.Getenv("WEIR_SOAK")
	if v == "" {
		return time.Minute
	}
	d, err := time.ParseDuration(v)
	if err != nil {
		t.Fatal(err)
	}
	return min(d, 9*time.Minute)
}

// TestHostile, forty attackers at a time.
func TestSoakHostile(t *testing.T) { storm(t, int(soakTime(t).Seconds()), 40, 0) }

// TestAttacks at the default limits, and to their ends.
func TestSoakAttacks(t *testing.T) {
	costly(t, costs{show: 60, keys: 30_000, empty: 600, capacity: 500, runs: time.Minute, contends: 20 * time.Second})
}

// TestCrowd at the default limit.
func TestSoakCrowd(t *testing.T) {
	crowded(t, masses{halfOpen: 2000, slow: 200, limit: 1000, show: 30, newcomers: 50})
}

// TestCheckHostile with the servers that take a while.
func TestSoakCheckHostile(t *testing.T) { TestCheckHostile(t) }

// TestWeb with fifty connections of each, which is what two processors can send
// beside the weir.
func TestSoakWeb(t *testing.T) { web(t, 40, 50, 300) }
