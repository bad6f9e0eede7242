package auth

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"weir/media/publishing"
)

// The bounds of asking an operator's system.
const (
	// DefaultTimeout is how long one answer may take. Three of them and the pauses
	// between are less than what endpoint gives a publish.
	DefaultTimeout = 3 * time.Second
	askTries       = 3
	firstPause     = 100 * time.Millisecond // twice as long before the next
	maxAnswer      = 64 << 10
	maxReason      = 200 // bytes of what a peer is told
)

// WebhookConfig says whom to ask.
type WebhookConfig struct {
	// URL is where the question is sent by POST.
	URL string
	// Secret signs it, as Standard Webhooks have it: whsec_ and base64, or any
	// text. Empty: it is not signed.
	Secret string
	// Timeout bounds one try. Default DefaultTimeout.
	Timeout time.Duration
}

// Webhook asks the operator's system, which answers with a Decision.
type Webhook struct{ asker asker }

// NewWebhook returns one that asks as cfg says.
func NewWebhook(cfg WebhookConfig) (*Webhook, error) {
	a, err := newAsker(cfg)
	return &Webhook{a}, err
}

// Question is what a Webhook is sent.
type Question struct {
	Type      string    `json:"type"` // publish.authorize
	Timestamp time.Time `json:"timestamp"`
	Data      Asked     `json:"data"`
}

// Asked is the publish that is to be decided. Name, Query and TCURL may hold
// secrets.
type Asked struct {
	App       string `json:"app"`
	TCURL     string `json:"tc_url,omitempty"`
	Name      string `json:"name"`
	Query     string `json:"query,omitempty"`
	User      string `json:"user,omitempty"`
	Remote    string `json:"remote"`
	Encoder   string `json:"encoder,omitempty"`
	Transport string `json:"transport"`
}

// Decision is the answer to a Question: a Rule, if it is to be.
type Decision struct {
	Allow bool `json:"allow"`
	// Reason is what a peer is told that may not publish.
	Reason string `json:"reason,omitempty"`
	Rule
}

// Authorize asks. A peer is refused by the answer {"allow":false}, by the status
// 4xx, and by whatever is no answer.
func (w *Webhook) Authorize(ctx context.Context, r Request) (publishing.Grant, error) {
	body, err := json.Marshal(Question{"publish.authorize", time.Now().UTC().Truncate(time.Second), Asked(r)})
	if err != nil {
		return publishing.Grant{}, fmt.Errorf("ask webhook: %w", err)
	}
	a, err := w.asker.ask(ctx, "application/json", body)
	if err != nil {
		return publishing.Grant{}, unavailable(err)
	}
	var d Decision
	bad := json.Unmarshal(a.body, &d) // which names no value of a text
	switch {
	case a.status/100 == 4:
		return publishing.Grant{}, denied(reasonFor(r, d.Reason))
	case a.status/100 != 2:
		return publishing.Grant{}, unavailable(fmt.Errorf("the webhook answers with status %d, want 200 and JSON", a.status))
	case bad != nil:
		return publishing.Grant{}, unavailable(errors.New(`the webhook's answer is no JSON as in {"allow":true,"stream":"live/alice"}`))
	case !d.Allow:
		return publishing.Grant{}, denied(reasonFor(r, d.Reason))
	}
	return grantFor(r.unnamed(), d.Rule, "the webhook's answer")
}

// Release does nothing: what has ended is an event.
func (*Webhook) Release(publishing.Grant) {}

// grantFor makes a grant of what an operator's system lets a peer do. A system
// that would make a secret public is not obeyed. what is what it has said.
func grantFor(r Request, rule Rule, what string) (publishing.Grant, error) {
	g, err := rule.Grant()
	switch {
	case err != nil:
		return publishing.Grant{}, unavailable(fmt.Errorf("%s: %w", what, err))
	case r.holdsSecret(g.Stream.Name) || r.holdsSecret(g.Stream.App):
		return publishing.Grant{}, unavailable(fmt.Errorf("%s names the stream as its key, which nobody may see", what))
	case r.holdsSecret(g.Owner):
		return publishing.Grant{}, unavailable(fmt.Errorf("%s names the key as its owner, which goes into logs", what))
	case g.Limits.Sessions > 0 && g.Owner == "": // all of those would be counted as one owner's
		return publishing.Grant{}, unavailable(fmt.Errorf("%s limits the sessions of an owner, and names none", what))
	case !g.Until.IsZero() && !time.Now().Before(g.Until):
		return publishing.Grant{}, outOfDate()
	}
	return g, nil
}

// printable tells whether a rune is shown, in one line.
func printable(r rune) bool { return unicode.IsGraphic(r) && !unicode.Is(unicode.Bidi_Control, r) }

// reasonFor is what a peer is told of a reason: nothing of one that repeats its
// key, since a log has it, too.
func reasonFor(r Request, reason string) string {
	reason = strings.ToValidUTF8(strings.Map(func(c rune) rune {
		if !printable(c) {
			return ' '
		}
		return c
	}, reason), "")
	if r.holdsSecret(reason) {
		return ""
	}
	if len(reason) > maxReason {
		reason = strings.ToValidUTF8(reason[:maxReason], "") + "…"
	}
	return strings.TrimSpace(reason)
}

// asker sends questions.
type asker struct {
	url    string
	secret []byte // nil: questions are not signed
	client *http.Client
}

func newAsker(cfg WebhookConfig) (asker, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return asker{}, errors.New("the webhook's address is no URL as in https://example.net/publish")
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = DefaultTimeout
	}
	a := asker{url: cfg.URL, client: &http.Client{
		Timeout: cfg.Timeout,
		// Nobody is to send a stream key to where a redirect says.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 8,
			IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: maxAnswer,
		},
	}}
	if cfg.Secret != "" {
		a.secret, err = secretBytes(cfg.Secret)
	}
	return a, err
}

// minSigning is the shortest secret that signs questions, in bytes.
const minSigning = 16

// secretBytes are the bytes that a secret signs with: those that are written
// behind whsec_ in base64, or the text itself.
func secretBytes(text string) ([]byte, error) {
	secret := []byte(text)
	if coded, ok := strings.CutPrefix(text, "whsec_"); ok {
		var err error
		if secret, err = base64.StdEncoding.DecodeString(coded); err != nil {
			return nil, errors.New("what follows whsec_ in the secret is no base64")
		}
	}
	if len(secret) < minSigning {
		return nil, fmt.Errorf("a secret that signs has %d bytes at least", minSigning)
	}
	return secret, nil
}

// answer is what came back.
type answer struct {
	status   int
	location string
	body     []byte
}

// ask sends a question until there is an answer that is none of a passing
// trouble, but for askTries times at most. All tries have one id, so that who is
// asked twice knows. Its error holds nothing of the question or the URL.
func (a *asker) ask(ctx context.Context, contentType string, body []byte) (answer, error) {
	id, pause := "msg_"+strings.ToLower(rand.Text()), firstPause
	for try := 1; ; try++ {
		got, err := a.askOnce(ctx, id, contentType, body)
		passing := err != nil || got.status >= 500 || got.status == http.StatusTooManyRequests
		if !passing || try == askTries {
			return got, err
		}
		select {
		case <-time.After(pause):
			pause *= 2
		case <-ctx.Done():
			return got, err
		}
	}
}

func (a *asker) askOnce(ctx context.Context, id, contentType string, body []byte) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.url, bytes.NewReader(body))
	if err != nil {
		return answer{}, errors.New("ask webhook: its URL is not good")
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("User-Agent", "weir")
	at := strconv.FormatInt(time.Now().Unix(), 10)
	req.Header.Set("webhook-id", id)
	req.Header.Set("webhook-timestamp", at)
	if a.secret != nil {
		req.Header.Set("webhook-signature", sign(a.secret, id, at, body))
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return answer{}, fmt.Errorf("ask webhook: %w", withoutURL(err))
	}
	defer resp.Body.Close()
	got := answer{status: resp.StatusCode, location: resp.Header.Get("Location")}
	if got.body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1)); err != nil {
		return answer{}, fmt.Errorf("read the webhook's answer: %w", withoutURL(err))
	}
	if len(got.body) > maxAnswer {
		return answer{}, fmt.Errorf("the webhook's answer is larger than %d bytes", maxAnswer)
	}
	return got, nil
}

// withoutURL takes the URL out of an error of package http: it may hold a
// password.
func withoutURL(err error) error {
	if u := (*url.Error)(nil); errors.As(err, &u) {
		if u.Timeout() {
			return errors.New("no answer in time")
		}
		return u.Err
	}
	return err
}

// sign is the signature of Standard Webhooks 1.0: HMAC-SHA256 over id, time and
// body, with dots between.
func sign(secret []byte, id, at string, body []byte) string {
	h := hmac.New(sha256.New, secret)
	h.Write([]byte(id + "." + at + "."))
	h.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(h.Sum(nil))
}
