package ingest

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"weir/media"
	"weir/media/framelog"
	"weir/remux/flv"
	"weir/rtmp"
)

// show is a short show: headers, two GOPs of 2 s each.
func show() []flv.Tag {
	tags := []flv.Tag{meta(0), avcHeader(0, 1, 2), aacHeader(0, 0x12, 0x10)}
	body, _ := gop()
	for n := range uint32(2) {
		for _, t := range body {
			t.Timestamp += 2000 * n
			tags = append(tags, t)
		}
	}
	return tags
}

func TestPublish(t *testing.T) {
	s := listen(t, Config{})
	tags := show()
	p := s.dial(t, "live/alice")
	send(t, p, tags...)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	x := s.log.ended(t, 0)
	if !x.clean || x.stream.String() != "live/alice" {
		t.Errorf("stream %v, clean %v: an unpublish ends the broadcast of the stream that the URL names", x.stream, x.clean)
	}
	checkBatches(t, BatcherConfig{}, tags, x.pointers())
	if x.batches[0].Wall.IsZero() || time.Since(x.batches[0].Wall) > time.Minute {
		t.Errorf("wall clock %v: it is the ingest's at the first tag", x.batches[0].Wall)
	}
}

func TestLostConnection(t *testing.T) {
	s := listen(t, Config{})
	tags := show()
	p := s.dial(t, "live/alice")
	send(t, p, tags...)
	s.log.appended(t, 0, len(run(tags[:100]...)))
	if err := p.Abandon(); err != nil {
		t.Fatal(err)
	}
	x := s.log.ended(t, 0)
	if x.clean {
		t.Error("a connection without an unpublish is lost: its encoder may come back")
	}
	// A reset may destroy what the kernel held; what was read is whole.
	got := x.run()
	if !bytes.HasPrefix(run(tags...), got) {
		t.Error("the log holds a front of what was sent")
	}
	parseRun(t, got)
}

// TestSlowEncoder sends one tag and then waits: it must not wait for the next
// one to be sent on.
func TestSlowEncoder(t *testing.T) {
	s := listen(t, Config{Batch: 20 * time.Millisecond})
	p := s.dial(t, "live/alice")
	send(t, p, avcHeader(0), key(0))
	s.log.appended(t, 0, 1)
	send(t, p, inter(40))
	x := s.log.appended(t, 0, len(run(avcHeader(0), key(0), inter(40))))
	if n := len(x.batches); n != 2 {
		t.Errorf("%d batches, want 2: the second one went when its time had come", n)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestBatchCadence is what an encoder of 77 tags a second costs the log: a
// batch each Config.Batch, no more and, as no frame waits for longer, hardly
// less.
func TestBatchCadence(t *testing.T) {
	s := listen(t, Config{Batch: 100 * time.Millisecond})
	p := s.dial(t, "live/alice")
	send(t, p, avcHeader(0), aacHeader(0), key(0))
	began := time.Now()
	tags := 0
	for ts := uint32(0); ts < 3500; ts += 13 {
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
	x := s.log.ended(t, 0)
	all := int(took / s.cfg.Batch)
	if n := len(x.batches); n > all+3 || n < all*4/5 {
		t.Errorf("%d batches for %d tags in %v, want one each %v", n, tags, took, s.cfg.Batch)
	}
	if took < 3400*time.Millisecond {
		t.Errorf("3.5 s of tags were paced over %v", took)
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
		{"bad name", "live/%2e%2e", nil, nil, badName, "name"},
		{"bad app", "li%20ve/alice", nil, nil, badName, "name"},
		{"unknown key", "live/guess", keyed, nil, denied, "auth"},
		{"busy", "live/alice", nil, fmt.Errorf("open: %w", ErrBusy), badName, "busy"},
		{"overtaken while opening", "live/alice", nil, fmt.Errorf("open: %w", ErrFenced), badName, "fenced"},
		{"log away", "live/alice", nil, errors.New("no servers"), denied, "log"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			log := newRecordingLog()
			log.open = func(media.Stream) error { return tt.open }
			s := listen(t, Config{Log: log, Auth: tt.auth})
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
			if len(log.sessions) > 0 {
				t.Error("a session was opened")
			}
		})
	}
}

type authFunc func(Request) (media.Stream, error)

func (f authFunc) Authorize(_ context.Context, r Request) (media.Stream, error) { return f(r) }

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

// TestSessionEndsByServer is what ends a session while its encoder would go on.
func TestSessionEndsByServer(t *testing.T) {
	alice := media.Stream{App: "live", Name: "alice"}
	tests := []struct {
		name   string
		append error
		act    func(*station, *recordedSession)
		code   string
		clean  bool
	}{
		{"fenced", fmt.Errorf("append: %w", ErrFenced), nil, badName, false},
		{"log fails", errors.New("undecided"), nil, denied, false},
		{"kicked by the API", nil, func(s *station, _ *recordedSession) {
			if s.Kick(media.Stream{App: "live", Name: "bob"}) || !s.Kick(alice) {
				t.Error("alice publishes, bob does not")
			}
		}, denied, true},
		{"kicked by another node", nil, func(_ *station, x *recordedSession) { close(x.kicked) }, denied, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			log := newRecordingLog()
			log.append = func(s *recordedSession, _ *framelog.Batch) error {
				if len(s.batches) > 0 {
					return tt.append
				}
				return nil
			}
			s := listen(t, Config{Log: log, Batch: 10 * time.Millisecond})
			p := s.dial(t, "live/alice")
			send(t, p, avcHeader(0), key(0))
			x := log.appended(t, 0, 1)
			if tt.act != nil {
				tt.act(s, x)
			}
			err := sendUntilError(t, p)
			refused := new(rtmp.RefusedError)
			if !errors.As(err, &refused) || refused.Code != tt.code {
				t.Errorf("%v: the encoder is told %s", err, tt.code)
			}
			_ = p.Abandon()
			if x := log.ended(t, 0); x.clean != tt.clean {
				t.Errorf("clean %v, want %v", x.clean, tt.clean)
			}
			if s.Kick(alice) {
				t.Error("the session is over")
			}
		})
	}
}

// sendUntilError publishes until the server has had enough.
func sendUntilError(t *testing.T, p *Publisher) error {
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
	first, second := s.log.ended(t, 0), s.log.ended(t, 1)
	if first.clean || !second.clean {
		t.Error("the first session gives way to the second, only the second ends the broadcast")
	}
	if got, want := first.run(), run(avcHeader(0), key(0)); !bytes.Equal(got, want) {
		t.Errorf("the first session holds %d bytes, want %d: what came before the second publish", len(got), len(want))
	}
	if got, want := second.run(), run(avcHeader(0), key(0), inter(40), inter(80)); !bytes.Equal(got, want) {
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
		x := s.log.ended(t, i)
		if !x.clean || x.stream.String() != name || !bytes.Equal(x.run(), run(avcHeader(0), key(uint32(i)))) {
			t.Errorf("session %d of %v, clean %v: one whole publish after the other", i, x.stream, x.clean)
		}
	}
}

func TestSessions(t *testing.T) {
	s := listen(t, Config{Batch: 10 * time.Millisecond})
	if got := s.Sessions(); len(got) != 0 {
		t.Errorf("%d sessions before any", len(got))
	}
	p := s.dial(t, "live/alice")
	// The avcC of captures/ffmpeg-5.1.9-h264-aac, and 44.1 kHz stereo AAC-LC.
	avcC, err := hex.DecodeString("0164000cffe100186764000cacb40a0cfcf808800000030080000019478a155001000468ef3cb0fdf8f800")
	if err != nil {
		t.Fatal(err)
	}
	tags := []flv.Tag{avcHeader(0, avcC...), aacHeader(0, 0x12, 0x10), key(1000), sound(0), key(3000)}
	send(t, p, tags...)
	s.log.appended(t, 0, len(run(tags...)))
	var i SessionInfo
	for limit := time.Now().Add(10 * time.Second); i.Batches == 0 || i.Buffered > 0; time.Sleep(time.Millisecond) {
		all := s.Sessions() // the log has the batch a moment before the session knows
		if len(all) != 1 || time.Now().After(limit) {
			t.Fatalf("%d sessions, want 1 with nothing buffered: %+v", len(all), all)
		}
		i = all[0]
	}
	if i.Stream.String() != "live/alice" || i.Broadcast != "broadcast-1" || i.Remote != p.nc.LocalAddr().String() || time.Since(i.Since) > time.Minute {
		t.Errorf("who: %+v", i)
	}
	if i.VideoCodec != "avc1.64000c" || i.Width != 320 || i.Height != 180 || i.FrameRate != 25 || i.AudioCodec != "mp4a.40.2" || i.SampleRate != 44100 || i.Channels != 2 {
		t.Errorf("what: %+v", i)
	}
	if i.KeyInterval != 2*time.Second || i.Bytes == 0 || i.Buffered != 0 {
		t.Errorf("how: %+v", i)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	s.log.ended(t, 0)
	if got := s.Sessions(); len(got) != 0 {
		t.Errorf("%d sessions after the end", len(got))
	}
}

func TestConnectionLimit(t *testing.T) {
	s := listen(t, Config{MaxConnections: 1})
	p := s.dial(t, "live/alice")
	for range 3 {
		if _, err := Dial(t.Context(), "rtmp://"+s.addr+"/live/bob"); err == nil {
			t.Error("a connection over the limit was served")
		}
	}
	send(t, p, show()...)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	checkBatches(t, BatcherConfig{}, show(), s.log.ended(t, 0).pointers())
	if n := strings.Count(s.text.String(), "limit is reached"); n != 1 {
		t.Errorf("%d log lines about the limit, want 1: a flood of connections is none of log lines", n)
	}
	if p, err := Dial(t.Context(), "rtmp://"+s.addr+"/live/bob"); err != nil {
		t.Errorf("a place is free again: %v", err)
	} else if err := p.Close(); err != nil {
		t.Error(err)
	}
}
