package endpoint

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/internal/testpipe"
	"weir/remux/flv"
	"weir/rtmp"
)

// errNobody is what a dial to an address says where nobody listens.
var errNobody = errors.New("connection refused")

// network is what an Encoder of a test dials: a listener, or nobody.
type network struct {
	mu sync.Mutex
	ln *testpipe.Listener // nil: nobody
}

func (n *network) put(ln *testpipe.Listener) *testpipe.Listener {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ln = ln
	return ln
}

func (n *network) dial(ctx context.Context, url string) (*Push, error) {
	to, err := parseTarget(url)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	ln := n.ln
	n.mu.Unlock()
	if ln == nil {
		return nil, errNobody
	}
	return publish(ctx, ln.Dial(), to)
}

// looping is an Encoder that publishes four seconds of pictures again and again.
func (n *network) looping() *Encoder {
	file := append([]byte("FLV\x01\x01\x00\x00\x00\x09\x00\x00\x00\x00"), run(show()...)...)
	e := NewEncoder(EncoderConfig{
		URL: "rtmp://h/live/alice", Loop: true, Log: slog.New(slog.DiscardHandler),
		Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(file)), nil },
	})
	e.dial = n.dial
	return e
}

// TestEncoderGivesUp: a server that was never there is an error that says what to
// look at: whether nobody listens, or somebody who says nothing.
func TestEncoderGivesUp(t *testing.T) {
	for _, tt := range []struct {
		name string
		dial func(context.Context, string) (*Push, error)
		want time.Duration
	}{
		// It tries after 1, 2, 4 and 8 s; the next try would come after 25 s.
		{"nobody listens", func(context.Context, string) (*Push, error) { return nil, errNobody }, 15 * time.Second},
		{"nobody answers", func(ctx context.Context, _ string) (*Push, error) { <-ctx.Done(); return nil, ctx.Err() }, DefaultPatience},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := new(network).looping()
				e.dial = tt.dial
				began := time.Now()
				err := e.Run(t.Context())
				if err == nil || !strings.Contains(err.Error(), "does an RTMP server run there") {
					t.Errorf("got %v", err)
				}
				if took := time.Since(began); took != tt.want {
					t.Errorf("it gave up after %v, want %v", took, tt.want)
				}
			})
		})
	}
}

// TestEncoderIsRefused: what trying again does not help is told at once.
func TestEncoderIsRefused(t *testing.T) {
	n := new(network)
	for name, err := range map[string]error{"a bad URL": ErrPublishURL, "a refusal": &rtmp.RefusedError{}} {
		e := n.looping()
		e.dial = func(context.Context, string) (*Push, error) { return nil, err }
		if got := e.Run(t.Context()); !errors.Is(got, err) {
			t.Errorf("%s: got %v", name, got)
		}
	}
	e := n.looping()
	e.cfg.Once = true
	if err := e.Run(t.Context()); !errors.Is(err, errNobody) {
		t.Errorf("once: got %v", err)
	}
}

// TestEncoderWaitsForAServerItKnows: a connection that once stood is missed for
// as long as it takes, with the session begun anew at a key frame.
func TestEncoderWaitsForAServerItKnows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := new(network)
		ctx, cancel := context.WithCancel(t.Context())
		pushed := make(chan error, 1)
		to := newRecorder()
		s := serve(t, n.put(testpipe.Listen()), Config{Publisher: to, Drain: time.Millisecond})
		go func() { pushed <- n.looping().Run(ctx) }()
		to.got(t, 0, 60)
		n.put(nil)
		if err := s.stop(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * DefaultPatience)
		synctest.Wait()
		select {
		case err := <-pushed:
			t.Fatalf("it gave up on a server that it had known: %v", err)
		default:
		}
		serve(t, n.put(testpipe.Listen()), Config{Publisher: to})
		x := to.got(t, 1, 20)
		cancel()
		<-pushed
		if to.sessions[0].why.Clean {
			t.Error("the session ended cleanly, and its broadcast with it")
		}
		first := slices.IndexFunc(x.tags, func(t flv.Tag) bool { return t.Data[1] == 1 })
		if first == 0 || x.tags[first].Data[0] != 0x17 {
			t.Errorf("the new session begins with %d headers and % x, want one at least, and a key frame", first, x.tags[first].Data[:2])
		}
	})
}

// TestEncoderGoesWhenAServerDrains: our encoder says that it understands a request
// to connect anew, and so is not cut by a server that drains: it has to go by
// itself, soon, and go on with the next server. Its broadcast must not end with
// the connection.
func TestEncoderGoesWhenAServerDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := new(network)
		ctx, cancel := context.WithCancel(t.Context())
		pushed := make(chan error, 1)
		to := newRecorder()
		s := serve(t, n.put(testpipe.Listen()), Config{Publisher: to, Drain: time.Hour})
		go func() { pushed <- n.looping().Run(ctx) }()
		to.got(t, 0, 60)
		next := serve(t, n.put(testpipe.Listen()), Config{Publisher: to})
		began := time.Now()
		if err := s.stop(); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 3*time.Second { // a key frame comes every 2 s
			t.Errorf("the server waited %v for an encoder that it had asked to go", took)
		}
		x := to.got(t, 1, 60)
		cancel()
		<-pushed
		if to.sessions[0].why.Clean || x.of != to || len(to.sessions) != 2 {
			t.Errorf("%d sessions, the first ended %+v", len(to.sessions), to.sessions[0].why)
		}
		if err := next.stop(); err != nil {
			t.Fatal(err)
		}
	})
}
