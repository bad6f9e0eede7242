package auth

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// testSecret is of the form that Standard Webhooks give to receivers.
const testSecret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"

var testRequest = Request{
	App: "live", TCURL: "rtmp://h/live?key=" + canary, Name: canary, Remote: "192.0.2.7:4242", Encoder: "OBS", Transport: "rtmps",
}

// ask starts a receiver, and lets a Webhook ask it about testRequest.
func ask(t *testing.T, h http.HandlerFunc) (stream, reason string) {
	t.Helper()
	s := httptest.NewServer(h)
	defer s.Close()
	w, err := NewWebhook(WebhookConfig{URL: s.URL + "/?token=" + canary, Secret: testSecret, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	g, err := w.Authorize(t.Context(), testRequest)
	if strings.Contains(fmt.Sprint(g), canary) {
		t.Errorf("the grant holds the key: %+v", g)
	}
	return g.Stream.String(), reasonOf(t, err)
}

func says(status int, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
	}
}

// TestWebhookAnswers is what receivers say, and what is made of it. None of
// them can make the key public.
func TestWebhookAnswers(t *testing.T) {
	for _, tt := range []struct {
		name           string
		answer         http.HandlerFunc
		stream, reason string
	}{
		{"allows", says(200, `{"allow":true,"stream":"live/alice","owner":"anna","conflict":"reject","until":"2099-01-01T00:00:00Z","more":1}`), "live/alice", ""},
		{"another app", says(201, `{"allow":true,"stream":"shows/alice"}`), "shows/alice", ""},
		{"denies", says(200, `{"allow":false,"reason":"You have not paid."}`), "", reasonDenied},
		{"denies by status", says(403, `go away`), "", reasonDenied},
		{"denies, repeating the key", says(403, `{"reason":"`+canary+` is unknown"}`), "", reasonDenied},
		{"over already", says(200, `{"allow":true,"stream":"live/alice","until":"2001-01-01T00:00:00Z"}`), "", reasonExpired},
		{"forgets the stream", says(200, `{"allow":true}`), "", reasonAsk},
		{"lies: the key is the stream", says(200, `{"allow":true,"stream":"live/`+canary+`"}`), "", reasonAsk},
		{"lies: the key is in the stream", says(200, `{"allow":true,"stream":"live/x-`+canary+`"}`), "", reasonAsk},
		{"lies: the key is the owner", says(200, `{"allow":true,"stream":"live/alice","owner":"`+canary+`"}`), "", reasonAsk},
		{"lies: a path", says(200, `{"allow":true,"stream":"live/../../etc"}`), "", reasonAsk},
		{"lies: a policy that is none", says(200, `{"allow":true,"stream":"live/alice","conflict":"`+canary+`"}`), "", reasonAsk},
		{"lies: an owner of two lines", says(200, `{"allow":true,"stream":"live/alice","owner":"a\nb"}`), "", reasonAsk},
		{"no JSON", says(200, canary), "", reasonAsk},
		{"another type", says(200, `{"allow":"`+canary+`"}`), "", reasonAsk},
		{"empty", says(204, ""), "", reasonAsk},
		{"huge", says(200, `{"allow":true,"stream":"live/alice","x":"`+strings.Repeat("x", maxAnswer)+`"}`), "", reasonAsk},
		{"redirects", func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/" {
				t.Error("the key was sent where a redirect says")
			}
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}, "", reasonAsk},
		{"hangs up", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "", reasonAsk},
	} {
		t.Run(tt.name, func(t *testing.T) {
			stream, reason := ask(t, tt.answer)
			if reason != tt.reason || tt.reason == "" && stream != tt.stream {
				t.Errorf("%s, %q; want %s, %q", stream, reason, tt.stream, tt.reason)
			}
		})
	}
}

// TestWebhookQuery is a key that stands in the query, beside the public name.
func TestWebhookQuery(t *testing.T) {
	r := testRequest
	r.Name, r.Query = "alice", "key="+canary
	for _, tt := range []struct{ answer, reason string }{
		{`{"allow":true,"stream":"live/alice"}`, ""},
		{`{"allow":true,"stream":"live/` + canary + `"}`, reasonAsk},
		{`{"allow":true,"stream":"live/alice","owner":"` + canary + `"}`, reasonAsk},
		{`{"allow":false,"reason":"` + canary + ` is unknown"}`, reasonDenied},
	} {
		s := httptest.NewServer(says(200, tt.answer))
		w, err := NewWebhook(WebhookConfig{URL: s.URL})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Authorize(t.Context(), r); reasonOf(t, err) != tt.reason {
			t.Errorf("%s: %v", tt.answer, err)
		}
		s.Close()
	}
}

// TestWebhookReason tells a peer why: in one line of what can be shown.
func TestWebhookReason(t *testing.T) {
	for said, want := range map[string]string{
		"You have not paid.":         "You have not paid.",
		"a\x1b[31m\nb\u202e":         "a [31m b",
		"key " + canary + " unknown": "",
		strings.Repeat("é", 150):     strings.Repeat("é", 100) + "…",
		"":                           "",
	} {
		if got := reasonFor(testRequest, said); got != want {
			t.Errorf("%q becomes %q, want %q", said, got, want)
		}
	}
}

// TestWebhookSigned lets another's library verify what is sent.
func TestWebhookSigned(t *testing.T) {
	var asked atomic.Int32
	stream, reason := ask(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		wh, err := standardwebhooks.NewWebhook(testSecret)
		if err != nil {
			t.Error(err)
		}
		if err := wh.Verify(body, r.Header); err != nil {
			t.Errorf("verify: %v", err)
		}
		if err := wh.Verify(append(body, ' '), r.Header); err == nil {
			t.Error("another body has the same signature")
		}
		r.Header.Set("webhook-id", "msg_other")
		if err := wh.Verify(body, r.Header); err == nil {
			t.Error("another id has the same signature")
		}
		var q Question
		if err := json.Unmarshal(body, &q); err != nil || q.Type != "publish.authorize" || q.Data != Asked(testRequest) {
			t.Errorf("%s: %v", body, err)
		}
		says(200, `{"allow":true,"stream":"live/alice"}`)(w, r)
	})
	if stream != "live/alice" || reason != "" || asked.Load() != 1 {
		t.Errorf("%s, %q, asked %d times", stream, reason, asked.Load())
	}
}

// TestWebhookTries asks again over what passes, with the same id, and not for
// ever; a no is a no.
func TestWebhookTries(t *testing.T) {
	allow := says(200, `{"allow":true,"stream":"live/alice"}`)
	for _, tt := range []struct {
		name   string
		first  http.HandlerFunc // what all but the last try find
		last   http.HandlerFunc
		tries  int
		reason string
	}{
		{"a fault that passes", says(503, ""), allow, 3, ""},
		{"too many requests", says(429, ""), allow, 3, ""},
		{"a fault that stays", says(500, canary), says(500, canary), 3, reasonAsk},
		{"a no", says(403, ""), allow, 1, reasonDenied},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var mu sync.Mutex
			ids, tries := map[string]bool{}, 0
			stream, reason := ask(t, func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				ids[r.Header.Get("webhook-id")] = true
				tries++
				n := tries
				mu.Unlock()
				if n == 3 {
					tt.last(w, r)
				} else {
					tt.first(w, r)
				}
			})
			if tries != tt.tries || len(ids) != 1 || reason != tt.reason || reason == "" && stream != "live/alice" {
				t.Errorf("%d tries with %d ids, %s %q; want %d with one, %q", tries, len(ids), stream, reason, tt.tries, tt.reason)
			}
		})
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestWebhookSlow is a receiver that does not answer: three times, and all that
// is less than what a publish has.
func TestWebhookSlow(t *testing.T) {
	for _, answers := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			w, err := NewWebhook(WebhookConfig{URL: "http://slow.example.net"})
			if err != nil {
				t.Fatal(err)
			}
			tries := 0
			w.asker.client.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
				if tries++; tries == 3 && answers {
					return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(`{"allow":true,"stream":"live/alice"}`))}, nil
				}
				<-r.Context().Done()
				return nil, r.Context().Err()
			})
			began := time.Now()
			_, err = w.Authorize(t.Context(), testRequest)
			if took := time.Since(began); tries != 3 || took < 2*DefaultTimeout || took >= 10*time.Second {
				t.Errorf("%d tries in %v", tries, took)
			}
			if reason := reasonOf(t, err); answers != (reason == "") {
				t.Errorf("%q", reason)
			}
		})
	}
}

// TestWebhookDead is a receiver that nobody is behind, and a peer that leaves.
func TestWebhookDead(t *testing.T) {
	s := httptest.NewServer(says(200, ""))
	dead := s.URL
	s.Close()
	w, err := NewWebhook(WebhookConfig{URL: "http://anna:" + canary + "@" + strings.TrimPrefix(dead, "http://") + "/?t=" + canary})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := w.Authorize(ctx, testRequest); reasonOf(t, err) != reasonAsk {
		t.Error(err)
	}
	cancel()
	if _, err := w.Authorize(ctx, testRequest); reasonOf(t, err) != reasonAsk {
		t.Error(err)
	}
	for _, bad := range []string{"", "example.net/x", "ftp://example.net", "http://"} {
		if _, err := NewWebhook(WebhookConfig{URL: bad}); err == nil {
			t.Errorf("%q is taken for a URL", bad)
		}
	}
}

// TestForm is what receivers that were made for nginx-rtmp answer.
func TestForm(t *testing.T) {
	moved := func(to string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", to)
			w.WriteHeader(302)
		}
	}
	keyed := Request{App: "live", Name: "alice", Query: "key=" + canary + "&call=record&addr=127.0.0.1", TCURL: "rtmp://h/live", Remote: "192.0.2.7:4242", Encoder: "FMLE"}
	named := Request{App: "live", Name: canary, Remote: "192.0.2.7:4242"}
	for _, tt := range []struct {
		name           string
		r              Request
		answer         http.HandlerFunc
		stream, reason string
	}{
		{"lets in", keyed, says(200, "OK"), "live/alice", ""},
		{"lets in with no content", keyed, says(204, ""), "live/alice", ""},
		{"renames", named, moved("alice"), "live/alice", ""},
		{"renames by a path", named, moved("/alice"), "live/alice", ""},
		{"renames by a URL", named, moved("http://app.example.net/alice"), "live/alice", ""},
		{"renames to the key", named, moved(canary), "", reasonAsk},
		{"renames to what is in the query", keyed, moved(canary), "", reasonAsk},
		{"renames to its own name", keyed, moved("alice"), "live/alice", ""},
		{"renames to nothing", named, moved(""), "", reasonAsk},
		{"renames to no name", named, moved("/.."), "", reasonAsk},
		{"relays", named, moved("rtmp://elsewhere/live/x"), "", reasonAsk},
		{"refuses", keyed, says(404, ""), "", reasonDenied},
		{"is broken", keyed, says(500, ""), "", reasonAsk},
	} {
		t.Run(tt.name, func(t *testing.T) {
			forms := make(chan url.Values, 10)
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				form, err := url.ParseQuery(string(body))
				if err != nil || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
					t.Errorf("%s: %v", body, err)
				}
				forms <- form
				if form.Get("call") == "publish" {
					tt.answer(w, r)
				}
			}))
			defer s.Close()
			f, err := NewForm(WebhookConfig{URL: s.URL}, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			g, err := f.Authorize(t.Context(), tt.r)
			if reason := reasonOf(t, err); reason != tt.reason || reason == "" && g.Stream.String() != tt.stream {
				t.Fatalf("%s, %q; want %s, %q", g.Stream, reason, tt.stream, tt.reason)
			}
			form := <-forms
			for name, want := range map[string]string{"call": "publish", "app": "live", "name": tt.r.Name, "addr": "192.0.2.7", "type": "live", "tcurl": tt.r.TCURL, "flashver": tt.r.Encoder} {
				if got := form[name]; len(got) != 1 || got[0] != want {
					t.Errorf("%s is %q, want %q: a peer's query changes none of these", name, got, want)
				}
			}
			if tt.reason != "" {
				return
			}
			f.Release(g)
			f.Release(g) // once is enough
			ctx, cancel := context.WithCancel(t.Context())
			cancel() // what waits is sent all the same
			if err := f.Run(ctx); err != nil {
				t.Fatal(err)
			}
			if done := <-forms; done.Get("call") != "publish_done" || done.Get("name") != tt.r.Name || done.Get("clientid") != form.Get("clientid") || done.Get("key") != form.Get("key") {
				t.Errorf("publish_done has %v", done)
			}
			if len(forms) > 0 {
				t.Errorf("one form too many: %v", <-forms)
			}
		})
	}
}
