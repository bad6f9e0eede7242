package auth

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// maxKeySet is the largest key set, in bytes.
const maxKeySet = 1 << 20

// publicKey is one of a set.
type publicKey struct {
	id  string
	key any
}

// named returns the keys of that id, all where it is empty.
func named(all []publicKey, kid string) (keys []any) {
	for _, k := range all {
		if kid == "" || k.id == "" || k.id == kid {
			keys = append(keys, k.key)
		}
	}
	return keys
}

// parseKeys reads a JSON Web Key Set, which may be empty, or PEM blocks of public keys and
// certificates.
func parseKeys(text []byte) (all []publicKey, err error) {
	if text = bytes.TrimSpace(text); bytes.HasPrefix(text, []byte("{")) {
		var set jose.JSONWebKeySet
		if err := json.Unmarshal(text, &set); err != nil || set.Keys == nil {
			return nil, errors.New("no JSON Web Key Set")
		}
		for _, k := range set.Keys {
			if asymmetric(k.Key) && k.Use != "enc" {
				all = append(all, publicKey{k.KeyID, k.Key})
			}
		}
		return all, nil
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		key, err := pemKey(block)
		if err != nil {
			return nil, err
		}
		all = append(all, publicKey{key: key})
	}
	if len(all) == 0 {
		return nil, errNoPublicKey
	}
	return all, nil
}

var errNoPublicKey = errors.New("neither a JSON Web Key Set nor PEM with a public key of RSA, ECDSA or Ed25519")

func pemKey(block *pem.Block) (any, error) {
	if block.Type == "CERTIFICATE" {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("read certificate: %w", err)
		}
		return c.PublicKey, nil
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil || !asymmetric(key) {
		return nil, errors.New("the PEM holds what is no public key (BEGIN PUBLIC KEY)")
	}
	return key, nil
}

// asymmetric tells whether a key is a public one: a set that anybody may read
// must not hold what signs.
func asymmetric(key any) bool {
	switch key.(type) {
	case *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey:
		return true
	}
	return false
}

// keysOfFile are those of a file, read anew when it has changed.
type keysOfFile struct {
	name string

	mu   sync.Mutex
	read fs.FileInfo
	all  []publicKey
}

func (f *keysOfFile) keys(_ context.Context, kid string) ([]any, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	info, err := os.Stat(f.name)
	if err == nil && same(info, f.read) {
		return named(f.all, kid), nil
	}
	text, err := os.ReadFile(f.name)
	if err != nil {
		return nil, fmt.Errorf("read keys of tokens: %w", err)
	}
	all, err := parseKeys(text)
	if err == nil && len(all) == 0 {
		err = errNoPublicKey
	}
	if err != nil {
		return nil, fmt.Errorf("read keys of tokens: %s: %w", f.name, err)
	}
	f.all, f.read = all, info
	return named(all, kid), nil
}

// The ages of a key set that was asked for.
const (
	// freshSet is how old it may be for a token whose key is in it.
	freshSet = time.Minute
	// newestSet is how old it must be to be asked for anew because of a token
	// whose key is not in it: strangers may send those as often as they like.
	newestSet = 2 * time.Second
	// oldestSet is how long it is good while nobody answers.
	oldestSet = time.Hour
)

// keysOfURL are those of a key set that is asked for.
type keysOfURL struct {
	url    string
	client *http.Client
	now    func() time.Time

	mu    sync.Mutex
	asked time.Time // when it was asked for last
	got   time.Time // when all came
	all   []publicKey
	err   error // of the last time
}

func newKeysOfURL(url string) *keysOfURL {
	return &keysOfURL{url: url, now: time.Now, client: &http.Client{Timeout: DefaultTimeout, CheckRedirect: safeRedirect}}
}

// errRedirect refuses a redirect that leads from TLS into the clear, or nowhere.
var errRedirect = errors.New("it redirects from https to http, or again and again")

func safeRedirect(r *http.Request, via []*http.Request) error {
	if len(via) >= 5 || via[len(via)-1].URL.Scheme == "https" && r.URL.Scheme != "https" {
		return errRedirect
	}
	return nil
}

// passingError is trouble during which the last set is good. Any other answer
// takes it back.
type passingError struct{ error }

func (u *keysOfURL) keys(ctx context.Context, kid string) ([]any, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	has := slices.ContainsFunc(u.all, func(k publicKey) bool { return kid == "" || k.id == kid })
	most := newestSet
	if has && u.err == nil {
		most = freshSet
	}
	if now := u.now(); now.Sub(u.asked) >= most {
		all, err := u.fetch(ctx)
		u.asked = u.now() // whoever has waited for it takes what came
		if u.err = err; !errors.As(err, new(passingError)) {
			u.all, u.got = all, now
		}
	}
	if u.err != nil && (len(u.all) == 0 || u.now().Sub(u.got) > oldestSet) {
		return nil, fmt.Errorf("ask for the keys of tokens: %w", u.err)
	}
	return named(u.all, kid), nil
}

func (u *keysOfURL) fetch(ctx context.Context) ([]publicKey, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.url, nil)
	if err != nil {
		return nil, errors.New("the URL is not good")
	}
	resp, err := u.client.Do(req)
	if err != nil {
		if errors.Is(err, errRedirect) {
			return nil, errRedirect
		}
		return nil, passingError{withoutURL(err)}
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		err := fmt.Errorf("status %d", resp.StatusCode)
		if resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests {
			err = passingError{err}
		}
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxKeySet))
	if err != nil {
		return nil, passingError{withoutURL(err)}
	}
	return parseKeys(text)
}
