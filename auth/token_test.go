package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

var b64 = base64.RawURLEncoding

// makeToken makes a token by the standard library alone (RFC 7515, 7518).
func makeToken(t *testing.T, alg, kid string, key any, claims map[string]any) string {
	t.Helper()
	header := map[string]any{"alg": alg, "typ": "JWT"}
	if kid != "" {
		header["kid"] = kid
	}
	part := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return b64.EncodeToString(b)
	}
	text := part(header) + "." + part(claims)
	sum := sha256.Sum256([]byte(text))
	var sig []byte
	var err error
	switch k := key.(type) {
	case nil:
	case []byte:
		h := hmac.New(sha256.New, k)
		h.Write([]byte(text))
		sig = h.Sum(nil)
	case *rsa.PrivateKey:
		sig, err = rsa.SignPKCS1v15(rand.Reader, k, crypto.SHA256, sum[:])
	case *ecdsa.PrivateKey:
		r, s, e := ecdsa.Sign(rand.Reader, k, sum[:])
		sig, err = append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...), e
	case ed25519.PrivateKey:
		sig = ed25519.Sign(k, []byte(text))
	}
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + b64.EncodeToString(sig)
}

// signers are a key of each kind.
type signers struct {
	rsa *rsa.PrivateKey
	ec  *ecdsa.PrivateKey
	ed  ed25519.PrivateKey
}

var makeSigners = sync.OnceValue(func() (s signers) {
	s.rsa, _ = rsa.GenerateKey(rand.Reader, 2048)
	s.ec, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	_, s.ed, _ = ed25519.GenerateKey(rand.Reader)
	return s
})

// pems are the public keys in PEM.
func (s signers) pems(t *testing.T) (text []byte) {
	t.Helper()
	for _, k := range []any{&s.rsa.PublicKey, &s.ec.PublicKey, s.ed.Public()} {
		der, err := x509.MarshalPKIXPublicKey(k)
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})...)
	}
	return text
}

// keySet is a JSON Web Key Set of one Ed25519 key (RFC 8037, 2), and a secret
// that has no business there.
func keySet(kid string, key ed25519.PrivateKey) string {
	public, _ := key.Public().(ed25519.PublicKey)
	return fmt.Sprintf(`{"keys":[{"kty":"oct","kid":"s","k":%q},{"kty":"OKP","crv":"Ed25519","kid":%q,"x":%q}]}`,
		b64.EncodeToString([]byte(strings.Repeat("k", 32))), kid, b64.EncodeToString(public))
}

func write(t *testing.T, text []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestTokens(t *testing.T) {
	k := makeSigners()
	secret := strings.Repeat("s3cr3t", 6)
	file := write(t, k.pems(t))
	bySecret := TokenConfig{Secret: secret, Issuer: "shop", Audience: "weir"}
	byFile := TokenConfig{File: file}
	now := time.Now().Unix()
	claims := func(more ...any) map[string]any {
		c := map[string]any{"stream": "live/alice", "sub": "anna", "iss": "shop", "aud": []string{"weir", "x"}, "exp": now + 600, "jti": canary}
		for i := 0; i < len(more); i += 2 {
			c[more[i].(string)] = more[i+1]
		}
		return c
	}
	rsaPEM := k.pems(t)
	for _, tt := range []struct {
		name   string
		cfg    TokenConfig
		alg    string
		key    any
		claims map[string]any
		reason string
	}{
		{"HS256", bySecret, "HS256", []byte(secret), claims(), ""},
		{"RS256", byFile, "RS256", k.rsa, claims(), ""},
		{"ES256", byFile, "ES256", k.ec, claims(), ""},
		{"EdDSA", byFile, "EdDSA", k.ed, claims(), ""},
		{"no end", byFile, "EdDSA", k.ed, claims("exp", nil), ""},
		{"one audience", bySecret, "HS256", []byte(secret), claims("aud", "weir"), ""},
		{"out of date", byFile, "EdDSA", k.ed, claims("exp", now-60), reasonExpired},
		{"not yet", byFile, "EdDSA", k.ed, claims("nbf", now+60), reasonKey},
		{"another issuer", bySecret, "HS256", []byte(secret), claims("iss", "mallory"), reasonKey},
		{"another audience", bySecret, "HS256", []byte(secret), claims("aud", "other"), reasonKey},
		{"another secret", bySecret, "HS256", []byte(secret + "x"), claims(), reasonKey},
		{"no signature", byFile, "none", nil, claims(), reasonKey},
		{"signed with the public key as a secret", byFile, "HS256", rsaPEM, claims(), reasonKey},
		{"another algorithm than the key's", byFile, "ES256", k.ed, claims(), reasonKey},
		{"a public key's where a secret is", bySecret, "EdDSA", k.ed, claims(), reasonKey},
		{"no stream", byFile, "EdDSA", k.ed, claims("stream", nil), reasonAsk},
		{"a stream that is none", byFile, "EdDSA", k.ed, claims("stream", "live/../x"), reasonAsk},
		{"a claim of another type", byFile, "EdDSA", k.ed, claims("until", 12), reasonKey},
		{"over already", byFile, "EdDSA", k.ed, claims("until", "2001-01-01T00:00:00Z"), reasonExpired},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tokens, err := NewTokens(tt.cfg)
			if err != nil {
				t.Fatal(err)
			}
			text := makeToken(t, tt.alg, "", tt.key, tt.claims)
			for _, r := range []Request{
				{App: "live", Name: text},
				{App: "live", Name: "alice", Query: "jwt=" + text},
				{App: "live", Name: "alice", Query: text},
			} {
				g, err := tokens.Authorize(t.Context(), r)
				if got := reasonOf(t, err); got != tt.reason {
					t.Errorf("%q (%v), want %q", got, err, tt.reason)
				}
				if err != nil && strings.Contains(err.Error(), text) {
					t.Errorf("the error has the token: %v", err)
				}
				if err == nil && (g.Stream.String() != "live/alice" || g.Owner != "anna") {
					t.Errorf("%+v", g)
				}
			}
			if _, err := tokens.Authorize(t.Context(), Request{App: "live", Name: "bob", Query: "jwt=" + text}); err == nil {
				t.Error("the token of alice lets in bob")
			}
		})
	}
}

func TestTokenConfig(t *testing.T) {
	for name, cfg := range map[string]TokenConfig{
		"nothing":         {},
		"short secret":    {Secret: "short"},
		"two":             {Secret: strings.Repeat("s", 32), URL: "https://example.net"},
		"no file":         {File: filepath.Join(t.TempDir(), "none")},
		"file without":    {File: write(t, []byte("text"))},
		"private key":     {File: write(t, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte{1}}))},
		"secrets in sets": {File: write(t, []byte(`{"keys":[{"kty":"oct","k":"AAAA"}]}`))},
	} {
		if _, err := NewTokens(cfg); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	long := Request{Name: strings.Repeat("x", maxToken+1)}
	tokens, err := NewTokens(TokenConfig{Secret: strings.Repeat("s", 32)})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []Request{long, {Name: "a.b.c"}, {Name: "alice"}, {Name: "..", Query: ".."}} {
		if _, err := tokens.Authorize(t.Context(), r); reasonOf(t, err) != reasonKey {
			t.Errorf("%.10s: %v", r.Name, err)
		}
	}
}

// TestRotation changes the key set at a URL: the next publish knows. A server
// that is away takes nothing away, for an hour.
func TestRotation(t *testing.T) {
	_, first, _ := ed25519.GenerateKey(rand.Reader)
	_, second, _ := ed25519.GenerateKey(rand.Reader)
	var mu sync.Mutex
	set, status, asked := keySet("1", first), 200, 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked++
		w.WriteHeader(status)
		_, _ = w.Write([]byte(set))
	}))
	defer s.Close()
	tokens, err := NewTokens(TokenConfig{URL: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	tokens.keys.(*keysOfURL).now = func() time.Time { return now }
	try := func(kid string, key any, alg string, want string) {
		t.Helper()
		_, err := tokens.Authorize(t.Context(), Request{Name: makeToken(t, alg, kid, key, map[string]any{"stream": "live/alice"})})
		if got := reasonOf(t, err); got != want {
			t.Errorf("key %s: %q, want %q", kid, got, want)
		}
	}
	serve := func(text string, code int) {
		mu.Lock()
		defer mu.Unlock()
		set, status = text, code
	}
	try("1", first, "EdDSA", "")
	try("s", []byte(strings.Repeat("k", 32)), "HS256", reasonKey) // a secret that everybody may read is none
	serve(keySet("2", second), 200)
	now = now.Add(newestSet)
	try("2", second, "EdDSA", "")       // rotated
	try("1", first, "EdDSA", reasonKey) // gone with it
	for range 50 {
		try("3", first, "EdDSA", reasonKey) // strangers
	}
	if asked != 2 {
		t.Errorf("the set was asked for %d times, want twice", asked)
	}
	serve("", 500)
	now = now.Add(freshSet)
	try("2", second, "EdDSA", "")
	now = now.Add(oldestSet)
	try("2", second, "EdDSA", reasonAsk)
	serve(keySet("2", second), 200)
	now = now.Add(newestSet)
	try("2", second, "EdDSA", "")
}
