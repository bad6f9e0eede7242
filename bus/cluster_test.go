package bus

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"weir/media/framelog"
)

// startCluster starts three NATS servers that replicate to each other, and
// returns them and their addresses.
func startCluster(t *testing.T) (nodes [3]*natsServer, urls string) {
	t.Helper()
	var routes, all []string
	var ports [3]int
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ports[i] = l.Addr().(*net.TCPAddr).Port
		routes = append(routes, fmt.Sprintf("nats://127.0.0.1:%d", ports[i]))
		_ = l.Close()
	}
	for i := range nodes {
		nodes[i] = &natsServer{t: t, opts: server.Options{
			ServerName: fmt.Sprint("n", i), Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true,
			JetStream: true, StoreDir: t.TempDir(), DisableJetStreamBanner: true,
			Cluster: server.ClusterOpts{Name: "c", Host: "127.0.0.1", Port: ports[i]},
			Routes:  server.RoutesFromStr(strings.Join(routes, ",")),
		}}
		nodes[i].start()
		t.Cleanup(func() { nodes[i].stop() })
		all = append(all, nodes[i].ClientURL())
	}
	return nodes, strings.Join(all, ",")
}

// TestCluster: three replicas. Racing writers on different nodes: one wins
// each round. Then the log's leader dies under a session, a reader and the
// node's lease: nothing is lost or doubled, and nobody is declared lost.
func TestCluster(t *testing.T) {
	nodes, urls := startCluster(t)
	all := strings.Split(urls, ",")
	a := open(t, Config{URL: urls, Replicas: 3})
	t.Run("racing writers", func(t *testing.T) {
		raceWriters(t, open(t, Config{URL: all[0]}), open(t, Config{URL: all[1]}), 100)
	})
	b := open(t, Config{URL: urls})
	running(t, supervise(b, time.Minute))
	s := openSession(t, a)
	appendBatches(t, s, 1000, 1)
	const batches = 60
	var read []*framelog.Batch
	reading := make(chan struct{})
	go func() {
		defer close(reading)
		_ = b.Read(within(t, 60*time.Second), s.Broadcast(), Source, 0, func(x *framelog.Batch, missed bool) error {
			if missed {
				t.Errorf("batches were missed before %v", x.Header)
			}
			if read = append(read, x); len(read) == batches {
				return errEnough
			}
			return nil
		})
	}()
	info, err := a.shards[0].Info(within(t, 10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	var longest time.Duration
	for i := 2; i <= batches; i++ {
		if i == batches/3 {
			for _, n := range nodes {
				if n.Name() == info.Cluster.Leader {
					n.stop()
				}
			}
		}
		began := time.Now()
		appendBatches(t, s, 80<<10, i)
		longest = max(longest, time.Since(began))
		time.Sleep(20 * time.Millisecond)
	}
	<-reading
	t.Logf("%d batches on 3 replicas, the leader lost on the way: longest append %v", batches, longest.Round(time.Millisecond))
	if len(read) != batches {
		t.Errorf("%d batches were read, %d written", len(read), batches)
	}
	checkOrder(t, read)
	checkStates(t, b, s)
}

// checkStates fails the test unless the session is still what the registry
// says, and a worker can claim and save.
func checkStates(t *testing.T, b *Bus, s *Session) {
	t.Helper()
	if e := entryOf(t, b); e.State != Live || e.Session != s.ID() {
		t.Errorf("the registry says %+v", e)
	}
	h := newHall()
	running(t, func(ctx context.Context) error { return NewWorker(b, WorkerConfig{}).Run(ctx, h.handler("w")) })
	eventually(t, 20*time.Second, "the broadcast is owned and its state saved", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.saved[s.Broadcast()] > 3
	})
	end(true)(t, b, s)
}
