package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"weir/media"
	"weir/storage"
)

// Run tells NATS of what the store has without an end, and NATS has lost.
func (c *storeRecoverCmd) Run(ctx context.Context, stdout io.Writer, log *slog.Logger) error {
	s, err := storage.Open(ctx, c.URL)
	if err != nil {
		return usagef("store recover: %v", err)
	}
	f := natsFlags{natsAddress: c.natsAddress}
	if f.NATS == "" && f.NATSFile == "" {
		return usagef("store recover: --nats is missing: it is what is to be told")
	}
	b, err := f.open(ctx, "", log)
	if err != nil {
		return err
	}
	defer closeBus(b, log)
	recovered, known := 0, 0
	for r, err := range storage.Unended(ctx, s, c.Prefix) {
		if err != nil {
			return fmt.Errorf("store recover: %w", err)
		}
		app, name, _ := strings.Cut(r.Stream, "/")
		stream, err := media.ParseStream(app, name)
		if err != nil {
			continue // nothing of ours
		}
		done, err := b.Recover(ctx, stream, r.Broadcast, r.Name, r.Newest)
		if err != nil {
			return fmt.Errorf("store recover: %w", err)
		}
		if !done {
			known++
			continue
		}
		recovered++
		what := "gets its end"
		if r.Newest {
			what = "waits for its encoder, or gets its end"
		}
		fmt.Fprintf(stdout, "%s/%s/%s  %s\n", r.Stream, r.Broadcast, r.Name, what)
	}
	_, err = fmt.Fprintf(stdout, "%d recovered, %d known\n", recovered, known)
	return err
}
