package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"weir/auth"
	"weir/bus"
	"weir/endpoint"
	"weir/media"
	"weir/media/publishing"
)

// keysInNATS is what --keys says for those that all nodes share.
const keysInNATS = "nats"

// anyone tells whether anybody may publish.
func (f *authFlags) anyone() bool { return f.PublishAuth == "" || f.PublishAuth == "open" }

// word is what stands behind the application in a publish URL.
func (f *authFlags) word() string {
	if f.anyone() {
		return "NAME"
	}
	return "KEY"
}

// checkAuth tells what is wrong with who may publish, before anything is begun.
// data is where serve keeps its data, or empty; proxied tells whether others come
// through load balancers, which may be on this machine.
func (f *rtmpFlags) checkAuth(data string, proxied bool) error {
	if err := f.checkUnused(); err != nil {
		return err
	}
	if f.PublishAuth == "" {
		for _, l := range f.listeners() {
			if l.address != "" && (proxied || !onlyHere(l.address)) {
				return usagef("%s %s is not for this machine only: say who may publish, by --publish-auth\n"+
					"  keys      who has a stream key: weir key new live/alice\n"+
					"  webhook   whom your own system lets in (--auth-url); nginx: the same as nginx-rtmp asks\n"+
					"  jwt       who has a signed token (--jwt-keys, or --jwt-secret-file)\n"+
					"  open      anyone, under any name", l.flag, l.address)
			}
		}
	}
	if f.Keys == "" && data != "" {
		f.Keys = filepath.Join(data, "keys")
	}
	return f.check()
}

// checkUnused tells which flag is given that the mode makes nothing of: who gives
// it believes that it decides who may publish.
func (f *authFlags) checkUnused() error {
	asks := []string{"webhook", "nginx"}
	for _, x := range []struct {
		flag  string
		given bool
		modes []string
	}{
		{"--keys", f.Keys != "", []string{"keys"}},
		{"--auth-url", f.AuthURL != "", asks},
		{"--auth-timeout", f.AuthTimeout != 0 && f.AuthTimeout != auth.DefaultTimeout, asks},
		{"--auth-secret", f.AuthSecret != "", asks[:1]},
		{"--auth-secret-file", f.AuthSecretFile != "", asks[:1]},
		{"--jwt-secret", f.JWTSecret != "", []string{"jwt"}},
		{"--jwt-secret-file", f.JWTSecretFile != "", []string{"jwt"}},
		{"--jwt-keys", f.JWTKeys != "", []string{"jwt"}},
		{"--jwt-issuer", f.JWTIssuer != "", []string{"jwt"}},
		{"--jwt-audience", f.JWTAudience != "", []string{"jwt"}},
	} {
		if x.given && !slices.Contains(x.modes, f.PublishAuth) {
			return usagef("%s is of no use here: it needs --publish-auth %s", x.flag, strings.Join(x.modes, ", or "))
		}
	}
	return nil
}

// warnClear warns of a URL that is asked in clear over a network.
func warnClear(flag, address, what string, log *slog.Logger) {
	u, err := url.Parse(address)
	if err == nil && u.Scheme == "http" && !onlyHere(net.JoinHostPort(u.Hostname(), "80")) {
		log.Warn("a network is crossed in clear, where others read and change what is said: use https", "flag", flag, "what", what)
	}
}

// check tells what is missing.
func (f *authFlags) check() error {
	switch {
	case f.PublishAuth == "keys" && f.Keys == "":
		return usagef("--publish-auth keys needs --keys: a file, or nats")
	case (f.PublishAuth == "webhook" || f.PublishAuth == "nginx") && f.AuthURL == "":
		return usagef("--publish-auth %s needs --auth-url", f.PublishAuth)
	case f.PublishAuth == "jwt" && f.JWTKeys == "" && f.JWTSecret == "" && f.JWTSecretFile == "":
		return usagef("--publish-auth jwt needs --jwt-keys, or --jwt-secret-file")
	}
	return nil
}

// onlyHere tells whether an address is reached from this machine only.
func onlyHere(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// open returns who decides, and the stages that it needs.
func (f *authFlags) open(ctx context.Context, b *bus.Bus, log *slog.Logger) (endpoint.Auth, []stage, error) {
	switch f.PublishAuth {
	case "keys":
		return f.openKeys(ctx, b, log)
	case "webhook":
		warnClear("--auth-url", f.AuthURL, "stream keys, and who may publish", log)
		secret, err := secretOf("--auth-secret", f.AuthSecret, f.AuthSecretFile)
		if err != nil {
			return nil, nil, err
		}
		if secret == "" {
			log.Warn("questions to the webhook are not signed: it cannot tell who asks; give both a secret with --auth-secret-file")
		}
		w, err := auth.NewWebhook(auth.WebhookConfig{URL: f.AuthURL, Secret: secret, Timeout: f.AuthTimeout})
		if err != nil {
			return nil, nil, usagef("--auth-url, --auth-secret: %v", err)
		}
		return authority{w}, nil, nil
	case "nginx":
		warnClear("--auth-url", f.AuthURL, "stream keys, and who may publish", log)
		w, err := auth.NewForm(auth.WebhookConfig{URL: f.AuthURL, Timeout: f.AuthTimeout}, log)
		if err != nil {
			return nil, nil, usagef("--auth-url: %v", err)
		}
		return authority{w}, []stage{{"publish done", w.Run}}, nil
	case "jwt":
		warnClear("--jwt-keys", f.JWTKeys, "the keys of tokens", log)
		return f.openTokens()
	}
	return endpoint.OpenAuth{}, nil, nil
}

func (f *authFlags) openKeys(ctx context.Context, b *bus.Bus, log *slog.Logger) (endpoint.Auth, []stage, error) {
	k := auth.NewKeys()
	if f.Keys == keysInNATS {
		shared, err := b.StreamKeys(ctx)
		if err != nil {
			return nil, nil, err
		}
		return authority{k}, []stage{{"keys", func(ctx context.Context) error { return watchKeys(ctx, shared, k, log) }}}, nil
	}
	rules, err := auth.ReadKeyFile(f.Keys)
	if err != nil {
		return nil, nil, usagef("--keys: %v", err)
	}
	if len(rules) == 0 {
		log.Warn("there is no stream key yet: nobody can publish; make one with weir key new live/alice", "keys", f.Keys)
	}
	k.Replace(rules)
	k.Loaded()
	return authority{k}, []stage{{"keys", func(ctx context.Context) error { return k.WatchFile(ctx, f.Keys, log) }}}, nil
}

func (f *authFlags) openTokens() (endpoint.Auth, []stage, error) {
	secret, err := secretOf("--jwt-secret", f.JWTSecret, f.JWTSecretFile)
	if err != nil {
		return nil, nil, err
	}
	cfg := auth.TokenConfig{Secret: secret, Issuer: f.JWTIssuer, Audience: f.JWTAudience}
	if strings.Contains(f.JWTKeys, "://") {
		cfg.URL = f.JWTKeys
	} else {
		cfg.File = f.JWTKeys
	}
	t, err := auth.NewTokens(cfg)
	if err != nil {
		return nil, nil, usagef("--publish-auth jwt: %v", err)
	}
	return authority{t}, nil, nil
}

// watchKeys keeps k as NATS has it, until ctx ends.
func watchKeys(ctx context.Context, shared *bus.StreamKeys, k *auth.Keys, log *slog.Logger) error {
	return shared.Watch(ctx, func(hash string, rule []byte) {
		h, err := auth.ParseHash(hash)
		if err != nil {
			log.Warn("a stream key was left out", "err", err)
			return
		}
		var r auth.Rule
		if rule != nil {
			if err = json.Unmarshal(rule, &r); err == nil {
				_, err = r.Grant()
			}
			if err != nil {
				log.Warn("a stream key was left out", "key", h.ID(), "err", err)
			}
		}
		if rule == nil || err != nil {
			k.Remove(h)
			return
		}
		k.Set(h, r)
	}, k.Loaded)
}

// natsKeys are stream keys that all nodes share, as the verbs change them.
type natsKeys struct{ of *bus.StreamKeys }

func (n natsKeys) Keys(ctx context.Context) (map[auth.Hash]auth.Rule, error) {
	all, err := n.of.All(ctx)
	if err != nil {
		return nil, err
	}
	rules := make(map[auth.Hash]auth.Rule)
	for hash, rule := range all {
		h, err := auth.ParseHash(hash)
		if err != nil {
			return nil, fmt.Errorf("read stream keys: %w", err)
		}
		var r auth.Rule
		if err := json.Unmarshal(rule, &r); err != nil {
			return nil, fmt.Errorf("read stream key %s: %w", h.ID(), err)
		}
		rules[h] = r
	}
	return rules, nil
}

func (n natsKeys) Add(ctx context.Context, h auth.Hash, r auth.Rule) error {
	rule, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("write stream key: %w", err)
	}
	return n.of.Put(ctx, h.String(), rule)
}

func (n natsKeys) Remove(ctx context.Context, h auth.Hash) error { return n.of.Remove(ctx, h.String()) }

// ownKey lets this process publish to itself, however others have to prove that
// they may: it is made anew each time, and known to nobody else.
type ownKey struct {
	key    string
	stream media.Stream
}

func newOwnKey(s media.Stream) *ownKey { return &ownKey{auth.NewKey(), s} }

// before asks next about all others.
func (o *ownKey) before(next endpoint.Auth) endpoint.Auth { return ownAuth{o, next} }

// ownAuth is an ownKey before another way to authorize.
type ownAuth struct {
	own  *ownKey
	next endpoint.Auth
}

func (a ownAuth) Authorize(ctx context.Context, r endpoint.Request) (publishing.Grant, error) {
	if auth.HashKey(r.Name) == auth.HashKey(a.own.key) {
		return publishing.Grant{Stream: a.own.stream}, nil
	}
	return a.next.Authorize(ctx, r)
}

func (a ownAuth) Release(g publishing.Grant) {
	if g.ID != "" { // ours have none
		a.next.Release(g)
	}
}

// errNoKey: nothing is called so.
var errNoKey = errors.New("no stream key has this id, or is for this stream: see weir key list")
