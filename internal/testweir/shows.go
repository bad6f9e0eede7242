//go:build unix

package testweir

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"weir/internal/testmedia"
	"weir/media"
	"weir/media/framelog"
)

// lease is how long a worker may be silent, nodeLease an ingest, as bus has
// them by default.
const (
	WorkerLease = 3 * time.Second
	NodeLease   = 10 * time.Second
)

// Shows publishes n streams, s0 to s<n-1>, and returns viewers of them.
func (c *Cluster) Shows(t testing.TB, in *Node, file string, n int) (encoders []*Process, viewers []*Viewer) {
	t.Helper()
	for i := range n {
		encoders = append(encoders, Publish(t, file, in.URL(fmt.Sprint("s", i))))
	}
	for i := range n {
		viewers = append(viewers, Watch(t, c.Object(c.Rendition(t, fmt.Sprint("s", i))+"live.m3u8")))
	}
	return encoders, viewers
}

// Finish waits for the end of all shows, and holds each to the file that was
// published. It returns the longest pause that a viewer saw between two new
// segments of a second.
func (c *Cluster) Finish(t testing.TB, file string, encoders []*Process, viewers []*Viewer) (pause time.Duration) {
	t.Helper()
	for i, e := range encoders {
		<-e.Ended
		prefix := c.WaitForEnd(t, fmt.Sprint("s", i), 10*time.Second)
		c.SameAsSent(t, file, prefix)
		pause = max(pause, viewers[i].Leave().Pause)
	}
	Conforms(t, c.Objects(""))
	return pause
}

// Rendition returns the prefix of the present broadcast of live/name, when
// its live playlist is there.
func (c *Cluster) Rendition(t testing.TB, name string) (prefix string) {
	t.Helper()
	Eventually(t, 20*time.Second, "live/"+name+" is listed", func() bool {
		x, ok := c.Stream(t, name)
		prefix = "live/" + name + "/" + x.Broadcast + "/source/"
		code, _ := Get(c.Object(prefix + "live.m3u8"))
		return ok && code == 200
	})
	return prefix
}

// SameAsSent compares a VOD with the file that was published.
func (c *Cluster) SameAsSent(t testing.TB, file, prefix string) int {
	t.Helper()
	got := testmedia.Probe(t, c.Object(prefix+"vod.m3u8"))
	if err := testmedia.SameFrames(testmedia.Probe(t, file), got); err != nil {
		t.Error(err)
	}
	return len(got)
}

// Joined waits for the end of live/alice, the broadcast that began as prefix,
// and holds its VOD to what two publishers sent: an unbroken run of the first's
// frames from its beginning on, which it returns, then all of the second's, and
// one discontinuity between them.
func (c *Cluster) Joined(t testing.TB, first, second, prefix string) (kept []testmedia.Packet) {
	t.Helper()
	if again := c.WaitForEnd(t, "alice", 10*time.Second); again != prefix {
		t.Errorf("the broadcast goes on as %s, was %s", again, prefix)
	}
	Conforms(t, c.Objects(""))
	a, b := testmedia.Probe(t, first), testmedia.Probe(t, second)
	got := testmedia.Probe(t, c.Object(prefix+"vod.m3u8"))
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
	body, err := os.ReadFile(c.Objects(prefix + "vod.m3u8"))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(body), "#EXT-X-DISCONTINUITY\n"); n != 1 {
		t.Errorf("the VOD has %d discontinuities, want one, between the publishers", n)
	}
	return got[:cut]
}

// Count counts the frames of a kind.
func Count(frames []testmedia.Packet, kind media.Kind) (n int) {
	for _, p := range frames {
		if p.Kind == kind {
			n++
		}
	}
	return n
}

// Numbered returns the place of each frame among those of its kind, by its
// hash, and how many of each kind there are.
func Numbered(frames []testmedia.Packet) (order map[string]int, counts [4]int) {
	order = make(map[string]int)
	for _, p := range frames {
		order[p.MD5] = counts[p.Kind]
		counts[p.Kind]++
	}
	return order, counts
}

// Missing wants got to be want without some runs, and returns how many there
// are among the pictures, and the frames they had.
func Missing(t testing.TB, want, got []testmedia.Packet) (holes, pictures, sounds int) {
	t.Helper()
	order, counts := Numbered(want)
	next := map[media.Kind]int{}
	for _, p := range got {
		n, known := order[p.MD5]
		if !known || n < next[p.Kind] {
			t.Errorf("%s frame %d, %v, was never sent, or comes twice", p.Kind, n, p.PTS)
			continue
		}
		if p.Kind == media.Video && n > next[p.Kind] {
			holes++
		}
		next[p.Kind] = n + 1
	}
	if next[media.Video] != counts[media.Video] || next[media.Audio] != counts[media.Audio] {
		t.Errorf("the end is missing: after %v of %v", next, counts)
	}
	return holes, counts[media.Video] - Count(got, media.Video), counts[media.Audio] - Count(got, media.Audio)
}

// RisingEpochs reads a log as NATS has it, without bus, which would drop what
// is not to be there, and looks at its order.
func (c *Cluster) RisingEpochs(t testing.TB, broadcast string) (highest uint64, messages int) {
	t.Helper()
	all, err := c.JetStream(t).OrderedConsumer(t.Context(), "WEIR_LOG_0", jetstream.OrderedConsumerConfig{FilterSubjects: []string{"weir.log.0." + broadcast + ".source"}})
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

// JetStream is the bus without bus.
func (c *Cluster) JetStream(t testing.TB) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(NATSURL(c.NATS))
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

// FrameLog is what NATS says of the log.
func (c *Cluster) FrameLog(t testing.TB) *jetstream.StreamInfo {
	t.Helper()
	s, err := c.JetStream(t).Stream(t.Context(), "WEIR_LOG_0")
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo()
}
