//go:build unix

package kill

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"weir/internal/testmedia"
	"weir/internal/testweir"
)

// Stages in processes of their own, with a real NATS server between them, do
// what serve does in one.
func TestProcesses(t *testing.T) {
	t.Parallel()
	c := testweir.NewCluster(t, 1)
	in, seg := c.Ingest(t), c.Segmenter(t, "", "--once")
	file := testmedia.MP4(t, testweir.Small(10))
	testweir.FFmpeg(t, 2, file, in.URL("alice"))
	began := time.Now()
	prefix := c.WaitForEnd(t, "alice", 10*time.Second)
	ended := time.Since(began)
	frames := c.SameAsSent(t, file, prefix)
	testweir.CheckSegments(t, c.Objects(prefix), testweir.Small(10))
	testweir.Conforms(t, c.Objects(""))
	testweir.Eventually(t, 5*time.Second, "segment --once exits at the end of its broadcast", seg.Over)
	if code := seg.Wait(); code != 0 {
		t.Errorf("segment --once: exit code %d, want 0", code)
	}
	if code := in.Stop(t); code != 0 {
		t.Errorf("ingest after SIGTERM: exit code %d, want 0 as asked", code)
	}
	t.Logf("%d frames, none lost; the playlists ended %v after the encoder; from start to ready: ingest %v, segment %v", frames, ended.Round(time.Millisecond), in.Ready.Round(time.Millisecond), seg.Ready.Round(time.Millisecond))
}

// One log, packaged twice: by one worker that nobody disturbs, and by four
// that are killed again and again, some between a segment's put and its
// checkpoint, some between that and its playlist. Every object is the same,
// and viewers of the second saw nothing of it.
func TestByteIdentity(t *testing.T) {
	t.Parallel()
	byteIdentity(t, 20)
}

func byteIdentity(t *testing.T, deaths int) {
	dir := t.TempDir()
	calm, wild := filepath.Join(dir, "calm"), filepath.Join(dir, "wild")
	recordLog(t, calm)
	if err := os.CopyFS(wild, os.DirFS(calm)); err != nil {
		t.Fatal(err)
	}
	settings := []string{"--segment", "500ms", "--window", "5s"}
	a := testweir.ClusterOn(t, calm, testweir.StartNATS(t, calm, 1))
	a.Segmenter(t, "", append(settings, "--once")...)
	prefix := a.WaitForEnd(t, "alice", time.Minute)

	b := testweir.ClusterOn(t, wild, testweir.StartNATS(t, wild, 1))
	v := testweir.Watch(t, b.Object(prefix+"live.m3u8"))
	began := time.Now()
	kills := killWorkers(t, b, settings, deaths)
	took := time.Since(began)
	b.Segmenter(t, "", settings...)
	b.WaitForEnd(t, "alice", time.Minute)
	v.Leave()
	if kills["put"] < deaths/5 || kills["cas"] < deaths/5 {
		t.Errorf("kills by point: %v of %d; want a fifth of put and of cas", kills, deaths)
	}
	objects := sameObjects(t, a.Objects(""), b.Objects(""))
	t.Logf("%d objects byte-identical after kills %v in %v; %d polls saw %d segments, none missing, no number going back; longest pause %v",
		objects, kills, took.Round(time.Second), v.Polls, len(v.Seen), v.Pause.Round(time.Millisecond))
}

// recordLog leaves the log of one whole broadcast, live/alice, under dir,
// which nobody has packaged.
func recordLog(t *testing.T, dir string) {
	t.Helper()
	spec := testweir.Small(180)
	spec.GOP = 15
	file := testmedia.FLV(t, spec)
	servers := testweir.StartNATS(t, dir, 1)
	c := testweir.ClusterOn(t, dir, servers)
	in := c.Ingest(t)
	if code, said := testweir.Run(t, "push", "--fast", "--once", file, in.URL("alice")); code != 0 {
		t.Fatalf("push: exit code %d: %s", code, said)
	}
	testweir.Eventually(t, 10*time.Second, "the broadcast has ended", func() bool {
		x, ok := c.Stream(t, "alice")
		return ok && x.State == "ended"
	})
	time.Sleep(time.Second) // for the log to say so, too
	in.Send(t, syscall.SIGTERM)
	<-in.Ended
	servers[0].Send(t, syscall.SIGTERM)
	<-servers[0].Ended
}

// killWorkers keeps four workers alive, each until its plan kills it, until
// deaths have died, and returns how many did at which point.
func killWorkers(t *testing.T, c *testweir.Cluster, settings []string, deaths int) map[string]int {
	t.Helper()
	var plans []string
	for i := range deaths / 4 {
		plans = append(plans, fmt.Sprintf("put %d %d", 1+i%2, syscall.SIGKILL), fmt.Sprintf("cas %d %d", 1+i%2, syscall.SIGKILL))
	}
	for len(plans) < deaths {
		plans = append(plans, fmt.Sprintf("time %v %d", rand.N(60*time.Millisecond), syscall.SIGKILL))
	}
	rand.Shuffle(len(plans), func(i, j int) { plans[i], plans[j] = plans[j], plans[i] })
	kills := make(map[string]int)
	type life struct {
		*testweir.Node
		point string
	}
	var alive []life
	for deadline := time.Now().Add(4 * time.Minute); len(plans) > 0 || len(alive) > 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d kills have not come about, but %v: was the log too short?", deaths, kills)
		}
		for len(alive) < 4 && len(plans) > 0 {
			point, _, _ := strings.Cut(plans[0], " ")
			alive = append(alive, life{c.Segmenter(t, plans[0], settings...), point})
			plans = plans[1:]
		}
		rest := alive[:0]
		for _, l := range alive {
			switch {
			case !l.Over():
				rest = append(rest, l)
			case l.EndedBy() != syscall.SIGKILL:
				t.Fatalf("a worker ended by itself:\n%s", testweir.Tail(l.Output.String(), 20))
			default:
				kills[l.point]++
			}
		}
		alive = rest
	}
	return kills
}

// sameObjects compares two stores byte by byte, and returns how many objects
// each holds.
func sameObjects(t *testing.T, a, b string) int {
	t.Helper()
	want, got := objectSums(t, a), objectSums(t, b)
	for name, sum := range want {
		if got[name] != sum {
			t.Errorf("%s differs, or is missing", name)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s is there, and should not", name)
		}
	}
	return len(want)
}

// objectSums are the hashes of all files below dir but the hidden ones, which
// a directory store keeps for itself.
func objectSums(t *testing.T, dir string) map[string][32]byte {
	t.Helper()
	sums := make(map[string][32]byte)
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		hidden := name != "." && strings.HasPrefix(d.Name(), ".")
		switch {
		case err != nil:
			return err
		case d.IsDir() && hidden:
			return fs.SkipDir
		case d.IsDir() || hidden:
			return nil
		}
		body, err := os.ReadFile(filepath.Join(dir, name))
		sums[name] = sha256.Sum256(body)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sums
}
