package api

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// Who may write through the API: whoever brings the token, or, where there is
// none, this machine itself, but no page of another site and no proxy.
func TestAdminAllows(t *testing.T) {
	local := func(change func(*http.Request)) *http.Request {
		r := httptest.NewRequest(http.MethodPost, "http://localhost:8080/api", nil)
		r.RemoteAddr = "127.0.0.1:4711"
		change(r)
		return r
	}
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	for _, tt := range []struct {
		name    string
		token   string
		proxied bool
		r       *http.Request
		want    bool
	}{
		{"this machine", "", false, local(func(*http.Request) {}), true},
		{"this machine by IPv6", "", false, local(func(r *http.Request) { r.RemoteAddr, r.Host = "[::1]:4711", "[::1]:8080" }), true},
		{"another machine", "", false, local(func(r *http.Request) { r.RemoteAddr = "192.0.2.1:4711" }), false},
		{"another name that resolves to us", "", false, local(func(r *http.Request) { r.Host = "evil.example:8080" }), false},
		{"a page of another site", "", false, local(header("Sec-Fetch-Site", "cross-site")), false},
		{"a page of another site, old browser", "", false, local(header("Origin", "https://evil.example")), false},
		{"our page", "", false, local(header("Sec-Fetch-Site", "same-origin")), true},
		{"a proxy that says so", "", false, local(header("X-Forwarded-For", "192.0.2.1")), false},
		{"a proxy that --base-url says is there", "", true, local(func(*http.Request) {}), false},
		{"the token", "s3cret", true, local(header("Authorization", "Bearer s3cret")), true},
		{"the token from another machine", "s3cret", false, local(func(r *http.Request) {
			r.RemoteAddr, r.Host = "192.0.2.1:4711", "weir.example"
			r.Header.Set("Authorization", "Bearer s3cret")
		}), true},
		{"this machine without the token", "s3cret", false, local(func(*http.Request) {}), false},
		{"another token", "s3cret", false, local(header("Authorization", "Bearer s3cre")), false},
		{"the token by a page of another site", "s3cret", false, local(func(r *http.Request) {
			r.Header.Set("Authorization", "Bearer s3cret")
			r.Header.Set("Sec-Fetch-Site", "cross-site")
		}), false},
	} {
		a := Admin{Token: tt.token, Proxied: tt.proxied}
		if got := a.allows(tt.r); got != tt.want {
			t.Errorf("%s: allowed %t, want %t", tt.name, got, tt.want)
		}
	}
}
