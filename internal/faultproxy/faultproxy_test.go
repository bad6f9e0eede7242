package faultproxy_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"weir/internal/faultproxy"
)

const body = "0123456789"

// setUp starts a server that answers with body, and counts, behind a proxy.
func setUp(t *testing.T) (p *faultproxy.Proxy, served *atomic.Int32) {
	t.Helper()
	served = new(atomic.Int32)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		served.Add(1)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(server.Close)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return faultproxy.Start(t, server.URL), served
}

func do(ctx context.Context, url string) (status int, got string, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPut, url+"/k", strings.NewReader(strings.Repeat("x", 10_000)))
	if err != nil {
		return 0, "", err
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	return response.StatusCode, string(b), err
}

func TestFaults(t *testing.T) {
	for _, c := range []struct {
		name   string
		fault  faultproxy.Fault
		status int    // 0 for no answer
		body   string // what the client got of it
		served int32  // what the server did
	}{
		{"none", nil, 200, body, 1},
		{"refuse", faultproxy.Refuse(503, "SlowDown"), 503, "<Error><Code>SlowDown</Code><Message>refused by the fault proxy</Message></Error>", 0},
		{"not the first", faultproxy.First(0, faultproxy.Refuse(503, "")), 200, body, 1},
		{"other method", faultproxy.On("GET", faultproxy.Refuse(503, "")), 200, body, 1},
		{"this method", faultproxy.On("PUT", faultproxy.Refuse(507, "")), 507, "<Error><Code></Code><Message>refused by the fault proxy</Message></Error>", 0},
		{"delay", faultproxy.Delay(time.Millisecond), 200, body, 1},
		{"cut request", faultproxy.CutRequest(5000), 0, "", 0},
		{"cut answer", faultproxy.CutAnswer(4), 200, "", 1},
		{"answer too short to cut", faultproxy.CutAnswer(10), 200, body, 1},
		{"lose answer", faultproxy.LoseAnswer(), 0, "", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, served := setUp(t)
			p.Set(c.fault)
			status, got, err := do(t.Context(), p.URL)
			if status != c.status || served.Load() != c.served || c.body != "" && got != c.body {
				t.Errorf("status %d, body %q, served %d, %v, want %d, %q, %d", status, got, served.Load(), err, c.status, c.body, c.served)
			}
			if broken := c.body == ""; broken != (err != nil) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestHold(t *testing.T) {
	p, served := setUp(t)
	held, release := make(chan struct{}), make(chan struct{})
	p.Set(faultproxy.First(1, faultproxy.Hold(held, release)))
	answered := make(chan string, 1)
	go func() {
		_, got, _ := do(context.Background(), p.URL)
		answered <- got
	}()
	<-held
	if served.Load() != 1 || len(answered) != 0 {
		t.Errorf("held: served %d, answers %d, want 1 and 0", served.Load(), len(answered))
	}
	close(release)
	if got := <-answered; got != body {
		t.Errorf("released: %q", got)
	}
}

func TestDownAndUp(t *testing.T) {
	p, _ := setUp(t)
	url := p.URL
	if _, _, err := do(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	p.Down()
	http.DefaultClient.CloseIdleConnections() // or it tries an old one
	if _, _, err := do(t.Context(), url); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("down: %v, want %v", err, syscall.ECONNREFUSED)
	}
	if err := p.Up(); err != nil {
		t.Fatal(err)
	}
	if _, got, err := do(t.Context(), url); err != nil || got != body {
		t.Errorf("up again: %q, %v", got, err)
	}
	if n := p.Connections(); n != 2 {
		t.Errorf("%d connections, want one before and one after", n)
	}
	requests := p.Requests()
	if len(requests) != 2 || requests[0].Method != "PUT" || requests[0].Path != "/k" || requests[1].Status != 200 {
		t.Errorf("requests %+v", requests)
	}
}
