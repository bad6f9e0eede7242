package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"weir/endpoint"
)

func (c *pushCmd) Run(ctx context.Context, log *slog.Logger) error {
	if c.Loop && c.File == "-" {
		return usagef("--loop needs a file: the standard input can be read only once")
	}
	url, err := c.url()
	if err != nil {
		return err
	}
	cfg := endpoint.EncoderConfig{URL: url, Loop: c.Loop, Fast: c.Fast, Once: c.Once, Log: log, Open: func() (io.ReadCloser, error) {
		if c.File == "-" {
			return io.NopCloser(os.Stdin), nil
		}
		return os.Open(c.File)
	}}
	if isTerminal(os.Stderr) {
		cfg.Sent = pushProgress(os.Stderr)
		defer fmt.Fprintln(os.Stderr)
	}
	err = endpoint.NewEncoder(cfg).Run(ctx)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil // ended as asked
	}
	return err
}

// url is where to publish.
func (c *pushCmd) url() (string, error) {
	switch {
	case c.URLFile != "":
		return readSecret("--url-file", c.URLFile)
	case c.URL == "":
		return "", usagef("push: where to is missing: a URL as in rtmp://localhost/live/alice, --url-file, or the variable WEIR_PUSH_URL")
	}
	return c.URL, nil
}

// pushProgress draws how far a push is, once a second.
func pushProgress(w io.Writer) func(timestamp uint32, sent int64) {
	began := time.Now()
	var shown time.Time
	return func(timestamp uint32, sent int64) {
		now := time.Now()
		if now.Sub(shown) < time.Second {
			return
		}
		shown = now
		at := (time.Duration(timestamp) * time.Millisecond).Truncate(time.Second)
		rate := float64(sent*8) / 1e6 / max(now.Sub(began).Seconds(), 1)
		fmt.Fprintf(w, "\r%v of media sent, %.1f MB, %.1f Mbit/s ", at, float64(sent)/1e6, rate)
	}
}
