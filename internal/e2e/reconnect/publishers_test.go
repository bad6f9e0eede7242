//go:build unix

package reconnect

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"weir/internal/testmedia"
	"weir/internal/testweir"
)

// A second publisher takes over while the first hangs, or the ingest that it
// publishes to, and later wakes up: in under a second, and the log holds no
// frame of the first behind the fence.
func TestPublisherTakesOver(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		ingest bool
		frozen time.Duration
	}{
		{"from an encoder that hangs", false, 2 * time.Second},
		{"from an ingest that hangs", true, 4 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := testweir.NewCluster(t, 1)
			in, other := c.Ingest(t), c.Ingest(t)
			c.Segmenter(t, "")
			first, second := testweir.TwoFiles(t, 20)
			encoder := testweir.Publish(t, first, in.URL("alice"))
			prefix := c.Rendition(t, "alice")
			v := testweir.Watch(t, c.Object(prefix+"live.m3u8"))
			time.Sleep(2 * time.Second)
			hung := encoder
			if tt.ingest {
				hung = in.Process
			}
			hung.Send(t, syscall.SIGSTOP)
			watch := testweir.StartStopwatch()
			e := testweir.Publish(t, second, other.URL("alice"))
			testweir.Eventually(t, 5*time.Second, "the second publisher is live", func() bool { x, _ := c.Stream(t, "alice"); return x.Epoch == 2 })
			took := watch.Within(t, "the takeover", 2*time.Second)
			time.Sleep(tt.frozen)
			hung.Send(t, syscall.SIGCONT)
			<-e.Ended
			<-encoder.Ended // its socket was closed
			kept := c.Joined(t, first, second, prefix)
			if epochs, _ := c.RisingEpochs(t, strings.Split(prefix, "/")[2]); epochs != 2 {
				t.Errorf("the log has %d sessions, want 2", epochs)
			}
			t.Logf("%s for %v: second publisher live %v after its start, %d frames of the first were kept, longest pause %v",
				tt.name, tt.frozen, took.Round(time.Millisecond), len(kept), v.Leave().Pause.Round(time.Millisecond))
		})
	}
}

// Publishers race for one stream on two ingests, each as often as it is
// thrown out: the log is an unbroken sequence of sessions of rising epochs,
// with no batch of one behind the begin of a newer.
func TestPublishersRace(t *testing.T) {
	t.Parallel()
	c := testweir.NewCluster(t, 1)
	file := testmedia.MP4(t, testweir.Small(10))
	var racers []*testweir.Process
	for _, in := range []*testweir.Node{c.Ingest(t), c.Ingest(t)} {
		loop := fmt.Sprintf("for i in 1 2 3 4 5 6 7 8; do ffmpeg -v error -nostdin -re -i %q -c copy -f flv %q; done", file, in.URL("alice"))
		racers = append(racers, testweir.Spawn(t, nil, "sh", "-c", loop))
	}
	time.Sleep(6 * time.Second)
	for _, r := range racers {
		r.Kill(t)
	}
	s, ok := c.Stream(t, "alice")
	if !ok {
		t.Fatal("nobody published")
	}
	epochs, batches := c.RisingEpochs(t, s.Broadcast)
	if epochs < 3 {
		t.Errorf("%d sessions in the log: that was no race", epochs)
	}
	t.Logf("two publishers raced: %d messages of %d sessions in the log, none behind a newer session's begin", batches, epochs)
}
