package endpoint

import (
	"bytes"
	"errors"
	"net"
	"testing"
	"time"

	"weir/remux/flv"
)

// stopped stops the station and tells when Serve has returned.
func (s *station) stopped(t *testing.T) <-chan struct{} {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.stop(); err != nil {
			t.Errorf("serve: %v", err)
		}
	}()
	return done
}

// TestDrainAsks drains a server whose encoder understands a reconnect request.
func TestDrainAsks(t *testing.T) {
	to := newRecorder()
	to.plan = func(_ *recordedSession, turn Turn, p Plan) Plan {
		if turn.Cut {
			t.Error("an encoder that was asked to go is not cut")
		}
		return p
	}
	s := listen(t, Config{Publisher: to})
	p := s.dial(t, "live/alice")
	tags := []flv.Tag{avcHeader(0), key(0), inter(40)}
	send(t, p, tags...)
	s.to.got(t, 0, len(tags))
	done := s.stopped(t)
	<-p.Reconnect()
	// The encoder finds another node, and meanwhile goes on here, past key
	// frames too.
	more := []flv.Tag{inter(80), key(120), inter(160), key(200)}
	send(t, p, more...)
	x := s.to.got(t, 0, len(tags)+len(more))
	if err := p.Abandon(); err != nil {
		t.Error(err)
	}
	<-done
	if !x.ended || x.why.Clean {
		t.Errorf("ended %v, %+v: the session waits for its encoder", x.ended, x.why)
	}
	if !bytes.Equal(run(x.tags...), run(append(tags, more...)...)) {
		t.Errorf("%d tags: what came before it went has arrived", len(x.tags))
	}
}

// TestDrainCuts drains a server whose encoder does not: the session is told to
// end at its next key frame.
func TestDrainCuts(t *testing.T) {
	to := newRecorder()
	cut := false // guarded by to.mu, under which plan and tag are called
	to.plan = func(_ *recordedSession, turn Turn, p Plan) Plan {
		cut = turn.Cut
		return p
	}
	to.tag = func(_ *recordedSession, tag flv.Tag) (bool, error) {
		if cut && tag.Data[0] == 0x17 {
			return false, refusal{reason: "drained"}
		}
		return false, nil
	}
	s := listen(t, Config{Publisher: to})
	c := dialRaw(t, s.addr)
	c.connect("live")
	c.publish(1, "alice")
	sent := []flv.Tag{avcHeader(0), key(0), inter(40)}
	c.media(1, sent...)
	s.to.got(t, 0, len(sent))
	done := s.stopped(t)
	for ts := uint32(80); !closed(done); ts += 40 {
		tag := inter(ts)
		if ts%200 == 0 {
			tag = key(ts)
		}
		// The server hangs up at some point, that is what is waited for.
		_, _ = c.nc.Write(rawMessage(4, byte(tag.Type), 1, tag.Timestamp, tag.Data))
		sent = append(sent, tag)
		time.Sleep(2 * time.Millisecond)
	}
	c.end()
	x := s.to.ended(t, 0)
	if x.why.Clean || x.why.Reason != "drained" || len(x.tags) >= len(sent) || !bytes.Equal(run(x.tags...), run(sent[:len(x.tags)]...)) {
		t.Fatalf("%+v, %d of %d tags arrived: the front of what was sent", x.why, len(x.tags), len(sent))
	}
	if next := sent[len(x.tags)]; next.Data[0] != 0x17 {
		t.Errorf("the session ends before the tag at %d ms, want a place where the next one can begin", next.Timestamp)
	}
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// TestDrainIsBounded drains a server whose peers do nothing of what they are
// asked, and one of whose sessions stays full.
func TestDrainIsBounded(t *testing.T) {
	to := newRecorder()
	to.plan = func(x *recordedSession, _ Turn, p Plan) Plan {
		p.Full = x.stream.Name == "stuck"
		return p
	}
	s := listen(t, Config{Publisher: to, Drain: 400 * time.Millisecond})
	if _, err := net.Dial("tcp", s.addr); err != nil { // says nothing at all
		t.Fatal(err)
	}
	silent, stuck := s.dial(t, "live/silent"), s.dial(t, "live/stuck")
	to.wait(t, "both sessions", func(x []*recordedSession) bool { return len(x) == 2 })
	began := time.Now()
	<-s.stopped(t)
	// The drain, and a second in which a peer may read its status.
	if took := time.Since(began); took > s.cfg.Drain+5*time.Second {
		t.Errorf("the drain took %v, want %v", took, s.cfg.Drain)
	}
	for i, x := range to.sessions {
		if !x.ended || x.why.Clean {
			t.Errorf("session %d: ended %v, %+v", i, x.ended, x.why)
		}
	}
	if _, err := net.Dial("tcp", s.addr); err == nil {
		t.Error("the port is still open")
	}
	for _, p := range []*Push{silent, stuck} {
		if err := p.Abandon(); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	}
}
