package endpoint

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"weir/media"
	"weir/remux/flv"
)

// TestSeveralPublishes is Flash Media Live Encoder's habit with several bit
// rates: a publish for each on one connection. All of them are sessions.
func TestSeveralPublishes(t *testing.T) {
	to := newRecorder()
	read := map[string]int{}
	to.plan = func(x *recordedSession, turn Turn, p Plan) Plan {
		read[x.stream.Name] += turn.Read
		return p
	}
	s := listen(t, Config{Publisher: to})
	c := dialRaw(t, s.addr)
	c.connect("live")
	names := []string{"show1", "show2", "show3"}
	want := map[string][]flv.Tag{}
	for i, name := range names {
		c.publish(uint32(i+1), name)
	}
	for ts := range uint32(20) {
		for i, name := range names {
			tags := []flv.Tag{inter(40*ts + uint32(i))}
			if ts == 0 {
				tags = []flv.Tag{avcHeader(uint32(i)), key(uint32(i))}
			}
			c.media(uint32(i+1), tags...)
			want[name] = append(want[name], tags...)
		}
	}
	c.command(6, 0, "deleteStream", float64(2))
	c.media(1, inter(2000))
	want["show1"] = append(want["show1"], inter(2000))
	c.command(7, 0, "deleteStream", float64(1))
	c.close() // the third is lost
	for i, name := range names {
		x := s.to.ended(t, i)
		if x.stream.Name != name || !bytes.Equal(run(x.tags...), run(want[name]...)) {
			t.Errorf("%s: %d tags of %v, want %d", name, len(x.tags), x.stream, len(want[name]))
		}
		if x.why.Clean != (i < 2) {
			t.Errorf("%s: %+v", name, x.why)
		}
	}
	to.Lock()
	defer to.Unlock()
	for name, n := range read {
		if all := len(run(want[name]...)); n > 2*all {
			t.Errorf("%s was told of %d bytes, its tags have %d", name, n, all)
		}
	}
}

// TestSecondPublishRefused: who publishes already goes on when a second stream
// may not, and the encoder is told.
func TestSecondPublishRefused(t *testing.T) {
	to := newRecorder()
	to.publish = func(s media.Stream) error {
		if s.Name == "taken" {
			return refusal{"busy", badName}
		}
		return nil
	}
	s := listen(t, Config{Publisher: to})
	c := dialRaw(t, s.addr)
	c.connect("live")
	c.publish(1, "alice")
	c.publish(2, "taken")
	c.publish(3, "no/name")
	c.media(2, key(0))
	c.media(1, avcHeader(0), key(0))
	c.command(6, 0, "deleteStream", float64(1))
	if err := c.nc.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	_, said := c.end()
	for _, code := range []string{badName, denied} {
		if n := bytes.Count(said, []byte(code)); n != 1 {
			t.Errorf("the encoder was told %s %d times, want once", code, n)
		}
	}
	x := s.to.ended(t, 0)
	if !x.why.Clean || !bytes.Equal(run(x.tags...), run(avcHeader(0), key(0))) {
		t.Errorf("%d tags, %+v", len(x.tags), x.why)
	}
	// What came on the refused one's message stream is counted, not hidden.
	if x.why.NoPublish != 1 {
		t.Errorf("%d messages were passed over, want 1", x.why.NoPublish)
	}
	text := s.text.String()
	for _, want := range []string{"reason=busy", "reason=name"} {
		if strings.Count(text, want) != 1 {
			t.Errorf("%s is not in the log once:\n%s", want, text)
		}
	}
}

// TestOneOfSeveralFails: a session that cannot go on takes no other along.
func TestOneOfSeveralFails(t *testing.T) {
	to := newRecorder()
	kick := map[string]bool{}
	to.plan = func(x *recordedSession, _ Turn, p Plan) Plan {
		if kick[x.stream.Name] {
			p.Err = refusal{"kicked", denied}
		}
		return p
	}
	s := listen(t, Config{Publisher: to})
	c := dialRaw(t, s.addr)
	c.connect("live")
	c.publish(1, "one")
	c.publish(2, "two")
	c.media(1, key(0))
	c.media(2, key(0))
	to.got(t, 1, 1)
	to.Lock()
	kick["one"] = true
	wake := to.sessions[0].wake
	to.Unlock()
	wake()
	if x := to.ended(t, 0); x.why.Reason != "kicked" {
		t.Errorf("%+v", x.why)
	}
	c.media(2, inter(40))
	c.media(1, inter(40))
	to.got(t, 1, 2)
	c.command(6, 0, "deleteStream", float64(2))
	if err := c.nc.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, said := c.end(); bytes.Count(said, []byte(denied)) != 1 {
		t.Error("the encoder was not told once that the first one ended")
	}
	if x := to.ended(t, 1); !x.why.Clean || len(x.tags) != 2 {
		t.Errorf("%d tags, %+v", len(x.tags), x.why)
	}
}

// TestMediaElsewhere: pictures on message stream 0, with the number the wrong
// way round, and on a stream that nobody made (case 37).
func TestMediaElsewhere(t *testing.T) {
	for _, id := range []uint32{0, 0x01000000, 2} {
		s := listen(t, Config{})
		c := dialRaw(t, s.addr)
		c.connect("live")
		c.command(2, 0, "createStream")
		c.publish(1, "alice")
		c.media(id, show()...)
		c.command(6, 0, "deleteStream", float64(1))
		c.close()
		if x := s.to.ended(t, 0); !x.why.Clean || !bytes.Equal(run(x.tags...), run(show()...)) {
			t.Errorf("on stream %#x: %d tags, %+v", id, len(x.tags), x.why)
		}
	}
}

// TestMediaOfNoPublish: media on a message stream that nothing is published on,
// beside two that are, is said once while it goes on, and counted at the ends.
func TestMediaOfNoPublish(t *testing.T) {
	s := listen(t, Config{})
	c := dialRaw(t, s.addr)
	c.connect("live")
	c.publish(1, "alice")
	c.publish(2, "bob")
	for range 3 {
		c.media(1, show()...)
		c.media(9, show()...)
	}
	c.close()
	passed := 0
	for i := range 2 {
		passed += s.to.ended(t, i).why.NoPublish
	}
	if want := 3 * len(show()); passed != want {
		t.Errorf("%d tags of no publish are counted, want %d", passed, want)
	}
	if n := strings.Count(s.text.String(), media.DropStream.Sentence()); n != 1 {
		t.Errorf("it is said %d times, want once:\n%s", n, s.text.String())
	}
}

// TestNames is what people type, and the sentence that tells them what to
// change; or the stream that was meant.
func TestNames(t *testing.T) {
	for _, tt := range []struct{ app, name, want string }{
		{"live", "alice", "live/alice"},
		{"live/", "alice ", "live/alice"},
		{" live", " alice\n", "live/alice"},
		{"live/_definst_", "alice", "live/alice"},
		{"live?token=a", "alice", "live/alice"},
		{"live", "alice?token=a/b c", "live/alice"},
		{"live", "/alice", "live/alice"},
		{"live/alice", "", "The stream key is empty: the server URL holds the whole path."},
		{"live", "", "The stream key is empty:"},
		{"live", "?token=a", "The stream key is empty:"},
		{"", "alice", "The server URL has no application: it ends in one"},
		{"", "live/alice", "The server URL has no application: move the first part"},
		{"live/room", "alice", "The server URL has too many parts"},
		{"live", "room/alice", "The stream key holds a slash"},
		{"live", "my show", "The stream key holds a blank"},
		{"live", "my%20show", "The stream key holds a percent sign"},
		{"live", "gr\u00fc\u00df", "bad stream name: the name holds a byte outside"},
	} {
		s := listen(t, Config{})
		c := dialRaw(t, s.addr)
		c.connect(tt.app)
		c.publish(1, tt.name)
		if !strings.Contains(tt.want, " ") {
			c.media(1, key(0))
			if x := s.to.got(t, 0, 1); x.stream.String() != tt.want {
				t.Errorf("%q and %q: %s, want %s", tt.app, tt.name, x.stream, tt.want)
			}
			c.close()
			continue
		}
		took, said := c.end()
		if took > 5*time.Second {
			t.Errorf("%q and %q: the connection stayed for %v", tt.app, tt.name, took)
		}
		if err := s.stop(); err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(said, []byte(denied)) || !bytes.Contains(said, []byte(tt.want)) {
			t.Errorf("%q and %q: the encoder was not told %q", tt.app, tt.name, tt.want)
		}
		if text := s.text.String(); !strings.Contains(text, tt.want) || strings.Count(text, "\n") != 1 {
			t.Errorf("%q and %q: the log says\n%s", tt.app, tt.name, text)
		}
	}
}

// TestEncrypted publishes over RTMPE.
func TestEncrypted(t *testing.T) {
	s := listen(t, Config{})
	p, err := Dial(t.Context(), "rtmpe://"+s.addr+"/live/alice")
	if err != nil {
		t.Fatal(err)
	}
	send(t, p, show()...)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	x := s.to.ended(t, 0)
	if !x.why.Clean || x.peer.Transport != "rtmpe" || !bytes.Equal(run(x.tags...), run(show()...)) {
		t.Errorf("%d tags over %s, %+v", len(x.tags), x.peer.Transport, x.why)
	}
}
