package faultproxy_test

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"weir/internal/faultproxy"
)

// echo starts a server that answers with what it is sent.
func echo(t *testing.T) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				_, _ = io.Copy(c, c)
				_ = c.Close()
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		running.Wait()
	})
	return l.Addr().String()
}

// client sends and expects.
type client struct {
	*testing.T
	net.Conn
}

func dial(t *testing.T, p *faultproxy.TCP) client {
	t.Helper()
	c, err := net.Dial("tcp", p.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return client{t, c}
}

func (c client) send(text string) {
	c.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		c.Fatal(err)
	}
}

// hear reads what has come after 100 ms.
func (c client) hear() (text string, ended bool) {
	c.Helper()
	if err := c.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		c.Fatal(err)
	}
	got, err := io.ReadAll(c)
	return string(got), !errors.Is(err, os.ErrDeadlineExceeded)
}

// TestTCP meets every fault once.
func TestTCP(t *testing.T) {
	sent := make(map[int]string)
	var mu sync.Mutex
	p := faultproxy.StartTCP(t, func(conn int, bytes []byte) {
		mu.Lock()
		defer mu.Unlock()
		sent[conn] += string(bytes)
	}, "127.0.0.1:1", echo(t)) // nobody listens at the first
	c := dial(t, p)
	want := func(text string, ended bool, why string) {
		t.Helper()
		if got, over := c.hear(); got != text || over != ended {
			t.Errorf("%s: %q came, ended %t; want %q, %t", why, got, over, text, ended)
		}
	}
	c.send("a")
	want("a", false, "no fault")
	p.Freeze()
	c.send("b")
	want("", false, "frozen")
	p.Thaw()
	want("b", false, "thawed: it was late, not lost")
	p.Deafen()
	c.send("c")
	want("", false, "the answer is lost")
	p.Hear()
	want("", true, "cut")
	c = dial(t, p)
	c.send("d")
	want("d", false, "a new connection, of which nothing is lost")
	mu.Lock()
	defer mu.Unlock()
	if sent[0] != "abc" || sent[1] != "d" {
		t.Errorf("the tap saw %v, want abc and d", sent)
	}
}
