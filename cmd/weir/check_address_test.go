package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"weir/check"
)

// TestReachOf: whatever form an address is written in, what it is.
func TestReachOf(t *testing.T) {
	for address, want := range map[string]reach{
		"93.184.216.34": public, "2606:2800:220:1::1": public, "172.32.0.1": public, "100.128.0.1": public, "198.20.0.1": public,
		"10.0.0.1": private, "172.16.0.1": private, "172.31.255.255": private, "192.168.1.1": private, "fd00::1": private,
		"100.64.0.1": private, "100.127.255.255": private, "198.18.0.1": private, "198.19.255.255": private,
		"127.0.0.1": loopback, "127.255.0.1": loopback, "::1": loopback,
		"169.254.169.254": special, "fe80::1": special, "fe80::1%eth0": special, "0.0.0.0": special, "::": special, "0.1.2.3": special,
		"224.0.0.1": special, "ff02::1": special, "255.255.255.255": special, "240.0.0.1": special, "192.0.0.1": special,
		// The same in IPv6's ways to hold an IPv4 address.
		"::ffff:127.0.0.1": loopback, "::ffff:10.0.0.1": private, "::ffff:93.184.216.34": public,
		"64:ff9b::7f00:1": loopback, "64:ff9b::a9fe:a9fe": special, "64:ff9b::5db8:d822": public, "64:ff9b:1::a00:1": private,
		"2002:7f00:1::": loopback, "2002:c0a8:101::1": private, "2002:5db8:d822::1": public,
		"::127.0.0.1": loopback, "::10.0.0.1": private, "2001:0:1::1": special,
	} {
		if got := reachOf(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s is %d, want %d", address, got, want)
		}
	}
}

// TestPolicy: what was typed may be asked, and what is no nearer to the user;
// nothing that is nearer.
func TestPolicy(t *testing.T) {
	for _, tt := range []struct {
		typed   string
		allowed []string
		refused []string
	}{
		{"http://93.184.216.34/x", []string{"93.184.216.34", "1.1.1.1"}, []string{"10.0.0.1", "127.0.0.1", "169.254.169.254", "::ffff:127.0.0.1"}},
		{"http://192.168.7.7/x", []string{"192.168.7.7", "10.0.0.1", "1.1.1.1"}, []string{"127.0.0.1", "::1", "169.254.169.254"}},
		{"http://localhost:8080/x", []string{"127.0.0.1", "::1", "10.0.0.1", "1.1.1.1"}, []string{"169.254.169.254", "0.0.0.0"}},
		{"http://169.254.1.1/x", []string{"169.254.1.1", "1.1.1.1"}, []string{"169.254.169.254", "127.0.0.1", "10.0.0.1"}},
	} {
		u, err := url.Parse(tt.typed)
		if err != nil {
			t.Fatal(err)
		}
		p, err := newPolicy(t.Context(), u, false)
		if err != nil {
			t.Fatal(err)
		}
		open, err := newPolicy(t.Context(), u, true)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range tt.allowed {
			if !p.allows(netip.MustParseAddr(a)) {
				t.Errorf("%s was typed: %s is refused", tt.typed, a)
			}
		}
		for _, a := range tt.refused {
			if p.allows(netip.MustParseAddr(a)) {
				t.Errorf("%s was typed: %s is allowed", tt.typed, a)
			}
			if !open.allows(netip.MustParseAddr(a)) {
				t.Errorf("--allow-private refuses %s", a)
			}
		}
	}
}

// TestCheckStaysOutside: a check of a public server does not reach this
// machine, by an address, by a name that leads here, or by a redirect, and says
// why. The public server stands on loopback, too, and is let through by hand.
func TestCheckStaysOutside(t *testing.T) {
	var asked atomic.Int32
	inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer inside.Close()
	named := strings.Replace(inside.URL, "127.0.0.1", "localhost", 1)
	outside := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, inside.URL+"/secret", http.StatusFound)
	}))
	defer outside.Close()
	p := &policy{typed: public, proxy: map[string]bool{strings.TrimPrefix(outside.URL, "http://"): true}}
	ctx, stop := context.WithCancelCause(t.Context())
	f := newFetcher(p, 1<<20, stop)
	defer f.close()
	defer stop(nil)
	for _, uri := range []string{inside.URL, named, outside.URL + "/redirect"} {
		o := f.take(ctx, check.Want{URI: uri, Kind: check.Segment})
		if !errors.Is(o.Err, errPrivate) || strings.Contains(o.Err.Error(), "secret") {
			t.Errorf("%s: %v, want %v", uri, o.Err, errPrivate)
		}
	}
	if n := asked.Load(); n > 0 {
		t.Errorf("this machine was asked %d times", n)
	}
	p.all = true
	if o := f.take(ctx, check.Want{URI: outside.URL, Kind: check.Segment}); o.Err != nil || asked.Load() != 1 {
		t.Errorf("with --allow-private: %v, asked %d times", o.Err, asked.Load())
	}
}

// TestRefererStaysHome: where a redirect leads learns nothing of the query that
// it came from.
func TestRefererStaysHome(t *testing.T) {
	var referer atomic.Value
	referer.Store("")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/end" {
			referer.Store(r.Referer())
			return
		}
		http.Redirect(w, r, "/end", http.StatusFound)
	}))
	defer server.Close()
	ctx, stop := context.WithCancelCause(t.Context())
	f := newFetcher(&policy{all: true, proxy: map[string]bool{}}, 1<<20, stop)
	defer f.close()
	defer stop(nil)
	if o := f.take(ctx, check.Want{URI: server.URL + "/begin?token=secret", Kind: check.Segment}); o.Err != nil {
		t.Fatal(o.Err)
	}
	if got := referer.Load(); got != "" {
		t.Errorf("the second server was told %q", got)
	}
}
