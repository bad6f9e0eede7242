package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"weir/media"
)

// The client and the handler agree: what is asked is answered, and what went
// wrong is told as it was.
func TestClient(t *testing.T) {
	h := New(Config{Registry: known{list: []Stream{{Name: "live/alice", State: Live}}, live: "live/alice"}, Access: Access{Token: "s3cret"}, Log: quiet()})
	running := httptest.NewServer(h)
	defer running.Close()
	alice, bob := media.Stream{App: "live", Name: "alice"}, media.Stream{App: "live", Name: "bob"}
	for _, address := range []string{running.URL, running.URL + "/", running.Listener.Addr().String()} {
		c, err := NewClient(address, "s3cret")
		if err != nil {
			t.Fatal(err)
		}
		if list, err := c.Streams(t.Context()); err != nil || len(list) != 1 || list[0].Name != "live/alice" {
			t.Errorf("%s: streams: %+v, %v", address, list, err)
		}
		if s, err := c.Stream(t.Context(), alice); err != nil || s.State != Live {
			t.Errorf("%s: stream: %+v, %v", address, s, err)
		}
		if err := c.Ready(t.Context()); err != nil {
			t.Errorf("%s: ready: %v", address, err)
		}
		if err := c.Kick(t.Context(), alice); err != nil {
			t.Errorf("%s: kick: %v", address, err)
		}
		if err := c.Kick(t.Context(), bob); !errors.Is(err, ErrNotLive) {
			t.Errorf("%s: kick what is not live: %v", address, err)
		}
	}
	c, err := NewClient(running.URL, "guess")
	if err != nil {
		t.Fatal(err)
	}
	var p *Problem
	if err := c.Kick(t.Context(), alice); !errors.As(err, &p) || p.Status != http.StatusUnauthorized || !strings.Contains(err.Error(), "admin token") {
		t.Errorf("kick with another token: %v", err)
	}
}

// What is no weir is told of, and costs no more than a little memory.
func TestClientElsewhere(t *testing.T) {
	endless := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/v1/streams" {
			w.WriteHeader(http.StatusBadGateway)
		}
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 1<<16)); err != nil {
				return
			}
		}
	}))
	defer endless.Close()
	c, err := NewClient(endless.URL, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Streams(t.Context()); err == nil { // of a quick machine 64 MiB, of a slow one what came in time
		t.Error("zeros are taken for a list of streams")
	}
	if err := c.Ready(t.Context()); err == nil || len(err.Error()) > 2*maxDetail || !strings.Contains(err.Error(), "502") {
		t.Errorf("an error page of a proxy reads %.300v", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Ready(gone); !errors.Is(err, context.Canceled) {
		t.Errorf("asked by who has left: %v", err)
	}
}

func TestClientAddress(t *testing.T) {
	for address, want := range map[string]string{
		":8080": "http://localhost:8080", "0.0.0.0:8080": "http://localhost:8080", "[::]:8080": "http://localhost:8080",
		"192.0.2.1:80": "http://192.0.2.1:80", "[::1]:80": "http://[::1]:80", "https://weir.example/live/": "https://weir.example/live",
	} {
		if c, err := NewClient(address, ""); err != nil || c.base != want {
			t.Errorf("%s: %v, %v; want %s", address, c, err, want)
		}
	}
	for _, address := range []string{"", "localhost", "ftp://weir.example", "http://", "http://a b/", "localhost:8080/x:y:z"} {
		if _, err := NewClient(address, ""); !errors.Is(err, ErrAddress) {
			t.Errorf("%q: %v, want that it is no address", address, err)
		}
	}
}

func ExampleURLHost() {
	fmt.Println(URLHost("localhost:1935", RTMPPort), URLHost(":8080", 80), URLHost("[::1]:1935", RTMPPort))
	// Output: localhost localhost:8080 [::1]
}
