//go:build linux && soak

package torture

import (
	"os"
	"testing"
	"time"

	"weir/internal/inputs"
)

// WEIR_PEER=host:port WEIR_SEED=1 WEIR_SOAK=50s: the show of faults, sent to any
// RTMP server as live/peer. docs/players.md has what became of it. make soak
// leaves it out by its name: it is for somebody who has a server.
func TestPeer(t *testing.T) {
	address := os.Getenv("WEIR_PEER")
	if address == "" {
		t.Fatal("WEIR_PEER names no server")
	}
	began := time.Now()
	if err := inputs.Publish(address, "peer", tortured(t, soakTime(t))); err != nil {
		t.Errorf("after %v: %v", time.Since(began).Round(time.Second), err)
	}
}
