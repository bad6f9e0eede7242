package ingest

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"weir/media"
	"weir/media/framelog"
	"weir/remux/flv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// recordingLog is a Log that keeps everything in memory. What the bus itself
// does is tested where both are wired.
type recordingLog struct {
	// gate, if set, lets a batch of the stream named stuck in for each value
	// received.
	gate chan struct{}
	// forget, if set, names the streams whose batches are not kept.
	forget func(media.Stream) bool
	// open, append and end, if set, say what fails.
	open   func(media.Stream) error
	append func(*recordedSession, *framelog.Batch) error

	mu       sync.Mutex
	sessions []*recordedSession
	changed  chan struct{} // closed and replaced whenever something happens
}

type recordedSession struct {
	log    *recordingLog
	stream media.Stream
	epoch  uint64
	kicked chan struct{}

	batches []framelog.Batch
	ended   bool
	clean   bool
}

func newRecordingLog() *recordingLog {
	return &recordingLog{changed: make(chan struct{})}
}

func (l *recordingLog) change() {
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *recordingLog) Open(_ context.Context, s media.Stream, _ time.Time) (Session, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open != nil {
		if err := l.open(s); err != nil {
			return nil, err
		}
	}
	x := &recordedSession{log: l, stream: s, kicked: make(chan struct{}), epoch: uint64(len(l.sessions) + 1)}
	l.sessions = append(l.sessions, x)
	l.change()
	return x, nil
}

func (s *recordedSession) Append(ctx context.Context, b *framelog.Batch) error {
	if s.log.gate != nil && s.stream.Name == "stuck" {
		select {
		case <-s.log.gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	if s.log.append != nil {
		if err := s.log.append(s, b); err != nil {
			return err
		}
	}
	b.Session, b.Epoch, b.Number, b.Seq = fmt.Sprintf("s%d", s.epoch), s.epoch, uint64(len(s.batches)+1), uint64(len(s.batches)+1)
	if s.log.forget != nil && s.log.forget(s.stream) {
		return nil
	}
	c := *b
	c.Tags = bytes.Clone(b.Tags)
	s.batches = append(s.batches, c)
	s.log.change()
	return nil
}

func (s *recordedSession) End(ctx context.Context, clean bool) error {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	if s.ended {
		return fmt.Errorf("a session ends once")
	}
	s.ended, s.clean = true, clean
	s.log.change()
	return ctx.Err()
}

func (s *recordedSession) Kicked() <-chan struct{} { return s.kicked }
func (s *recordedSession) Broadcast() string       { return fmt.Sprintf("broadcast-%d", s.epoch) }

// wait waits until the log is as done wants it.
func (l *recordingLog) wait(t testing.TB, why string, done func([]*recordedSession) bool) {
	t.Helper()
	limit := time.After(20 * time.Second)
	for {
		l.mu.Lock()
		ok, changed := done(l.sessions), l.changed
		l.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-limit:
			t.Fatalf("waited in vain: %s", why)
		}
	}
}

// ended waits for the end of the nth session and returns it.
func (l *recordingLog) ended(t testing.TB, n int) *recordedSession {
	t.Helper()
	l.wait(t, fmt.Sprintf("session %d ends", n), func(s []*recordedSession) bool { return len(s) > n && s[n].ended })
	return l.sessions[n]
}

// appended waits until n bytes of the nth session, preludes aside, are stored.
func (l *recordingLog) appended(t testing.TB, session, n int) *recordedSession {
	t.Helper()
	l.wait(t, fmt.Sprintf("%d bytes of session %d", n, session), func(s []*recordedSession) bool {
		return len(s) > session && len(s[session].run()) >= n
	})
	return l.sessions[session]
}

// run is what the session's encoder sent, as a run of tags.
func (s *recordedSession) run() (all []byte) {
	for _, b := range s.batches {
		all = append(all, b.Tags[b.Prelude:]...)
	}
	return all
}

// last is the index of the newest session.
func (l *recordingLog) last() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.sessions) - 1
}

func (s *recordedSession) pointers() (all []*framelog.Batch) {
	for i := range s.batches {
		all = append(all, &s.batches[i])
	}
	return all
}

// run is a run of tags.
func run(tags ...flv.Tag) (all []byte) {
	for _, t := range tags {
		all = flv.AppendTag(all, t)
	}
	return all
}

// parseRun is the inverse.
func parseRun(t testing.TB, p []byte) (tags []flv.Tag) {
	t.Helper()
	for tag, err := range flv.Tags(p) {
		if err != nil {
			t.Fatalf("the log holds whole tags: %v", err)
		}
		tags = append(tags, tag)
	}
	return tags
}

// station is a Server that listens on loopback.
type station struct {
	*Server
	log  *recordingLog
	text *lockedBuffer // what it logs
	addr string
	stop func() error // drains, and returns what Serve returned
}

// lockedBuffer is a log's text.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// listen starts a Server; the test's end stops it.
func listen(t testing.TB, cfg Config) *station {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, ln, cfg)
	s.addr = ln.Addr().String()
	return s
}

func serve(t testing.TB, ln net.Listener, cfg Config) *station {
	t.Helper()
	log, ok := cfg.Log.(*recordingLog)
	if !ok {
		log = newRecordingLog()
		cfg.Log = log
	}
	text := new(lockedBuffer)
	cfg.Logger = slog.New(slog.NewTextHandler(text, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s := &station{Server: NewServer(cfg), log: log, text: text}
	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan error, 1)
	go func() { result <- s.Serve(ctx, ln) }()
	s.stop = sync.OnceValue(func() error {
		cancel()
		return <-result
	})
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return s
}

// dial publishes to the station.
func (s *station) dial(t testing.TB, path string) *Publisher {
	t.Helper()
	p, err := Dial(t.Context(), "rtmp://"+s.addr+"/"+path)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// send writes tags.
func send(t testing.TB, p *Publisher, tags ...flv.Tag) {
	t.Helper()
	for _, tag := range tags {
		if err := p.WriteTag(tag); err != nil {
			t.Fatal(err)
		}
	}
}
