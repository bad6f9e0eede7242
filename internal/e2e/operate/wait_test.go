//go:build unix

package operate

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"weir/internal/testweir"
)

// While NATS is not there a stage lives, says what it waits for, and tells
// whoever asks; it goes when it is told to, as asked; and an origin serves what
// is in the store.
func TestStartWithoutNATS(t *testing.T) {
	t.Parallel()
	dir, nowhere := t.TempDir(), "nats://"+testweir.FreeAddress(t)
	object := filepath.Join(dir, "live/alice/b/source/00000000.ts")
	if err := os.MkdirAll(filepath.Dir(object), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(object, []byte("G"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		stage string
		args  []string
		ready int
		want  string
	}{
		{"ingest", []string{"--rtmp", testweir.FreeAddress(t)}, 503, "not ready\nnats: not ready\n"},
		{"segment", []string{"--store", "file://" + dir}, 503, "not ready\nnats: not ready\nstore: ok\n"},
		{"origin", []string{"--store", "file://" + dir}, 200, "ready\nnats: away\nstore: ok\n"},
	} {
		t.Run(tt.stage, func(t *testing.T) {
			t.Parallel()
			address := testweir.FreeAddress(t)
			p := testweir.Start(t, append([]string{tt.stage, "--nats", nowhere, "--http", address}, tt.args...)...)
			testweir.Eventually(t, 20*time.Second, "it lives", func() bool {
				code, _ := testweir.Get("http://" + address + "/healthz")
				return code == http.StatusOK
			})
			if code, body := testweir.Get("http://" + address + "/readyz"); code != tt.ready || string(body) != tt.want {
				t.Errorf("/readyz: %d %q, want %d %q", code, body, tt.ready, tt.want)
			}
			if code, body := testweir.Get("http://" + address + "/api/v1/streams"); code != http.StatusServiceUnavailable || !strings.Contains(string(body), "unavailable") {
				t.Errorf("the list: %d %s", code, body)
			}
			if code, body := testweir.Get("http://" + address + "/hls/live/alice/b/source/00000000.ts"); tt.stage == "origin" && (code != http.StatusOK || string(body) != "G") {
				t.Errorf("an object: %d %q", code, body)
			}
			testweir.Eventually(t, 20*time.Second, "it says what it waits for", func() bool {
				return strings.Contains(p.Output.String(), "waiting for NATS") && strings.Contains(p.Output.String(), strings.TrimPrefix(nowhere, "nats://"))
			})
			p.Send(t, syscall.SIGTERM)
			if code := p.Wait(); code != 0 {
				t.Errorf("told to go while it waits: exit code %d", code)
			}
		})
	}
}

// What cannot get better by waiting ends the process, with what is wrong.
func TestStartThatCannotWork(t *testing.T) {
	t.Parallel()
	servers := testweir.StartNATS(t, t.TempDir(), 1)
	code, said := testweir.Run(t, "ingest", "--nats", testweir.NATSURL(servers), "--replicas", "3", "--rtmp", testweir.FreeAddress(t), "--http", testweir.FreeAddress(t))
	if code != testweir.ExitFailed || !strings.Contains(said, "replicas > 1 not supported") {
		t.Errorf("three copies on one server: exit code %d: %s", code, said)
	}
	address := testweir.FreeAddress(t)
	host, port, _ := strings.Cut(address, ":")
	testweir.Spawn(t, nil, "nats-server", "-a", host, "-p", port, "--user", "weir", "--pass", "right")
	code, said = testweir.RunIn(t, []string{"WEIR_NATS=nats://weir:s3cret@" + address}, "ingest", "--rtmp", testweir.FreeAddress(t), "--http", testweir.FreeAddress(t))
	if code != testweir.ExitFailed || !strings.Contains(said, "nats refuses us") || strings.Contains(said, "s3cret") {
		t.Errorf("a wrong password: exit code %d: %s", code, said)
	}
}

// SIGHUP drains, as SIGTERM does.
func TestHangup(t *testing.T) {
	t.Parallel()
	s := testweir.Serve(t)
	s.Send(t, syscall.SIGHUP)
	if code := s.Wait(); code != 0 {
		t.Errorf("exit code %d, want 0: ended as asked", code)
	}
}
