package endpoint

import (
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/internal/testpipe"
)

func TestDeadlines(t *testing.T) {
	publish := func(c *rawClient) {
		c.connect("live")
		c.publish(1, "alice")
		c.media(1, avcHeader(0), key(0))
	}
	tests := []struct {
		name, why string
		reason    string
		act       func(net.Conn, testing.TB) *rawClient
		want      time.Duration // from the end of act to the server's
	}{
		{"silence", "the handshake and connect have 10 s", "handshake", nil, 10 * time.Second},
		{"half a handshake", "its first bytes are no reprieve", "handshake", func(nc net.Conn, t testing.TB) *rawClient {
			time.Sleep(4 * time.Second)
			write(t, nc, []byte{3}, make([]byte, 100))
			return nil
		}, 6 * time.Second},
		{"a byte a second", "nor are later ones", "handshake", func(nc net.Conn, t testing.TB) *rawClient {
			write(t, nc, []byte{3})
			for range 8 {
				time.Sleep(time.Second)
				write(t, nc, []byte{0})
			}
			return nil
		}, 2 * time.Second},
		{"handshake only", "connect is due in the same 10 s", "connect", func(nc net.Conn, t testing.TB) *rawClient {
			time.Sleep(3 * time.Second)
			return newRaw(t, nc)
		}, 7 * time.Second},
		{"connect only", "a publish is due 10 s later", "publish", func(nc net.Conn, t testing.TB) *rawClient {
			time.Sleep(3 * time.Second)
			c := newRaw(t, nc)
			c.connect("live")
			return c
		}, 10 * time.Second},
		{"commands without a publish", "other commands are no reprieve", "publish", func(nc net.Conn, t testing.TB) *rawClient {
			c := newRaw(t, nc)
			c.connect("live")
			for range 9 {
				time.Sleep(time.Second)
				c.command(2, 0, "createStream")
			}
			return c
		}, time.Second},
		{"publish", "a silent publisher is gone after 30 s", "idle", func(nc net.Conn, t testing.TB) *rawClient {
			c := newRaw(t, nc)
			publish(c)
			return c
		}, 30 * time.Second},
		{"slow publish", "a publisher that sends something now and then is not", "idle", func(nc net.Conn, t testing.TB) *rawClient {
			c := newRaw(t, nc)
			publish(c)
			for ts := uint32(20_000); ts < 200_000; ts += 20_000 {
				time.Sleep(20 * time.Second)
				c.media(1, inter(ts))
			}
			return c
		}, 30 * time.Second},
		{"after an unpublish", "the next publish is due in 10 s", "publish", func(nc net.Conn, t testing.TB) *rawClient {
			c := newRaw(t, nc)
			publish(c)
			time.Sleep(20 * time.Second)
			c.command(5, 1, "closeStream")
			return c
		}, 10 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ln := testpipe.Listen()
				s := serve(t, ln, Config{})
				nc := ln.Dial()
				synctest.Wait()
				var c *rawClient
				if tt.act != nil {
					c = tt.act(nc, t)
				}
				if c == nil {
					c = &rawClient{nc: nc, heard: make(chan []byte, 1)}
					go func() {
						b := make([]byte, 1)
						if _, err := nc.Read(b); err == nil {
							t.Error("the server answers half a handshake")
						}
						c.heard <- nil
					}()
				}
				synctest.Wait()
				// A running session reads at its cadence, so that bytes may
				// count as having come that much later.
				took, _ := c.end()
				if took < tt.want || took > tt.want+250*time.Millisecond {
					t.Errorf("the connection ended after %v, want %v: %s", took, tt.want, tt.why)
				}
				synctest.Wait()
				text := s.text.String()
				for _, x := range s.to.sessions {
					text += "reason=" + x.why.Reason
				}
				if !strings.Contains(text, "reason="+tt.reason) {
					t.Errorf("nobody gives the reason %s:\n%s", tt.reason, text)
				}
				for i := range s.to.sessions {
					if x := s.to.ended(t, i); x.why.Clean != (tt.reason == "publish") {
						t.Errorf("%+v", x.why)
					}
				}
			})
		})
	}
}

func write(t testing.TB, nc net.Conn, all ...[]byte) {
	t.Helper()
	for _, p := range all {
		if _, err := nc.Write(p); err != nil {
			t.Fatal(err)
		}
	}
}

// brokenListener fails to accept, in the ways that listeners do.
type brokenListener struct {
	net.Listener
	errs []error
}

func (l *brokenListener) Accept() (net.Conn, error) {
	if len(l.errs) == 0 {
		return l.Listener.Accept()
	}
	err := l.errs[0]
	l.errs = l.errs[1:]
	return nil, err
}

func TestAcceptFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := testpipe.Listen()
		emfile := errors.New("too many open files")
		s := serve(t, &brokenListener{Listener: inner, errs: []error{emfile, emfile, emfile}}, Config{})
		began := time.Now()
		c := newRaw(t, inner.Dial())
		if took := time.Since(began); took != 35*time.Millisecond {
			t.Errorf("accepting went on after %v, want 35 ms: it pauses 5, 10 and 20 ms and does not give up", took)
		}
		c.connect("live")
		_ = c.nc.Close()
		synctest.Wait()
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		ln := testpipe.Listen()
		s := NewServer(Config{Publisher: newRecorder()})
		if err := ln.Close(); err != nil {
			t.Fatal(err)
		}
		if err := s.Serve(t.Context(), ln); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%v: a listener that somebody else closed is a failure", err)
		}
	})
}
