package ingest

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"go.uber.org/goleak"

	"weir/internal/testlog"
	"weir/media"
	"weir/media/framelog"
	"weir/media/publishing"
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
	// check, open and append, if set, say what fails.
	check  func(media.Stream) error
	open   func(media.Stream) error
	append func(*recordedSession, *framelog.Batch) error

	testlog.Watched
	sessions []*recordedSession
}

type recordedSession struct {
	log    *recordingLog
	stream media.Stream
	epoch  uint64
	kicked chan struct{}

	batches []framelog.Batch
	ended   bool
	clean   bool
	fenced  bool // the registry names another session
}

func (l *recordingLog) Check(_ context.Context, g publishing.Grant) error {
	if l.check != nil {
		return l.check(g.Stream)
	}
	return nil
}

func (l *recordingLog) Open(_ context.Context, g publishing.Grant, _ time.Time) (Writer, error) {
	s := g.Stream
	l.Lock()
	defer l.Unlock()
	if l.open != nil {
		if err := l.open(s); err != nil {
			return nil, err
		}
	}
	x := &recordedSession{log: l, stream: s, kicked: make(chan struct{}), epoch: uint64(len(l.sessions) + 1)}
	l.sessions = append(l.sessions, x)
	l.Change()
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
	s.log.Lock()
	defer s.log.Unlock()
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
	s.log.Change()
	return nil
}

func (s *recordedSession) End(ctx context.Context, clean bool) error {
	s.log.Lock()
	defer s.log.Unlock()
	if s.ended {
		return fmt.Errorf("a session ends once")
	}
	s.ended, s.clean = true, clean
	s.log.Change()
	if s.fenced {
		return ErrFenced
	}
	return ctx.Err()
}

func (s *recordedSession) Kicked() <-chan struct{} { return s.kicked }
func (s *recordedSession) Broadcast() string       { return fmt.Sprintf("broadcast-%d", s.epoch) }

// wait waits until the log is as done wants it.
func (l *recordingLog) wait(t testing.TB, why string, done func([]*recordedSession) bool) {
	t.Helper()
	l.Wait(t, why, func() bool { return done(l.sessions) })
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

func (s *recordedSession) pointers() (all []*framelog.Batch) {
	for i := range s.batches {
		all = append(all, &s.batches[i])
	}
	return all
}

// parseRun takes a run of tags apart.
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

// testPublisher is a Publisher with a recording log, and what it says.
type testPublisher struct {
	*Publisher
	log  *recordingLog
	text *testlog.Buffer
}

func newTestPublisher(cfg Config) *testPublisher {
	log, ok := cfg.Log.(*recordingLog)
	if !ok {
		log = new(recordingLog)
		cfg.Log = log
	}
	text, logger := testlog.New()
	cfg.Logger = logger
	return &testPublisher{Publisher: NewPublisher(cfg), log: log, text: text}
}

// link is a session and the connection's part in it: it waits while the
// session is full, as package endpoint does.
type link struct {
	*Session
	t      testing.TB
	woken  chan struct{}
	buffer int // what it has sent since the last turn
}

// publish begins a session.
func (d *testPublisher) publish(t testing.TB, name string) *link {
	t.Helper()
	return d.publishBy(t, publishing.Grant{Stream: media.Stream{App: "live", Name: name}})
}

// publishBy begins a session by a grant.
func (d *testPublisher) publishBy(t testing.TB, g publishing.Grant) *link {
	t.Helper()
	l := &link{t: t, woken: make(chan struct{}, 1)}
	s, err := d.Publish(t.Context(), g, Peer{Remote: "192.0.2.1:5", Encoder: "FMLE/3.0 (compatible; Lavf)", Transport: "rtmp"}, func() { signal(l.woken) })
	if err != nil {
		t.Fatal(err)
	}
	l.Session = s
	return l
}

// turn asks for a Plan, until the session takes more or ends.
func (l *link) turn(turn Turn) (Plan, error) {
	for {
		turn.Now, turn.Read = time.Now(), l.buffer
		l.buffer = 0
		p := l.Plan(turn)
		if p.Err != nil || !p.Full {
			return p, p.Err
		}
		select {
		case <-l.woken:
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// try sends tags, with a turn behind each; the first error ends it.
func (l *link) try(tags ...flv.Tag) error {
	for _, t := range tags {
		l.buffer += len(t.Data) + 12
		if _, err := l.Tag(time.Now(), t); err != nil {
			return err
		}
		if _, err := l.turn(Turn{}); err != nil {
			return err
		}
	}
	return nil
}

// send sends tags that must be taken.
func (l *link) send(tags ...flv.Tag) {
	l.t.Helper()
	if err := l.try(tags...); err != nil {
		l.t.Fatal(err)
	}
}

// unpublish ends the session as its encoder does.
func (l *link) unpublish() { l.End(context.Background(), Ending{Reason: "unpublished", Clean: true}) }

// lose ends the session as a broken connection does.
func (l *link) lose() { l.End(context.Background(), Ending{Reason: "lost"}) }
