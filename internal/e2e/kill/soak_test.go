//go:build unix

package kill

import (
	"context"
	"crypto/md5"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"weir/internal/testmedia"
	"weir/internal/testweir"
	"weir/media"
	"weir/media/aac"
)

// A minute of TestSoak with fewer streams.
func TestKillAnything(t *testing.T) {
	t.Parallel()
	soak(t, 8, 40*time.Second, 100, "")
}

// soak runs three ingests, three segmenters and a cluster of three NATS
// servers under some streams for a while, and kills or freezes one of them
// every few seconds. Each encoder that loses its connection begins its file anew at
// another ingest. In the end every VOD passes weir check, and consists of
// unbroken runs from the file's beginning on, one for each session. older,
// where not empty, is the build of an older release: an ingest and two of then
// four segmenters are of it.
func soak(t *testing.T, streams int, long time.Duration, fileSeconds int, older string) {
	c := testweir.NewCluster(t, 3)
	s := &soaking{Cluster: c, older: older, kills: make(map[string]int)}
	for i := range 3 {
		s.ingests = append(s.ingests, s.ingest(t, i))
		s.workers = append(s.workers, s.worker(t, i))
	}
	if older != "" { // two of each: what one alone can read waits for it
		s.workers = append(s.workers, s.worker(t, 3))
	}
	file := testmedia.MP4(t, testweir.Small(fileSeconds))
	ctx, stop := context.WithCancel(t.Context())
	var encoders sync.WaitGroup
	for i := range streams {
		encoders.Go(func() { s.encode(ctx, file, fmt.Sprint("s", i)) })
	}
	var viewers []*testweir.Viewer
	for i := range streams {
		viewers = append(viewers, testweir.Watch(t, c.Object(c.Rendition(t, fmt.Sprint("s", i))+"live.m3u8")))
	}
	for s.until = time.Now().Add(long); time.Now().Before(s.until); {
		s.killOne(t)
		time.Sleep(2*time.Second + rand.N(2*time.Second))
	}
	s.frozen.Wait()
	stop()
	encoders.Wait()
	for i := range streams {
		c.WaitForEnd(t, fmt.Sprint("s", i), time.Minute)
	}
	var pause time.Duration
	for _, v := range viewers {
		pause = max(pause, v.Leave().Pause)
	}
	frames, sessions, broadcasts := s.verify(t, file)
	if n := c.FrameLog(t).Config.Replicas; n != 3 {
		t.Errorf("the log has %d replicas: a node that was not told of three has changed it", n)
	}
	testweir.Conforms(t, c.Objects(""))
	t.Logf("%d streams for %v, killed %v: %d broadcasts of %d sessions, %d frames, each session unbroken; longest pause of a viewer %v",
		streams, long, s.kills, broadcasts, sessions, frames, pause.Round(time.Millisecond))
}

type soaking struct {
	*testweir.Cluster
	older   string
	workers []*testweir.Node
	kills   map[string]int
	calm    time.Time // until when all NATS servers are left alone
	frozen  sync.WaitGroup
	until   time.Time

	mu      sync.Mutex
	ingests []*testweir.Node
}

// ingest starts the ingest of a place among them.
func (s *soaking) ingest(t testing.TB, place int) *testweir.Node {
	defer s.build(place)()
	return s.Ingest(t)
}

// worker starts the segmenter of a place among them.
func (s *soaking) worker(t testing.TB, place int) *testweir.Node {
	defer s.build(place)()
	return s.Segmenter(t, "")
}

// build has a cluster start the older release in every second place.
func (s *soaking) build(place int) (undo func()) {
	if place%2 == 1 {
		s.Binary = s.older
	}
	return func() { s.Binary = "" }
}

// encode publishes a file until ctx ends, and again at any ingest that is
// there when the connection is lost.
func (s *soaking) encode(ctx context.Context, file, name string) {
	for ctx.Err() == nil {
		s.mu.Lock()
		url := s.ingests[rand.N(len(s.ingests))].URL(name)
		s.mu.Unlock()
		cmd := exec.CommandContext(ctx, "ffmpeg", "-v", "error", "-nostdin", "-re", "-i", file,
			"-c", "copy", "-f", "flv", "-flvflags", "no_duration_filesize", url)
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) } // it unpublishes
		_ = cmd.Run()                                                           // fails whenever its ingest is killed
		time.Sleep(200 * time.Millisecond)
	}
}

// killOne kills one process and starts another in its place, or freezes it for
// longer than its lease.
func (s *soaking) killOne(t testing.TB) {
	t.Helper()
	ways := []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM, syscall.SIGSTOP}
	switch n := rand.N(12); {
	case n < 6:
		i := rand.N(len(s.workers))
		s.end(t, "worker", s.workers[i], ways[n%3], testweir.WorkerLease)
		s.workers[i] = s.worker(t, i)
	case n < 9 || time.Now().Before(s.calm):
		i := rand.N(len(s.ingests))
		s.end(t, "ingest", s.ingests[i], ways[n%3], testweir.NodeLease)
		fresh := s.ingest(t, i)
		s.mu.Lock()
		s.ingests[i] = fresh
		s.mu.Unlock()
	default:
		// Two of three must agree on everything: one is away at a time, and
		// has the time to catch up.
		server := s.NATS[rand.N(len(s.NATS))]
		if rand.N(2) == 0 {
			s.kills["nats stopped"]++
			server.Send(t, syscall.SIGSTOP)
			time.Sleep(time.Second + rand.N(5*time.Second))
			server.Send(t, syscall.SIGCONT)
		} else {
			s.kills["nats killed"]++
			server.Kill(t)
			time.Sleep(time.Second)
			server.Start(t)
		}
		s.calm = time.Now().Add(15 * time.Second)
	}
}

// end ends a process for the others. One that is frozen wakes up some seconds
// after its lease has run out, finds itself replaced, and is asked to go when
// it has had the time to do harm; where there is no time for that any more, it
// is killed.
func (s *soaking) end(t testing.TB, what string, n *testweir.Node, with syscall.Signal, lease time.Duration) {
	t.Helper()
	const awake = 3 * time.Second
	asleep := lease + time.Second + rand.N(3*time.Second)
	if with == syscall.SIGSTOP && time.Until(s.until) < asleep+awake {
		with = syscall.SIGKILL
	}
	s.kills[what+" "+with.String()]++
	n.Send(t, with)
	if with != syscall.SIGSTOP {
		return
	}
	s.frozen.Go(func() {
		time.Sleep(asleep)
		_ = n.Signal(syscall.SIGCONT)
		time.Sleep(awake)
		_ = n.Signal(syscall.SIGTERM)
	})
}

// verify holds all broadcasts in the store to the file.
func (s *soaking) verify(t *testing.T, file string) (frames, sessions, broadcasts int) {
	t.Helper()
	order, _ := testweir.Numbered(testmedia.Probe(t, file))
	vods, err := filepath.Glob(s.Objects("live/*/*/source/vod.m3u8"))
	if err != nil {
		t.Fatal(err)
	}
	for _, vod := range vods {
		key, err := filepath.Rel(s.Objects(""), vod)
		if err != nil {
			t.Fatal(err)
		}
		got := testmedia.Probe(t, s.Object(key))
		frames += len(got)
		n := unbroken(t, key, order, got)
		body, err := os.ReadFile(vod)
		if err != nil {
			t.Fatal(err)
		}
		if breaks := strings.Count(string(body), "#EXT-X-DISCONTINUITY\n"); breaks != n-1 {
			t.Errorf("%s: %d discontinuities between %d sessions", key, breaks, n)
		}
		sessions += n
	}
	return frames, sessions, len(vods)
}

// silent are the silent frames of mono and stereo AAC-LC, by their MD5.
var silent = map[string]bool{silentMD5(0x08): true, silentMD5(0x10): true}

func silentMD5(channels byte) string {
	config, err := aac.ParseConfig([]byte{0x12, channels})
	if err != nil {
		panic(err)
	}
	frame, err := config.AppendSilence(nil)
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf("%x", md5.Sum(frame))
}

// unbroken wants got to be runs of the file's frames, each from the first on
// and without a hole, and returns how many.
func unbroken(t *testing.T, key string, order map[string]int, got []testmedia.Packet) (runs int) {
	t.Helper()
	next := map[media.Kind]int{}
	for i, p := range got {
		n, known := order[p.MD5]
		switch {
		case silent[p.MD5]:
			// A session that was killed before its first sound: its segment is
			// given some, since the show has sound.
			continue
		case !known:
			t.Errorf("%s: frame %d, %v, was never sent", key, i, p.PTS)
		case n == 0:
			if p.Kind == media.Video {
				runs++
			}
		case n != next[p.Kind]:
			t.Errorf("%s: at %v, %s frame %d comes after frame %d", key, p.PTS, p.Kind, n, next[p.Kind]-1)
		}
		next[p.Kind] = n + 1
	}
	return runs
}
