package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"

	"golang.org/x/sync/errgroup"

	"weir/api"
	"weir/endpoint"
)

// listener is an address that encoders come to.
type listener struct {
	flag, address string
	tunnel        string // what the transport is called, where it is one
	tls           bool
}

// listeners are all that flags can name; an empty address is none.
func (f *rtmpFlags) listeners() []listener {
	return []listener{
		{"--rtmp", f.RTMP, "", false},
		{"--rtmps", f.RTMPS, "", true},
		{"--rtmpt", f.RTMPT, "rtmpt", false},
		{"--rtmpts", f.RTMPTS, "rtmpts", true},
	}
}

// listen is the stage of all addresses that encoders come to.
func (f *rtmpFlags) listen(ctx context.Context, s *endpoint.Server, way *entrance) (stage, error) {
	var serve []func(context.Context) error
	for _, l := range f.listeners() {
		if l.address == "" {
			continue
		}
		ln, err := way.listen(ctx, l.address, l.tls)
		if err != nil {
			return stage{}, fmt.Errorf("listen for RTMP: %w (choose another address with %s)", err, l.flag)
		}
		serve = append(serve, func(ctx context.Context) error {
			if l.tunnel != "" {
				return s.ServeTunnel(ctx, ln, l.tunnel)
			}
			return s.Serve(ctx, ln)
		})
	}
	return stage{"rtmp", func(ctx context.Context) error {
		all, ctx := errgroup.WithContext(ctx)
		for _, f := range serve {
			all.Go(func() error { return f(ctx) })
		}
		return all.Wait()
	}}, nil
}

// entrance is what all listeners share: certificates, and the proxies before
// them.
type entrance struct {
	certificates *endpoint.Certificates // nil: there are none
	trusted      []netip.Prefix
}

// open reads the certificates. The stage keeps them as their files have them.
func (f *tlsFlags) open(log *slog.Logger) (*entrance, stage, error) {
	e := new(entrance)
	watch := stage{"certificates", func(ctx context.Context) error { <-ctx.Done(); return nil }}
	for _, text := range f.ProxyProtocol {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, watch, usagef("--proxy-protocol: %q is no network as in 10.0.0.0/8", text)
		}
		e.trusted = append(e.trusted, prefix.Masked())
	}
	if len(f.TLSCert) == 0 && len(f.TLSKey) == 0 {
		return e, watch, nil
	}
	c, err := endpoint.NewCertificates(f.TLSCert, f.TLSKey)
	if err != nil {
		return nil, watch, usagef("--tls-cert, --tls-key: %v", err)
	}
	e.certificates = c
	watch.run = func(ctx context.Context) error { return c.Run(ctx, log) }
	return e, watch, nil
}

var errNoCertificate = errors.New("TLS needs --tls-cert and --tls-key")

// listen listens at an address, behind the proxies and by TLS if that is to be.
func (e *entrance) listen(ctx context.Context, address string, secure bool) (net.Listener, error) {
	if secure && e.certificates == nil {
		return nil, errNoCertificate
	}
	ln, err := api.Listen(ctx, address)
	if err != nil {
		return nil, err
	}
	if len(e.trusted) > 0 {
		ln = endpoint.Proxied(ln, e.trusted)
	}
	if secure {
		ln = endpoint.Secure(ln, e.certificates.Config())
	}
	return ln, nil
}
