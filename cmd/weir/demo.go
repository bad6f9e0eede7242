package main

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"io"
	"log/slog"
	"time"
)

//go:embed demo/clip.flv
var demoClip []byte

// demoCmd is serve with a show.
type demoCmd struct {
	serveFlags
}

func (c *demoCmd) Run(ctx context.Context, stdout io.Writer, log *slog.Logger) error {
	playlist := c.page() + "hls/live/demo/index.m3u8"
	fmt.Fprintf(stdout, "\n  Watch    %s\n  Playlist %s (in a few seconds)\n  Publish  rtmp://%s/live/NAME\n\nCtrl-C ends it.\n\n",
		c.page()+"?stream=live/demo", playlist, visible(c.RTMP, 1935))
	push := &pusher{
		url: "rtmp://" + visible(c.RTMP, 0) + "/live/demo", loop: true, paced: true, again: true, log: log,
		open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(demoClip)), nil },
	}
	return c.run(ctx, log, stage{"demo", func(ctx context.Context) error {
		// The show ends when the demo does: a broadcast that waited for its
		// encoder would greet the next demo.
		if err := push.run(ctx); ctx.Err() == nil {
			return err
		}
		time.Sleep(100 * time.Millisecond) // for the last segment to be listed
		return nil
	}})
}
