package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"weir/media/publishing"
)

// Hash is what is kept of a stream key. Keys are random, so that a plain hash
// is not guessed from: see NewKey and MinKey.
type Hash [sha256.Size]byte

// HashKey is the hash of a key.
func HashKey(key string) Hash { return sha256.Sum256([]byte(key)) }

// String is the hash in hexadecimal digits.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// ID is how people call a key: it is not secret, and tells nothing of it.
func (h Hash) ID() string { return hex.EncodeToString(h[:4]) }

// ParseHash reads what String writes.
func ParseHash(text string) (h Hash, err error) {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != len(h) {
		return h, errors.New("no SHA-256 in 64 hexadecimal digits")
	}
	copy(h[:], b)
	return h, nil
}

// NewKey makes a key that nobody guesses: 130 random bits.
func NewKey() string { return strings.ToLower(rand.Text()) }

// The lengths of a key that somebody has chosen, in bytes.
const (
	MinKey = 16
	maxKey = 256
)

// CheckKey tells what is wrong with a key that somebody has chosen.
func CheckKey(key string) error {
	switch {
	case len(key) < MinKey || len(key) > maxKey:
		return fmt.Errorf("a key has %d to %d characters: whoever guesses it may publish", MinKey, maxKey)
	case strings.ContainsFunc(key, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune(`/?&#%"'\`, r)
	}):
		return errors.New(`a key holds no blank, no letter beyond ASCII and none of / ? & # % " ' \: encoders and shells make something else of those`)
	}
	return nil
}

// Keys knows the hashes of all keys. The key is the name of the publish, or the
// parameter key of its query beside the stream's public name. Any goroutine may
// use it.
type Keys struct {
	loaded chan struct{} // closed when all keys are known for the first time
	once   sync.Once

	mu    sync.Mutex
	rules map[Hash]Rule
	live  map[string]*grantee // by the grant's ID
	given int
}

// grantee is a grant that is in use.
type grantee struct {
	by      Hash
	stream  string
	until   time.Time
	over    *time.Timer   // where its rule ends before until now; nil: it does not
	revoked chan struct{} // closed, once it is taken back
	gone    bool
}

// NewKeys returns one that knows no key yet, and lets who asks wait until
// Loaded.
func NewKeys() *Keys {
	return &Keys{loaded: make(chan struct{}), rules: make(map[Hash]Rule), live: make(map[string]*grantee)}
}

// Loaded tells that all keys are known that there are.
func (k *Keys) Loaded() { k.once.Do(func() { close(k.loaded) }) }

// Replace makes rules all that are known. Grants of keys that are gone, or are
// for another stream now, are taken back; those of a key that ends earlier now,
// when it does. All else of a rule is what the next publish has.
func (k *Keys) Replace(rules map[Hash]Rule) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.rules = maps.Clone(rules)
	k.revoke()
}

// Set adds or changes a key.
func (k *Keys) Set(h Hash, r Rule) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.rules[h] = r
	k.revoke()
}

// Remove forgets a key.
func (k *Keys) Remove(h Hash) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.rules, h)
	k.revoke()
}

// revoke takes back what no rule allows any more. It needs mu.
func (k *Keys) revoke() {
	for _, g := range k.live {
		r, ok := k.rules[g.by]
		g.stop()
		earlier := !r.Until.IsZero() && (g.until.IsZero() || r.Until.Before(g.until))
		left := time.Until(r.Until)
		switch {
		case g.gone:
		case !ok || r.Stream != g.stream || earlier && left <= 0:
			g.gone = true
			close(g.revoked)
		case earlier:
			g.over = time.AfterFunc(left, k.look)
		}
	}
}

// look takes back what no rule allows any more.
func (k *Keys) look() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.revoke()
}

// stop waits for no end any more.
func (g *grantee) stop() {
	if g.over != nil {
		g.over.Stop()
		g.over = nil
	}
}

// known is how many keys there are.
func (k *Keys) known() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.rules)
}

// Authorize grants what the key of the request is for.
func (k *Keys) Authorize(ctx context.Context, r Request) (publishing.Grant, error) {
	select {
	case <-k.loaded:
	case <-ctx.Done():
		return publishing.Grant{}, unavailable(errors.New("the stream keys are not read yet"))
	}
	key, beside := r.parameter("key"), true
	if key == "" {
		key, beside = r.Name, false
	}
	h := HashKey(key)
	k.mu.Lock()
	defer k.mu.Unlock()
	rule, ok := k.rules[h]
	if !ok {
		return publishing.Grant{}, unknownKey()
	}
	g, err := rule.Grant()
	switch {
	case err != nil: // who reads the rules has checked them
		return publishing.Grant{}, fmt.Errorf("key %s: %w", h.ID(), err)
	case beside && r.Name != g.Stream.Name && r.Name != key:
		return publishing.Grant{}, elsewhere()
	case !g.Until.IsZero() && !time.Now().Before(g.Until):
		return publishing.Grant{}, outOfDate()
	}
	if g.Owner == "" {
		g.Owner = "key " + h.ID()
	}
	k.given++
	g.ID = fmt.Sprintf("%s-%d", h.ID(), k.given)
	x := &grantee{by: h, stream: rule.Stream, until: g.Until, revoked: make(chan struct{})}
	k.live[g.ID], g.Revoked = x, x.revoked
	return g, nil
}

// Release tells that a grant is not in use any more.
func (k *Keys) Release(g publishing.Grant) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if x := k.live[g.ID]; x != nil {
		x.stop()
	}
	delete(k.live, g.ID)
}
