// Command peers runs weir bench against weir in one process, weir's stages
// apart, and nginx-rtmp, in turn: window after window, each with a server of
// its own on an empty directory, so that what else the machine does falls on
// all of them. It prints the medians, and their ratio to nginx-rtmp's.
//
//	go run ./bench/peers -streams 20,100 -windows 5
//
// It needs nginx with its RTMP module, and nats-server; make bench-peers
// installs both.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"weir/bench"
)

// options are the command line.
type options struct {
	weir, nats, nginx string
	dir               string
	streams           string
	only              string
	windows           int
	window, warmup    time.Duration
	watch, kbps       int
	json              bool
}

func main() {
	var o options
	flag.StringVar(&o.weir, "weir", "bin/weir", "weir, built")
	flag.StringVar(&o.nats, "nats-server", "nats-server", "NATS server, for the stages apart")
	flag.StringVar(&o.nginx, "nginx", "nginx", "nginx with its RTMP module")
	flag.StringVar(&o.dir, "dir", scratch(), "where the servers write, best on tmpfs")
	flag.StringVar(&o.streams, "streams", "20,100", "how many streams, several with commas")
	flag.StringVar(&o.only, "only", "nginx-rtmp,serve,apart", "what to run")
	flag.IntVar(&o.windows, "windows", 5, "how often each")
	flag.DurationVar(&o.window, "window", 15*time.Second, "how long a window is")
	flag.DurationVar(&o.warmup, "warmup", 6*time.Second, "how long to publish before")
	flag.IntVar(&o.watch, "watch", 4, "how many streams are watched")
	flag.IntVar(&o.kbps, "video", 2500, "bit rate of the video, in kbit/s")
	flag.BoolVar(&o.json, "json", false, "print every window as JSON, too")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

// scratch is a tmpfs where there is one: what is measured is servers, no disk.
func scratch() string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return os.TempDir()
}

// run measures all peers in turn, for each number of streams.
func run(ctx context.Context, o options, out io.Writer) error {
	for text := range strings.SplitSeq(o.streams, ",") {
		streams, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("-streams: %w", err)
		}
		results := map[string][]bench.Result{}
		for i := range o.windows {
			for name := range strings.SplitSeq(o.only, ",") {
				r, err := o.measure(ctx, name, streams)
				if err != nil {
					return fmt.Errorf("%s, window %d: %w", name, i+1, err)
				}
				results[name] = append(results[name], r)
				fmt.Fprintf(os.Stderr, "%d streams, window %d of %d, %s: %.2f CPU-ms per stream-second, listed %.0f ms, %d lost\n",
					streams, i+1, o.windows, name, r.CPUPerStream, r.ListedMS.Median, r.Frames.Lost)
				if o.json {
					if err := json.NewEncoder(out).Encode(map[string]any{"peer": name, "result": r}); err != nil {
						return err
					}
				}
			}
		}
		fmt.Fprintf(out, "\n%d streams, medians of %d windows of %v; in brackets: to nginx-rtmp in the same run\n\n%s", streams, o.windows, o.window, table(strings.Split(o.only, ","), results))
	}
	return nil
}

// measure runs one window against a fresh server.
func (o *options) measure(ctx context.Context, name string, streams int) (r bench.Result, err error) {
	start, known := peers[name]
	if !known {
		return r, fmt.Errorf("no such peer; there are nginx-rtmp, serve and apart")
	}
	dir, err := os.MkdirTemp(o.dir, "weir-bench-")
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s := &server{dir: dir}
	defer s.stop()
	if err := start(ctx, o, s); err != nil {
		return r, errors.Join(err, s.said())
	}
	r, err = bench.Run(ctx, bench.Config{
		URL: s.url, Streams: streams, Warmup: o.warmup, Window: o.window, PIDs: s.pids(), Playlist: s.playlist, Watch: o.watch,
		Clip: bench.ClipConfig{FPS: 30, GOP: 2 * time.Second, Video: o.kbps * 1000, Audio: 128_000},
	})
	if err != nil {
		err = errors.Join(err, s.said())
	}
	return r, err
}

// server is the processes of a peer.
type server struct {
	dir           string
	url, playlist string
	running       []*exec.Cmd
}

// start starts a process, whose output goes to a file of its own.
func (s *server) start(name string, args ...string) error {
	log, err := os.Create(filepath.Join(s.dir, fmt.Sprintf("%d.log", len(s.running))))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, log, log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	s.running = append(s.running, cmd)
	return nil
}

func (s *server) pids() (all []int) {
	for _, cmd := range s.running {
		all = append(all, cmd.Process.Pid)
	}
	return all
}

// stop ends the processes, those that came last first.
func (s *server) stop() {
	for i := len(s.running) - 1; i >= 0; i-- {
		cmd := s.running[i]
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		kill := time.AfterFunc(5*time.Second, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait() // how it ends is not what is measured
		kill.Stop()
	}
}

// said is the end of what the processes wrote: why they failed.
func (s *server) said() error {
	var all []error
	for i := range s.running {
		b, err := os.ReadFile(filepath.Join(s.dir, fmt.Sprintf("%d.log", i)))
		if err == nil && len(b) > 0 {
			all = append(all, errors.New(string(b[max(0, len(b)-2000):])))
		}
	}
	return errors.Join(all...)
}
