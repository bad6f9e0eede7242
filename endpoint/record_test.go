package endpoint

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"weir/internal/testlog"
	"weir/media"
	"weir/media/publishing"
	"weir/remux/flv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// recorder is a Publisher that keeps everything in memory. What ingest does is
// tested there, and both together in cmd/weir.
type recorder struct {
	// publish, tag and plan, if set, say what sessions answer. plan is given the
	// Plan that would be.
	publish func(media.Stream) error
	tag     func(*recordedSession, flv.Tag) (full bool, err error)
	plan    func(*recordedSession, Turn, Plan) Plan
	// only, if set, names the stream whose tags alone are kept.
	only string

	testlog.Watched
	sessions []*recordedSession
}

// recordedSession is idle after 30 s without a byte, and wants to rest for a
// quarter of a second.
type recordedSession struct {
	of     *recorder
	stream media.Stream
	peer   Peer
	wake   func()

	tags  []flv.Tag
	read  int
	last  time.Time
	ended bool
	why   Ending
}

// badName is the code for a stream that somebody publishes already.
const badName = "NetStream.Publish.BadName"

// refusal is a Refusal.
type refusal struct{ reason, code string }

func (r refusal) Error() string               { return "refused: " + r.reason }
func (r refusal) Reason() string              { return r.reason }
func (r refusal) Status() (code, text string) { return r.code, "No." }

func newRecorder() *recorder { return new(recorder) }

func (r *recorder) Publish(_ context.Context, g publishing.Grant, p Peer, wake func()) (Session, error) {
	s := g.Stream
	r.Lock()
	defer r.Unlock()
	if r.publish != nil {
		if err := r.publish(s); err != nil {
			return nil, err
		}
	}
	x := &recordedSession{of: r, stream: s, peer: p, wake: wake, last: time.Now()}
	r.sessions = append(r.sessions, x)
	r.Change()
	return x, nil
}

func (s *recordedSession) Tag(_ time.Time, t flv.Tag) (full bool, err error) {
	s.of.Lock()
	defer s.of.Unlock()
	if s.of.tag != nil {
		if full, err = s.of.tag(s, t); err != nil {
			return full, err
		}
	}
	if s.of.only != "" && s.stream.Name != s.of.only {
		return full, nil
	}
	t.Data = bytes.Clone(t.Data)
	s.tags = append(s.tags, t)
	s.of.Change()
	return full, nil
}

func (s *recordedSession) Plan(t Turn) Plan {
	s.of.Lock()
	defer s.of.Unlock()
	if s.read += t.Read; t.Read > 0 {
		s.last = t.Now
	}
	p := Plan{Rest: t.Now.Add(250 * time.Millisecond), Next: s.last.Add(30 * time.Second)}
	if !t.Now.Before(p.Next) {
		p.Err = refusal{reason: "idle"}
	}
	if s.of.plan != nil {
		p = s.of.plan(s, t, p)
	}
	return p
}

func (s *recordedSession) End(_ context.Context, why Ending) {
	s.of.Lock()
	defer s.of.Unlock()
	if s.ended {
		panic("a session ends once")
	}
	s.ended, s.why = true, why
	s.wake = nil // it holds the connection
	s.of.Change()
}

// wait waits until the sessions are as done wants them.
func (r *recorder) wait(t testing.TB, why string, done func([]*recordedSession) bool) {
	t.Helper()
	r.Wait(t, why, func() bool { return done(r.sessions) })
}

// ended waits for the end of the nth session and returns it.
func (r *recorder) ended(t testing.TB, n int) *recordedSession {
	t.Helper()
	r.wait(t, fmt.Sprintf("session %d ends", n), func(s []*recordedSession) bool { return len(s) > n && s[n].ended })
	return r.sessions[n]
}

// got waits until the nth session has so many tags.
func (r *recorder) got(t testing.TB, session, tags int) *recordedSession {
	t.Helper()
	r.wait(t, fmt.Sprintf("%d tags of session %d", tags, session), func(s []*recordedSession) bool {
		return len(s) > session && len(s[session].tags) >= tags
	})
	return r.sessions[session]
}

// The tags of the tests, as short as an encoder may make them.
func avcHeader(ts uint32, body ...byte) flv.Tag {
	return video(ts, append([]byte{0x17, 0, 0, 0, 0}, body...)...)
}
func key(ts uint32) flv.Tag   { return video(ts, 0x17, 1, 0, 0, 0, 0xaa) }
func inter(ts uint32) flv.Tag { return video(ts, 0x27, 1, 0, 0, 0, 0xbb) }
func video(ts uint32, body ...byte) flv.Tag {
	return flv.Tag{Type: flv.TagVideo, Timestamp: ts, Data: body}
}

// show is four seconds of pictures.
func show() []flv.Tag {
	tags := []flv.Tag{avcHeader(0, 1, 2)}
	for n := range uint32(100) {
		t := video(40*n, append([]byte{0x27, 1, 0, 0, 0}, make([]byte, 10_000)...)...)
		if n%50 == 0 {
			t.Data[0] = 0x17
		}
		tags = append(tags, t)
	}
	return tags
}

// run is a run of tags.
func run(tags ...flv.Tag) (all []byte) {
	for _, t := range tags {
		all = flv.AppendTag(all, t)
	}
	return all
}

// station is a Server that listens on loopback.
type station struct {
	*Server
	to   *recorder
	text *testlog.Buffer // what it logs
	addr string
	stop func() error // drains, and returns what Serve returned
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
	to, ok := cfg.Publisher.(*recorder)
	if !ok {
		to = newRecorder()
		cfg.Publisher = to
	}
	text, logger := testlog.New()
	cfg.Logger = logger
	s := &station{Server: NewServer(cfg), to: to, text: text}
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
func (s *station) dial(t testing.TB, path string) *Push {
	t.Helper()
	p, err := Dial(t.Context(), "rtmp://"+s.addr+"/"+path)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// send writes tags.
func send(t testing.TB, p *Push, tags ...flv.Tag) {
	t.Helper()
	for _, tag := range tags {
		if err := p.WriteTag(tag); err != nil {
			t.Fatal(err)
		}
	}
}
