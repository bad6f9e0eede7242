package bus

import (
	"errors"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/media/framelog"
)

// proxy stands between a bus and its server. While deaf it throws away what
// the server answers, so that writes are stored and their answers lost.
type proxy struct {
	net.Listener
	to   string
	deaf atomic.Bool

	mu    sync.Mutex
	conns []net.Conn
	wg    sync.WaitGroup
}

func startProxy(t *testing.T, server string) *proxy {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{Listener: l, to: u.Host}
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		_ = p.Close()
		p.cut()
		p.wg.Wait()
	})
	return p
}

func (p *proxy) url() string { return "nats://" + p.Addr().String() }

func (p *proxy) accept() {
	for {
		client, err := p.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.to)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, client, server)
		p.mu.Unlock()
		p.wg.Go(func() { p.copy(server, client, false) })
		p.wg.Go(func() { p.copy(client, server, true) })
	}
}

func (p *proxy) copy(to, from net.Conn, answers bool) {
	defer func() { _, _ = to.Close(), from.Close() }()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 && !(answers && p.deaf.Load()) {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// cut closes all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
}

// loseAnswers makes the proxy deaf for a while, and cuts its connections then.
func (p *proxy) loseAnswers(d time.Duration) {
	p.deaf.Store(true)
	time.Sleep(d)
	p.cut()
	p.deaf.Store(false)
}

// TestLostAnswers: writes whose answers are lost are stored once.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	n := startNATS(t)
	p := startProxy(t, n.ClientURL())
	b := open(t, Config{URL: p.url()})
	s := openSession(t, b)
	const batches = 100
	var all []*framelog.Batch
	for i := range batches {
		size := 1000
		if i%20 == 3 {
			size = partBytes + 1000
		}
		var fault sync.WaitGroup
		if i%10 == 3 {
			fault.Go(func() { p.loseAnswers(30 * time.Millisecond) })
			eventually(t, time.Second, "the answers are lost", p.deaf.Load)
		}
		all = append(all, appendBatches(t, s, size, i+1)...)
		fault.Wait()
	}
	end(true)(t, b, s)
	straight := open(t, Config{URL: n.ClientURL()})
	got := logOf(t, straight, s.Broadcast())
	if d := diff(all, got[:min(batches, len(got))]); d != "" || len(got) != batches+1 {
		t.Errorf("%d batches are on the log (-appended +read):\n%s", len(got), d)
	}
}

// TestServerRestarts: a server that is killed and comes back, several times,
// while a session publishes and a reader reads. Nothing is lost or doubled, and
// nobody is declared lost though every lease has run out.
func TestServerRestarts(t *testing.T) {
	t.Parallel()
	n := natsOptions{Port: freePorts(t, 1)[0], Dir: t.TempDir()}
	process := n.start(t)
	b := open(t, Config{URL: n.url(), NodeLease: time.Second})
	watcher := open(t, Config{URL: n.url()})
	running(t, supervise(watcher, time.Minute))
	s := openSession(t, b)
	const batches = 60
	read := reading(t, b, s.Broadcast(), batches)
	written := make(chan []*framelog.Batch)
	var longest time.Duration
	go func() {
		var all []*framelog.Batch
		for i := range batches {
			began, x := time.Now(), batch(i+1, 80<<10)
			if err := s.Append(within(t, 20*time.Second), x); err != nil {
				t.Errorf("append batch %d: %v", i+1, err)
			}
			longest = max(longest, time.Since(began))
			all = append(all, x)
			time.Sleep(50 * time.Millisecond)
		}
		written <- all
	}()
	for range 3 {
		time.Sleep(300 * time.Millisecond)
		process.kill(t)
		time.Sleep(1500 * time.Millisecond) // longer than the lease
		process = n.start(t)
	}
	if d := diff(<-written, <-read); d != "" {
		t.Errorf("(-appended +read):\n%s", d)
	}
	if e := entryOf(t, b); e.State != Live {
		t.Errorf("the registry says %+v", e)
	}
	t.Logf("%d batches over 3 restarts, 1.5 s down each: none lost, none doubled; longest append %v", batches, longest.Round(time.Millisecond))
}

// TestPartition: an ingest and a reader cut off for less than the node's
// lease. The session goes on where it was.
func TestPartition(t *testing.T) {
	t.Parallel()
	n := startNATS(t)
	p := startProxy(t, n.ClientURL())
	b := open(t, Config{URL: p.url()})
	running(t, supervise(open(t, Config{URL: n.ClientURL()}), time.Minute))
	s := openSession(t, b)
	read := reading(t, b, s.Broadcast(), 20)
	all := appendBatches(t, s, 1000, 1, 2, 3)
	p.loseAnswers(4 * time.Second)
	for i := 4; i <= 20; i++ {
		all = append(all, appendBatches(t, s, 1000, i)...)
	}
	if d := diff(all, <-read); d != "" {
		t.Errorf("(-appended +read):\n%s", d)
	}
	if e := entryOf(t, b); e.State != Live {
		t.Errorf("the registry says %+v", e)
	}
}

// TestSlowReader: a reader that is busy for longer than any heartbeat, while
// more is written than may be in flight, loses nothing.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	b := embedded(t)
	s := openSession(t, b)
	const batches = 100
	all := appendBatches(t, s, 80<<10, 1)
	var read []*framelog.Batch
	done, busy := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		err := b.Read(within(t, 20*time.Second), s.Broadcast(), Source, 0, func(x *framelog.Batch, missed bool) error {
			if missed {
				t.Errorf("batches were missed before %v", x.Header)
			}
			if read = append(read, x); len(read) == 1 {
				close(busy)
				time.Sleep(2500 * time.Millisecond)
			}
			if len(read) == batches {
				return errEnough
			}
			return nil
		})
		if !errors.Is(err, errEnough) {
			t.Error(err)
		}
	}()
	<-busy
	for i := 2; i <= batches; i++ {
		all = append(all, appendBatches(t, s, 80<<10, i)...)
	}
	<-done
	if d := diff(all, read); d != "" {
		t.Errorf("(-appended +read):\n%s", d)
	}
}
