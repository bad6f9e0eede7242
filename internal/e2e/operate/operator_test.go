//go:build unix

package operate

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"weir/api"
	"weir/internal/testmedia"
	"weir/internal/testweir"
	"weir/media"
)

// Weir kick ends the encoder's session and the broadcast: through the API of
// a process that has it all, with its token, and through NATS.
func TestKick(t *testing.T) {
	t.Parallel()
	file := testmedia.FLV(t, testweir.Small(60))
	secret := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(secret, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := testweir.Serve(t, "--admin-token-file", secret, "--segment", "1s", "--window", "10s")
	c := testweir.NewCluster(t, 1)
	in := c.Ingest(t)
	c.Segmenter(t, "")
	kicked := "" // the broadcast that was, last
	kicks := func(t *testing.T, url string, view *testweir.Server, args []string) {
		pushed := testweir.Start(t, "push", "--once", file, url)
		testweir.Eventually(t, 10*time.Second, "live/alice is live", func() bool {
			x, ok := view.Stream(t, "alice")
			if !ok || x.State != "live" || x.Bitrate == 0 || x.Broadcast == kicked { // the list may be half a second old
				return false
			}
			kicked = x.Broadcast
			return true
		})
		if code, said := testweir.Run(t, append([]string{"kick", "live/alice"}, args...)...); code != 0 {
			t.Fatalf("weir kick: exit code %d: %s", code, said)
		}
		view.WaitForEnd(t, "alice", 5*time.Second)
		if pushed.Wait() == 0 {
			t.Error("the encoder was not told")
		}
		code, said := testweir.Run(t, append([]string{"kick", "live/alice"}, args...)...)
		if code != testweir.ExitFailed || !strings.Contains(said, "not live") {
			t.Errorf("kick what is not live: exit code %d: %s", code, said)
		}
	}
	t.Run("HTTP", func(t *testing.T) {
		code, said := testweir.Run(t, "kick", "live/alice", "--url", "http://"+s.HTTP)
		if code != testweir.ExitFailed || !strings.Contains(said, "401") {
			t.Errorf("without the token: exit code %d: %s", code, said)
		}
		kicks(t, s.URL("alice"), s, []string{"--url", "http://" + s.HTTP, "--admin-token-file", secret})
	})
	t.Run("the default way", func(t *testing.T) { // as README prints it, where serve is on its default address
		kicks(t, s.URL("alice"), s, []string{"--http", s.HTTP, "--admin-token-file", secret})
	})
	t.Run("NATS", func(t *testing.T) {
		kicks(t, in.URL("alice"), c.Server, []string{"--nats", testweir.NATSURL(c.NATS)})
	})
}

// The scale of an ingest tells what waits for workers, and what they have.
func TestScale(t *testing.T) {
	t.Parallel()
	c := testweir.NewCluster(t, 1)
	in := c.Ingest(t)
	type scale struct {
		Broadcasts, Unowned, Owned, Capacity, Workers int
		BehindSeconds                                 float64 `json:"behind_seconds"`
	}
	look := func() (s scale) {
		code, body := testweir.Get("http://" + in.HTTP + "/api/v1/scale")
		if code != http.StatusOK || json.Unmarshal(body, &s) != nil {
			t.Fatalf("the scale is %d %s", code, body)
		}
		return s
	}
	if s := look(); s != (scale{}) {
		t.Errorf("of nothing: %+v", s)
	}
	show := testweir.Publish(t, testmedia.MP4(t, testweir.Small(60)), in.URL("alice"))
	testweir.Eventually(t, 10*time.Second, "one broadcast waits for a worker", func() bool {
		s := look()
		return s.Broadcasts == 1 && s.Unowned == 1 && s.Owned == 0 && s.Workers == 0 && s.BehindSeconds > 1
	})
	w := c.Segmenter(t, "", "--memory", "40MB")
	testweir.Eventually(t, 10*time.Second, "a worker of two has it, and catches up", func() bool {
		s := look()
		return s.Unowned == 0 && s.Owned == 1 && s.Workers == 1 && s.Capacity == 2 && s.BehindSeconds > 0 && s.BehindSeconds < 2.5
	})
	testweir.Eventually(t, 10*time.Second, "the worker says the same", func() bool {
		behind := w.Metric(t, "weir_segmenter_behind_seconds")
		return behind > 0 && behind <= 3
	})
	show.Send(t, syscall.SIGTERM)
	c.WaitForEnd(t, "alice", 30*time.Second)
	testweir.Eventually(t, 5*time.Second, "nothing is left to do", func() bool { s := look(); return s.Broadcasts == 0 && s.BehindSeconds == 0 })
	if behind := w.Metric(t, "weir_segmenter_behind_seconds"); behind != 0 {
		t.Errorf("weir_segmenter_behind_seconds is %v with nothing to do", behind)
	}
}

// What the encoder owes is not the worker's to pay: while an encoder hangs, its
// silence grows, and nothing is behind; the scaler is not told to add workers.
// A session that comes back belongs to the show that began before.
func TestWhoOwes(t *testing.T) {
	t.Parallel()
	s := testweir.Serve(t, "--segment", "1s", "--window", "10s")
	client, err := api.NewClient(s.Admin, "")
	if err != nil {
		t.Fatal(err)
	}
	look := func() (x api.Stream) {
		x, err := client.Stream(t.Context(), media.Stream{App: "live", Name: "alice"})
		if err != nil || x.EncoderLagSeconds == nil {
			return api.Stream{EncoderLagSeconds: new(-1.0), WorkerLagSeconds: new(-1.0)}
		}
		return x
	}
	file := testmedia.MP4(t, testweir.Small(60))
	encoder := testweir.Publish(t, file, s.URL("alice"))
	testweir.Eventually(t, 20*time.Second, "the show is on", func() bool { x := look(); return x.Segments > 1 && *x.EncoderLagSeconds >= 0 })
	began := look().Since
	encoder.Send(t, syscall.SIGSTOP)
	testweir.Eventually(t, 20*time.Second, "the silence is told", func() bool { return *look().EncoderLagSeconds > 6 })
	if x := look(); *x.WorkerLagSeconds > *x.EncoderLagSeconds/2 {
		t.Errorf("of a silent encoder the worker is said to be %.1f s behind; silent is %.1f s", *x.WorkerLagSeconds, *x.EncoderLagSeconds)
	}
	var scale struct {
		Behind float64 `json:"behind_seconds"`
	}
	if code, body := testweir.Get("http://" + s.Admin + "/api/v1/scale"); code != http.StatusOK || json.Unmarshal(body, &scale) != nil || scale.Behind > 4 {
		t.Errorf("a scaler is told: %d %s", code, body)
	}
	encoder.Kill(t)
	testweir.Publish(t, file, s.URL("alice"))
	testweir.Eventually(t, 20*time.Second, "its second session is on", func() bool { x := look(); return x.Epoch == 2 && x.State == api.Live })
	if x := look(); !x.Since.Equal(began) || x.UptimeSeconds < 6 {
		t.Errorf("with its second session the show began at %v, and is up for %d s; it began at %v", x.Since, x.UptimeSeconds, began)
	}
}
