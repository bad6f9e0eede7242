package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"weir/media/publishing"
)

// TokenConfig says which tokens are good. One of Secret, File and URL is set.
type TokenConfig struct {
	// Secret signs tokens with HS256.
	Secret string
	// File has the keys that tokens are signed with by RS256, ES256 or EdDSA: a
	// JSON Web Key Set (RFC 7517, 5), or PEM. It is read anew when it changes.
	File string
	// URL answers with a JSON Web Key Set, which is asked for anew when a token
	// names a key that is not in it, and when it is old.
	URL string
	// Issuer and Audience must stand in a token, where they are not empty.
	Issuer, Audience string
}

// minSecret is the shortest secret for HS256, in bytes: RFC 7518, 3.2 has "a key
// of the same size as the hash output [...] or larger".
const minSecret = 32

// maxToken is the longest token, in bytes.
const maxToken = 8 << 10

// leeway is how far the clocks of who signs and who reads may differ.
const leeway = 30 * time.Second

// Tokens lets in who brings a JSON Web Token (RFC 7519): as the name of the
// publish, or beside the stream's public name as the parameter jwt of the query,
// or as all of the query. Its claims are those of a Rule, sub is the owner where
// none is named, and exp bounds when the publish may begin.
type Tokens struct {
	algorithms []jose.SignatureAlgorithm
	keys       keySource
	expected   jwt.Expected
}

// keySource returns the keys that a token may be signed with that names kid;
// where that is empty, all. What is right for an algorithm is told by its type.
type keySource interface {
	keys(ctx context.Context, kid string) ([]any, error)
}

// NewTokens returns one that takes tokens as cfg says.
func NewTokens(cfg TokenConfig) (*Tokens, error) {
	t := &Tokens{algorithms: []jose.SignatureAlgorithm{jose.RS256, jose.ES256, jose.EdDSA}, expected: jwt.Expected{Issuer: cfg.Issuer}}
	if cfg.Audience != "" {
		t.expected.AnyAudience = jwt.Audience{cfg.Audience}
	}
	switch {
	case cfg.Secret != "" && cfg.File == "" && cfg.URL == "":
		if len(cfg.Secret) < minSecret {
			return nil, fmt.Errorf("a secret that signs tokens has %d characters at least (RFC 7518, 3.2)", minSecret)
		}
		t.algorithms = []jose.SignatureAlgorithm{jose.HS256}
		t.keys = fixed{[]byte(cfg.Secret)}
	case cfg.File != "" && cfg.Secret == "" && cfg.URL == "":
		f := &keysOfFile{name: cfg.File}
		if _, err := f.keys(context.Background(), ""); err != nil {
			return nil, err
		}
		t.keys = f
	case cfg.URL != "" && cfg.Secret == "" && cfg.File == "":
		t.keys = newKeysOfURL(cfg.URL)
	default:
		return nil, errors.New("tokens are checked by a secret, a file of keys or the URL of a key set: by one of these")
	}
	return t, nil
}

// fixed are keys that never change.
type fixed []any

func (f fixed) keys(context.Context, string) ([]any, error) { return f, nil }

// badToken is the answer to a token that is not good. err tells what is wrong
// with it, and holds nothing of it.
func badToken(err error) *Refusal {
	return &Refusal{reasonKey, "The token in the stream key is not good: get a new one.", err}
}

// Authorize grants what the token says.
func (t *Tokens) Authorize(ctx context.Context, r Request) (publishing.Grant, error) {
	text, beside := tokenOf(r)
	if len(text) > maxToken {
		return publishing.Grant{}, badToken(fmt.Errorf("the token is longer than %d bytes", maxToken))
	}
	token, err := jwt.ParseSigned(text, t.algorithms)
	if err != nil {
		return publishing.Grant{}, badToken(errors.New("the stream key is no token that is signed as it should be"))
	}
	keys, err := t.keys.keys(ctx, token.Headers[0].KeyID)
	if err != nil {
		return publishing.Grant{}, unavailable(err)
	}
	var claims jwt.Claims
	var rule Rule
	if !verified(token, keys, &claims, &rule) {
		return publishing.Grant{}, badToken(errors.New("no key that is known has signed the token, or a claim of it has another type than it should"))
	}
	expected := t.expected
	expected.Time = time.Now()
	switch err := claims.ValidateWithLeeway(expected, leeway); {
	case errors.Is(err, jwt.ErrExpired):
		return publishing.Grant{}, outOfDate()
	case err != nil: // names the claim
		return publishing.Grant{}, badToken(err)
	}
	if rule.Owner == "" {
		rule.Owner = claims.Subject
	}
	name := r.Name
	if beside {
		r = r.unnamed() // the name is no secret
	}
	g, err := grantFor(r, rule, "the token")
	if err == nil && beside && name != g.Stream.Name {
		return publishing.Grant{}, elsewhere()
	}
	return g, err
}

// Release does nothing: tokens are not counted.
func (*Tokens) Release(publishing.Grant) {}

// tokenOf finds the token, and tells whether it stands beside the name.
func tokenOf(r Request) (text string, beside bool) {
	if text := r.parameter("jwt"); text != "" {
		return text, true
	}
	if strings.Count(r.Query, ".") == 2 && !strings.Contains(r.Query, "=") {
		return r.Query, true
	}
	return r.Name, false
}

// verified tells whether one of the keys has signed the token, and reads its
// claims.
func verified(token *jwt.JSONWebToken, keys []any, claims ...any) bool {
	for _, key := range keys {
		if token.Claims(key, claims...) == nil {
			return true
		}
	}
	return false
}
