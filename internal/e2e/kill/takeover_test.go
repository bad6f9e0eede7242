//go:build unix

package kill

import (
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"weir/internal/faultproxy"
	"weir/internal/testmedia"
	"weir/internal/testweir"
	"weir/media"
)

// A worker ends: killed, asked to, or frozen. Another has all its broadcasts
// in time, no frame is lost or doubled, and viewers see no more than a pause.
func TestWorkerEnds(t *testing.T) {
	t.Parallel()
	const shows = 5
	for _, tt := range []struct {
		name   string
		signal syscall.Signal
		aim    time.Duration // on a machine that has nothing else to do
		most   time.Duration
	}{
		{"SIGKILL", syscall.SIGKILL, 300 * time.Millisecond, time.Second},
		{"SIGTERM", syscall.SIGTERM, 200 * time.Millisecond, time.Second},
		{"SIGSTOP", syscall.SIGSTOP, testweir.WorkerLease + time.Second, testweir.WorkerLease + 2*time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := testweir.NewCluster(t, 1)
			in, first := c.Ingest(t), c.Segmenter(t, "")
			file := testmedia.MP4(t, testweir.Small(14))
			encoders, viewers := c.Shows(t, in, file, shows)
			testweir.Eventually(t, 5*time.Second, "the first worker owns all", func() bool { return c.Owns(t, first, shows) })
			second := c.Segmenter(t, "")
			time.Sleep(1500 * time.Millisecond) // until it trusts what it sees
			watch := testweir.StartStopwatch()
			first.Send(t, tt.signal)
			testweir.Eventually(t, 10*time.Second, "the second worker owns all", func() bool { return c.Owns(t, second, shows) })
			took := watch.Within(t, "the takeover after "+tt.name, tt.most)
			restarts := 1
			if tt.signal == syscall.SIGTERM {
				restarts = 0 // it was handed over
				if code := first.Wait(); code != 0 {
					t.Errorf("after SIGTERM: exit code %d, want 0", code)
				}
			}
			for i := range shows {
				if x, ok := c.Stream(t, fmt.Sprint("s", i)); !ok || x.Restarts == nil || *x.Restarts != restarts {
					t.Errorf("s%d: the API says %+v, want %d restarts", i, x, restarts)
				}
			}
			pause := c.Finish(t, file, encoders, viewers)
			t.Logf("%d broadcasts of a worker owned by another %v after %s (aim %v); longest pause between two segments of 1 s: %v",
				shows, took.Round(time.Millisecond), tt.name, tt.aim, pause.Round(time.Millisecond))
		})
	}
}

// An ingest is killed while ffmpeg publishes in a loop of the shell, through
// one address behind which another ingest answers: the same broadcast, one
// discontinuity, both parts in the VOD, and nothing for weir check to say who
// watches it all the while. What is lost is what had not reached the log.
func TestIngestKilled(t *testing.T) {
	t.Parallel()
	c := testweir.NewCluster(t, 1)
	in, other := c.Ingest(t), c.Ingest(t)
	c.Segmenter(t, "", "--segment", "4s", "--window", "60s")
	first, second := testweir.TwoFiles(t, 20)
	sent := testweir.NewWiretap()
	balancer := faultproxy.StartTCP(t, sent.Hear, in.RTMP, other.RTMP)
	url := "rtmp://" + balancer.Addr + "/live/alice"
	testweir.PublishLoop(t, testweir.Show{File: first, URL: url}, testweir.Show{File: second, URL: url})
	prefix := c.Rendition(t, "alice")
	v := testweir.Watch(t, c.Object(prefix+"live.m3u8"))
	clean := testweir.WatchByCheck(t, c.Object("live/alice/index.m3u8"))
	time.Sleep(time.Second + rand.N(time.Second)) // anywhere between two batches
	in.Kill(t)
	began := time.Now()
	testweir.Eventually(t, 5*time.Second, "the broadcast goes on", func() bool { x, _ := c.Stream(t, "alice"); return x.Epoch == 2 })
	took := time.Since(began)
	kept := c.Joined(t, first, second, prefix)
	clean()
	pictures, sounds := sent.Frames(t, 0)
	pictures, sounds = pictures-testweir.Count(kept, media.Video), sounds-testweir.Count(kept, media.Audio)
	lost := time.Duration(pictures) * time.Second / 30
	// Frames wait in the kernel until the next read, then in a batch that grows,
	// then in the one that is being stored: each for a batch's time at most.
	const batch = 250 * time.Millisecond
	if lost < 0 || lost > 3*batch+250*time.Millisecond {
		t.Errorf("%v of pictures lost with the ingest, want at most three batches' worth of %v", lost, batch)
	}
	t.Logf("ingest killed: live again elsewhere after %v; of the first part %d frames kept, %d pictures (%v) and %d audio frames lost that were sent; longest pause %v",
		took.Round(time.Millisecond), len(kept), pictures, lost.Round(time.Millisecond), sounds, v.Leave().Pause.Round(time.Millisecond))
}

// A NATS server is killed and started again while streams are live: the only
// one, or the one of three that leads the log. The ingest holds the frames
// meanwhile, and none is lost.
func TestNATSKilled(t *testing.T) {
	t.Parallel()
	t.Run("the only server", func(t *testing.T) { t.Parallel(); natsKilled(t, 1, 1) })
	t.Run("the leader of three", func(t *testing.T) { t.Parallel(); natsKilled(t, 3, 1) })
}

// natsKilled kills some of the servers, the one that leads the log first.
func natsKilled(t *testing.T, servers, killed int) {
	c := testweir.NewCluster(t, servers)
	in := c.Ingest(t)
	c.Segmenter(t, "")
	file := testmedia.MP4(t, testweir.Small(11))
	encoders, viewers := c.Shows(t, in, file, 3)
	leader := "n0"
	if info := c.FrameLog(t).Cluster; info != nil && info.Leader != "" {
		leader = info.Leader
	}
	var victims []*testweir.NATSServer
	for i := range c.NATS {
		if fmt.Sprint("n", i) == leader {
			victims = append(victims, c.NATS[i:]...)
			victims = append(victims, c.NATS[:i]...)[:killed]
		}
	}
	for _, v := range victims {
		v.Kill(t)
	}
	time.Sleep(time.Second)
	for _, v := range victims {
		v.Start(t)
	}
	pause := c.Finish(t, file, encoders, viewers)
	t.Logf("%d of %d NATS servers killed for 1 s under 3 streams: no frame lost, longest pause %v", killed, servers, pause.Round(time.Millisecond))
}
