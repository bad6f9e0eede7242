//go:build unix

package kill

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"weir/internal/testmedia"
	"weir/internal/testweir"
	"weir/media"
)

// NATS forgets: its server comes back without its disk, or as it was seconds
// ago, as after a power cut; with it the worker may be gone. The show goes on
// to its end under the same playlists: they never go back, and name only what
// is there. What is lost are frames that no segment had yet.
func TestNATSForgets(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name         string
		disk, worker bool // what is lost with the server's memory
	}{
		{"its disk", true, false},
		{"the last seconds", false, false},
		{"the last seconds, and the worker is gone", false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := testweir.NewCluster(t, 1)
			in := c.Ingest(t)
			worker := c.Segmenter(t, "")
			file := testmedia.MP4(t, testweir.Small(32))
			encoders, viewers := c.Shows(t, in, file, 1)
			prefix := c.Rendition(t, "s0")
			dir := filepath.Join(c.Dir, "nats0")
			old := filepath.Join(c.Dir, "nats-old")
			time.Sleep(3 * time.Second)
			if !tt.disk { // what the server would find after a power cut 7 s later
				c.NATS[0].Kill(t)
				if err := os.CopyFS(old, os.DirFS(dir)); err != nil {
					t.Fatal(err)
				}
				c.NATS[0].Start(t)
				time.Sleep(7 * time.Second)
			}
			if tt.worker {
				worker.Kill(t)
			}
			c.NATS[0].Kill(t)
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
			if !tt.disk {
				if err := os.Rename(old, dir); err != nil {
					t.Fatal(err)
				}
			}
			c.NATS[0].Start(t)
			if tt.worker {
				c.Segmenter(t, "")
			}
			<-encoders[0].Ended
			if again := c.WaitForEnd(t, "s0", 20*time.Second); again != prefix {
				t.Errorf("the broadcast goes on as %s, was %s", again, prefix)
			}
			v := viewers[0].Leave()
			if !v.Last.Ended {
				t.Error("the playlist has no end")
			}
			lost := missing(t, testmedia.Probe(t, file), testmedia.Probe(t, c.Object(prefix+"vod.m3u8")))
			// A segment that grows, and one on its way to the store.
			if lost > 5*time.Second {
				t.Errorf("%v of pictures are lost, want at most two segments of them", lost)
			}
			testweir.Conforms(t, c.Objects(""), "M3U-GAP", "SEG-INDEPENDENT-UNSAID")
			t.Logf("%v of pictures lost, longest pause %v", lost, v.Pause.Round(time.Millisecond))
		})
	}
}

// missing holds what was got to what was sent, in order and each once, and
// returns how long the pictures are that are missing.
func missing(t *testing.T, sent, got []testmedia.Packet) time.Duration {
	t.Helper()
	order := map[string]int{}
	pictures := 0
	for i, p := range sent {
		order[p.MD5] = i
		if p.Kind == media.Video {
			pictures++
		}
	}
	last := map[media.Kind]int{media.Video: -1, media.Audio: -1}
	for _, p := range got {
		i, known := order[p.MD5]
		switch {
		case silent[p.MD5]:
			continue // in a segment whose sound is lost
		case !known:
			t.Errorf("at %v: a frame that was never sent", p.PTS)
		case i <= last[p.Kind]:
			t.Errorf("at %v: frame %d comes again, or behind %d", p.PTS, i, last[p.Kind])
		}
		last[p.Kind] = max(last[p.Kind], i)
		if p.Kind == media.Video {
			pictures--
		}
	}
	return time.Duration(pictures) * time.Second / 30
}
