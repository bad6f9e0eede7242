package bench

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// Config says what to measure.
type Config struct {
	// URL is where to publish, as in rtmp://localhost/live/bench. Streams are
	// called by its last part and a suffix of their own.
	URL string
	// Streams is how many publish at a time.
	Streams int
	// Clip is what each of them is.
	Clip ClipConfig
	// Warmup passes before the window that is measured.
	Warmup, Window time.Duration
	// Fast, if not zero, is how much media each stream sends as fast as the
	// server takes it. There is no warm-up then, and the window is what it takes.
	Fast time.Duration
	// PIDs are the server's processes: with all below them they are measured.
	PIDs []int
	// Playlist is where a stream's playlist is, an http or https URL or a path,
	// with {name} for its name. Empty: nothing is watched.
	Playlist string
	// Watch is how many of the streams are watched.
	Watch int
}

// The bounds of a Config.
const (
	maxStreams = 10_000
	maxWindow  = time.Hour
	// connecting is how long all publishers may take to be accepted.
	connecting = 30 * time.Second
	// settling is how long a server may take to list what it has, at the end.
	settling = 2 * time.Second
	// ending is how long the server may take to see the publishers off.
	ending = 3 * time.Second
)

// Check tells what is wrong with a Config.
func (c *Config) Check() error {
	switch {
	case c.Streams < 1 || c.Streams > maxStreams:
		return fmt.Errorf("%d streams, want 1 to %d", c.Streams, maxStreams)
	case c.Fast < 0 || c.Warmup < 0 || c.Window < time.Second && c.Fast == 0:
		return errors.New("a window has a second at least")
	case c.Warmup > maxWindow || c.Window > maxWindow || c.Fast > maxWindow:
		return errors.New("more than an hour is too long")
	case c.Watch < 0:
		return errors.New("fewer than no streams cannot be watched")
	}
	return nil
}

// run is one measurement under way.
type run struct {
	cfg      Config
	clip     *Clip
	pacer    *pacer
	where    where
	all      []*publisher
	watchers []*watcher
	hearing  sync.WaitGroup
}

// Run publishes, measures, and returns the figures. It ends early, with an
// error, if a connection is refused or lost: figures of fewer streams than
// were asked for would mislead.
func Run(ctx context.Context, cfg Config) (Result, error) {
	r, err := newRun(cfg)
	if err != nil {
		return Result{}, fmt.Errorf("bench: %w", err)
	}
	result, err := r.run(ctx)
	if err != nil {
		return result, fmt.Errorf("bench: %w", err)
	}
	return result, nil
}

func newRun(cfg Config) (*run, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	clip, err := NewClip(cfg.Clip)
	if err != nil {
		return nil, err
	}
	k, err := newCuts(clip)
	if err != nil {
		return nil, err
	}
	r := &run{cfg: cfg, clip: clip, pacer: &pacer{clip: clip, cuts: k}}
	if cfg.Playlist != "" {
		if r.where, err = newWhere(cfg.Playlist); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (r *run) run(ctx context.Context) (Result, error) {
	defer r.leave()
	if err := r.connect(ctx); err != nil {
		return Result{}, err
	}
	watching, stopWatching := context.WithCancel(ctx)
	var watched sync.WaitGroup
	for _, w := range r.watchers {
		watched.Go(func() { w.run(watching) })
	}
	defer watched.Wait()
	defer stopWatching()
	result, err := r.measure(ctx)
	if err != nil {
		return result, err
	}
	r.leave()
	if len(r.watchers) > 0 {
		sleep(ctx, settling)
	}
	stopWatching()
	watched.Wait()
	return result, r.verify(ctx, &result)
}

// connect makes all publishers, a few at a time.
func (r *run) connect(ctx context.Context) error {
	t, err := parseTarget(r.cfg.URL)
	if err != nil {
		return err
	}
	var suffix [3]byte
	_, _ = rand.Read(suffix[:]) // never fails, see crypto/rand
	ctx, cancel := context.WithTimeout(ctx, connecting)
	defer cancel()
	r.all = make([]*publisher, r.cfg.Streams)
	failed := make([]error, r.cfg.Streams)
	gate := make(chan struct{}, 32)
	var wg sync.WaitGroup
	for i := range r.all {
		wg.Go(func() {
			gate <- struct{}{}
			defer func() { <-gate }()
			r.all[i], failed[i] = dial(ctx, t, fmt.Sprintf("%s-%s-%d", t.name, hex.EncodeToString(suffix[:]), i))
		})
	}
	wg.Wait()
	for _, p := range r.all {
		if p != nil {
			r.hearing.Go(p.hear)
		}
	}
	for _, err := range failed {
		if err != nil {
			return err // the others say the same
		}
	}
	if r.cfg.Playlist == "" {
		return nil
	}
	for i := range min(r.cfg.Watch, len(r.all)) { // spread over those that begin early and late
		p := r.all[i*len(r.all)/min(r.cfg.Watch, len(r.all))]
		w := newWatcher(r.where, p.name)
		p.events = w.events
		r.watchers = append(r.watchers, w)
	}
	return nil
}

// measure sends, and takes the usage before and after the window.
func (r *run) measure(ctx context.Context) (Result, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	sent := make(chan error, 1)
	if r.cfg.Fast > 0 {
		return r.measureFast(ctx)
	}
	if err := r.pacer.begin(time.Now(), r.all, r.cfg.Clip.GOP); err != nil {
		return Result{}, err
	}
	go func() { sent <- r.pacer.run(ctx) }()
	wait := func(d time.Duration) error {
		select {
		case err := <-sent:
			sent <- err
			if err == nil {
				err = context.Cause(ctx)
			}
			return err
		case <-time.After(d):
			return nil
		}
	}
	err := wait(r.cfg.Warmup + r.cfg.Clip.GOP)
	var before, after sample
	if err == nil {
		before, err = take(r.cfg.PIDs)
	}
	if err == nil {
		err = wait(r.cfg.Window)
	}
	if err == nil {
		after, err = take(r.cfg.PIDs)
	}
	stop()
	if sendErr := <-sent; err == nil {
		err = sendErr
	}
	if err != nil {
		return Result{}, err
	}
	result := r.figures(before, after)
	result.StreamSeconds = float64(r.cfg.Streams) * result.Seconds
	result.perStreamSecond()
	return result, nil
}

// measureFast sends as fast as it can: the window is what that takes.
func (r *run) measureFast(ctx context.Context) (Result, error) {
	before, err := take(r.cfg.PIDs)
	if err != nil {
		return Result{}, err
	}
	for _, p := range r.all {
		for _, h := range r.pacer.cuts.headers {
			if _, err := p.nc.Write(h.At(0, p.stream)); err != nil {
				return Result{}, err
			}
		}
	}
	if err := r.pacer.fast(ctx, r.all, r.cfg.Fast); err != nil {
		return Result{}, err
	}
	after, err := take(r.cfg.PIDs)
	if err != nil {
		return Result{}, err
	}
	result := r.figures(before, after)
	result.StreamSeconds = float64(r.cfg.Streams) * r.cfg.Fast.Seconds()
	if result.CPU > 0 {
		result.MBPerCPU = float64(result.SentBytes) / 1e6 / result.CPU
	}
	result.perStreamSecond()
	return result, nil
}

// sample is what was used up to a moment, by the server and by us.
type sample struct {
	at     time.Time
	server usage
	own    time.Duration
}

func take(pids []int) (s sample, err error) {
	if s.server, err = measure(pids); err != nil {
		return s, err
	}
	if s.own, err = cpuOf(os.Getpid()); err != nil && len(pids) == 0 {
		err = nil // on systems without /proc all else works
	}
	s.at = time.Now()
	return s, err
}

// figures are those of the window.
func (r *run) figures(before, after sample) Result {
	seconds := after.at.Sub(before.at).Seconds()
	result := Result{
		Streams: r.cfg.Streams, Seconds: seconds, Processes: after.server.all,
		CPU: (after.server.cpu - before.server.cpu).Seconds(), PSS: after.server.pss,
		BenchCores: (after.own - before.own).Seconds() / seconds,
		LateMS:     milliseconds(r.pacer.late), Full: r.pacer.full,
	}
	for _, p := range r.all {
		result.SentBytes += p.state.Bytes
		result.SentVideo += p.state.Video
		result.SentAudio += p.state.Audio
	}
	return result
}

// verify adds what the watchers saw, and counts the frames that came out.
func (r *run) verify(ctx context.Context, result *Result) error {
	for _, w := range r.watchers {
		if w.err != nil {
			return fmt.Errorf("watch a playlist: %w", w.err)
		}
		if err := r.where.count(ctx, r.clip, w.segments, &result.Frames); err != nil {
			return err
		}
		if w.playable == 0 {
			result.Unplayable++
		} else {
			result.playable = append(result.playable, w.playable)
		}
		result.listed = append(result.listed, w.listed...)
	}
	result.Watched = len(r.watchers)
	result.summarize()
	return ctx.Err()
}

// leave ends all publishers. It may be called again.
func (r *run) leave() {
	var wg sync.WaitGroup
	for _, p := range r.all {
		if p != nil {
			wg.Go(func() { p.end(ending) })
		}
	}
	wg.Wait()
	r.hearing.Wait()
	for _, p := range r.all {
		if p != nil {
			_ = p.nc.Close() // all was said
		}
	}
	r.all = nil
}

// sleep waits for d, or until ctx is done.
func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
