// Package auth decides who may publish, and as what: by keys whose hashes it
// knows (Keys), by asking the operator's own system over HTTP (Webhook, and Form
// in the way of nginx-rtmp), or by signed tokens (Tokens).
//
// What a peer sends to be let in is a secret. It goes to the operator's system if
// that is what is asked, and nowhere else: not into an error, a log, a grant, or
// the name that viewers know.
package auth

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"weir/media"
	"weir/media/publishing"
)

// Request is what a peer says when it wants to publish.
type Request publishing.Request

// parameter returns a value of the request's query, unescaped where it can be.
func (r Request) parameter(name string) string {
	for pair := range strings.SplitSeq(r.Query, "&") {
		if value, ok := strings.CutPrefix(pair, name+"="); ok {
			if plain, err := url.QueryUnescape(value); err == nil {
				return plain
			}
			return value
		}
	}
	return ""
}

// secrets are the parts of a request that nobody but who is asked may see.
func (r Request) secrets() []string {
	all := []string{r.Name, r.Query}
	for pair := range strings.SplitSeq(r.Query, "&") {
		if _, value, ok := strings.Cut(pair, "="); ok {
			all = append(all, value)
			if plain, err := url.QueryUnescape(value); err == nil {
				all = append(all, plain)
			}
		}
	}
	return all
}

// holdsSecret tells whether a text that others may see repeats a secret of the
// request. What is shorter than a secret can be is looked for as a whole.
func (r Request) holdsSecret(text string) bool {
	for _, s := range r.secrets() {
		if s != "" && (text == s || len(s) >= shortestSecret && strings.Contains(text, s)) {
			return true
		}
	}
	return false
}

// unnamed is the request without its name where that need not be the secret:
// there is a query, which may hold it, and the name may be the public one. Who is
// asked knows. The query may repeat the name beside the secret (user=alice).
func (r Request) unnamed() Request {
	if r.Query == "" {
		return r
	}
	name, others := r.Name, []string{}
	for pair := range strings.SplitSeq(r.Query, "&") {
		_, value, ok := strings.Cut(pair, "=")
		if plain, err := url.QueryUnescape(value); err == nil {
			value = plain
		}
		if value != name && value != "" || !ok && pair != "" {
			others = append(others, pair)
		}
	}
	r.Name = ""
	if len(others) > 0 {
		r.Query = strings.Join(others, "&")
	}
	return r
}

// shortestSecret is the shortest that one is looked for in the middle of a text.
const shortestSecret = 6

// Refusal is why somebody may not publish.
type Refusal struct {
	reason string // one word, for logs and metrics
	text   string // what the peer is told
	err    error
}

// Error returns what happened, for the operator.
func (r *Refusal) Error() string { return r.err.Error() }

// Unwrap returns the cause.
func (r *Refusal) Unwrap() error { return r.err }

// Reason is one word for logs and metrics.
func (r *Refusal) Reason() string { return r.reason }

// Status is what the peer is told. Every encoder understands the code, see
// package rtmp.
func (r *Refusal) Status() (code, text string) { return "NetStream.Publish.Denied", r.text }

// The words of Refusal.Reason.
const (
	reasonKey     = "key"         // the key or token is not good
	reasonExpired = "expired"     // it was
	reasonDenied  = "denied"      // the operator's system says no
	reasonAsk     = "unavailable" // it does not say anything of use
)

// unknownKey is the answer to a key that nobody knows.
func unknownKey() *Refusal {
	return &Refusal{reasonKey, "The stream key is not known: copy it anew into the encoder.", errors.New("the stream key is not known")}
}

// elsewhere is the answer to a key that comes beside a name which is not its
// stream's.
func elsewhere() *Refusal {
	return &Refusal{reasonKey, "The stream key is for another stream than the name says.", errors.New("the key is for another stream than the name says")}
}

// outOfDate is the answer to a key or token whose time is over.
func outOfDate() *Refusal {
	return &Refusal{reasonExpired, "The stream key is out of date: get a new one.", errors.New("the stream key is out of date")}
}

// unavailable is the answer where nobody can tell. err must hold no secret.
func unavailable(err error) *Refusal {
	return &Refusal{reasonAsk, "Who may publish cannot be found out now: try again in a moment.", err}
}

// denied is the answer that the operator's system gave. The text may be empty.
func denied(text string) *Refusal {
	if text == "" {
		return &Refusal{reasonDenied, "Publishing is not allowed.", errors.New("the webhook says no")}
	}
	return &Refusal{reasonDenied, text, fmt.Errorf("the webhook says no: %s", text)}
}

// Rule is what a key, a token or an operator's system lets somebody do, and its
// JSON form. It holds no secret.
type Rule struct {
	// Stream is the public name, as in live/alice.
	Stream string `json:"stream"`
	// Owner is whose publish it is, for logs and lists.
	Owner string `json:"owner,omitempty"`
	// Conflict is takeover or reject; empty: as the server has it.
	Conflict publishing.Conflict `json:"conflict,omitempty"`
	// Until is when the publish has to be over.
	Until time.Time `json:"until,omitzero"`
	// Limits are what it is held to.
	Limits publishing.Limits `json:"limits,omitzero"`
}

// maxOwner is the longest owner, in bytes.
const maxOwner = 64

// Grant checks the rule, and makes a grant of it. Its error tells which member
// is wrong, and nothing of what stands in it: that may be a secret in the wrong
// place.
func (r Rule) Grant() (publishing.Grant, error) {
	app, name, ok := strings.Cut(r.Stream, "/")
	if !ok {
		return publishing.Grant{}, errors.New("stream is no name as in live/alice")
	}
	s, err := media.ParseStream(app, name)
	switch {
	case err != nil:
		return publishing.Grant{}, fmt.Errorf("stream is no name as in live/alice: %w", errors.Unwrap(err))
	case strings.Contains(r.Stream, "?"):
		return publishing.Grant{}, errors.New("stream is no name as in live/alice")
	case !r.Conflict.Known():
		return publishing.Grant{}, errors.New("conflict is neither takeover nor reject")
	case r.Limits.Check() != nil:
		return publishing.Grant{}, fmt.Errorf("limits: %w", r.Limits.Check())
	case len(r.Owner) > maxOwner || !graphic(r.Owner):
		return publishing.Grant{}, fmt.Errorf("owner is longer than %d bytes, or holds what cannot be printed", maxOwner)
	}
	return publishing.Grant{Stream: s, Owner: r.Owner, Conflict: r.Conflict, Until: r.Until, Limits: r.Limits}, nil
}

// graphic tells whether a text is printable and in one line.
func graphic(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return !printable(r) })
}
