package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
)

// Access says who may see what only operators see, and who may change
// something. Where requests come from says nothing: a proxy on this machine
// makes all of them come from here.
type Access struct {
	// Token is what operators bring as a bearer token (RFC 6750, 2.1). Empty:
	// nobody can.
	Token string
	// Public: viewers can reach the listener. Nodes, figures and all that is
	// not for them is given to operators only; elsewhere whoever reaches it may
	// look.
	Public bool
	// Own: only this user can reach the listener, which is a socket in the file
	// system. Whoever does is an operator.
	Own bool
}

// foreign finds out pages of other sites, in our user's browser.
var foreign = http.NewCrossOriginProtection()

// operator tells whether r comes from one.
func (a Access) operator(r *http.Request) bool {
	if a.Own {
		return true
	}
	got := sha256.Sum256([]byte(r.Header.Get("Authorization")))
	want := sha256.Sum256([]byte("Bearer " + a.Token))
	return a.Token != "" && subtle.ConstantTimeCompare(got[:], want[:]) == 1
}

// maySee tells whether r may see what viewers do not.
func (a Access) maySee(r *http.Request) bool { return !a.Public || a.operator(r) }

// operators lets them through, and tells others what they lack.
func (a Access) operators(allowed func(*http.Request) bool, serve http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch {
		case foreign.Check(r) != nil:
			writeProblem(w, http.StatusForbidden, "forbidden", "this is not for pages of other sites")
		case !allowed(r):
			// RFC 9110, 15.5.2: a 401 "MUST send a WWW-Authenticate header field".
			w.Header().Set("WWW-Authenticate", `Bearer realm="weir"`)
			writeProblem(w, http.StatusUnauthorized, "unauthorized", "this needs the admin token (--admin-token), or the socket of the same user's weir serve (--admin-http)")
		default:
			serve(w, r)
		}
	}
}
