package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"weir/bus"
	"weir/hls"
	"weir/media"
	"weir/media/object"
	"weir/storage"
)

func (c *storeCheckCmd) Run(ctx context.Context, stdout io.Writer) error {
	s, err := storage.Open(ctx, c.URL)
	if err != nil {
		return usagef("store check: %v", err)
	}
	findings := storage.Probe(ctx, s, storage.ProbeConfig{Base: c.base(), Origin: c.Origin})
	table := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	failed := 0
	for _, f := range findings {
		fmt.Fprintf(table, "%s\t%s\n", f.Level, f.Check)
		if f.Level != storage.Passed {
			fmt.Fprintf(table, "\t  %s\n\t  → %s\n", f.Detail, f.Advice)
		}
		if f.Level == storage.Failed {
			failed++
		}
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("print findings: %w", err)
	}
	if failed > 0 {
		return &exitError{code: exitFailed}
	}
	return nil
}

// base is where viewers look; empty where nothing of it is to be checked.
func (c *storeCheckCmd) base() string {
	if c.Base == "none" {
		return ""
	}
	if c.Base != "" {
		return c.Base
	}
	if config, err := storage.ParseS3(c.URL); err == nil {
		return config.Base()
	}
	return ""
}

// storeTold is how long a bucket may take for its first answer before the log
// says that it is waited for, and storeAgain the time between two such lines.
const (
	storeTold  = 1500 * time.Millisecond
	storeAgain = 10 * time.Second
)

// awaitStore waits until a bucket answers, and tells that it does.
func awaitStore(ctx context.Context, store storage.Store, log *slog.Logger) {
	answered := make(chan struct{})
	var last atomic.Value
	go func() {
		defer close(answered)
		for ctx.Err() == nil {
			short, cancel := context.WithTimeout(ctx, storeAgain)
			_, err := store.Stat(short, "weir-ready")
			cancel()
			if !errors.Is(err, storage.ErrUnavailable) && !errors.Is(err, context.DeadlineExceeded) {
				return
			}
			last.Store(err.Error())
		}
	}()
	began := time.Now()
	for next := storeTold; ; next = storeAgain {
		select {
		case <-answered:
			return
		case <-time.After(next):
			why, _ := last.Load().(string)
			log.Warn("waiting for the store, trying again", "err", cmp.Or(why, "no answer yet"), "for", time.Since(began).Round(time.Second).String())
		}
	}
}

// probing has a bucket probed while a worker begins, and logs what it lacks. A
// bucket that takes nothing, and never will, ends the worker.
func probing(store storage.Store, log *slog.Logger, run func(context.Context) error) func(context.Context) error {
	if _, ok := store.(*storage.S3); !ok {
		return run
	}
	return func(ctx context.Context) error {
		begin, end := context.WithCancelCause(ctx)
		var probe sync.WaitGroup
		probe.Go(func() {
			if awaitStore(begin, store, log); begin.Err() != nil {
				return
			}
			for i, f := range storage.Probe(begin, store, storage.ProbeConfig{}) {
				if f.Level == storage.Passed || begin.Err() != nil {
					continue
				}
				if i == 0 && f.Hopeless {
					end(fmt.Errorf("use the store: %s: %s (%s)", f.Check, f.Detail, f.Advice))
					return
				}
				log.Warn("the store is not all it should be", "check", f.Check, "level", f.Level, "detail", f.Detail, "advice", f.Advice)
			}
		})
		defer probe.Wait()
		defer end(nil)
		err := run(begin)
		if cause := context.Cause(begin); ctx.Err() == nil && cause != nil {
			return cause
		}
		return err
	}
}

// tellRefusals logs when a bucket begins to refuse our credentials or our
// clock, and when it accepts them again.
func tellRefusals(store storage.Store, log *slog.Logger) {
	bucket, ok := store.(*storage.S3)
	if !ok {
		return
	}
	bucket.Refused = func(refusal error) {
		if refusal == nil {
			log.Info("the store accepts our credentials again")
			return
		}
		log.Warn("the store refuses our credentials; asking for new ones", "err", refusal)
	}
}

func (c *storeSweepCmd) Run(ctx context.Context, stdout io.Writer, log *slog.Logger) error {
	if c.Expire < 0 || c.Grace <= 0 {
		return usagef("store sweep: --expire and --grace: want positive durations")
	}
	s, err := storage.Open(ctx, c.URL)
	if err != nil {
		return usagef("store sweep: %v", err)
	}
	sweep := storage.Sweep{Store: s, Prefix: c.Prefix, Grace: c.Grace, Expire: c.Expire, Delete: c.Delete}
	sweep.InUse = func(ctx context.Context, stream, broadcast string) (bool, error) {
		return unfinished(ctx, s, stream, broadcast)
	}
	if c.NATS != "" {
		f := natsFlags{natsAddress: c.natsAddress}
		b, err := f.open(ctx, "", log)
		if err != nil {
			return err
		}
		defer closeBus(b, log)
		sweep.InUse = func(ctx context.Context, stream, broadcast string) (bool, error) {
			return registered(ctx, b, stream, broadcast)
		}
	}
	return c.report(ctx, &sweep, stdout)
}

// report prints what the sweep finds: a line for each broadcast and reason, as
// soon as all of it is found, or for each object.
func (c *storeSweepCmd) report(ctx context.Context, sweep *storage.Sweep, stdout io.Writer) error {
	show := newProgress(os.Stderr)
	var all, group found
	failed := 0
	for l, err := range sweep.Run(ctx, time.Now()) {
		if err != nil {
			show.clear()
			fmt.Fprintln(stdout, "error  ", err)
			failed++
			continue
		}
		if at := (found{reason: l.Reason, prefix: broadcastOf(l.Key)}); !c.All && (group.reason != at.reason || group.prefix != at.prefix) {
			show.clear()
			group.print(stdout)
			group = at
		}
		show.add(int(l.Size))
		all.add(l)
		group.add(l)
		if c.All {
			show.clear()
			if _, err := fmt.Fprintf(stdout, "%-7s  %s  %d bytes, %s\n", l.Reason, l.Key, l.Size, l.Modified.UTC().Format(time.RFC3339)); err != nil {
				return fmt.Errorf("print litter: %w", err)
			}
		}
	}
	show.clear()
	if !c.All {
		group.print(stdout)
	}
	what := "found; --delete deletes them"
	if c.Delete {
		what = "deleted"
	}
	fmt.Fprintf(stdout, "%d objects, %.1f MB %s\n", all.objects, float64(all.bytes)/1e6, what)
	if failed > 0 {
		return &exitError{code: exitFailed, text: fmt.Sprintf("%d broadcasts could not be swept", failed)}
	}
	return ctx.Err()
}

// found is what a sweep finds of one broadcast, for one reason.
type found struct {
	reason  storage.Reason
	prefix  string
	objects int
	bytes   int64
}

func (f *found) add(l storage.Litter) {
	f.objects++
	f.bytes += l.Size
}

func (f *found) print(w io.Writer) {
	if f.objects > 0 {
		fmt.Fprintf(w, "%-7s  %s  %d objects, %.1f MB\n", f.reason, f.prefix, f.objects, float64(f.bytes)/1e6)
	}
}

// broadcastOf is the part of a key that names its broadcast, or all of it where
// it belongs to none.
func broadcastOf(key string) string {
	parts := strings.SplitN(key, "/", 4)
	if len(parts) < 4 {
		return key
	}
	return strings.Join(parts[:3], "/") + "/"
}

// registered tells by the registry whether somebody still writes to a
// broadcast, or may.
func registered(ctx context.Context, b *bus.Bus, stream, broadcast string) (bool, error) {
	app, name, _ := strings.Cut(stream, "/")
	parsed, err := media.ParseStream(app, name)
	if err != nil {
		return true, err
	}
	e, err := b.Registration(ctx, parsed)
	if err != nil {
		return true, err
	}
	if e.Broadcast == broadcast && e.State != bus.Ended {
		return true, nil
	}
	owners, err := b.Ownerships(ctx)
	if err != nil {
		return true, err
	}
	for _, o := range owners {
		if o.Broadcast == broadcast && !o.Closed {
			return true, nil
		}
	}
	return false, nil
}

// unfinished tells by the playlists alone whether somebody may still write to
// a broadcast: a media playlist of it has no ENDLIST.
func unfinished(ctx context.Context, s storage.Store, stream, broadcast string) (bool, error) {
	for info, err := range s.List(ctx, object.BroadcastPrefix(stream, broadcast)) {
		if err != nil {
			return true, err
		}
		if object.KindOf(info.Key) != object.Playlist {
			continue
		}
		body, _, err := s.Get(ctx, info.Key)
		if err != nil {
			return true, err
		}
		if head := hls.ReadHead(body); head.Media && !head.Ended {
			return true, nil
		}
	}
	return false, nil
}
