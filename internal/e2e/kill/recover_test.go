//go:build unix

package kill

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir/internal/testmedia"
	"weir/internal/testweir"
)

// All that knew of a show is gone at once: its encoder, its ingest, its segmenter,
// and NATS' disk. weir store recover tells the new NATS of it, and it gets its end:
// what was listed stays, and nothing else.
func TestStoreRecover(t *testing.T) {
	t.Parallel()
	c := testweir.NewCluster(t, 1)
	in := c.Ingest(t)
	worker := c.Segmenter(t, "")
	file := testmedia.MP4(t, testweir.Small(30))
	encoder := testweir.Publish(t, file, in.URL("alice"))
	prefix := c.Rendition(t, "alice")
	v := testweir.Watch(t, c.Object(prefix+"live.m3u8"))
	time.Sleep(4 * time.Second)
	encoder.Kill(t)
	in.Kill(t)
	worker.Kill(t)
	c.NATS[0].Kill(t)
	if err := os.RemoveAll(filepath.Join(c.Dir, "nats0")); err != nil {
		t.Fatal(err)
	}
	_, listed := testweir.Get(c.Object(prefix + "live.m3u8"))
	c.NATS[0].Start(t)
	c.Ingest(t, "--reconnect-window", "2s")
	c.Segmenter(t, "")
	for _, want := range []string{"1 recovered, 0 known", "0 recovered, 1 known"} {
		if code, said := testweir.Run(t, "store", "recover", c.Store(), "--nats", testweir.NATSURL(c.NATS)); code != 0 || !strings.Contains(said, want) {
			t.Errorf("exit code %d, and it says\n%s\nwant %s", code, said, want)
		}
	}
	testweir.Eventually(t, 30*time.Second, "the playlist has an end", func() bool {
		_, now := testweir.Get(c.Object(prefix + "live.m3u8"))
		return strings.Contains(string(now), "#EXT-X-ENDLIST")
	})
	_, ended := testweir.Get(c.Object(prefix + "live.m3u8"))
	if before, after := strings.Count(string(listed), ".ts"), strings.Count(string(ended), ".ts"); after < before {
		t.Errorf("%d segments are listed, %d were", after, before)
	}
	if !v.Leave().Last.Ended {
		t.Error("the viewer has seen no end")
	}
	testweir.Conforms(t, c.Objects(""), "M3U-GAP", "SEG-INDEPENDENT-UNSAID", "SEG-BANDWIDTH-HIGH", "SEG-AVERAGE-BANDWIDTH", "SEG-BANDWIDTH")
}
