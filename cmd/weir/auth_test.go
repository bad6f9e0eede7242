package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"weir/api"
)

// What operators see is shown by --http where that is --admin-http, and by TLS
// never.
func TestViewersAPI(t *testing.T) {
	metrics := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "all") })
	for _, tt := range []struct {
		http, admin   string
		plain, secure int
	}{
		{"", "", 401, 401},
		{"localhost:8080", "", 401, 401},
		{"localhost:8080", "localhost:9000", 401, 401},
		{"localhost:8080", "localhost:8080", 200, 401},
	} {
		f := httpFlags{HTTP: tt.http, AdminHTTP: tt.admin}
		h := f.viewersAPI(api.Config{Metrics: metrics, Log: slog.New(slog.DiscardHandler)})
		for want, state := range map[*int]*tls.ConnectionState{&tt.plain: nil, &tt.secure: {}} {
			r, w := httptest.NewRequest("GET", "/metrics", nil), httptest.NewRecorder()
			r.TLS = state
			if h.ServeHTTP(w, r); w.Code != *want {
				t.Errorf("--http %q --admin-http %q, TLS %v: %d, want %d", tt.http, tt.admin, state != nil, w.Code, *want)
			}
		}
	}
}

// A flag that says who may publish is never left out of account.
func TestAuthFlags(t *testing.T) {
	for _, tt := range []struct {
		args string
		want string
	}{
		{"--keys f", "--keys is of no use"},
		{"--publish-auth open --jwt-keys f", "--jwt-keys is of no use"},
		{"--publish-auth keys --auth-url http://x", "--auth-url is of no use"},
		{"--publish-auth nginx --auth-url http://x --auth-secret s", "--auth-secret is of no use"},
		{"--publish-auth webhook --auth-url http://x --jwt-issuer i", "--jwt-issuer is of no use"},
		{"--proxy-protocol 127.0.0.1/32", "say who may publish"},
	} {
		c := start(t, append([]string{"serve", "--data", t.TempDir()}, strings.Fields(tt.args)...)...)
		if <-c.ended; c.code != exitUsage || !strings.Contains(c.output.String(), tt.want) {
			t.Errorf("%s: exit code %d, %q", tt.args, c.code, c.output.String())
		}
	}
	for _, f := range []rtmpFlags{
		{authFlags: authFlags{PublishAuth: "keys", Keys: "f"}},
		{authFlags: authFlags{PublishAuth: "webhook", AuthURL: "http://x", AuthSecret: "s"}},
		{authFlags: authFlags{PublishAuth: "jwt", JWTKeys: "f", JWTIssuer: "i"}},
		{RTMP: "localhost:1935"},
	} {
		if err := f.checkAuth("", false); err != nil {
			t.Errorf("%+v: %v", f, err)
		}
	}
}

// Crossing a network in clear is warned of.
func TestWarnClear(t *testing.T) {
	for address, warns := range map[string]bool{
		"http://example.net/x": true, "http://10.0.0.1:80/x": true, "http://localhost/x": false, "http://[::1]:1/x": false, "https://example.net": false, "keys.pem": false, "": false,
	} {
		var said strings.Builder
		warnClear("--auth-url", address, "keys", slog.New(slog.NewTextHandler(io.Writer(&said), nil)))
		if (said.Len() > 0) != warns {
			t.Errorf("%q: %s", address, said.String())
		}
	}
}
