package main

import (
	"context"
	"encoding/json"
	"io"
	"time"

	"weir/bench"
)

// benchCmd measures a server, ours or another.
type benchCmd struct {
	URL      string        `arg:"" help:"Where to publish, as in rtmp://localhost/live/bench: the streams get names that begin so."`
	Streams  int           `help:"How many publish at a time." default:"20" placeholder:"N"`
	Window   time.Duration `help:"How long to measure." default:"15s"`
	Warmup   time.Duration `help:"How long to publish before." default:"6s"`
	Fast     time.Duration `help:"Instead send so much media of each stream as fast as the server takes it." placeholder:"DURATION"`
	PID      []int         `name:"pid" help:"The server's process; again for more. All threads and children are measured." placeholder:"PID"`
	Playlist string        `help:"Where a stream's playlist is, a URL or a path, with {name} for its name: what is listed is timed, and its frames are counted. A path costs the server nothing." placeholder:"URL|PATH"`
	Watch    int           `help:"How many of the streams are watched so." default:"4" placeholder:"N"`
	FPS      int           `name:"fps" help:"Pictures a second." default:"30"`
	GOP      time.Duration `name:"gop" help:"From one key picture to the next, in whole seconds." default:"2s"`
	Video    int           `help:"Bit rate of the video, in kbit/s." default:"2500"`
	Audio    int           `help:"Bit rate of the audio, in kbit/s; 0: none." default:"128"`
	JSON     bool          `name:"json" help:"Print the figures as JSON."`
}

func (c *benchCmd) Run(ctx context.Context, stdout io.Writer) error {
	cfg := bench.Config{
		URL: c.URL, Streams: c.Streams, Warmup: c.Warmup, Window: c.Window, Fast: c.Fast,
		Clip: bench.ClipConfig{FPS: c.FPS, GOP: c.GOP, Video: c.Video * 1000, Audio: c.Audio * 1000},
		PIDs: c.PID, Playlist: c.Playlist, Watch: c.Watch,
	}
	if err := cfg.Check(); err != nil {
		return usagef("bench: %v", err)
	}
	r, err := bench.Run(ctx, cfg)
	if err != nil {
		return err
	}
	if !c.JSON {
		return r.WriteText(stdout)
	}
	e := json.NewEncoder(stdout)
	e.SetIndent("", "  ")
	return e.Encode(r)
}
