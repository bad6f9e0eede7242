package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"weir/api"
	"weir/bus"
	"weir/hls"
	"weir/storage"
)

// What several verbs open by their flags.

func (f *natsFlags) open(ctx context.Context, data string, log *slog.Logger) (*bus.Bus, error) {
	if err := f.check(data); err != nil {
		return nil, err
	}
	servers, err := f.servers()
	if err != nil {
		return nil, err
	}
	b, err := bus.Open(ctx, bus.Config{
		URL: servers, Dir: filepath.Join(data, "nats"), Creds: f.NATSCreds, CA: f.NATSCA,
		Node: f.Node, Retain: f.Retain, Replicas: f.Replicas, Shards: f.Shards, MaxBytes: int64(f.LogMax), NewMaxBytes: bus.DefaultNewMaxBytes, Log: log,
	})
	if err != nil {
		return nil, fmt.Errorf("open the frame log: %w", err)
	}
	return b, nil
}

// check tells what is wrong with the flags, before anything is begun.
func (f *natsFlags) check(data string) error {
	if f.NATS == "" && f.NATSFile == "" && data == "" {
		return usagef("--nats is missing: this stage shares a NATS server with the others (weir serve embeds one)")
	}
	_, err := f.servers()
	return err
}

// servers are the NATS servers' URLs, with commas between. What is wrong with
// one is not repeated: a password may be in it.
func (f *natsAddress) servers() (string, error) {
	text := f.NATS
	if f.NATSFile != "" {
		var err error
		if text, err = readSecret("--nats-file", f.NATSFile); err != nil {
			return "", err
		}
	}
	for i, server := range strings.Split(text, ",") {
		u, err := url.Parse(strings.TrimSpace(server))
		if text != "" && (err != nil || u.Host == "") {
			return "", usagef("--nats: server %d is no URL as in nats://host:4222 (of a password, what is special in URLs is written as %%40 and the like)", i+1)
		}
	}
	return text, nil
}

// readSecret reads a file whose text is one.
func readSecret(flag, name string) (string, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return "", usagef("%s: %v", flag, err)
	}
	secret := strings.TrimSpace(string(text))
	if secret == "" {
		return "", usagef("%s: the file is empty", flag)
	}
	return secret, nil
}

func closeBus(b *bus.Bus, log *slog.Logger) {
	if err := b.Close(); err != nil {
		log.Error("closing the bus", "err", err)
	}
}

func (f *storeFlags) open(ctx context.Context, data string) (storage.Store, error) {
	raw := f.Store
	if raw == "" {
		if data == "" {
			return nil, usagef("--store is missing: file:///path or s3://bucket")
		}
		abs, err := filepath.Abs(filepath.Join(data, "objects"))
		if err != nil {
			return nil, fmt.Errorf("find the store: %w", err)
		}
		raw = "file://" + filepath.ToSlash(abs)
	}
	s, err := storage.Open(ctx, raw)
	if err != nil {
		return nil, usagef("--store: %v", err)
	}
	return s, nil
}

func (f *segmentFlags) settings() (hls.Settings, error) {
	s := hls.Settings{Segment: f.Segment, Window: f.Window, Forget: f.Keep.Window}
	if err := s.Check(); err != nil {
		return s, usagef("--segment, --window: %v", err)
	}
	return s, nil
}

// token is the admin token, empty where there is none.
func (f *adminFlags) token() (string, error) {
	return secretOf("--admin-token", f.AdminToken, f.AdminTokenFile)
}

// secretOf is a secret that was given by a flag or by the flag's file.
func secretOf(flag, value, file string) (string, error) {
	if file == "" {
		return value, nil
	}
	return readSecret(flag+"-file", file)
}

// operator asks the running weir as an operator: by the socket of this user's
// own, if nothing else is said and one answers there.
func (f *apiFlags) operator(admin adminFlags) (*api.Client, error) {
	token, err := admin.token()
	if err != nil {
		return nil, err
	}
	if f.URL == "" && f.HTTP == api.DefaultHTTP && api.Answers(api.Socket(f.Data)) {
		return api.NewClient(api.Socket(f.Data), token)
	}
	return f.client(token)
}

// client asks the running weir.
func (f *apiFlags) client(token string) (*api.Client, error) {
	flag, address := "--url", f.URL
	if address == "" {
		flag, address = "--http", f.HTTP
	}
	c, err := api.NewClient(address, token)
	if err != nil {
		return nil, usagef("%s: %v", flag, err)
	}
	return c, nil
}
