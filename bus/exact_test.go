package bus

import (
	"errors"
	"net/url"
	"sync"
	"testing"
	"time"

	"weir/internal/faultproxy"
	"weir/media/framelog"
)

// startProxy returns a proxy to a NATS server, and its URL.
func startProxy(t *testing.T, server string) (p *faultproxy.TCP, proxied string) {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	p = faultproxy.StartTCP(t, nil, u.Host)
	return p, "nats://" + p.Addr
}

// TestLostAnswers: writes whose answers are lost are stored once.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	n := startNATS(t)
	p, proxied := startProxy(t, n.ClientURL())
	b := open(t, Config{URL: proxied})
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
			p.Deafen()
			fault.Go(func() {
				time.Sleep(30 * time.Millisecond)
				p.Hear()
			})
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
	p, proxied := startProxy(t, n.ClientURL())
	b := open(t, Config{URL: proxied})
	running(t, supervise(open(t, Config{URL: n.ClientURL()}), time.Minute))
	s := openSession(t, b)
	read := reading(t, b, s.Broadcast(), 20)
	all := appendBatches(t, s, 1000, 1, 2, 3)
	p.Deafen()
	time.Sleep(4 * time.Second)
	p.Hear()
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
		err := b.Read(within(t, 20*time.Second), s.Broadcast(), Source, framelog.Position{}, func(x *framelog.Batch, missed bool) error {
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
