//go:build soak && unix

package kill

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"weir/internal/testmedia"
	"weir/internal/testweir"
)

func init() { testweir.LongestLife = 24 * time.Hour }

// make soak: thirty streams, for as long as WEIR_SOAK says (5 minutes).
func TestSoak(t *testing.T) { soak(t, 30, soakTime(t), 600, "") }

// TestSoak of two releases side by side.
func TestSoakUpgrade(t *testing.T) { soak(t, 12, soakTime(t), 600, testweir.OldRelease(t)) }

func soakTime(t *testing.T) time.Duration {
	t.Helper()
	v := os.Getenv("WEIR_SOAK")
	if v == "" {
		return 5 * time.Minute
	}
	d, err := time.ParseDuration(v)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestZombie, frozen for 20 s.
func TestSoakZombie(t *testing.T) { zombies(t, 20*time.Second, 30) }

// TestNATSKilled, with two servers of three gone.
func TestSoakNATS(t *testing.T) { natsKilled(t, 3, 2) }

// NATS comes back without its disk. The show that was live stands still; its
// encoder is told, and comes back into a new one.
func TestSoakNATSLosesItsDisk(t *testing.T) {
	c := testweir.NewCluster(t, 1)
	in := c.Ingest(t)
	c.Segmenter(t, "")
	first, second := testmedia.MP4(t, testweir.Small(60)), testmedia.MP4(t, testweir.Small(8))
	testweir.PublishLoop(t, testweir.Show{File: first, URL: in.URL("alice")}, testweir.Show{File: second, URL: in.URL("alice")})
	before := c.Rendition(t, "alice")
	v := testweir.Watch(t, c.Object(before+"live.m3u8"))
	c.NATS[0].Kill(t)
	if err := os.RemoveAll(filepath.Join(c.Dir, "nats0")); err != nil {
		t.Fatal(err)
	}
	c.NATS[0].Start(t)
	began := time.Now()
	var after string
	testweir.Eventually(t, 30*time.Second, "a new broadcast is live", func() bool {
		x, ok := c.Stream(t, "alice")
		after = "live/alice/" + x.Broadcast + "/source/"
		return ok && after != before
	})
	took := time.Since(began)
	c.SameAsSent(t, second, c.WaitForEnd(t, "alice", 30*time.Second))
	if v.Leave().Last.Ended {
		t.Error("the first broadcast has ended: who knew of it?")
	}
	t.Logf("NATS came back without its disk: a new broadcast live %v later", took.Round(time.Millisecond))
}
