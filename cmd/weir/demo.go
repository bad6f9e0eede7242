package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path"
	"time"

	"weir/api"
	"weir/endpoint"
	"weir/hls"
	"weir/media"
	"weir/media/object"
)

//go:embed demo/clip.flv
var demoClip []byte

// demoStream is what the clip is published as.
var demoStream = media.Stream{App: "live", Name: "demo"}

func (c *demoCmd) Run(ctx context.Context, stdout io.Writer, log *slog.Logger) error {
	own := newOwnKey(demoStream)
	push := endpoint.NewEncoder(endpoint.EncoderConfig{
		URL: "rtmp://" + api.URLHost(c.RTMP, 0) + "/" + demoStream.App + "/" + own.key, Loop: true, Log: log,
		Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(demoClip)), nil },
	})
	// Stages run once all of them listen: only then the addresses are true.
	return c.run(ctx, own, log, stage{"demo", func(ctx context.Context) error {
		fmt.Fprint(stdout, c.greeting())
		if err := push.Run(ctx); ctx.Err() == nil {
			return err
		}
		c.finish()
		return nil
	}})
}

// greeting tells a newcomer where to look, and what to try next.
func (c *demoCmd) greeting() string {
	return fmt.Sprintf(`
  Watch     %s?stream=%s   (the picture comes with the first segment, in about %v)
  Playlist  %shls/%s
  Publish   rtmp://%s/live/%s   (ffmpeg -re -i FILE -c copy -f flv, OBS, …)
  Kept in   %s

Ctrl-C ends it.

`, c.page(), demoStream, c.Segment, c.page(), object.EntryPoint(demoStream.String()), api.URLHost(c.RTMP, api.RTMPPort), c.word(), c.Data)
}

// finishTime is how long the end of the show may take. What is left to do then,
// the next serve does.
const finishTime = 3 * time.Second

// finish waits until the show has become a recording: a broadcast that were
// cut off here would greet the next demo.
func (c *demoCmd) finish() {
	ctx, cancel := context.WithTimeout(context.Background(), finishTime)
	defer cancel()
	for !c.finished(ctx) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// finished tells whether viewers are shown the whole of the last show.
func (c *demoCmd) finished(ctx context.Context) bool {
	client, err := api.NewClient(c.HTTP, "")
	if err != nil {
		return false
	}
	s, err := client.Stream(ctx, demoStream)
	if p := (*api.Problem)(nil); errors.As(err, &p) && p.Status == http.StatusNotFound {
		return true // there was none
	}
	if err != nil {
		return false
	}
	entry, err := client.Get(ctx, "/hls/"+object.BroadcastPrefix(demoStream.String(), s.Broadcast)+object.IndexPlaylist)
	return err == nil && listsRecording(entry)
}

// listsRecording tells whether a multivariant playlist names the whole show.
func listsRecording(multivariant []byte) bool {
	for uri := range hls.URIs(multivariant) {
		if path.Base(uri) == object.VODPlaylist {
			return true
		}
	}
	return false
}
