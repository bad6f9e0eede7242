package auth

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"weir/media/publishing"
)

// Who may write beside a key file leads whoever changes it nowhere else.
func TestKeyFileFollowsNothing(t *testing.T) {
	dir, victim := t.TempDir(), filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, filepath.Join(dir, "keys.new")); err != nil {
		t.Fatal(err)
	}
	f := KeyFile{filepath.Join(dir, "keys")}
	h := HashKey(canary)
	if err := f.Add(t.Context(), h, Rule{Stream: "live/alice"}); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(victim); err != nil || string(text) != "precious" {
		t.Errorf("what the link leads to has %q, %v", text, err)
	}
	if err := f.Remove(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(f.Name); err != nil || !strings.HasPrefix(string(text), "#") {
		t.Errorf("without a key the file has %q, %v; want a comment", text, err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 2 {
		t.Errorf("%v, %v: want the keys and the link", left, err)
	}
}

// A file that was cut off takes no key away; one that says so does. What has
// changed since it was looked at is read another time.
func TestBlankKeyFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "keys")
	k := NewKeys()
	for _, step := range []struct {
		text string
		keys int
		logs bool
	}{{"", 0, false}, {FormatKey(HashKey(canary), Rule{Stream: "live/alice"}), 1, false}, {"", 1, true}, {" \n", 1, true}, {"# none\n", 0, false}} {
		if err := os.WriteFile(name, []byte(step.text), 0o600); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		var said strings.Builder
		read := k.load(name, info, slog.New(slog.NewTextHandler(&said, nil)))
		if k.known() != step.keys || read == nil || strings.Contains(said.String(), "ERROR") != step.logs {
			t.Errorf("%q: %d keys, want %d; %s", step.text, k.known(), step.keys, said.String())
		}
		if err := os.WriteFile(name, []byte("sha256:"), 0o600); err != nil {
			t.Fatal(err)
		}
		if k.load(name, info, slog.New(slog.DiscardHandler)) != nil || k.known() != step.keys {
			t.Error("what has changed meanwhile counts")
		}
	}
}

// An end that is brought forward reaches who is live: at once where it is over,
// else when it is.
func TestKeysUntilEarlier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, tt := range []struct {
			was, is time.Duration // from now; 0: never
			after   time.Duration
			gone    bool
		}{
			{0, -time.Hour, 0, true},
			{2 * time.Hour, -time.Hour, 0, true},
			{0, time.Hour, 59 * time.Minute, false},
			{0, time.Hour, 61 * time.Minute, true},
			{time.Hour, 2 * time.Hour, 3 * time.Hour, false}, // its own end is who publishes' to know
			{0, 0, 3 * time.Hour, false},
		} {
			in := func(d time.Duration) (at time.Time) {
				if d != 0 {
					at = time.Now().Add(d)
				}
				return at
			}
			k := NewKeys()
			k.Loaded()
			h := HashKey(canary)
			k.Set(h, Rule{Stream: "live/alice", Until: in(tt.was)})
			g, err := k.Authorize(t.Context(), Request{Name: canary})
			if err != nil {
				t.Fatal(err)
			}
			k.Replace(map[Hash]Rule{h: {Stream: "live/alice", Until: in(tt.is)}})
			time.Sleep(tt.after)
			synctest.Wait()
			if closed(g.Revoked) != tt.gone {
				t.Errorf("%+v: revoked is %v", tt, !tt.gone)
			}
			k.Release(g)
		}
	})
}

// A key set that is answered without a key takes it back; trouble does not, for
// an hour.
func TestKeySetTakenBack(t *testing.T) {
	public, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: public, KeyID: "a"}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		next http.HandlerFunc
		keys int
	}{
		{"emptied", says(200, `{"keys":[]}`), 0},
		{"gone", says(404, ""), 0},
		{"no set", says(200, `{"error":"gone"}`), 0},
		{"down", says(503, ""), 1},
		{"hangs up", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 1},
	} {
		answer := says(200, string(set))
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { answer(w, r) }))
		s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
		u, now := newKeysOfURL(s.URL), time.Now()
		u.now = func() time.Time { return now }
		if keys, err := u.keys(t.Context(), "a"); err != nil || len(keys) != 1 {
			t.Fatal(keys, err)
		}
		answer, now = tt.next, now.Add(59*time.Minute)
		if keys, _ := u.keys(t.Context(), "a"); len(keys) != tt.keys {
			t.Errorf("%s: %d keys, want %d", tt.name, len(keys), tt.keys)
		}
		s.Close()
	}
}

// A key set is not fetched in clear where TLS was asked for.
func TestKeySetRedirect(t *testing.T) {
	for to, good := range map[string]bool{"https://b.example.net": true, "http://b.example.net": false} {
		next := httptest.NewRequest("GET", to, nil)
		if err := safeRedirect(next, []*http.Request{httptest.NewRequest("GET", "https://a.example.net", nil)}); (err == nil) != good || !good && !errors.Is(err, errRedirect) {
			t.Errorf("%s: %v", to, err)
		}
	}
}

// What a peer puts into the query is taken for nothing of ours by any receiver.
func TestFormParameters(t *testing.T) {
	form := formOf(Request{App: "live", Name: "alice", Query: "key=BOB&name%00=bob&Name=bob&name[]=bob&name.x=1&CALL=x&my_k-1=2", Remote: "192.0.2.7:1"}, "1")
	want := "addr=192.0.2.7&app=live&clientid=1&flashver=&key=BOB&my_k-1=2&name=alice&pageurl=&swfurl=&tcurl=&type=live"
	if form.Encode() != want {
		t.Errorf("%s\nwant %s", form.Encode(), want)
	}
}

// A name in the query beside the secret is no secret; where all is the name, it
// may be the key.
func TestNameInQuery(t *testing.T) {
	for query, good := range map[string]bool{
		"user=alice&pass=hunter22": true, "jwt=a.b.c&user=al%69ce": true, "user=alice": false, "key=alice&x=alice": false, "user=alice&x=": false,
	} {
		_, err := grantFor(Request{App: "live", Name: "alice", Query: query}.unnamed(), Rule{Stream: "live/alice"}, "it")
		if (err == nil) != good {
			t.Errorf("%s: %v", query, err)
		}
	}
	if _, err := grantFor(Request{Name: "alice", Query: "user=alice&pass=hunter22"}.unnamed(), Rule{Stream: "live/hunter22"}, "it"); err == nil {
		t.Error("the secret becomes the name")
	}
}

// Sessions of an owner that nobody names would be all strangers' together.
func TestSessionsNeedAnOwner(t *testing.T) {
	for owner, want := range map[string]string{"": reasonAsk, "anna": ""} {
		rule := Rule{Stream: "live/alice", Owner: owner, Limits: publishing.Limits{Sessions: 1}}
		if _, err := grantFor(Request{Name: canary}, rule, "it"); reasonOf(t, err) != want {
			t.Errorf("%q: %v", owner, err)
		}
	}
}

func TestSigningSecret(t *testing.T) {
	for secret, good := range map[string]bool{
		testSecret: true, "sixteen bytes it": true, "": true, "whsec_": false, "whsec_AAAA": false, "whsec_no base64, whatever it is": false, "short": false,
	} {
		if _, err := NewWebhook(WebhookConfig{URL: "https://example.net", Secret: secret}); (err == nil) != good {
			t.Errorf("%q: %v", secret, err)
		}
	}
}
