package api

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weir/media"
)

// A socket is this user's alone, and takes the place of one whose process was
// killed, but of nothing else.
func TestSocket(t *testing.T) {
	dir, err := os.MkdirTemp("", "s") // short: a socket's path is
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	address := Socket(dir)
	path := strings.TrimPrefix(address, "unix:")
	l, err := Listen(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v; want %v", name, info.Mode(), err, want)
		}
	}
	running := &http.Server{Handler: New(Config{Registry: known{live: "live/alice"}, Access: Access{Own: true}, Log: quiet()})}
	served := make(chan error, 1)
	go func() { served <- running.Serve(l) }()
	c, err := NewClient(address, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Kick(t.Context(), media.Stream{App: "live", Name: "alice"}); err != nil {
		t.Errorf("kick through the socket: %v", err)
	}
	if _, err := Listen(t.Context(), address); err == nil || !strings.Contains(err.Error(), "another process answers") {
		t.Errorf("a second listener: %v", err)
	}
	_ = running.Close() // as asked
	<-served

	stale, err := Listen(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	stale.(interface{ SetUnlinkOnClose(bool) }).SetUnlinkOnClose(false) // as after kill -9
	if err := stale.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := Listen(t.Context(), address)
	if err != nil {
		t.Fatalf("in the place of a dead one: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(t.Context(), address); err == nil {
		t.Error("a file was taken for a socket")
	}
	if _, err := Listen(t.Context(), Socket(strings.Repeat("x", 120))); err == nil || !strings.Contains(err.Error(), "bytes") {
		t.Errorf("a path that is too long: %v", err)
	}
}
