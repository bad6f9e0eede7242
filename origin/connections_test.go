package origin

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"weir/internal/testcert"
	"weir/internal/testpipe"
)

// Whoever waits longest goes first: half-open connections keep no viewer out.
// Whose request is being answered stays; if that is everybody, a newcomer is
// told to come again.
func TestConnectionsAreBounded(t *testing.T) {
	defer goleak.VerifyNone(t)
	const most = 20
	release := make(chan bool)
	let := sync.OnceFunc(func() { close(release) })
	defer let()
	var answering atomic.Int64
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			answering.Add(1)
			<-release
		}
		fmt.Fprint(w, "ok")
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, l, h, Limits{Connections: most}, time.Second, quiet()) }()

	dial := func(send string) net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(c, send)
		return c
	}
	const request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
	answer := func(c net.Conn) int {
		t.Helper()
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return 0
		}
		defer resp.Body.Close()
		return resp.StatusCode
	}
	gone := func(c net.Conn) bool {
		_, err := io.ReadAll(c)
		var late net.Error
		return !errors.As(err, &late) || !late.Timeout()
	}

	var silent []net.Conn
	for range 10 * most { // half of them say a part of a request
		silent = append(silent, dial("GET / HT"), dial(""))
	}
	for range 3 {
		if code := answer(dial(request)); code != http.StatusOK {
			t.Errorf("a viewer among half-open connections: %d", code)
		}
	}
	if !gone(silent[0]) {
		t.Error("the oldest stranger is still there")
	}

	var slow []net.Conn
	for range most {
		slow = append(slow, dial("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"))
	}
	deadline := time.Now().Add(10 * time.Second)
	for answering.Load() < most && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond)
	}
	for code := 0; code != http.StatusServiceUnavailable; time.Sleep(10 * time.Millisecond) {
		if code = answer(dial(request)); time.Now().After(deadline) {
			t.Fatalf("one more than %d that are being answered: %d", most, code)
		}
	}
	let()
	var answers sync.WaitGroup
	for _, c := range slow {
		answers.Go(func() {
			if code := answer(c); code != http.StatusOK {
				t.Errorf("whose request was being answered: %d", code)
			}
		})
	}
	answers.Wait()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Whoever has to go goes, though it makes the server write and reads nothing:
// nobody waits for its connection to be closed.
func TestKeyUpdatesGiveWay(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	testcert.Write(t, cert, key, 1, "a.example.net")
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	ln := testpipe.Listen()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	secure := tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{pair}, SessionTicketsDisabled: true})
	ok := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	go func() { done <- Serve(ctx, secure, ok, Limits{Connections: 2}, 100*time.Millisecond, quiet()) }()
	const patience = 5 * time.Second
	var stuck []*testcert.Client
	holdUp := func() {
		nc := ln.Dial()
		c := testcert.Dial(t, nc)
		stuck = append(stuck, c)
		fmt.Fprint(c, "G")
		if err := c.Update(); err != nil {
			t.Error(err)
		}
		if _, err := nc.Read(make([]byte, 1)); err != nil { // the rest is never read
			t.Error(err)
		}
	}
	release := func() {
		for _, c := range stuck {
			c.Close()
		}
	}
	defer release()
	holdUp()
	holdUp()
	nc := ln.Dial()
	if err := nc.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	viewer := tls.Client(nc, &tls.Config{InsecureSkipVerify: true})
	defer nc.Close()
	fmt.Fprint(viewer, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(viewer), nil)
	if err != nil {
		t.Errorf("a viewer among those: %v", err)
	} else {
		resp.Body.Close()
	}
	cancel()
	select {
	case err = <-done:
	case <-time.After(patience):
		t.Error("Serve does not end")
		release()
		err = <-done
	}
	if err != nil {
		t.Error(err)
	}
}
