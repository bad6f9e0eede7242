//go:build soak && unix

package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"weir/internal/testmedia"
)

func init() { longestLife = 24 * time.Hour }

// make soak: thirty streams, for as long as WEIR_SOAK says (5 minutes).
func TestSoak(t *testing.T) {
	long := 5 * time.Minute
	if v := os.Getenv("WEIR_SOAK"); v != "" {
		d, err := time.ParseDuration(v)
		if err != nil {
			t.Fatal(err)
		}
		long = d
	}
	soak(t, 30, long, 600)
}

// TestZombie, frozen for 20 s.
func TestSoakZombie(t *testing.T) { zombies(t, 20*time.Second, 30) }

// TestNATSKilled, with two servers of three gone.
func TestSoakNATS(t *testing.T) { natsKilled(t, 3, 2) }

// NATS comes back without its disk. The show that was live stands still; its
// encoder is told, and comes back into a new one.
func TestSoakNATSLosesItsDisk(t *testing.T) {
	c := newCluster(t, 1)
	in := c.ingest(t)
	c.segmenter(t, "")
	first, second := testmedia.MP4(t, small(60)), testmedia.MP4(t, small(8))
	publishLoop(t, show{first, in.url("alice")}, show{second, in.url("alice")})
	before := c.rendition(t, "alice")
	v := watch(t, c.object(before+"live.m3u8"))
	c.nats[0].kill(t)
	if err := os.RemoveAll(filepath.Join(c.dir, "nats0")); err != nil {
		t.Fatal(err)
	}
	c.nats[0].start(t)
	began := time.Now()
	var after string
	eventually(t, 30*time.Second, "a new broadcast is live", func() bool {
		x, ok := c.stream(t, "alice")
		after = "live/alice/" + x.Broadcast + "/source/"
		return ok && after != before
	})
	took := time.Since(began)
	c.sameAsSent(t, second, c.waitForEnd(t, "alice", 30*time.Second))
	if v.leave().last.ended {
		t.Error("the first broadcast has ended: who knew of it?")
	}
	t.Logf("NATS came back without its disk: a new broadcast live %v later", took.Round(time.Millisecond))
}
