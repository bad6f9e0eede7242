package endpoint

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"weir/internal/testcert"
	"weir/internal/testpipe"
)

// secureListener is a testpipe.Listener behind TLS.
func secureListener(t *testing.T) (*testpipe.Listener, net.Listener) {
	t.Helper()
	cert, key := testPair(t, 1, "a.example.net")
	c, err := NewCertificates([]string{cert}, []string{key})
	if err != nil {
		t.Fatal(err)
	}
	ln := testpipe.Listen()
	return ln, Secure(ln, c.Config())
}

// holdUp sends a byte, asks for new keys, and reads a byte of the answer: the
// server is left in the middle of a write that takes all the time it is given.
func holdUp(t *testing.T, nc net.Conn, first string) *testcert.Client {
	t.Helper()
	c := testcert.Dial(t, nc)
	t.Cleanup(func() { c.Close() })
	_, err := c.Write([]byte(first))
	if err == nil {
		err = c.Update()
	}
	if err == nil {
		_, err = nc.Read(make([]byte, 1))
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// over tells whether the server has ended a connection, or does within that time.
func over(nc net.Conn, within time.Duration) bool {
	if err := nc.SetWriteDeadline(time.Now().Add(within)); err != nil {
		return true
	}
	for {
		if _, err := nc.Write(make([]byte, 1)); err != nil { // else it has been read, as the server's time was over
			return errors.Is(err, io.ErrClosedPipe)
		}
	}
}

// TestKeyUpdatesEnd is a peer of TLS that makes the server write, and reads
// nothing: it has no longer than any other that says nothing of use, and a write.
func TestKeyUpdatesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln, secure := secureListener(t)
		serve(t, secure, Config{})
		nc := ln.Dial()
		c := holdUp(t, nc, "\x03")
		defer c.Close()
		if !over(nc, 10*time.Second+writeTimeout) {
			t.Error("the connection is still there")
		}
	})
}

// TestKeyUpdatesGiveWay is the same where another comes, and at the end: real
// time, since mutexes are waited for if it fails.
func TestKeyUpdatesGiveWay(t *testing.T) {
	const patience = 5 * time.Second
	t.Run("to another", func(t *testing.T) {
		ln, secure := secureListener(t)
		serve(t, secure, Config{MaxConnections: 1})
		nc := ln.Dial()
		holdUp(t, nc, "\x03")
		defer ln.Dial().Close()
		if !over(nc, patience) {
			t.Error("the connection that gives way is still there")
		}
	})
	t.Run("to the end", func(t *testing.T) {
		ln, secure := secureListener(t)
		s := serve(t, secure, Config{Drain: 100 * time.Millisecond})
		c := holdUp(t, ln.Dial(), "\x03")
		select {
		case <-s.stopped(t):
		case <-time.After(patience):
			t.Error("the server does not end")
			c.Close()
		}
	})
	t.Run("a tunnel's to another", func(t *testing.T) {
		ln, stop := tunnelOver(t, Config{MaxConnections: 1})
		nc := ln.Dial()
		c := holdUp(t, nc, "P")
		defer ln.Dial().Close()
		if !over(nc, patience) {
			t.Error("the connection that gives way is still there")
		}
		c.Close()
		stop()
	})
	t.Run("a tunnel's to the end", func(t *testing.T) {
		ln, stop := tunnelOver(t, Config{Drain: 100 * time.Millisecond})
		c := holdUp(t, ln.Dial(), "P")
		ended := make(chan struct{})
		go func() { stop(); close(ended) }()
		select {
		case <-ended:
		case <-time.After(patience):
			t.Error("the server does not end")
			c.Close()
			<-ended
		}
	})
}

// tunnelOver serves tunnels by TLS.
func tunnelOver(t *testing.T, cfg Config) (ln *testpipe.Listener, stop func()) {
	t.Helper()
	ln, secure := secureListener(t)
	cfg.Publisher = newRecorder()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- NewServer(cfg).ServeTunnel(ctx, secure, "rtmpts") }()
	return ln, func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// TestKeyUpdateInSession asks for new keys when the last write of the server is
// long ago: nothing comes of it.
func TestKeyUpdateInSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln, secure := secureListener(t)
		s := serve(t, secure, Config{})
		nc := testcert.Dial(t, ln.Dial())
		p, err := publish(t.Context(), nc, target{app: "live", tcURL: "rtmps://a.example.net/live", name: "alice"})
		if err != nil {
			t.Fatal(err)
		}
		tags := show()
		send(t, p, tags[:20]...)
		time.Sleep(2 * writeTimeout)
		p.mu.Lock()
		err = nc.Update()
		p.mu.Unlock()
		if err != nil {
			t.Fatal(err)
		}
		send(t, p, tags[20:]...)
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		if x := s.to.ended(t, 0); len(x.tags) != len(tags) || !x.why.Clean {
			t.Errorf("%d of %d tags, %+v", len(x.tags), len(tags), x.why)
		}
	})
}
