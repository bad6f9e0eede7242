//go:build unix

package publish

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"weir/internal/testmedia"
	"weir/internal/testweir"
)

// A weir that others can reach starts with a choice of who may publish only, and
// says what there is to choose.
func TestPublishAuthIsChosen(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"serve", "--rtmp", ":0"}, {"serve", "--rtmp", "[::]:0"}, {"serve", "--rtmpt", "0.0.0.0:0"}, {"demo", "--rtmp", ":0"},
		{"ingest", "--rtmp", ":0", "--nats", "nats://127.0.0.1:1"},
	} {
		code, said := testweir.Run(t, append(args, "--log-max", "1GB")...)
		if code != testweir.ExitUsage {
			t.Errorf("%v: exit code %d", args, code)
		}
		for _, want := range []string{"--publish-auth", "keys", "webhook", "nginx", "jwt", "open"} {
			if !strings.Contains(said, want) {
				t.Errorf("%v: nothing of %s in:\n%s", args, want, said)
			}
		}
	}
}

// way is a way to authorize, with the canary as its secret.
type way struct {
	name  string
	args  func(t *testing.T, s *testweir.Server) []string
	good  string   // behind rtmp://HOST/live/
	wrong []string // likewise
}

var ways = []way{
	{"keys", func(t *testing.T, s *testweir.Server) []string {
		code, said := testweir.Run(t, "key", "new", "live/alice", "--key", canary+"-key", "--data", s.Data, "--owner", "anna")
		if code != 0 || !strings.Contains(said, canary+"-key") {
			t.Fatalf("key new: %d %s", code, said)
		}
		return []string{"--publish-auth", "keys"}
	}, canary + "-key", []string{"alice", canary + "-wrong", "alice?key=" + canary + "-wrong"}},
	{"webhook", func(t *testing.T, s *testweir.Server) []string {
		return []string{"--publish-auth", "webhook", "--auth-url", receive(t, func(w http.ResponseWriter, body string) {
			var q struct{ Data struct{ Name string } }
			if err := json.Unmarshal([]byte(body), &q); err != nil || q.Data.Name != canary+"-key" {
				fmt.Fprintf(w, `{"allow":false,"reason":"no %s here"}`, q.Data.Name)
				return
			}
			fmt.Fprint(w, `{"allow":true,"stream":"live/alice","owner":"anna"}`)
		}), "--auth-secret", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"}
	}, canary + "-key", []string{"alice", canary + "-wrong"}},
	{"nginx", func(t *testing.T, s *testweir.Server) []string {
		return []string{"--publish-auth", "nginx", "--auth-url", receive(t, func(w http.ResponseWriter, body string) {
			form, _ := url.ParseQuery(body)
			if form.Get("name") != canary+"-key" {
				w.WriteHeader(http.StatusForbidden)
				return
			}
			w.Header().Set("Location", "alice")
			w.WriteHeader(http.StatusFound)
		})}
	}, canary + "-key", []string{"alice", canary + "-wrong"}},
	{"jwt", func(t *testing.T, s *testweir.Server) []string {
		secret := filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(secret, []byte(strings.Repeat("s", 32)), 0o600); err != nil {
			t.Fatal(err)
		}
		return []string{"--publish-auth", "jwt", "--jwt-secret-file", secret}
	}, token, []string{"alice", token[:len(token)-2] + "xx", canary}},
}

// token is {"alg":"HS256"} {"stream":"live/alice","sub":"anna","jti":"c4n4ry"},
// signed with 32 times s.
const token = "eyJhbGciOiJIUzI1NiJ9.eyJzdHJlYW0iOiJsaXZlL2FsaWNlIiwic3ViIjoiYW5uYSIsImp0aSI6ImM0bjRyeSJ9.o7xFYTl9Tg45Td2jsr6QWhtF30UaNGrlixlAxyXCZnk"

// receive starts an operator's own system.
func receive(t *testing.T, answer func(w http.ResponseWriter, body string)) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		answer(w, string(body))
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// However one may publish, the right secret does and a wrong one never, and the
// secret comes out nowhere, at the most talkative: its hash alone is on the disk.
func TestPublishAuth(t *testing.T) {
	t.Parallel()
	input := testmedia.FLV(t, testweir.Small(3))
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			s := testweir.NewServer(t)
			args := w.args(t, s)
			s.Process = testweir.Start(t, s.Args("serve", append(args, "--log-level", "debug", "--segment", "1s")...)...)
			s.WaitReady(t)
			for _, wrong := range w.wrong {
				code, said := testweir.Run(t, "push", "--log-level", "debug", "--once", "--fast", input, s.URL(wrong))
				if code == 0 || !strings.Contains(said, "NetStream.Publish.Denied") || holds(said, wrong) {
					t.Errorf("%s: push ended with %d and said:\n%s", wrong, code, said)
				}
			}
			if _, live := s.Stream(t, "alice"); live {
				t.Error("a wrong secret made a stream")
			}
			testweir.FFmpeg(t, 4, input, s.URL(w.good))
			prefix := s.WaitForEnd(t, "alice", 10*time.Second)
			for _, path := range []string{"/", "/metrics", "/api/v1/streams", "/api/v1/server", "/hls/" + prefix + "vod.m3u8", "/hls/live/alice/index.m3u8"} {
				code, body := testweir.Get("http://" + s.Admin + path)
				if code != 200 || holds(string(body), w.good) {
					t.Errorf("%s: %d, the secret is in it: %t", path, code, holds(string(body), w.good))
				}
			}
			if code := s.Stop(t); code != 0 {
				t.Errorf("exit code %d", code)
			}
			said := s.Output.String()
			if holds(said, w.good) || !strings.Contains(said, "owner") && w.name != "nginx" || strings.Count(said, "publish refused") != len(w.wrong) {
				t.Errorf("the log has the secret, or not what it should:\n%s", said)
			}
			noneOnDisk(t, s.Data, w.good)
		})
	}
}

// holds tells whether a text has a secret, or what is the secret of it.
func holds(text, secret string) bool {
	if strings.HasPrefix(secret, "eyJ") {
		return strings.Contains(text, "eyJ")
	}
	return strings.Contains(text, canary)
}

func noneOnDisk(t *testing.T, dir, secret string) {
	t.Helper()
	looked := 0
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		body, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		looked++
		if holds(name, secret) || bytes.Contains(body, []byte(canary)) {
			t.Errorf("the secret is in %s", strings.TrimPrefix(name, dir))
		}
		return nil
	})
	if err != nil || looked < 10 {
		t.Errorf("looked at %d files: %v", looked, err)
	}
}

// A key that is revoked ends what is published with it, within a second: by the
// file, and by NATS.
func TestRevokedKey(t *testing.T) {
	t.Parallel()
	file := testmedia.FLV(t, testweir.Small(60))
	s := testweir.Serve(t, "--publish-auth", "keys", "--segment", "1s")
	c := testweir.NewCluster(t, 1)
	in := c.Ingest(t, "--publish-auth", "keys", "--keys", "nats")
	c.Segmenter(t, "")
	for name, tt := range map[string]struct {
		rtmp string
		on   *testweir.Server
		args []string
	}{
		"file": {s.RTMP, s, []string{"--data", s.Data}},
		"nats": {in.RTMP, c.Server, []string{"--keys", "nats", "--nats", testweir.NATSURL(c.NATS)}},
	} {
		t.Run(name, func(t *testing.T) {
			key := func(verb string, args ...string) string {
				code, said := testweir.Run(t, append(append([]string{"key", verb}, args...), tt.args...)...)
				if code != 0 {
					t.Fatalf("key %s: %d %s", verb, code, said)
				}
				return said
			}
			said := key("new", "live/alice")
			found := regexp.MustCompile(`(?s)Stream key (\w+) for.*Stream key +(\w+)`).FindStringSubmatch(said)
			if found == nil {
				t.Fatal(said)
			}
			push := testweir.Start(t, "push", "--once", file, "rtmp://"+tt.rtmp+"/live/"+found[2])
			testweir.Eventually(t, 10*time.Second, "live/alice is live", func() bool {
				x, ok := tt.on.Stream(t, "alice")
				return ok && x.State == "live" && x.Bitrate > 0
			})
			if list := key("list"); !strings.Contains(list, found[1]) || strings.Contains(list, found[2]) {
				t.Errorf("the list is\n%s", list)
			}
			key("revoke", found[1])
			watch := testweir.StartStopwatch()
			<-push.Ended
			took := watch.Within(t, "the end of what is published with a revoked key", time.Second)
			t.Logf("it ended %v after weir key revoke", took.Round(time.Millisecond))
			if out := push.Output.String(); push.Wait() == 0 || !strings.Contains(out, "revoked") {
				t.Errorf("push ended with %d:\n%s", push.Wait(), out)
			}
			if code, said := testweir.Run(t, "push", "--once", file, "rtmp://"+tt.rtmp+"/live/"+found[2]); code == 0 {
				t.Errorf("the key is good again: %s", said)
			}
		})
	}
}
