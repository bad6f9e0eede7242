//go:build unix

package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"weir/internal/faultproxy"
	"weir/internal/testmedia"
	"weir/media"
	"weir/media/framelog"
)

// lease is how long a worker may be silent, nodeLease an ingest, as bus has
// them by default.
const (
	lease     = 3 * time.Second
	nodeLease = 10 * time.Second
)

// shows publishes n streams, s0 to s<n-1>, and returns viewers of them.
func (c *cluster) shows(t *testing.T, in *node, file string, n int) (encoders []*process, viewers []*viewer) {
	t.Helper()
	for i := range n {
		encoders = append(encoders, publish(t, file, in.url(fmt.Sprint("s", i))))
	}
	for i := range n {
		viewers = append(viewers, watch(t, c.object(c.rendition(t, fmt.Sprint("s", i))+"live.m3u8")))
	}
	return encoders, viewers
}

// finish waits for the end of all shows, and holds each to the file that was
// published. It returns the longest pause that a viewer saw between two new
// segments of a second.
func (c *cluster) finish(t *testing.T, file string, encoders []*process, viewers []*viewer) (pause time.Duration) {
	t.Helper()
	for i, e := range encoders {
		<-e.ended
		prefix := c.waitForEnd(t, fmt.Sprint("s", i), 10*time.Second)
		c.sameAsSent(t, file, prefix)
		pause = max(pause, viewers[i].leave().pause)
	}
	conforms(t, c.objects(""))
	return pause
}

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
		{"SIGSTOP", syscall.SIGSTOP, lease + time.Second, lease + 2*time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, 1)
			in, first := c.ingest(t), c.segmenter(t, "")
			file := testmedia.MP4(t, small(14))
			encoders, viewers := c.shows(t, in, file, shows)
			eventually(t, 5*time.Second, "the first worker owns all", func() bool { return c.owns(t, first, shows) })
			second := c.segmenter(t, "")
			time.Sleep(1500 * time.Millisecond) // until it trusts what it sees
			began := time.Now()
			first.send(t, tt.signal)
			eventually(t, 10*time.Second, "the second worker owns all", func() bool { return c.owns(t, second, shows) })
			took := time.Since(began)
			if took > tt.most {
				t.Errorf("%s: taken over after %v, want %v at most", tt.name, took, tt.most)
			}
			restarts := 1
			if tt.signal == syscall.SIGTERM {
				restarts = 0 // it was handed over
				<-first.ended
				if code := first.ProcessState.ExitCode(); code != 0 {
					t.Errorf("after SIGTERM: exit code %d, want 0", code)
				}
			}
			for i := range shows {
				if x, ok := c.stream(t, fmt.Sprint("s", i)); !ok || x.Restarts == nil || *x.Restarts != restarts {
					t.Errorf("s%d: the API says %+v, want %d restarts", i, x, restarts)
				}
			}
			pause := c.finish(t, file, encoders, viewers)
			t.Logf("%d broadcasts of a worker owned by another %v after %s (aim %v); longest pause between two segments of 1 s: %v",
				shows, took.Round(time.Millisecond), tt.name, tt.aim, pause.Round(time.Millisecond))
		})
	}
}

// joined waits for the end of live/alice, the broadcast that began as prefix,
// and holds its VOD to what two publishers sent: an unbroken run of the first's
// frames from its beginning on, which it returns, then all of the second's, and
// one discontinuity between them.
func (c *cluster) joined(t *testing.T, first, second, prefix string) (kept []testmedia.Packet) {
	t.Helper()
	if again := c.waitForEnd(t, "alice", 10*time.Second); again != prefix {
		t.Errorf("the broadcast goes on as %s, was %s", again, prefix)
	}
	conforms(t, c.objects(""))
	a, b := testmedia.Probe(t, first), testmedia.Probe(t, second)
	got := testmedia.Probe(t, c.object(prefix+"vod.m3u8"))
	cut := len(got) - len(b)
	if cut <= 0 {
		t.Fatalf("the VOD has %d frames, the second publisher alone sent %d", len(got), len(b))
	}
	if err := testmedia.SameFrames(b, got[cut:]); err != nil {
		t.Errorf("of the second publisher: %v", err)
	}
	var sent []testmedia.Packet // as many of each kind as have arrived
	left := map[media.Kind]int{}
	for _, p := range got[:cut] {
		left[p.Kind]++
	}
	for _, p := range a {
		if left[p.Kind] > 0 {
			left[p.Kind]--
			sent = append(sent, p)
		}
	}
	if err := testmedia.SameFrames(sent, got[:cut]); err != nil {
		t.Errorf("of the first publisher: %v", err)
	}
	body, err := os.ReadFile(c.objects(prefix + "vod.m3u8"))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(body), "#EXT-X-DISCONTINUITY\n"); n != 1 {
		t.Errorf("the VOD has %d discontinuities, want one, between the publishers", n)
	}
	return got[:cut]
}

// count counts the frames of a kind.
func count(frames []testmedia.Packet, kind media.Kind) (n int) {
	for _, p := range frames {
		if p.Kind == kind {
			n++
		}
	}
	return n
}

// two are two files with no frame in common.
func two(t *testing.T, seconds int) (first, second string) {
	a, b := small(seconds), small(8)
	b.Bitrate, b.SampleRate = 400_000, 44100
	b.GOP, b.BFrames = 15, 1
	return testmedia.MP4(t, a), testmedia.MP4(t, b)
}

// An ingest is killed while ffmpeg publishes in a loop of the shell, through
// one address behind which another ingest answers: the same broadcast, one
// discontinuity, both parts in the VOD, and nothing for weir check to say who
// watches it all the while. What is lost is what had not reached the log.
func TestIngestKilled(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	in, other := c.ingest(t), c.ingest(t)
	c.segmenter(t, "", "--segment", "4s", "--window", "60s")
	first, second := two(t, 20)
	sent := newWiretap()
	balancer := faultproxy.StartTCP(t, sent.hear, in.rtmp, other.rtmp)
	url := "rtmp://" + balancer.Addr + "/live/alice"
	publishLoop(t, show{first, url}, show{second, url})
	prefix := c.rendition(t, "alice")
	v := watch(t, c.object(prefix+"live.m3u8"))
	clean := watchByCheck(t, c.object("live/alice/index.m3u8"))
	time.Sleep(time.Second + rand.N(time.Second)) // anywhere between two batches
	in.kill(t)
	began := time.Now()
	eventually(t, 5*time.Second, "the broadcast goes on", func() bool { x, _ := c.stream(t, "alice"); return x.Epoch == 2 })
	took := time.Since(began)
	kept := c.joined(t, first, second, prefix)
	clean()
	pictures, sounds := sent.frames(t, 0)
	pictures, sounds = pictures-count(kept, media.Video), sounds-count(kept, media.Audio)
	lost := time.Duration(pictures) * time.Second / 30
	// Frames wait in the kernel until the next read, then in a batch that grows,
	// then in the one that is being stored: each for a batch's time at most.
	const batch = 250 * time.Millisecond
	if lost < 0 || lost > 3*batch+250*time.Millisecond {
		t.Errorf("%v of pictures lost with the ingest, want at most three batches' worth of %v", lost, batch)
	}
	t.Logf("ingest killed: live again elsewhere after %v; of the first part %d frames kept, %d pictures (%v) and %d audio frames lost that were sent; longest pause %v",
		took.Round(time.Millisecond), len(kept), pictures, lost.Round(time.Millisecond), sounds, v.leave().pause.Round(time.Millisecond))
}

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
			c := newCluster(t, 1)
			in, other := c.ingest(t), c.ingest(t)
			c.segmenter(t, "")
			first, second := two(t, 20)
			encoder := publish(t, first, in.url("alice"))
			prefix := c.rendition(t, "alice")
			v := watch(t, c.object(prefix+"live.m3u8"))
			time.Sleep(2 * time.Second)
			hung := encoder
			if tt.ingest {
				hung = in.process
			}
			hung.send(t, syscall.SIGSTOP)
			began := time.Now()
			e := publish(t, second, other.url("alice"))
			eventually(t, 5*time.Second, "the second publisher is live", func() bool { x, _ := c.stream(t, "alice"); return x.Epoch == 2 })
			took := time.Since(began)
			if took > 2*time.Second {
				t.Errorf("taken over after %v, want under 1 s on an idle machine", took)
			}
			time.Sleep(tt.frozen)
			hung.send(t, syscall.SIGCONT)
			<-e.ended
			<-encoder.ended // its socket was closed
			kept := c.joined(t, first, second, prefix)
			if epochs, _ := c.risingEpochs(t, strings.Split(prefix, "/")[2]); epochs != 2 {
				t.Errorf("the log has %d sessions, want 2", epochs)
			}
			t.Logf("%s for %v: second publisher live %v after its start, %d frames of the first were kept, longest pause %v",
				tt.name, tt.frozen, took.Round(time.Millisecond), len(kept), v.leave().pause.Round(time.Millisecond))
		})
	}
}

// Publishers race for one stream on two ingests, each as often as it is
// thrown out: the log is an unbroken sequence of sessions of rising epochs,
// with no batch of one behind the begin of a newer.
func TestPublishersRace(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	file := testmedia.MP4(t, small(10))
	var racers []*process
	for _, in := range []*node{c.ingest(t), c.ingest(t)} {
		loop := fmt.Sprintf("for i in 1 2 3 4 5 6 7 8; do ffmpeg -v error -nostdin -re -i %q -c copy -f flv %q; done", file, in.url("alice"))
		racers = append(racers, spawn(t, nil, "sh", "-c", loop))
	}
	time.Sleep(6 * time.Second)
	for _, r := range racers {
		r.kill(t)
	}
	s, ok := c.stream(t, "alice")
	if !ok {
		t.Fatal("nobody published")
	}
	epochs, batches := c.risingEpochs(t, s.Broadcast)
	if epochs < 3 {
		t.Errorf("%d sessions in the log: that was no race", epochs)
	}
	t.Logf("two publishers raced: %d messages of %d sessions in the log, none behind a newer session's begin", batches, epochs)
}

// risingEpochs reads a log as NATS has it, without bus, which would drop what
// is not to be there, and looks at its order.
func (c *cluster) risingEpochs(t *testing.T, broadcast string) (highest uint64, messages int) {
	t.Helper()
	all, err := c.jetstream(t).OrderedConsumer(t.Context(), "WEIR_LOG_0", jetstream.OrderedConsumerConfig{FilterSubjects: []string{"weir.log.0." + broadcast + ".source"}})
	if err != nil {
		t.Fatal(err)
	}
	batch, err := all.FetchNoWait(10_000)
	if err != nil {
		t.Fatal(err)
	}
	for m := range batch.Messages() {
		h, err := framelog.ParseHeader(m.Headers().Get(framelog.HeaderName))
		if err != nil {
			t.Fatal(err)
		}
		if h.Epoch < highest {
			t.Errorf("a message of epoch %d behind one of %d", h.Epoch, highest)
		}
		highest = max(highest, h.Epoch)
		messages++
	}
	return highest, messages
}

// jetstream is the bus without bus.
func (c *cluster) jetstream(t testing.TB) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(natsURL(c.nats))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// frameLog is what NATS says of the log.
func (c *cluster) frameLog(t testing.TB) *jetstream.StreamInfo {
	t.Helper()
	s, err := c.jetstream(t).Stream(t.Context(), "WEIR_LOG_0")
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo()
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
	c := newCluster(t, servers)
	in := c.ingest(t)
	c.segmenter(t, "")
	file := testmedia.MP4(t, small(11))
	encoders, viewers := c.shows(t, in, file, 3)
	leader := "n0"
	if info := c.frameLog(t).Cluster; info != nil && info.Leader != "" {
		leader = info.Leader
	}
	var victims []*natsServer
	for i := range c.nats {
		if fmt.Sprint("n", i) == leader {
			victims = append(victims, c.nats[i:]...)
			victims = append(victims, c.nats[:i]...)[:killed]
		}
	}
	for _, v := range victims {
		v.kill(t)
	}
	time.Sleep(time.Second)
	for _, v := range victims {
		v.start(t)
	}
	pause := c.finish(t, file, encoders, viewers)
	t.Logf("%d of %d NATS servers killed for 1 s under 3 streams: no frame lost, longest pause %v", killed, servers, pause.Round(time.Millisecond))
}
