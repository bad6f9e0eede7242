//go:build unix

package kill

import (
	"strings"
	"testing"
	"time"

	"weir/internal/faultproxy"
	"weir/internal/testmedia"
	"weir/internal/testweir"
	"weir/media"
)

// tight are the flags of an ingest whose buffer is small: 600 kB in all, which
// rich media fills in less than 3 s.
var tight = []string{"--ingest-memory", "600KB"}

// rich is small with as many bytes as a buffer is to be filled with.
func rich(seconds int) testmedia.Spec {
	s := testweir.Small(seconds)
	s.Width, s.Height, s.Bitrate, s.GOP = 960, 540, 4_000_000, 15
	return s
}

// remote starts an ingest whose way to NATS may be frozen.
func remote(t testing.TB, c *testweir.Cluster, args ...string) (*testweir.Node, *faultproxy.TCP) {
	t.Helper()
	wire := faultproxy.StartTCP(t, nil, c.NATS[0].Addr)
	return c.Ingest(t, append([]string{"--nats", "nats://" + wire.Addr}, args...)...), wire
}

// An ingest is cut off from NATS for a while that is shorter than its lease,
// though another ingest watches it. It holds the frames in a buffer that is
// bounded, stops reading when that is full, and none is lost.
func TestPartitionHeals(t *testing.T) {
	t.Parallel()
	c := testweir.NewCluster(t, 1)
	in, wire := remote(t, c, tight...)
	c.Ingest(t)
	c.Segmenter(t, "")
	file := testmedia.MP4(t, rich(11))
	encoders, viewers := c.Shows(t, in, file, 1)
	wire.Freeze()
	began, most := time.Now(), 0.0
	for time.Since(began) < 5*time.Second {
		most = max(most, in.Metric(t, "weir_ingest_buffer_bytes"))
		time.Sleep(100 * time.Millisecond)
	}
	wire.Thaw()
	pause := c.Finish(t, file, encoders, viewers)
	stalled := in.Metric(t, "weir_ingest_stalled_seconds_total")
	if stalled < 1 {
		t.Errorf("the ingest did not read for %.1f s in all: its buffer was never full", stalled)
	}
	if lost := in.Metric(t, "weir_ingest_lost_bytes_total"); lost > 0 {
		t.Errorf("%g bytes were lost", lost)
	}
	// A session may hold 512 KiB of frames whatever the limit, and the batches
	// that they are in, and two to be used again, have room for twice that.
	if bound := float64(2 << 20); most > bound {
		t.Errorf("%g bytes buffered, want %g at most", most, bound)
	}
	t.Logf("ingest cut off from NATS for 5 s: no frame lost, %.0f KiB buffered at most, not read for %.1f s; longest pause %v",
		most/1024, stalled, pause.Round(time.Millisecond))
}

// An ingest is cut off from NATS, and stays so. When its buffer is full and
// the bus timeout over, it tells its encoder, whose loop goes on at another
// ingest: the same broadcast, one discontinuity. What the old ingest had sent
// reaches NATS seconds later, and none of it gets behind the fence.
func TestPartitionStays(t *testing.T) {
	t.Parallel()
	c := testweir.NewCluster(t, 1)
	in, wire := remote(t, c, append(tight, "--bus-timeout", "1s")...)
	other := c.Ingest(t)
	c.Segmenter(t, "")
	b := rich(6)
	b.Bitrate, b.GOP, b.BFrames = 2_000_000, 10, 1
	first, second := testmedia.MP4(t, rich(15)), testmedia.MP4(t, b)
	sent := testweir.NewWiretap()
	one := faultproxy.StartTCP(t, sent.Hear, in.RTMP)
	loop := testweir.PublishLoop(t, testweir.Show{File: first, URL: "rtmp://" + one.Addr + "/live/alice"}, testweir.Show{File: second, URL: other.URL("alice")})
	prefix := c.Rendition(t, "alice")
	v := testweir.Watch(t, c.Object(prefix+"live.m3u8"))
	wire.Freeze()
	began := time.Now()
	testweir.Eventually(t, 15*time.Second, "the broadcast goes on", func() bool { x, _ := c.Stream(t, "alice"); return x.Epoch == 2 })
	took := time.Since(began)
	time.Sleep(2 * time.Second)
	wire.Thaw()
	<-loop.Ended
	kept := c.Joined(t, first, second, prefix)
	broadcast := strings.Split(prefix, "/")[2]
	epochs, batches := c.RisingEpochs(t, broadcast)
	if epochs != 2 {
		t.Errorf("the log has %d sessions, want 2", epochs)
	}
	testweir.Eventually(t, 5*time.Second, "the ingest that was cut off takes work again", func() bool {
		code, _ := testweir.Get("http://" + in.HTTP + "/readyz")
		return code == 200
	})
	pictures, _ := sent.Frames(t, 0)
	t.Logf("ingest cut off for good: live again elsewhere after %v, %d frames of the first part kept, %d messages in the log, none behind the fence; its buffer of %.0f kB was lost, %d pictures; longest pause %v",
		took.Round(time.Millisecond), len(kept), batches, in.Metric(t, "weir_ingest_lost_bytes_total")/1024, pictures-testweir.Count(kept, media.Video), v.Leave().Pause.Round(time.Millisecond))
}
