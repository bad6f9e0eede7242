package endpoint

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"weir/media"
	"weir/media/publishing"
	"weir/remux/flv"
	"weir/rtmp"
)

func TestPublish(t *testing.T) {
	s := listen(t, Config{})
	tags := show()
	p := s.dial(t, "live/alice")
	send(t, p, tags...)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	x := s.to.ended(t, 0)
	if !x.why.Clean || x.stream.String() != "live/alice" || x.peer.Remote != p.nc.LocalAddr().String() {
		t.Errorf("stream %v of %s, %+v: an unpublish ends the broadcast of the stream that the URL names", x.stream, x.peer.Remote, x.why)
	}
	if !bytes.Equal(run(x.tags...), run(tags...)) {
		t.Errorf("%d tags arrived, want the %d that were sent", len(x.tags), len(tags))
	}
}

func TestLostConnection(t *testing.T) {
	s := listen(t, Config{})
	tags := show()
	p := s.dial(t, "live/alice")
	send(t, p, tags...)
	s.to.got(t, 0, 20)
	if err := p.Abandon(); err != nil {
		t.Fatal(err)
	}
	x := s.to.ended(t, 0)
	if x.why.Clean {
		t.Error("a connection without an unpublish is lost: its encoder may come back")
	}
	// A reset may destroy what the kernel held; what was read is whole.
	if !bytes.HasPrefix(run(tags...), run(x.tags...)) {
		t.Error("what arrived is not a front of what was sent")
	}
}

// TestNap is what an encoder of 77 tags a second costs: a read each time that
// its session lets what arrives rest, not one for each tag.
func TestNap(t *testing.T) {
	to := newRecorder()
	var turns atomic.Int64
	to.plan = func(_ *recordedSession, turn Turn, p Plan) Plan {
		turns.Add(1)
		p.Rest, p.Rate = turn.Now.Add(100*time.Millisecond), 1000
		return p
	}
	s := listen(t, Config{Publisher: to})
	p := s.dial(t, "live/alice")
	began := time.Now()
	tags := 0
	for ts := uint32(0); ts < 2500; ts += 13 {
		if err := p.Pace(t.Context(), ts); err != nil {
			t.Fatal(err)
		}
		send(t, p, inter(ts))
		tags++
	}
	took := time.Since(began)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	s.to.ended(t, 0)
	// A nap ends on the grid of 25 ms; a turn goes by before the first one and
	// at the end.
	if n, all := turns.Load(), int64(took/(75*time.Millisecond)); n > all+5 {
		t.Errorf("%d turns for %d tags in %v, want at most %d", n, tags, took, all)
	}
	if took < 2400*time.Millisecond {
		t.Errorf("2.5 s of tags were paced over %v", took)
	}
}

// TestFull stops reading while the session is full, within a read as well as
// between two, and goes on when the session says so.
func TestFull(t *testing.T) {
	to := newRecorder()
	const most = 3 // tags at a time
	var full, waiting atomic.Bool
	count := 0
	to.tag = func(*recordedSession, flv.Tag) (bool, error) {
		if full.Load() {
			t.Error("a tag came after the session had said that it was full")
		}
		if count++; count%most == 0 {
			full.Store(true)
		}
		return full.Load(), nil
	}
	to.plan = func(_ *recordedSession, _ Turn, p Plan) Plan {
		p.Full = full.Load()
		if p.Full {
			waiting.Store(true)
		}
		return p
	}
	s := listen(t, Config{Publisher: to})
	p := s.dial(t, "live/alice")
	var tags []flv.Tag
	for ts := range uint32(30) { // one write, one read
		tags = append(tags, inter(ts))
	}
	send(t, p, tags...)
	for n := most; n < len(tags); n += most {
		x := to.got(t, 0, n)
		for !waiting.Load() {
			time.Sleep(time.Millisecond)
		}
		waiting.Store(false)
		full.Store(false)
		x.wake()
	}
	full.Store(false)
	x := to.got(t, 0, len(tags))
	full.Store(false)
	x.wake()
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if x := to.ended(t, 0); !x.why.Clean || !bytes.Equal(run(x.tags...), run(tags...)) {
		t.Errorf("%d of %d tags, %+v: nothing is lost by waiting", len(x.tags), len(tags), x.why)
	}
}

func TestRefusals(t *testing.T) {
	keyed := authFunc(func(r Request) (media.Stream, error) {
		if r.Name != canary {
			return media.Stream{}, errors.New("no such key")
		}
		return media.Stream{App: "live", Name: "alice"}, nil
	})
	tests := []struct {
		name, path string
		auth       Auth
		open       error
		code       string
		reason     string
	}{
		{"bad name", "live/%2e%2e", nil, nil, denied, "name"},
		{"bad app", "li%20ve/alice", nil, nil, denied, "name"},
		{"unknown key", "live/guess", keyed, nil, denied, "auth"},
		{"refused by the publisher", "live/alice", nil, fmt.Errorf("publish: %w", refusal{"busy", badName}), badName, "busy"},
		{"log away", "live/alice", nil, errors.New("no servers"), denied, "log"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			to := newRecorder()
			to.publish = func(media.Stream) error { return tt.open }
			s := listen(t, Config{Publisher: to, Auth: tt.auth})
			p, err := Dial(t.Context(), "rtmp://"+s.addr+"/"+tt.path)
			if err == nil {
				_ = p.Abandon()
				t.Fatal("the publish was accepted")
			}
			refused := new(rtmp.RefusedError)
			if !errors.As(err, &refused) || refused.Code != tt.code {
				t.Errorf("%v: every encoder understands %s", err, tt.code)
			}
			if err := s.stop(); err != nil {
				t.Fatal(err)
			}
			if text := s.text.String(); !strings.Contains(text, "reason="+tt.reason) || strings.Count(text, "\n") != 1 {
				t.Errorf("the log says:\n%swant one line with the reason %s", text, tt.reason)
			}
			if len(to.sessions) > 0 {
				t.Error("a session was opened")
			}
		})
	}
}

type authFunc func(Request) (media.Stream, error)

func (f authFunc) Authorize(_ context.Context, r Request) (publishing.Grant, error) {
	s, err := f(r)
	return publishing.Grant{Stream: s}, err
}

func (authFunc) Release(publishing.Grant) {}

// TestRefusalLingers refuses an encoder that goes on sending: closing the
// socket over unread bytes would reset it, and not everybody reads a status
// behind a reset.
func TestRefusalLingers(t *testing.T) {
	s := listen(t, Config{Auth: authFunc(func(Request) (media.Stream, error) { return media.Stream{}, errors.New("no") })})
	c := dialRaw(t, s.addr)
	c.connect("live")
	c.publish(1, "alice")
	if said := <-c.heard; !bytes.Contains(said, []byte(denied)) {
		t.Errorf("the server's %d bytes hold no status", len(said))
	}
	for range 3 {
		c.media(1, key(0)) // the second write would find the reset that the first caused
		time.Sleep(20 * time.Millisecond)
	}
	_ = c.nc.Close()
}

// TestSessionEndsItself is what ends a session while its encoder would go on.
func TestSessionEndsItself(t *testing.T) {
	fault := errors.New("undecided")
	tests := []struct {
		name      string
		tag, plan error
		code      string
		reason    string
	}{
		{"a refused tag", refusal{"fenced", badName}, nil, badName, "fenced"},
		{"a refusal in the plan", nil, refusal{"kicked", denied}, denied, "kicked"},
		{"a fault of ours", nil, fault, denied, "log"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			to := newRecorder()
			var now atomic.Bool
			to.tag = func(*recordedSession, flv.Tag) (bool, error) {
				if now.Load() {
					return false, tt.tag
				}
				return false, nil
			}
			to.plan = func(_ *recordedSession, _ Turn, p Plan) Plan {
				if now.Load() {
					p.Err = tt.plan
				}
				return p
			}
			s := listen(t, Config{Publisher: to})
			p := s.dial(t, "live/alice")
			send(t, p, avcHeader(0), key(0))
			x := to.got(t, 0, 2)
			now.Store(true)
			x.wake()
			err := sendUntilError(t, p)
			refused := new(rtmp.RefusedError)
			if !errors.As(err, &refused) || refused.Code != tt.code {
				t.Errorf("%v: the encoder is told %s", err, tt.code)
			}
			_ = p.Abandon()
			x = to.ended(t, 0)
			if want := cmp.Or(tt.tag, tt.plan); x.why.Reason != tt.reason || !errors.Is(x.why.Err, want) {
				t.Errorf("%+v: the session learns what it said itself", x.why)
			}
			if ours := x.why.Level == int(slog.LevelError); ours != (tt.reason == "log") {
				t.Errorf("level %v: an error is what we are to blame for", x.why.Level)
			}
		})
	}
}

// sendUntilError publishes until the server has had enough.
func sendUntilError(t *testing.T, p *Push) error {
	t.Helper()
	limit := time.Now().Add(20 * time.Second)
	for ts := uint32(40); time.Now().Before(limit); ts += 40 {
		if err := p.WriteTag(inter(ts)); err != nil {
			return err
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatal("the server goes on")
	return nil
}

// TestRepublish is Wirecast's habit: a second publish on the same connection
// before the first one has ended.
func TestRepublish(t *testing.T) {
	s := listen(t, Config{})
	c := dialRaw(t, s.addr)
	c.connect("live")
	c.command(3, 0, "createStream")
	c.command(4, 0, "createStream")
	c.publish(1, "alice")
	c.media(1, avcHeader(0), key(0))
	c.publish(2, "alice")
	c.media(2, avcHeader(0), key(0), inter(40))
	c.media(1, inter(80))
	c.command(6, 0, "deleteStream", float64(1))
	c.media(2, inter(80))
	c.command(7, 0, "deleteStream", float64(2))
	c.close()
	first, second := s.to.ended(t, 0), s.to.ended(t, 1)
	if first.why.Reason != "republished" || first.why.Clean || !second.why.Clean {
		t.Error("the first session gives way to the second, only the second ends the broadcast")
	}
	if got, want := run(first.tags...), run(avcHeader(0), key(0)); !bytes.Equal(got, want) {
		t.Errorf("the first session holds %d bytes, want %d: what came before the second publish", len(got), len(want))
	}
	if got, want := run(second.tags...), run(avcHeader(0), key(0), inter(40), inter(80)); !bytes.Equal(got, want) {
		t.Errorf("the second session holds %d bytes, want %d: its own tags, past the first one's end", len(got), len(want))
	}
}

func TestPublishAgainOnConnection(t *testing.T) {
	s := listen(t, Config{})
	c := dialRaw(t, s.addr)
	c.connect("live")
	c.command(3, 0, "createStream")
	for i, name := range []string{"alice", "bob"} {
		c.publish(1, name)
		c.media(1, avcHeader(0), key(uint32(i)))
		c.command(5, 1, "closeStream")
	}
	c.close()
	for i, name := range []string{"live/alice", "live/bob"} {
		x := s.to.ended(t, i)
		if !x.why.Clean || x.stream.String() != name || !bytes.Equal(run(x.tags...), run(avcHeader(0), key(uint32(i)))) {
			t.Errorf("session %d of %v, clean %v: one whole publish after the other", i, x.stream, x.why.Clean)
		}
	}
}

// TestPublishRate refuses an address that publishes again and again.
func TestPublishRate(t *testing.T) {
	s := listen(t, Config{MaxPublishes: 3})
	for range 3 {
		if err := s.dial(t, "live/alice").Close(); err != nil {
			t.Fatal(err)
		}
	}
	_, err := Dial(t.Context(), "rtmp://"+s.addr+"/live/alice")
	if refused := new(rtmp.RefusedError); !errors.As(err, &refused) || refused.Code != denied || !strings.Contains(err.Error(), "wait a minute") {
		t.Errorf("%v: the fourth is told to wait", err)
	}
	if text := s.text.String(); !strings.Contains(text, "reason=rate") {
		t.Errorf("the log does not say so:\n%s", text)
	}
}

// TestConnectionLimit: who publishes stays, whoever comes; strangers give way
// to newcomers.
func TestConnectionLimit(t *testing.T) {
	s := listen(t, Config{MaxConnections: 2})
	p := s.dial(t, "live/alice")
	tags := show()
	send(t, p, tags[:20]...)
	s.to.got(t, 0, 20)
	for range 5 {
		c := dialRaw(t, s.addr) // half a publish
		t.Cleanup(func() { _ = c.nc.Close() })
		c.connect("live")
	}
	bob := s.dial(t, "live/bob")
	send(t, bob, key(0))
	s.to.got(t, 1, 1)
	for range 3 {
		if _, err := Dial(t.Context(), "rtmp://"+s.addr+"/live/carol"); err == nil {
			t.Error("a connection over the limit was served")
		}
	}
	send(t, p, tags[20:]...)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if x := s.to.ended(t, 0); !bytes.Equal(run(x.tags...), run(tags...)) {
		t.Error("who was there first has lost something")
	}
	if p, err := Dial(t.Context(), "rtmp://"+s.addr+"/live/dave"); err != nil {
		t.Errorf("a place is free again: %v", err)
	} else if err := p.Close(); err != nil {
		t.Error(err)
	}
	if err := bob.Close(); err != nil {
		t.Error(err)
	}
}
