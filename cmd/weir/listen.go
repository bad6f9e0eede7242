package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"golang.org/x/sync/errgroup"

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
		{"--rtmpt", f.RTMPT, "rtmpt", false},
		{"--rtmpts", f.RTMPTS, "rtmpts", true},
	}
}

// listen is the stage of all addresses that encoders come to.
func (f *rtmpFlags) listen(ctx context.Context, s *endpoint.Server) (stage, error) {
	var serve []func(context.Context) error
	for _, l := range f.listeners() {
		if l.address == "" {
			continue
		}
		ln, err := new(net.ListenConfig).Listen(ctx, "tcp", l.address)
		if err != nil {
			return stage{}, fmt.Errorf("listen for RTMP: %w (choose another address with %s)", err, l.flag)
		}
		if l.tls {
			if ln, err = f.secure(ln); err != nil {
				return stage{}, fmt.Errorf("listen for RTMP: %w", err)
			}
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

// secure speaks TLS on a listener.
func (f *rtmpFlags) secure(ln net.Listener) (net.Listener, error) {
	if f.TLSCert == "" || f.TLSKey == "" {
		return nil, errors.New("TLS needs --tls-cert and --tls-key")
	}
	certificate, err := tls.LoadX509KeyPair(f.TLSCert, f.TLSKey)
	if err != nil {
		return nil, fmt.Errorf("load certificate: %w", err)
	}
	return tls.NewListener(ln, &tls.Config{
		Certificates: []tls.Certificate{certificate},
		MinVersion:   tls.VersionTLS12,
		// librtmp with GnuTLS fails over the tickets of TLS 1.3.
		SessionTicketsDisabled: true,
	}), nil
}
