package api

import (
	"net/http"
	"testing"
)

// Who may write: whoever brings the token, and whoever reaches a socket of the
// same user. That a request seems to come from this machine proves nothing.
func TestWhoMayWrite(t *testing.T) {
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	token := header("Authorization", "Bearer s3cret")
	for _, tt := range []struct {
		name   string
		access Access
		change func(*http.Request)
		code   int
	}{
		{"this machine", Access{}, header("X", ""), 401},
		{"this machine, where viewers come", Access{Public: true}, header("X", ""), 401},
		{"behind a plain proxy_pass", Access{}, func(r *http.Request) { r.Host = "weir.example" }, 401},
		{"an empty token is none", Access{}, header("Authorization", "Bearer "), 401},
		{"this machine without the token", Access{Token: "s3cret"}, header("X", ""), 401},
		{"another token", Access{Token: "s3cret"}, header("Authorization", "Bearer s3cre"), 401},
		{"another scheme", Access{Token: "s3cret"}, header("Authorization", "Basic s3cret"), 401},
		{"the token", Access{Token: "s3cret"}, token, 204},
		{"the token from elsewhere", Access{Token: "s3cret", Public: true}, func(r *http.Request) { token(r); r.RemoteAddr, r.Host = "192.0.2.1:1", "weir.example" }, 204},
		{"the token by a page of another site", Access{Token: "s3cret"}, func(r *http.Request) { token(r); r.Header.Set("Sec-Fetch-Site", "cross-site") }, 403},
		{"the token by an old browser's page of another site", Access{Token: "s3cret"}, func(r *http.Request) { token(r); r.Header.Set("Origin", "https://evil.example") }, 403},
		{"the user's own socket", Access{Own: true}, header("X", ""), 204},
		{"the user's own socket, with a wrong token", Access{Own: true, Token: "s3cret"}, header("Authorization", "Bearer x"), 204},
	} {
		h := New(Config{Registry: known{live: "live/alice"}, Access: tt.access, Log: quiet()})
		res := ask(h, "POST", "/api/v1/streams/live/alice/kick", tt.change)
		if res.StatusCode != tt.code || (tt.code == 401) != (res.Header.Get("WWW-Authenticate") != "") {
			t.Errorf("%s: got %d, want %d; %v", tt.name, res.StatusCode, tt.code, res.Header)
		}
	}
}

// What is seen where viewers come: no node, no figure; an operator sees there
// what others see on the admin's listener.
func TestWhoMaySee(t *testing.T) {
	stream := Stream{Name: "live/alice", State: Live, Ingest: "node-1", Worker: "worker-1", Epoch: 2, EncoderLagSeconds: new(0.0), WorkerLagSeconds: new(1.5), Restarts: new(3)}
	metrics := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { text(w, 200, "weir_up 1") })
	const little = `{"name":"live/alice","state":"live"}`
	const all = `{"name":"live/alice","state":"live","ingest":"node-1","worker":"worker-1","epoch":2,"encoder_lag_seconds":0,"worker_lag_seconds":1.5,"restarts":3}`
	bring := func(r *http.Request) { r.Header.Set("Authorization", "Bearer s3cret") }
	nothing := func(*http.Request) {}
	for _, tt := range []struct {
		name       string
		access     Access
		change     func(*http.Request)
		see        string
		restricted int
	}{
		{"a viewer", Access{Token: "s3cret", Public: true}, nothing, little, 401},
		{"a viewer, without a token", Access{Public: true}, nothing, little, 401},
		{"an operator among viewers", Access{Token: "s3cret", Public: true}, bring, all, 200},
		{"who reaches the admin's listener", Access{Token: "s3cret"}, nothing, all, 200},
		{"who reaches the socket", Access{Own: true}, nothing, all, 200},
	} {
		h := New(Config{Registry: known{list: []Stream{stream}}, Metrics: metrics, Access: tt.access, Log: quiet()})
		for range 2 { // what was written for one is not given to another
			if got := body(t, ask(h, "GET", "/api/v1/streams/live/alice", tt.change)); got != tt.see+"\n" {
				t.Errorf("%s sees %s, want %s", tt.name, got, tt.see)
			}
			if got := body(t, ask(h, "GET", "/api/v1/streams", tt.change)); got != `{"streams":[`+tt.see+`],"total":1}`+"\n" {
				t.Errorf("%s sees %s, want %s", tt.name, got, tt.see)
			}
			ask(h, "GET", "/api/v1/streams", bring)
		}
		for _, path := range []string{"/metrics", "/api/v1/scale"} {
			if res := ask(h, "GET", path, tt.change); res.StatusCode != tt.restricted {
				t.Errorf("%s: %s is answered with %d, want %d", tt.name, path, res.StatusCode, tt.restricted)
			}
		}
		if res := ask(h, "GET", "/healthz", tt.change); res.StatusCode != 200 {
			t.Errorf("%s: a probe is answered with %d", tt.name, res.StatusCode)
		}
	}
}
