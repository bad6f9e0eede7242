//go:build unix

package operate

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"weir/internal/testmedia"
	"weir/internal/testweir"
)

// Where nothing is said of operators, the user who runs weir serve is one, by a
// socket under --data, and nobody else is: not from this machine, not through
// a proxy that says nothing of itself. Viewers see no nodes and no figures.
func TestOperatorsSocket(t *testing.T) {
	t.Parallel()
	s := testweir.NewServer(t)
	s.Admin = s.HTTP // this one has none
	s.Process = testweir.Start(t, "serve", "--data", s.Data, "--rtmp", s.RTMP, "--http", s.HTTP, "--log-max", "1GB", "--segment", "1s", "--window", "10s")
	s.WaitReady(t)
	target, err := url.Parse("http://" + s.HTTP)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewServer(httputil.NewSingleHostReverseProxy(target))
	defer proxy.Close()
	encoder := testweir.Publish(t, testmedia.MP4(t, testweir.Small(60)), s.URL("alice"))
	testweir.Eventually(t, 20*time.Second, "live/alice is live", func() bool {
		_, body := testweir.Get("http://" + s.HTTP + "/api/v1/streams")
		return strings.Contains(string(body), "avc1")
	})
	for _, u := range []string{"http://" + s.HTTP, "http://localhost" + s.HTTP[strings.LastIndex(s.HTTP, ":"):], proxy.URL} {
		resp, err := http.Post(u+"/api/v1/streams/live/alice/kick", "", nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp.Body.Close(); resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("kick without a token by %s: %d", u, resp.StatusCode)
		}
		for path, want := range map[string]int{"/metrics": 401, "/api/v1/scale": 401, "/api/v1/streams": 200, "/healthz": 200} {
			code, body := testweir.Get(u + path)
			if code != want || strings.Contains(string(body), `"ingest"`) || strings.Contains(string(body), `"worker"`) {
				t.Errorf("a viewer asks for %s: %d %s", path, code, body)
			}
		}
	}
	if encoder.Over() {
		t.Fatal("the encoder was thrown out by a stranger")
	}
	if code, said := testweir.Run(t, "streams", "--data", s.Data); code != 0 || !strings.Contains(said, "live/alice") {
		t.Errorf("weir streams by the socket: %d %s", code, said)
	}
	if code, said := testweir.Run(t, "kick", "live/alice", "--data", s.Data); code != 0 {
		t.Errorf("weir kick by the socket: %d %s", code, said)
	}
	s.WaitForEnd(t, "alice", 10*time.Second)
	if code := s.Stop(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// A second process on the same data is told who has it, and does no harm.
func TestTwoOnOneData(t *testing.T) {
	t.Parallel()
	s := testweir.Serve(t)
	code, said := testweir.Run(t, "serve", "--data", s.Data, "--rtmp", testweir.FreeAddress(t), "--http", testweir.FreeAddress(t))
	if code != testweir.ExitFailed || !strings.Contains(said, "in use by process "+fmt.Sprint(s.PID())) || !strings.Contains(said, s.HTTP) {
		t.Errorf("exit code %d: %s", code, said)
	}
	if code, _ := testweir.Get("http://" + s.HTTP + "/readyz"); code != http.StatusOK {
		t.Errorf("the first one: %d", code)
	}
	s.Kill(t)
	again := testweir.Start(t, s.Args("serve")...)
	testweir.Eventually(t, 20*time.Second, "its successor is ready", func() bool {
		code, _ := testweir.Get("http://" + s.HTTP + "/readyz")
		return code == http.StatusOK
	})
	if code := again.Stop(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
