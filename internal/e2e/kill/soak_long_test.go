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

// NATS comes back without its disk, again and again. The show goes on to its end
// under the same playlists, and what is lost are frames that no segment had yet.
func TestSoakNATSLosesItsDisk(t *testing.T) {
	c := testweir.NewCluster(t, 1)
	in := c.Ingest(t)
	c.Segmenter(t, "")
	file := testmedia.MP4(t, testweir.Small(75))
	encoders, viewers := c.Shows(t, in, file, 1)
	prefix := c.Rendition(t, "s0")
	const times = 3
	for range times {
		time.Sleep(8 * time.Second)
		c.NATS[0].Kill(t)
		if err := os.RemoveAll(filepath.Join(c.Dir, "nats0")); err != nil {
			t.Fatal(err)
		}
		c.NATS[0].Start(t)
		time.Sleep(10 * time.Second)
	}
	<-encoders[0].Ended
	if again := c.WaitForEnd(t, "s0", 30*time.Second); again != prefix {
		t.Errorf("the broadcast goes on as %s, was %s", again, prefix)
	}
	v := viewers[0].Leave()
	if !v.Last.Ended {
		t.Error("the playlist has no end")
	}
	lost := missing(t, testmedia.Probe(t, file), testmedia.Probe(t, c.Object(prefix+"vod.m3u8")))
	if most := times * 5 * time.Second; lost > most {
		t.Errorf("%v of pictures are lost, want %v at most", lost, most)
	}
	testweir.Conforms(t, c.Objects(""), "M3U-GAP", "SEG-INDEPENDENT-UNSAID")
	t.Logf("NATS lost its disk %d times: %v of pictures lost, longest pause %v", times, lost, v.Pause.Round(time.Millisecond))
}
