package bus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/goleak"

	"weir/media"
	"weir/media/framelog"
)

// TestMain runs the children of the process tests, and the tests, after which
// no goroutine may be left.
func TestMain(m *testing.M) {
	if name := os.Getenv("WEIR_TEST_CHILD"); name != "" {
		children[name]()
		return
	}
	goleak.VerifyTestMain(m)
}

// live is the stream that the tests publish.
var live = media.Stream{App: "live", Name: "alice"}

// natsServer is a real NATS server on a loopback port that can be killed and
// started again on the same files.
type natsServer struct {
	t    testing.TB
	opts server.Options
	*server.Server
}

func startNATS(t testing.TB) *natsServer {
	t.Helper()
	s := &natsServer{t: t, opts: server.Options{
		Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: t.TempDir(), DisableJetStreamBanner: true,
	}}
	s.start()
	t.Cleanup(func() { s.stop() })
	return s
}

func (s *natsServer) start() {
	s.t.Helper()
	opts := s.opts
	ns, err := server.NewServer(&opts)
	if err != nil {
		s.t.Fatal(err)
	}
	ns.Start()
	if !ns.ReadyForConnections(10 * time.Second) {
		s.t.Fatal("the NATS server is not ready")
	}
	s.Server = ns
	u, err := url.Parse(ns.ClientURL())
	if err != nil {
		s.t.Fatal(err)
	}
	if s.opts.Port, err = strconv.Atoi(u.Port()); err != nil { // the same when started again
		s.t.Fatal(err)
	}
}

func (s *natsServer) stop() {
	s.Shutdown()
	s.WaitForShutdown()
}

// open opens a bus that the test closes.
func open(t testing.TB, cfg Config) *Bus {
	t.Helper()
	if cfg.Node == "" {
		cfg.Node = "test"
	}
	if cfg.Log == nil {
		cfg.Log = testLog(t)
	}
	b, err := Open(within(t, 20*time.Second), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func embedded(t testing.TB) *Bus { return open(t, Config{Dir: t.TempDir()}) }

// lockedBuffer keeps what many goroutines log.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// patience is how long a test waits at least for what is to happen: it fails
// where nothing does, and not on a machine that has other things to do.
const patience = time.Minute

// within returns a context that ends with the test. What takes d on an idle
// machine has a minute.
func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), max(d, patience))
	t.Cleanup(cancel)
	return ctx
}

// testLog writes to the test's output.
func testLog(t testing.TB) *slog.Logger {
	if _, ok := t.(*testing.B); ok {
		return slog.New(slog.DiscardHandler)
	}
	w := &testWriter{t: t}
	t.Cleanup(func() { w.Lock(); w.t = nil; w.Unlock() })
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

type testWriter struct {
	sync.Mutex
	t testing.TB
}

func (w *testWriter) Write(p []byte) (int, error) {
	w.Lock()
	defer w.Unlock()
	if w.t != nil {
		w.t.Logf("%s", p)
	}
	return len(p), nil
}

func openSession(t testing.TB, b *Bus) *Session {
	t.Helper()
	s, err := b.OpenSession(within(t, 10*time.Second), "", live, time.Now(), Takeover)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// batch is the n-th batch that the tests write, every fourth a key batch, with
// a payload that no other has.
func batch(n, size int) *framelog.Batch {
	b := &framelog.Batch{Tags: fmt.Appendf(make([]byte, 0, size), "batch %d ", n)}
	for len(b.Tags) < size {
		b.Tags = append(b.Tags, byte(len(b.Tags)*n))
	}
	if n%4 == 1 {
		b.Flags = framelog.Key
		b.Prelude = 5
	}
	if n == 1 {
		b.Flags |= framelog.Begin
		b.Wall = time.UnixMilli(1795226260914).UTC()
	}
	return b
}

func appendBatches(t testing.TB, s *Session, size int, ns ...int) []*framelog.Batch {
	t.Helper()
	var all []*framelog.Batch
	for _, n := range ns {
		b := batch(n, size)
		if err := s.Append(within(t, 20*time.Second), b); err != nil {
			t.Fatalf("append batch %d: %v", n, err)
		}
		all = append(all, b)
	}
	return all
}

var errEnough = errors.New("enough")

// readBatches reads n batches behind after.
func readBatches(t testing.TB, b *Bus, broadcast string, after framelog.Position, n int) (all []*framelog.Batch, missed []bool) {
	t.Helper()
	err := b.Read(within(t, 20*time.Second), broadcast, Source, after, func(x *framelog.Batch, m bool) error {
		all, missed = append(all, x), append(missed, m)
		if len(all) == n {
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) {
		t.Fatalf("read %d batches of %d: %v", len(all), n, err)
	}
	return all, missed
}

// reading reads n batches in the background, and expects that none is missed.
func reading(t *testing.T, b *Bus, broadcast string, n int) <-chan []*framelog.Batch {
	read := make(chan []*framelog.Batch, 1)
	go func() {
		var all []*framelog.Batch
		err := b.Read(within(t, 60*time.Second), broadcast, Source, framelog.Position{}, func(x *framelog.Batch, missed bool) error {
			if missed {
				t.Errorf("batches were missed before %v", x.Header)
			}
			if all = append(all, x); len(all) == n {
				return errEnough
			}
			return nil
		})
		if !errors.Is(err, errEnough) {
			t.Errorf("read %d batches of %d: %v", len(all), n, err)
		}
		read <- all
	}()
	return read
}

// logOf reads everything that is on the log of a broadcast now.
func logOf(t testing.TB, b *Bus, broadcast string) []*framelog.Batch {
	t.Helper()
	subject, stream := b.topic(broadcast, Source)
	last, err := stream.Last(within(t, 5*time.Second), subject)
	if err != nil {
		t.Fatal(err)
	}
	if last == nil {
		return nil
	}
	var all []*framelog.Batch
	err = b.Read(within(t, 20*time.Second), broadcast, Source, framelog.Position{}, func(x *framelog.Batch, _ bool) error {
		if all = append(all, x); x.Seq == last.Sequence {
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) {
		t.Fatalf("read the log: %v after %d batches", err, len(all))
	}
	return all
}

// diff compares batches. Payloads are not told apart byte by byte: cmp takes
// seconds for one of 8 MiB.
func diff(want, got []*framelog.Batch) string {
	return cmp.Diff(want, got, cmp.Comparer(bytes.Equal), cmpopts.IgnoreFields(framelog.Batch{}, "Log", "Stored"))
}

// flagsOf lists the flags of batches, as in "bk - - k el".
func flagsOf(all []*framelog.Batch) (s string) {
	for i, b := range all {
		if i > 0 {
			s += " "
		}
		s += b.Flags.String()
	}
	return s
}

// eventually waits until ok. What takes d on an idle machine has a minute.
func eventually(t testing.TB, d time.Duration, what string, ok func() bool) {
	t.Helper()
	began := time.Now()
	for !ok() {
		if time.Since(began) > max(d, patience) {
			t.Fatalf("not in %v: %s", time.Since(began).Round(time.Second), what)
		}
		time.Sleep(2 * time.Millisecond)
	}
	if took := time.Since(began); took > d {
		t.Logf("%s: it took %v, and %v at most on an idle machine", what, took.Round(time.Millisecond), d)
	}
}

// running runs f until the test ends, or the returned function is called, and
// fails the test if f fails.
func running(t testing.TB, f func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := f(ctx); err != nil {
			t.Error(err)
		}
	}()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return stop
}

func entryOf(t testing.TB, b *Bus) Registration {
	t.Helper()
	e, err := b.Registration(within(t, 5*time.Second), live)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func supervise(b *Bus, window time.Duration) func(context.Context) error {
	return func(ctx context.Context) error { return b.Supervise(ctx, window) }
}
