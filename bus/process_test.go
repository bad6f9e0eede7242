package bus

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// children are the processes that tests start: this binary again, with the
// name in its environment.
var children = map[string]func(){"worker": childWorker, "job": childJob, "nats": childNATS}

func childConfig() Config {
	return Config{URL: os.Getenv("WEIR_TEST_NATS"), Node: "child", Log: slog.New(slog.NewTextHandler(os.Stderr, nil))}
}

// childWorker runs a worker until it is killed, and says what it owns and
// what it has lost.
func childWorker() {
	ctx := context.Background()
	b, err := Open(ctx, childConfig())
	if err != nil {
		panic(err)
	}
	h := newObserver()
	save := h.handler("child")
	err = b.Work(Segment, WorkConfig{}).Run(ctx, func(ctx context.Context, c *Claim) error {
		fmt.Println("owned", c.Broadcast())
		err := save(ctx, c)
		if errors.Is(err, ErrNotOwner) || errors.Is(context.Cause(ctx), ErrNotOwner) { // whichever told it first
			fmt.Println("lost", c.Broadcast())
		}
		return err
	})
	panic(err)
}

// childNATS runs a NATS server until it is killed.
func childNATS() {
	var opts natsOptions
	if err := json.Unmarshal([]byte(os.Getenv("WEIR_TEST_NATS")), &opts); err != nil {
		panic(err)
	}
	s, err := server.NewServer(opts.options())
	if err != nil {
		panic(err)
	}
	s.Start()
	fmt.Println("started")
	s.WaitForShutdown()
}

// natsOptions describe a NATS server in a process of its own.
type natsOptions struct {
	Name          string
	Port, Cluster int // Cluster 0: alone
	Routes, Dir   string
}

func (o natsOptions) options() *server.Options {
	opts := &server.Options{
		ServerName: o.Name, Host: "127.0.0.1", Port: o.Port, NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: o.Dir, DisableJetStreamBanner: true,
	}
	if o.Cluster != 0 {
		opts.Cluster = server.ClusterOpts{Name: "c", Host: "127.0.0.1", Port: o.Cluster}
		opts.Routes = server.RoutesFromStr(o.Routes)
	}
	return opts
}

func (o natsOptions) url() string { return fmt.Sprintf("nats://127.0.0.1:%d", o.Port) }

// start starts the server; kill -9 ends it at the latest when the test ends.
func (o natsOptions) start(t *testing.T) *child {
	t.Helper()
	env, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	c := startChild(t, "nats", string(env))
	eventually(t, 20*time.Second, "the server listens", func() bool { return c.count("started") == 1 })
	return c
}

// freePorts returns n ports of the loopback interface that nobody listens on.
func freePorts(t *testing.T, n int) (ports []int) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

// child is a process of this binary.
type child struct {
	*exec.Cmd
	mu    sync.Mutex
	said  map[string]int
	ended chan struct{}
}

func startChild(t *testing.T, name, nats string) *child {
	t.Helper()
	c := &child{Cmd: exec.Command(os.Args[0]), said: make(map[string]int), ended: make(chan struct{})}
	c.Env = append(os.Environ(), "WEIR_TEST_CHILD="+name, "WEIR_TEST_NATS="+nats)
	c.Stderr = &testWriter{t: t}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(c.ended)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			verb, _, _ := strings.Cut(lines.Text(), " ")
			c.mu.Lock()
			c.said[verb]++
			c.mu.Unlock()
		}
		_ = c.Wait() // killed
	}()
	t.Cleanup(func() { c.kill(t) })
	return c
}

// kill ends the process as kill -9 does.
func (c *child) kill(t *testing.T) {
	c.signal(t, syscall.SIGKILL)
	<-c.ended
}

func (c *child) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := c.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
}

func (c *child) count(verb string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.said[verb]
}

// takeover starts a child that owns n broadcasts and a worker beside it.
func takeover(t *testing.T, n int) (c *child, h *observer, ids []string) {
	t.Helper()
	srv := startNATS(t)
	b := open(t, Config{URL: srv.ClientURL()})
	ids = broadcasts(t, b, n)
	c = startChild(t, "worker", srv.ClientURL())
	eventually(t, 20*time.Second, "the child owns all", func() bool { return c.count("owned") == n })
	h = newObserver()
	running(t, func(ctx context.Context) error {
		return b.Work(Segment, WorkConfig{}).Run(ctx, h.handler("here"))
	})
	time.Sleep(1500 * time.Millisecond) // be connected for a second
	return c, h, ids
}

// TestKilledWorker: kill -9, and another has everything within 300 ms.
func TestKilledWorker(t *testing.T) {
	t.Parallel()
	const n = 20
	c, h, ids := takeover(t, n)
	began := time.Now()
	c.signal(t, syscall.SIGKILL)
	eventually(t, 5*time.Second, "all are taken over", func() bool { return h.allOwned(ids, anyone) })
	d := time.Since(began)
	t.Logf("%d broadcasts of a killed worker taken over after %v", n, d.Round(time.Millisecond))
	if d > 2500*time.Millisecond { // 0.2 s on a machine that has time; 3 s is the lease
		t.Errorf("the takeover took %v", d)
	}
}

// TestFrozenWorker: a process that is stopped loses its broadcasts when its
// lease is over, and when it goes on it finds that out before it has done
// anything.
func TestFrozenWorker(t *testing.T) {
	t.Parallel()
	const n = 5
	c, h, ids := takeover(t, n)
	began := time.Now()
	c.signal(t, syscall.SIGSTOP)
	eventually(t, 10*time.Second, "all are taken over", func() bool { return h.allOwned(ids, anyone) })
	d := time.Since(began)
	t.Logf("%d broadcasts of a frozen worker with a lease of 3 s taken over after %v", n, d.Round(time.Millisecond))
	if d < time.Second {
		t.Errorf("the takeover took %v", d)
	}
	c.signal(t, syscall.SIGCONT)
	eventually(t, 10*time.Second, "the zombie has left", func() bool { return c.count("lost") == n })
	time.Sleep(500 * time.Millisecond)
	if got := c.count("owned"); got != n {
		t.Errorf("the zombie claimed %d again", got-n)
	}
	if got := h.owned()["here"]; got != n {
		t.Errorf("the new owner has %d of %d", got, n)
	}
}
