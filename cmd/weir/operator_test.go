//go:build unix

package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir/api"
	"weir/internal/testmedia"
)

// Weir kick ends the encoder's session and the broadcast: through the API of
// a process that has it all, with its token, and through NATS.
func TestKick(t *testing.T) {
	t.Parallel()
	file := testmedia.FLV(t, small(60))
	secret := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(secret, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := serve(t, "--admin-token-file", secret, "--segment", "1s", "--window", "10s")
	c := newCluster(t, 1)
	in := c.ingest(t)
	c.segmenter(t, "")
	kicks := func(t *testing.T, url string, view *server, args []string) {
		pushed := start(t, "push", "--once", file, url)
		eventually(t, 10*time.Second, "live/alice is live", func() bool { x, ok := view.stream(t, "alice"); return ok && x.Bitrate > 0 })
		kick := start(t, append([]string{"kick", "live/alice"}, args...)...)
		if <-kick.ended; kick.code != 0 {
			t.Fatalf("weir kick: exit code %d: %s", kick.code, kick.output.String())
		}
		view.waitForEnd(t, "alice", 5*time.Second)
		if <-pushed.ended; pushed.code == 0 {
			t.Error("the encoder was not told")
		}
		again := start(t, append([]string{"kick", "live/alice"}, args...)...)
		if <-again.ended; again.code != exitFailed || !strings.Contains(again.output.String(), "not live") {
			t.Errorf("kick what is not live: exit code %d: %s", again.code, again.output.String())
		}
	}
	t.Run("HTTP", func(t *testing.T) {
		refused := start(t, "kick", "live/alice", "--url", "http://"+s.http)
		if <-refused.ended; refused.code != exitFailed || !strings.Contains(refused.output.String(), "403") {
			t.Errorf("without the token: exit code %d: %s", refused.code, refused.output.String())
		}
		kicks(t, s.url("alice"), s, []string{"--url", "http://" + s.http, "--admin-token-file", secret})
	})
	t.Run("NATS", func(t *testing.T) {
		kicks(t, in.url("alice"), c.server, []string{"--nats", natsURL(c.nats)})
	})
}

// The scale of an ingest tells what waits for workers, and what they have.
func TestScale(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	in := c.ingest(t)
	get := func() (s api.Scale) {
		code, body := get("http://" + in.http + "/api/v1/scale")
		if code != http.StatusOK || json.Unmarshal(body, &s) != nil {
			t.Fatalf("the scale is %d %s", code, body)
		}
		return s
	}
	if s := get(); s != (api.Scale{}) {
		t.Errorf("of nothing: %+v", s)
	}
	publish(t, testmedia.MP4(t, small(14)), in.url("alice"))
	eventually(t, 10*time.Second, "one broadcast waits for a worker", func() bool {
		s := get()
		return s.Broadcasts == 1 && s.Unowned == 1 && s.Owned == 0 && s.Workers == 0 && s.BehindSeconds > 1
	})
	w := c.segmenter(t, "", "--memory", "40MB")
	eventually(t, 10*time.Second, "a worker of two has it, and catches up", func() bool {
		s := get()
		return s.Unowned == 0 && s.Owned == 1 && s.Workers == 1 && s.Capacity == 2 && s.BehindSeconds > 0 && s.BehindSeconds < 2.5
	})
	if behind := metric(t, w, "weir_segmenter_behind_seconds"); behind <= 0 || behind > 3 {
		t.Errorf("weir_segmenter_behind_seconds is %v, want one to two segments of a second", behind)
	}
	c.waitForEnd(t, "alice", 30*time.Second)
	eventually(t, 5*time.Second, "nothing is left to do", func() bool { s := get(); return s.Broadcasts == 0 && s.BehindSeconds == 0 })
	if behind := metric(t, w, "weir_segmenter_behind_seconds"); behind != 0 {
		t.Errorf("weir_segmenter_behind_seconds is %v with nothing to do", behind)
	}
}

// metric reads one value of a node.
func metric(t testing.TB, n *node, name string) (v float64) {
	t.Helper()
	code, body := get("http://" + n.http + "/metrics")
	_, rest, found := strings.Cut(string(body), "\n"+name+" ")
	value, _, _ := strings.Cut(rest, "\n")
	if code != http.StatusOK || !found || json.Unmarshal([]byte(value), &v) != nil {
		t.Fatalf("%s is not among the metrics: %d", name, code)
	}
	return v
}
