package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// Admin says who may change something.
type Admin struct {
	// Token is what must be brought as a bearer token (RFC 6750, 2.1). Empty:
	// none, but only this machine may.
	Token string
	// Proxied: requests that seem to come from this machine may come from
	// anywhere.
	Proxied bool
}

// foreign finds out pages of other sites, in our user's browser.
var foreign = http.NewCrossOriginProtection()

// allows tells whether r may change something.
func (a Admin) allows(r *http.Request) bool {
	if foreign.Check(r) != nil {
		return false
	}
	if a.Token != "" {
		got := sha256.Sum256([]byte(r.Header.Get("Authorization")))
		want := sha256.Sum256([]byte("Bearer " + a.Token))
		return subtle.ConstantTimeCompare(got[:], want[:]) == 1
	}
	for _, h := range []string{"Forwarded", "X-Forwarded-For", "X-Real-Ip", "Via"} {
		if r.Header.Get(h) != "" {
			return false
		}
	}
	// A name of somebody else's that resolves to this machine is not ours.
	return !a.Proxied && isLoopback(r.RemoteAddr) && isLoopback(r.Host)
}

// isLoopback tells whether a host, with or without a port, is this machine.
func isLoopback(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}
