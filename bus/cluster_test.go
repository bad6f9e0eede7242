package bus

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// startCluster starts three NATS servers, each a process, that replicate to
// each other. It returns them by name, and their addresses.
func startCluster(t *testing.T) (nodes map[string]*child, urls []string) {
	t.Helper()
	ports := freePorts(t, 6)
	var routes []string
	for _, p := range ports[3:] {
		routes = append(routes, fmt.Sprintf("nats://127.0.0.1:%d", p))
	}
	nodes = make(map[string]*child)
	for i := range 3 {
		o := natsOptions{Name: fmt.Sprint("n", i), Port: ports[i], Cluster: ports[3+i], Routes: strings.Join(routes, ","), Dir: t.TempDir()}
		nodes[o.Name] = o.start(t)
		urls = append(urls, o.url())
	}
	return nodes, urls
}

// TestCluster: three replicas. Racing writers on different nodes: one wins
// each round. Then the log's leader is killed under a session, a reader and the
// node's lease: nothing is lost or doubled, and nobody is declared lost.
func TestCluster(t *testing.T) {
	t.Parallel()
	nodes, urls := startCluster(t)
	all := strings.Join(urls, ",")
	a := open(t, Config{URL: all, Replicas: 3})
	t.Run("racing writers", func(t *testing.T) {
		raceWriters(t, open(t, Config{URL: urls[0]}), open(t, Config{URL: urls[1]}), 100)
	})
	b := open(t, Config{URL: all})
	running(t, supervise(b, time.Minute))
	s := openSession(t, a)
	appendBatches(t, s, 1000, 1)
	const batches = 60
	read := reading(t, b, s.Broadcast(), batches)
	info, err := a.shards[0].Info(within(t, 10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	var longest time.Duration
	for i := 2; i <= batches; i++ {
		if i == batches/3 {
			nodes[info.Cluster.Leader].kill(t)
		}
		began := time.Now()
		appendBatches(t, s, 80<<10, i)
		longest = max(longest, time.Since(began))
		time.Sleep(20 * time.Millisecond)
	}
	t.Logf("%d batches on 3 replicas, the leader killed on the way: longest append %v", batches, longest.Round(time.Millisecond))
	checkOrder(t, <-read)
	checkStates(t, b, s)
}

// checkStates fails the test unless the session is still what the registry
// says, and a worker can claim and save.
func checkStates(t *testing.T, b *Bus, s *Session) {
	t.Helper()
	if e := entryOf(t, b); e.State != Live || e.Session != s.ID() {
		t.Errorf("the registry says %+v", e)
	}
	h := newObserver()
	running(t, func(ctx context.Context) error { return b.Work(Segment, WorkConfig{}).Run(ctx, h.handler("w")) })
	eventually(t, 20*time.Second, "the broadcast is owned and its state saved", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.saved[s.Broadcast()] > 3
	})
	end(true)(t, b, s)
}
