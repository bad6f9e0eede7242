//go:build unix

package main

import (
	"bufio"
	"cmp"
	"context"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"weir/bus"
	"weir/media/object"
	"weir/storage"
)

// The environment of a child: asWeir makes this test binary weir, failAt says
// where that is to fail.
const (
	asWeir = "WEIR_TEST_CHILD"
	failAt = "WEIR_TEST_FAIL"
)

// TestMain runs the tests, or weir in a process of its own: the same binary,
// so that the failpoints are in no other.
func TestMain(m *testing.M) {
	if os.Getenv(asWeir) == "" {
		flag.Parse()
		if most := flag.Lookup("test.timeout").Value.(flag.Getter).Get().(time.Duration); most > 0 {
			time.AfterFunc(most-10*time.Second, tellWhoHangs)
		}
		os.Exit(m.Run())
	}
	if plan := os.Getenv(failAt); plan != "" {
		failingSegment(plan)
	}
	main()
}

// tellWhoHangs ends the test binary shortly before its timeout would, and
// prints the goroutines of tests only: Go prints all of them, thousands of
// lines, and a CI log keeps the last few.
func tellWhoHangs() {
	all := make([]byte, 64<<20)
	all = all[:runtime.Stack(all, true)]
	for goroutine := range strings.SplitSeq(string(all), "\n\n") {
		if strings.Contains(goroutine, "cmd/weir.Test") && !strings.Contains(goroutine, "(*T).Parallel") {
			fmt.Fprintln(os.Stderr, goroutine+"\n")
		}
	}
	fmt.Fprintln(os.Stderr, "The tests above have not ended before the timeout.")
	os.Exit(1)
}

// failingSegment is weir segment over a store that ends its own process.
func failingSegment(plan string) {
	ctx := context.Background()
	var c segmentCmd
	parser, err := kong.New(&c, kong.DefaultEnvars("WEIR"))
	if err == nil {
		_, err = parser.Parse(os.Args[2:])
	}
	var store storage.Store
	if err == nil {
		store, err = c.storeFlags.open(ctx, "")
	}
	if err == nil {
		err = c.run(ctx, newFailing(store, plan), logFlags{}.logger(os.Stderr))
	}
	fmt.Fprintln(os.Stderr, "child:", err)
	os.Exit(exitFailed)
}

// failing is a store that sends its own process a signal at one moment of a
// segmenter's life:
//
//	sent N  before the put of the Nth segment: what it sends comes late
//	put N   after the put of the Nth segment, before its checkpoint
//	cas N   after the checkpoint of the Nth segment, before its playlist
//	time D  so long after the first put began
type failing struct {
	storage.Store
	point  string
	signal syscall.Signal
	after  time.Duration

	mu       sync.Mutex
	segments int // put by this process
	left     int
}

// newFailing reads a plan: point, argument and signal number.
func newFailing(s storage.Store, plan string) *failing {
	f := &failing{Store: s}
	var arg string
	var number int
	if _, err := fmt.Sscan(plan, &f.point, &arg, &number); err != nil {
		panic(err)
	}
	f.signal = syscall.Signal(number)
	if f.point == "time" {
		d, err := time.ParseDuration(arg)
		if err != nil {
			panic(err)
		}
		f.after = d
		return f
	}
	n, err := strconv.Atoi(arg)
	if err != nil {
		panic(err)
	}
	f.left = n
	return f
}

func (f *failing) Put(ctx context.Context, o object.Object, c object.Condition) (string, error) {
	segment := strings.HasSuffix(o.Key, ".ts")
	// A store as slow as S3 may be, so that kills find a segmenter at work.
	time.Sleep(20 * time.Millisecond)
	f.mu.Lock()
	if segment && f.point == "time" && f.segments == 0 {
		time.AfterFunc(f.after, f.fire)
	}
	if f.point == "sent" && segment && f.segments+1 == f.left {
		f.left = 0
		f.fire()
	}
	if f.point == "cas" && f.segments >= f.left && f.left > 0 && strings.HasSuffix(o.Key, "/live.m3u8") {
		f.left = 0
		f.fire()
	}
	f.mu.Unlock()
	etag, err := f.Store.Put(ctx, o, c)
	f.mu.Lock()
	defer f.mu.Unlock()
	if segment {
		f.segments++
	}
	if f.point == "put" && segment && f.segments == f.left {
		f.fire()
	}
	return etag, err
}

func (f *failing) fire() {
	fmt.Fprintln(os.Stderr, "failpoint", f.point)
	_ = syscall.Kill(os.Getpid(), f.signal) // to ourselves: cannot fail
	if f.signal == syscall.SIGKILL {
		select {} // nothing more happens here
	}
	time.Sleep(50 * time.Millisecond) // until all threads have stopped; then until continued
}

// process is a child of the test.
type process struct {
	*exec.Cmd
	output transcript
	ended  chan struct{}
}

// leash kills a process, frozen or not, should the test binary die before it
// has: a timeout runs no cleanup. Cut it when the process is gone.
func leash(t testing.TB, pid int) (cut func()) {
	t.Helper()
	watch := exec.Command("sh", "-c", fmt.Sprintf("read -r _; kill -9 %d", pid))
	if _, err := watch.StdinPipe(); err != nil { // closed by our death
		t.Fatal(err)
	}
	if err := watch.Start(); err != nil {
		t.Fatal(err)
	}
	return func() {
		_ = watch.Process.Kill()
		_ = watch.Wait() // killed
	}
}

// longestLife is how long a process may live: a test that waits for one which
// never ends is to fail by itself, and say which. The long tests raise it.
var longestLife = 3 * time.Minute

// spawn starts a process that lives as long as its test.
func spawn(t testing.TB, env []string, name string, args ...string) *process {
	t.Helper()
	p := &process{Cmd: exec.Command(name, args...), ended: make(chan struct{})}
	p.Env = append(os.Environ(), env...)
	p.Stdout, p.Stderr = &p.output, &p.output
	p.WaitDelay = time.Second // a shell's children may hold the output
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	cut := leash(t, p.Process.Pid)
	old := time.AfterFunc(longestLife, func() {
		t.Errorf("%s %s did not end within %v", filepath.Base(name), strings.Join(args, " "), longestLife)
		_ = p.Process.Kill()
	})
	go func() {
		defer close(p.ended)
		_ = p.Wait() // tests look at ProcessState
	}()
	t.Cleanup(func() {
		old.Stop()
		p.kill(t)
		cut()
		if t.Failed() {
			t.Logf("%s %s said:\n%s", filepath.Base(name), strings.Join(args, " "), tail(p.output.String(), 40))
		}
	})
	return p
}

// tail is the end of a text.
func tail(text string, lines int) string {
	all := strings.Split(text, "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

func (p *process) send(t testing.TB, s syscall.Signal) {
	t.Helper()
	if err := p.Process.Signal(s); err != nil && !p.over() {
		t.Fatalf("send %v: %v", s, err)
	}
}

// kill is kill -9.
func (p *process) kill(t testing.TB) {
	t.Helper()
	p.send(t, syscall.SIGKILL)
	<-p.ended
}

func (p *process) over() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// node is a stage in a process of its own.
type node struct {
	*process
	name, rtmp, http string
	began            time.Time
	ready            time.Duration // from its start
}

func (n *node) url(name string) string { return "rtmp://" + n.rtmp + "/live/" + name }

// cluster is weir as separate processes that share a NATS server and a
// directory.
type cluster struct {
	*server // the origin, for viewers
	dir     string
	nats    []*natsServer
	bus     *bus.Bus // the test's own eyes
	binary  string   // that start starts; empty: this one
	nodes   int
}

// natsServer is a real one, on addresses that it keeps when started again.
type natsServer struct {
	*process
	args []string
	addr string
}

// natsBinary is built from the tools' module once, where it is missing.
var natsBinary = sync.OnceValues(func() (string, error) {
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		return "", err
	}
	path := filepath.Join(root, "bin", "nats-server")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	cmd := exec.Command("go", "-C", filepath.Join(root, "internal", "tools"), "install", "github.com/nats-io/nats-server/v2")
	cmd.Env = append(os.Environ(), "GOBIN="+filepath.Dir(path))
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build nats-server: %w\n%s", err, out)
	}
	return path, nil
})

func (s *natsServer) start(t testing.TB) {
	t.Helper()
	binary, err := natsBinary()
	if err != nil {
		t.Fatal(err)
	}
	s.process = spawn(t, nil, binary, s.args...)
	eventually(t, 20*time.Second, "nats-server listens", func() bool {
		c, err := net.Dial("tcp", s.addr)
		if err != nil {
			return false
		}
		return c.Close() == nil
	})
}

// startNATS starts n servers, a cluster if they are several.
func startNATS(t testing.TB, dir string, n int) (all []*natsServer) {
	t.Helper()
	var routes []string
	for range n {
		routes = append(routes, "nats://"+freeAddress(t))
	}
	for i := range n {
		s := &natsServer{addr: freeAddress(t)}
		host, port, err := net.SplitHostPort(s.addr)
		if err != nil {
			t.Fatal(err)
		}
		s.args = []string{"-a", host, "-p", port, "-n", fmt.Sprint("n", i), "-js", "-sd", filepath.Join(dir, fmt.Sprint("nats", i))}
		if n > 1 {
			s.args = append(s.args, "-cluster_name", "c", "-cluster", routes[i], "-routes", strings.Join(routes, ","))
		}
		all = append(all, s)
	}
	for _, s := range all {
		s.start(t)
	}
	return all
}

func natsURL(all []*natsServer) string {
	var urls []string
	for _, s := range all {
		urls = append(urls, "nats://"+s.addr)
	}
	return strings.Join(urls, ",")
}

// newCluster starts NATS servers and an origin.
func newCluster(t testing.TB, natsServers int) *cluster {
	t.Helper()
	dir := t.TempDir()
	return clusterOn(t, dir, startNATS(t, dir, natsServers))
}

// clusterOn is a cluster on NATS servers that run already.
func clusterOn(t testing.TB, dir string, servers []*natsServer) *cluster {
	t.Helper()
	c := &cluster{dir: dir, nats: servers}
	b, err := bus.Open(t.Context(), bus.Config{URL: natsURL(servers), Node: "test", Replicas: len(servers), Retain: 10 * time.Minute, MaxBytes: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	c.bus = b
	n := c.start(t, nil, "origin", "--store", c.store())
	c.server = &server{data: dir, http: n.http}
	return c
}

func (c *cluster) store() string { return "file://" + filepath.Join(c.dir, "objects") }

// start starts a stage and waits until it takes work.
func (c *cluster) start(t testing.TB, env []string, stage string, args ...string) *node {
	t.Helper()
	return c.startBuild(t, cmp.Or(c.binary, os.Args[0]), env, stage, args...)
}

// startBuild starts a stage of any build of weir.
func (c *cluster) startBuild(t testing.TB, binary string, env []string, stage string, args ...string) *node {
	t.Helper()
	c.nodes++
	n := &node{name: fmt.Sprint(stage, c.nodes), http: freeAddress(t)}
	args = append([]string{stage, "--nats", natsURL(c.nats), "--node", n.name, "--http", n.http}, args...)
	n.began = time.Now()
	n.process = spawn(t, append(env, asWeir+"=1"), binary, args...)
	eventually(t, 20*time.Second, stage+" is ready", func() bool {
		code, _ := get("http://" + n.http + "/readyz")
		return code == http.StatusOK || n.over()
	})
	n.ready = time.Since(n.began)
	return n
}

// ingest starts one. Its reconnect window is short, so that broadcasts end.
func (c *cluster) ingest(t testing.TB, args ...string) *node {
	t.Helper()
	rtmp := freeAddress(t)
	n := c.start(t, nil, "ingest", append([]string{"--rtmp", rtmp, "--reconnect-window", "20s"}, args...)...)
	n.rtmp = rtmp
	return n
}

// segmenter starts one. fail is a plan for it to fail, empty for none.
func (c *cluster) segmenter(t testing.TB, fail string, args ...string) *node {
	t.Helper()
	var env []string
	if fail != "" {
		env = append(env, failAt+"="+fail)
	}
	return c.start(t, env, "segment", c.segmenterArgs(args...)...)
}

func (c *cluster) segmenterArgs(args ...string) []string {
	return append([]string{"--store", c.store(), "--segment", "1s", "--window", "10s"}, args...)
}

// owners returns who packages the broadcasts that are open, by stream.
func (c *cluster) owners(t testing.TB) map[string]string {
	t.Helper()
	all, err := c.bus.Ownerships(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	owners := make(map[string]string)
	for _, o := range all {
		if !o.Closed {
			owners[o.Stream.String()] = o.Owner
		}
	}
	return owners
}

// owns tells whether one node packages n broadcasts.
func (c *cluster) owns(t testing.TB, which *node, n int) bool {
	t.Helper()
	for _, owner := range c.owners(t) {
		if strings.HasPrefix(owner, which.name+"-") {
			n--
		}
	}
	return n == 0
}

// publish starts ffmpeg, which publishes a file in real time.
func publish(t testing.TB, file, url string) *process {
	t.Helper()
	return spawn(t, nil, "ffmpeg", "-v", "error", "-nostdin", "-re", "-i", file,
		"-c", "copy", "-f", "flv", "-flvflags", "no_duration_filesize", url)
}

// mediaPlaylist is what viewers read of a live playlist.
type mediaPlaylist struct {
	sequence uint64
	segments []listedSegment
	ended    bool
}

// listedSegment is a segment with the tags before it.
type listedSegment struct{ uri, tags string }

func parseMediaPlaylist(body []byte) (p mediaPlaylist) {
	var tags []string
	for lines := bufio.NewScanner(strings.NewReader(string(body))); lines.Scan(); {
		line := lines.Text()
		n, isSequence := strings.CutPrefix(line, "#EXT-X-MEDIA-SEQUENCE:")
		switch {
		case isSequence:
			p.sequence, _ = strconv.ParseUint(n, 10, 64) // a bad one shows as going back
		case line == "#EXT-X-ENDLIST":
			p.ended = true
		case strings.HasPrefix(line, "#EXTINF"), strings.HasPrefix(line, "#EXT-X-DISCONTINUITY") && !strings.Contains(line, "SEQUENCE"),
			strings.HasPrefix(line, "#EXT-X-PROGRAM-DATE-TIME"), strings.HasPrefix(line, "#EXT-X-GAP"):
			tags = append(tags, line)
		case line != "" && line[0] != '#':
			p.segments = append(p.segments, listedSegment{line, strings.Join(tags, " ")})
			tags = nil
		}
	}
	return p
}

// viewer polls a live playlist every 20 ms, and holds against it whatever no
// viewer may see: an answer other than 200 once there was one, a media
// sequence or an end that goes back, a sequence number with two contents, a
// segment that is not there.
type viewer struct {
	t      testing.TB
	url    string
	stop   chan struct{}
	done   chan struct{}
	polls  int
	seen   map[uint64]listedSegment
	last   mediaPlaylist
	news   time.Time     // when the list last grew
	pause  time.Duration // the longest between two such times
	grown  int
	failed int
}

// watch starts a viewer of a playlist's URL.
func watch(t testing.TB, url string) *viewer {
	v := &viewer{t: t, url: url, stop: make(chan struct{}), done: make(chan struct{}), seen: make(map[uint64]listedSegment)}
	go v.run()
	t.Cleanup(func() { v.leave() })
	return v
}

// leave ends the viewer, after which its figures may be read.
func (v *viewer) leave() *viewer {
	select {
	case <-v.stop:
	default:
		close(v.stop)
	}
	<-v.done
	return v
}

func (v *viewer) run() {
	defer close(v.done)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-v.stop:
			return
		case <-tick.C:
			v.poll()
		}
	}
}

func (v *viewer) fail(format string, args ...any) {
	if v.failed++; v.failed <= 5 {
		v.t.Errorf("viewer: "+format, args...)
	}
}

func (v *viewer) poll() {
	code, body := get(v.url)
	if code != http.StatusOK {
		if len(v.seen) > 0 {
			v.fail("%s answers %d", v.url, code)
		}
		return
	}
	v.polls++
	p := parseMediaPlaylist(body)
	end, before := p.sequence+uint64(len(p.segments)), v.last.sequence+uint64(len(v.last.segments))
	if p.sequence < v.last.sequence || end < before || v.last.ended && !p.ended {
		v.fail("the playlist went back: %d to %d, ended %t; was %d to %d, %t", p.sequence, end, p.ended, v.last.sequence, before, v.last.ended)
	}
	if end > before {
		if now := time.Now(); v.grown > 0 {
			v.pause = max(v.pause, now.Sub(v.news))
		}
		v.news = time.Now()
		v.grown++
	}
	for i, s := range p.segments {
		n := p.sequence + uint64(i)
		if known, ok := v.seen[n]; ok {
			if known != s {
				v.fail("media sequence %d forked: %v, was %v", n, s, known)
			}
			continue
		}
		v.seen[n] = s
		if strings.Contains(s.tags, "#EXT-X-GAP") {
			continue // it says that it is not there (RFC 8216bis, 4.4.4.7)
		}
		if code, _ := get(v.url[:strings.LastIndexByte(v.url, '/')+1] + s.uri); code != http.StatusOK {
			v.fail("%s was listed and answers %d", s.uri, code)
		}
	}
	v.last = p
}
