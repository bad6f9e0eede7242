package main

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"

	"weir/bus"
	"weir/media"
)

// adminFlags say who may change things through the API.
type adminFlags struct {
	AdminToken     string `help:"What API writes must bring as a bearer token. Absent: they are taken from this machine only, and not through a proxy." placeholder:"SECRET"`
	AdminTokenFile string `help:"File with the admin token." placeholder:"FILE"`
}

func (f *adminFlags) token() (string, error) {
	if f.AdminTokenFile == "" {
		return f.AdminToken, nil
	}
	text, err := os.ReadFile(f.AdminTokenFile)
	if err != nil {
		return "", usagef("--admin-token-file: %v", err)
	}
	token := strings.TrimSpace(string(text))
	if token == "" {
		return "", usagef("--admin-token-file: the file is empty")
	}
	return token, nil
}

// admin lets writes through to those who may make them.
type admin struct {
	token string
	// proxied: requests that seem to come from this machine may come from
	// anywhere.
	proxied bool
	foreign *http.CrossOriginProtection // pages of other sites, in our user's browser
}

// allows tells whether r may change something.
func (a *admin) allows(r *http.Request) bool {
	if a.foreign.Check(r) != nil {
		return false
	}
	if a.token != "" {
		got := sha256.Sum256([]byte(r.Header.Get("Authorization")))
		want := sha256.Sum256([]byte("Bearer " + a.token))
		return subtle.ConstantTimeCompare(got[:], want[:]) == 1
	}
	for _, h := range []string{"Forwarded", "X-Forwarded-For", "X-Real-Ip", "Via"} {
		if r.Header.Get(h) != "" {
			return false
		}
	}
	// A name of somebody else's that resolves to this machine is not ours.
	return !a.proxied && isLoopback(r.RemoteAddr) && isLoopback(r.Host)
}

// isLoopback tells whether a host, with or without a port, is this machine.
func isLoopback(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// serveKick answers POST /api/v1/streams/{app}/{name}/kick.
func serveKick(b *bus.Bus, a *admin, log *slog.Logger) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !a.allows(r) {
			http.Error(w, "not allowed: this needs the admin token, or without one a request from this machine", http.StatusForbidden)
			return
		}
		s, err := media.ParseStream(r.PathValue("app"), r.PathValue("name"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), apiTimeout/2)
		defer cancel()
		switch err := b.Kick(ctx, s); {
		case errors.Is(err, bus.ErrNotLive):
			http.Error(w, "the stream is not live", http.StatusNotFound)
		case err != nil:
			log.Warn("kick failed", "stream", s, "err", err)
			http.Error(w, "its ingest does not answer, try again", http.StatusServiceUnavailable)
		default:
			log.Info("stream kicked", "stream", s, "by", r.RemoteAddr)
			w.WriteHeader(http.StatusNoContent)
		}
	}
}

// kickCmd ends what an encoder publishes, and with it the broadcast.
type kickCmd struct {
	apiFlags
	Stream     string `arg:"" help:"Whom to throw out, as in live/alice."`
	NATS       string `name:"nats" help:"Ask through NATS, not through --url." placeholder:"URL"`
	NATSCreds  string `name:"nats-creds" help:"NATS credentials file." placeholder:"FILE"`
	NATSCA     string `name:"nats-ca" help:"PEM file with the authority of the NATS servers' certificates." placeholder:"FILE"`
	adminFlags `embed:""`
}

func (c *kickCmd) Run(ctx context.Context, stdout io.Writer, log *slog.Logger) error {
	app, name, _ := strings.Cut(c.Stream, "/")
	s, err := media.ParseStream(app, name)
	if err != nil {
		return usagef("kick: %v", err)
	}
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	if c.NATS != "" {
		err = c.throughNATS(ctx, s, log)
	} else {
		err = c.throughHTTP(ctx, s)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "%s is thrown out, its broadcast ends\n", s)
	return err
}

func (c *kickCmd) throughNATS(ctx context.Context, s media.Stream, log *slog.Logger) error {
	f := natsFlags{NATS: c.NATS, NATSCreds: c.NATSCreds, NATSCA: c.NATSCA}
	b, err := f.open(ctx, "", log)
	if err != nil {
		return err
	}
	defer closeBus(b, log)
	return b.Kick(ctx, s)
}

func (c *kickCmd) throughHTTP(ctx context.Context, s media.Stream) error {
	token, err := c.token()
	if err != nil {
		return err
	}
	url := fmt.Sprintf("%s/api/v1/streams/%s/kick", strings.TrimSuffix(c.URL, "/"), s)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, nil)
	if err != nil {
		return usagef("--url: %v", err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return fmt.Errorf("ask weir: %w (is it running? --url says where)", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 200)) // the status says it, too
		return fmt.Errorf("kick %s: %s: %s", s, resp.Status, strings.TrimSpace(string(body)))
	}
	return nil
}
