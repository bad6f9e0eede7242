package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"weir/media"
)

// kickPatience bounds a kick through NATS.
const kickPatience = 10 * time.Second

func (c *kickCmd) Run(ctx context.Context, stdout io.Writer, log *slog.Logger) error {
	app, name, _ := strings.Cut(c.Stream, "/")
	s, err := media.ParseStream(app, name)
	if err != nil {
		return usagef("kick: %v", err)
	}
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
	ctx, cancel := context.WithTimeout(ctx, kickPatience)
	defer cancel()
	f := natsFlags{natsAddress: c.natsAddress}
	b, err := f.open(ctx, "", log)
	if err != nil {
		return err
	}
	defer closeBus(b, log)
	return b.Kick(ctx, s)
}

func (c *kickCmd) throughHTTP(ctx context.Context, s media.Stream) error {
	client, err := c.operator(c.adminFlags)
	if err != nil {
		return err
	}
	if err := client.Kick(ctx, s); err != nil {
		return fmt.Errorf("kick %s: %w", s, err)
	}
	return nil
}
