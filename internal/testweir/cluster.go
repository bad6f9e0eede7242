//go:build unix

package testweir

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir/bus"
)

// Node is a stage in a process of its own.
type Node struct {
	*Process
	Name, RTMP, HTTP string
	Began            time.Time
	Ready            time.Duration // from its start
}

// URL is where live/name is published.
func (n *Node) URL(name string) string { return "rtmp://" + n.RTMP + "/live/" + name }

// Cluster is weir as separate processes that share a NATS server and a
// directory.
type Cluster struct {
	*Server // the origin, for viewers
	Dir     string
	NATS    []*NATSServer
	Binary  string // that Start starts; empty: the one with failpoints

	bus   *bus.Bus // the test's own eyes
	nodes int
}

// NewCluster starts NATS servers and an origin.
func NewCluster(t testing.TB, natsServers int) *Cluster {
	t.Helper()
	dir := t.TempDir()
	return ClusterOn(t, dir, StartNATS(t, dir, natsServers))
}

// ClusterOn is a cluster on NATS servers that run already.
func ClusterOn(t testing.TB, dir string, servers []*NATSServer) *Cluster {
	t.Helper()
	c := &Cluster{Dir: dir, NATS: servers}
	b, err := bus.Open(t.Context(), bus.Config{URL: NATSURL(servers), Node: "test", Replicas: len(servers), Retain: 10 * time.Minute, MaxBytes: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	c.bus = b
	admin := FreeAddress(t)
	n := c.Start(t, nil, "origin", "--store", c.Store(), "--admin-http", admin)
	c.Server = &Server{Process: n.Process, Data: dir, HTTP: n.HTTP, Admin: admin}
	return c
}

// Store is what --store takes for the directory.
func (c *Cluster) Store() string { return "file://" + filepath.Join(c.Dir, "objects") }

// Start starts a stage and waits until it takes work.
func (c *Cluster) Start(t testing.TB, env []string, stage string, args ...string) *Node {
	t.Helper()
	if c.Binary != "" {
		return c.StartBuild(t, c.Binary, env, stage, args...)
	}
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	return c.StartBuild(t, path, env, stage, args...)
}

// StartBuild starts a stage of any build of weir.
func (c *Cluster) StartBuild(t testing.TB, binary string, env []string, stage string, args ...string) *Node {
	t.Helper()
	c.nodes++
	n := &Node{Name: fmt.Sprint(stage, c.nodes), HTTP: FreeAddress(t)}
	args = append([]string{stage, "--nats", NATSURL(c.NATS), "--node", n.Name, "--http", n.HTTP}, args...)
	n.Began = time.Now()
	n.Process = Spawn(t, append(env, AsWeir+"=1"), binary, args...)
	Eventually(t, 20*time.Second, stage+" is ready", func() bool {
		code, _ := Get("http://" + n.HTTP + "/readyz")
		return code == http.StatusOK || n.Over()
	})
	n.Ready = time.Since(n.Began)
	return n
}

// Ingest starts one. Its reconnect window is short, so that broadcasts end.
func (c *Cluster) Ingest(t testing.TB, args ...string) *Node {
	t.Helper()
	rtmp := FreeAddress(t)
	n := c.Start(t, nil, "ingest", append([]string{"--rtmp", rtmp, "--reconnect-window", "20s"}, args...)...)
	n.RTMP = rtmp
	return n
}

// Segmenter starts one. fail is a plan for it to fail, empty for none.
func (c *Cluster) Segmenter(t testing.TB, fail string, args ...string) *Node {
	t.Helper()
	var env []string
	if fail != "" {
		env = append(env, FailAt+"="+fail)
	}
	return c.Start(t, env, "segment", c.SegmenterArgs(args...)...)
}

// SegmenterArgs are the arguments of a segmenter of this cluster.
func (c *Cluster) SegmenterArgs(args ...string) []string {
	return append([]string{"--store", c.Store(), "--segment", "1s", "--window", "10s"}, args...)
}

// Owners returns who packages the broadcasts that are open, by stream.
func (c *Cluster) Owners(t testing.TB) map[string]string {
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

// Owns tells whether one node packages n broadcasts.
func (c *Cluster) Owns(t testing.TB, which *Node, n int) bool {
	t.Helper()
	for _, owner := range c.Owners(t) {
		if strings.HasPrefix(owner, which.Name+"-") {
			n--
		}
	}
	return n == 0
}

// Metric returns a value of the node's /metrics.
func (n *Node) Metric(t testing.TB, name string) float64 {
	t.Helper()
	return Metric(t, n.HTTP, name)
}
