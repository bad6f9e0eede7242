package ingest

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
	s := listen(t, Config{})
	p := s.dial(t, "live/alice")
	tags := []flv.Tag{avcHeader(0), key(0), inter(40)}
	send(t, p, tags...)
	s.log.wait(t, "the session", func(x []*recordedSession) bool { return len(x) == 1 })
	done := s.stopped(t)
	<-p.Reconnect()
	// The encoder finds another node, and meanwhile goes on here, past key
	// frames too.
	more := []flv.Tag{inter(80), key(120), inter(160), key(200)}
	send(t, p, more...)
	x := s.log.appended(t, 0, len(run(append(tags, more...)...)))
	if err := p.Abandon(); err != nil {
		t.Error(err)
	}
	<-done
	if !x.ended || x.clean {
		t.Errorf("ended %v, clean %v: the session waits for its encoder", x.ended, x.clean)
	}
	if got := x.run(); !bytes.Equal(got, run(append(tags, more...)...)) {
		t.Errorf("%d bytes stored: what came before it went is in the log", len(got))
	}
}

// TestDrainCuts drains a server whose encoder does not: it is cut at a key
// frame, so that the next session begins where this one ends.
func TestDrainCuts(t *testing.T) {
	for _, audioOnly := range []bool{false, true} {
		s := listen(t, Config{})
		c := dialRaw(t, s.addr)
		c.connect("live")
		c.publish(1, "alice")
		sent := []flv.Tag{avcHeader(0), key(0), inter(40)}
		if audioOnly {
			sent = []flv.Tag{aacHeader(0), sound(0), sound(40)}
		}
		c.media(1, sent...)
		s.log.wait(t, "the session", func(x []*recordedSession) bool { return len(x) == 1 })
		done := s.stopped(t)
		for ts := uint32(80); !closed(done); ts += 40 {
			tag := inter(ts)
			switch {
			case audioOnly:
				tag = sound(ts)
			case ts%200 == 0:
				tag = key(ts)
			}
			// The server hangs up at some point, that is what is waited for.
			_, _ = c.nc.Write(rawMessage(4, byte(tag.Type), 1, tag.Timestamp, tag.Data))
			sent = append(sent, tag)
			time.Sleep(2 * time.Millisecond)
		}
		c.end()
		x := s.log.ended(t, 0)
		stored := parseRun(t, x.run())
		if x.clean || len(stored) >= len(sent) || !bytes.Equal(x.run(), run(sent[:len(stored)]...)) {
			t.Fatalf("clean %v, %d of %d tags stored: the front of what was sent", x.clean, len(stored), len(sent))
		}
		next := sent[len(stored)]
		if audioOnly && next.Timestamp%1000 != 0 || !audioOnly && next.Data[0] != 0x17 {
			t.Errorf("the session ends before the tag at %d ms, want a place where the next one can begin", next.Timestamp)
		}
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
// asked, and whose log stands.
func TestDrainIsBounded(t *testing.T) {
	log := newRecordingLog()
	log.gate = make(chan struct{})
	s := listen(t, Config{Log: log, Drain: 400 * time.Millisecond})
	if _, err := net.Dial("tcp", s.addr); err != nil { // says nothing at all
		t.Fatal(err)
	}
	silent, stuck := s.dial(t, "live/silent"), s.dial(t, "live/stuck")
	for _, p := range []*Publisher{silent, stuck} {
		send(t, p, avcHeader(0), key(0))
	}
	log.wait(t, "both sessions", func(x []*recordedSession) bool { return len(x) == 2 })
	began := time.Now()
	<-s.stopped(t)
	// The drain, and a second in which a peer may read its status.
	if took := time.Since(began); took > s.cfg.Drain+5*time.Second {
		t.Errorf("the drain took %v, want %v", took, s.cfg.Drain)
	}
	for i, x := range log.sessions {
		if !x.ended || x.clean {
			t.Errorf("session %d: ended %v, clean %v", i, x.ended, x.clean)
		}
		if want := run(avcHeader(0), key(0)); x.stream.Name == "silent" && !bytes.Equal(x.run(), want) {
			t.Errorf("%d bytes of the session whose log goes are stored, want %d", len(x.run()), len(want))
		}
	}
	if _, err := net.Dial("tcp", s.addr); err == nil {
		t.Error("the port is still open")
	}
	for _, p := range []*Publisher{silent, stuck} {
		if err := p.Abandon(); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	}
}
