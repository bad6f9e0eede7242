package endpoint

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/rtmp"
)

func TestParseTarget(t *testing.T) {
	tests := []struct {
		url  string
		want target
		err  string
	}{
		{"rtmp://localhost/live/alice", target{"localhost:1935", "live", "rtmp://localhost/live", "alice", false, ""}, ""},
		{"rtmp://[::1]:1936/live/alice", target{"[::1]:1936", "live", "rtmp://[::1]:1936/live", "alice", false, ""}, ""},
		{"rtmp://[::1]/live/alice", target{"[::1]:1935", "live", "rtmp://[::1]/live", "alice", false, ""}, ""},
		{"rtmp://h/a/b/key?sign=1%202&x", target{"h:1935", "a/b", "rtmp://h/a/b", "key?sign=1%202&x", false, ""}, ""},
		{"rtmpe://h/live/alice", target{"h:1935", "live", "rtmpe://h/live", "alice", true, ""}, ""},
		{"http://h/live/alice", target{}, "scheme"},
		{"rtmps://h/live/alice", target{"h:443", "live", "rtmps://h/live", "alice", false, "h"}, ""},
		{"rtmps://h:1936/live/alice", target{"h:1936", "live", "rtmps://h:1936/live", "alice", false, "h"}, ""},
		{"rtmp:///live/alice", target{}, "no host"},
		{"rtmp://h/alice", target{}, "app/name"},
		{"rtmp://h/live/", target{}, "app/name"},
		{"rtmp://h//alice", target{}, "app/name"},
		{"rtmp://h:port/live/alice", target{}, "parsed"},
		{"", target{}, "scheme"},
	}
	for _, tt := range tests {
		got, err := parseTarget(tt.url)
		if tt.err == "" {
			if err != nil || got != tt.want {
				t.Errorf("%s: %+v, %v; want %+v", tt.url, got, err, tt.want)
			}
			continue
		}
		if !errors.Is(err, ErrPublishURL) || !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: error %v, want one that says %q", tt.url, err, tt.err)
		}
	}
}

func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := new(Push)
		began := time.Now()
		for _, step := range []struct {
			why  string
			ts   uint32
			want time.Duration
		}{
			{"the first tag sets the clock", 4294966000, 0},
			{"later ones keep to it", 4294966500, 500 * time.Millisecond},
			{"also across the wrap at 2^32 ms", 704, 2 * time.Second},
			{"a tag of the past is due at once", 500, 2 * time.Second},
			{"and does not turn the clock back", 1704, 3 * time.Second},
			{"a jump sets the clock anew", 3_600_000, 3 * time.Second},
			{"and time goes on from there", 3_600_100, 3100 * time.Millisecond},
		} {
			if err := p.Pace(t.Context(), step.ts); err != nil {
				t.Fatal(err)
			}
			if got := time.Since(began); got != step.want {
				t.Errorf("%s: the tag of %d ms went after %v, want %v", step.why, step.ts, got, step.want)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := p.Pace(ctx, 3_609_000); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v: pacing ends with its context", err)
		}
		if err := p.Pace(ctx, 0); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v: also where there is nothing to wait for", err)
		}
	})
}

func TestDialFails(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	conns := make(chan net.Conn, 1)
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				close(conns)
				return
			}
			conns <- nc
		}
	}()
	url := "rtmp://" + ln.Addr().String() + "/live/" + canary
	t.Run("silent server", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if _, err := Dial(ctx, url); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, want the context's error", err)
		}
		_ = (<-conns).Close()
	})
	t.Run("not RTMP", func(t *testing.T) {
		go func() {
			nc := <-conns
			_, _ = nc.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
			_ = nc.(*net.TCPConn).CloseWrite()
			buf := make([]byte, 4096)
			for n := 1; n > 0; n, _ = nc.Read(buf) {
			}
			_ = nc.Close()
		}()
		broken := new(rtmp.PeerError)
		if _, err := Dial(t.Context(), url); !errors.As(err, &broken) {
			t.Errorf("%v, want the rule that the server broke", err)
		}
	})
	t.Run("no server", func(t *testing.T) {
		gone, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		_ = gone.Close()
		if _, err := Dial(t.Context(), "rtmp://"+gone.Addr().String()+"/live/"+canary); err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("%v: an error without the key", err)
		}
	})
}

// TestWriteAfterRefusal blocks a publisher in a write while the server refuses
// to go on and resets the connection: what the server said must come out.
func TestWriteAfterRefusal(t *testing.T) {
	ours, theirs := loopback(t)
	full := make(chan struct{})
	server := make(chan error, 1)
	go func() {
		defer theirs.Close()
		engine, err := acceptPublish(theirs)
		if err == nil {
			<-full
			engine.Refuse(1, denied, "Enough.")
			_, err = theirs.Write(engine.Output())
		}
		server <- err
	}()
	p, err := publish(t.Context(), ours, target{app: "live", tcURL: "rtmp://localhost/live", name: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(100*time.Millisecond, func() { close(full) })
	for ts := uint32(0); err == nil; ts += 40 {
		err = p.WriteTag(video(ts, make([]byte, 1<<20)...))
	}
	if refused := new(rtmp.RefusedError); !errors.As(err, &refused) || refused.Code != denied {
		t.Errorf("%v, want the server's status", err)
	}
	_ = p.Abandon()
	if err := <-server; err != nil {
		t.Error(err)
	}
}

// loopback returns both ends of a TCP connection.
func loopback(t *testing.T) (dialed, accepted net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if dialed, err = net.Dial("tcp", ln.Addr().String()); err == nil {
		accepted, err = ln.Accept()
	}
	if err != nil {
		t.Fatal(err)
	}
	return dialed, accepted
}

// acceptPublish serves nc until it publishes, and reads no further.
func acceptPublish(nc net.Conn) (*rtmp.Server, error) {
	engine := rtmp.NewServer(rtmp.ServerConfig{})
	buf := make([]byte, 4096)
	for {
		n, err := nc.Read(buf)
		if err != nil {
			return nil, err
		}
		events, err := engine.Receive(time.Now(), buf[:n])
		if err != nil {
			return nil, err
		}
		published := false
		for _, ev := range events {
			if ev.Type == rtmp.EventPublish {
				engine.Accept(ev.StreamID)
				published = true
			}
		}
		if _, err := nc.Write(engine.Output()); err != nil || published {
			return engine, err
		}
	}
}
