//go:build unix && soak

package kill

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"weir/internal/external"
	"weir/internal/testmedia"
	"weir/internal/testweir"
)

// nextRelease builds a weir whose State has the next format version, and which
// reads no other.
func nextRelease(t *testing.T) (binary string) {
	t.Helper()
	external.Need(t, "a build of weir")
	dir := t.TempDir()
	source, err := filepath.Abs(filepath.Join("..", "..", "..", "hls", "state.go"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	constant := regexp.MustCompile(`(?m)^const StateVersion = (\d+)$`)
	match := constant.FindSubmatch(text)
	if match == nil {
		t.Fatal("hls/state.go has no StateVersion to raise")
	}
	version, err := strconv.Atoi(string(match[1]))
	if err != nil {
		t.Fatal(err)
	}
	next, overlay := filepath.Join(dir, "state.go"), filepath.Join(dir, "overlay.json")
	raised := constant.ReplaceAll(text, []byte("const StateVersion = "+strconv.Itoa(version+1)))
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{source: next}})
	if err != nil {
		t.Fatal(err)
	}
	for name, body := range map[string][]byte{next: raised, overlay: replace} {
		if err := os.WriteFile(name, body, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	binary = filepath.Join(dir, "weir")
	if out, err := exec.Command("go", "build", "-overlay", overlay, "-o", binary, "weir/cmd/weir").CombinedOutput(); err != nil {
		t.Fatalf("build the next release: %v\n%s", err, out)
	}
	return binary
}

// Segmenters of two releases that cannot read each other's State work side by
// side: each goes on with what its own kind has begun, and touches nothing
// else, even where nobody else is left.
func TestSoakNextRelease(t *testing.T) {
	t.Parallel()
	release := nextRelease(t)
	c := testweir.NewCluster(t, 1)
	next := func() *testweir.Node { return c.StartBuild(t, release, nil, "segment", c.SegmenterArgs()...) }
	ownedBy := func(stream string, n *testweir.Node) func() bool {
		return func() bool { return strings.HasPrefix(c.Owners(t)[stream], n.Name+"-") }
	}
	in, before := c.Ingest(t), c.Segmenter(t, "")
	file := testmedia.MP4(t, testweir.Small(22))

	encoders := []*testweir.Process{testweir.Publish(t, file, in.URL("s0"))}
	viewers := []*testweir.Viewer{testweir.Watch(t, c.Object(c.Rendition(t, "s0")+"live.m3u8"))}
	after := next()
	time.Sleep(1500 * time.Millisecond)
	before.Kill(t)
	encoders = append(encoders, testweir.Publish(t, file, in.URL("s1")))
	viewers = append(viewers, testweir.Watch(t, c.Object(c.Rendition(t, "s1")+"live.m3u8")))
	if !ownedBy("live/s1", after)() || ownedBy("live/s0", after)() {
		t.Errorf("the next release is to own s1, which began with it, and not s0: %v", c.Owners(t))
	}
	before = c.Segmenter(t, "")
	testweir.Eventually(t, 10*time.Second, "the old release goes on with s0", ownedBy("live/s0", before))
	after.Kill(t)
	time.Sleep(2 * time.Second)
	if ownedBy("live/s1", before)() {
		t.Error("the old release has taken what it cannot read")
	}
	after = next()
	testweir.Eventually(t, 10*time.Second, "the next release goes on with s1", ownedBy("live/s1", after))
	pause := c.Finish(t, file, encoders, viewers)
	t.Logf("two releases side by side, each killed once: no frame lost; longest pause %v, until one of its kind was there again", pause.Round(time.Millisecond))
}

// A release whose State has a newer version is rolled out under live
// broadcasts, is called off, and is rolled out again, with the last release of
// version 1 itself as the older one. What that began goes to and fro between
// the two (that the bytes are the same is hls' TestVersion1GoesOn); what the
// newer one began waits for its kind. No frame is lost, and an encoder may go
// to an ingest of either.
func TestSoakUpgradeFromVersion1(t *testing.T) {
	t.Parallel()
	release := testweir.OldRelease(t)
	c := testweir.NewCluster(t, 1)
	older := func() *testweir.Node { return c.StartBuild(t, release, nil, "segment", c.SegmenterArgs()...) }
	newer := func() *testweir.Node { return c.Segmenter(t, "") }
	owned := func(stream string, n *testweir.Node) {
		t.Helper()
		testweir.Eventually(t, 15*time.Second, n.Name+" has "+stream, func() bool {
			return strings.HasPrefix(c.Owners(t)[stream], n.Name+"-")
		})
	}
	c.Binary = release
	oldIngest := c.Ingest(t)
	c.Binary = ""
	file := testmedia.MP4(t, testweir.Small(30))

	first := older()
	encoders := []*testweir.Process{testweir.Publish(t, file, oldIngest.URL("s0"))}
	viewers := []*testweir.Viewer{testweir.Watch(t, c.Object(c.Rendition(t, "s0")+"live.m3u8"))}
	second := newer()
	time.Sleep(1500 * time.Millisecond) // it has looked, and left s0 to its owner
	first.Kill(t)
	owned("live/s0", second)

	encoders = append(encoders, testweir.Publish(t, file, c.Ingest(t).URL("s1")))
	viewers = append(viewers, testweir.Watch(t, c.Object(c.Rendition(t, "s1")+"live.m3u8")))
	owned("live/s1", second)

	first = older()
	time.Sleep(1500 * time.Millisecond)
	second.Kill(t)
	owned("live/s0", first)
	time.Sleep(2 * time.Second)
	if owner := c.Owners(t)["live/s1"]; strings.HasPrefix(owner, first.Name+"-") {
		t.Error("the older release has claimed what it cannot read")
	}
	second = newer()
	owned("live/s1", second)
	first.Kill(t)
	owned("live/s0", second)
	pause := c.Finish(t, file, encoders, viewers)
	t.Logf("rolled out, called off, rolled out again: no frame lost; longest pause %v", pause.Round(time.Millisecond))
}
