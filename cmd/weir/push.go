package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"weir/endpoint"
	"weir/remux/flv"
	"weir/rtmp"
)

func (c *pushCmd) Run(ctx context.Context, log *slog.Logger) error {
	if c.Loop && c.File == "-" {
		return usagef("--loop needs a file: the standard input can be read only once")
	}
	p := &pusher{url: c.URL, loop: c.Loop, paced: !c.Fast, again: !c.Once, log: log, open: func() (io.ReadCloser, error) {
		if c.File == "-" {
			return io.NopCloser(os.Stdin), nil
		}
		return os.Open(c.File)
	}}
	if isTerminal(os.Stderr) {
		p.progress = os.Stderr
	}
	err := p.run(ctx)
	if p.progress != nil {
		fmt.Fprintln(p.progress)
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil // ended as asked
	}
	return err
}

// The back-off between connections, the time for one to be accepted, and that
// for the first of all: a server that was never there may be a wrong address.
const (
	pushRetryFirst = time.Second
	pushRetryLast  = 10 * time.Second
	pushAccept     = 30 * time.Second
	pushPatience   = 20 * time.Second
)

// pusher publishes a file, over as many connections as it takes.
type pusher struct {
	url      string
	open     func() (io.ReadCloser, error)
	loop     bool
	paced    bool
	again    bool          // connect again when the connection is lost
	patience time.Duration // for the first connection; 0: pushPatience
	log      *slog.Logger
	progress io.Writer // nil: none

	to      *endpoint.Push // nil: not connected
	forget  func() bool    // stops to from being hurried when the push is to end
	stood   bool           // some connection did
	headers []flv.Tag      // what a new connection must be told first
	skip    bool           // until the next key frame
	ends    [2]trackEnd    // of video, of audio
	sent    int64
	shown   time.Time
	began   time.Time
}

// trackEnd is where a track ends so far, in milliseconds.
type trackEnd struct {
	seen       bool
	last, step uint32
}

func (e *trackEnd) take(timestamp uint32) {
	if e.seen && timestamp > e.last {
		e.step = timestamp - e.last
	}
	e.seen, e.last = true, timestamp
}

// run publishes until the file ends, or for ever with loop.
func (p *pusher) run(ctx context.Context) (err error) {
	p.began = time.Now()
	defer func() {
		if p.to != nil {
			err = errors.Join(err, p.to.Close())
		}
	}()
	for offset := uint32(0); ; offset = p.end() {
		if err := p.round(ctx, offset); err != nil || !p.loop {
			return err
		}
	}
}

// end is where the next round begins: where the video ends, or without one
// the audio.
func (p *pusher) end() uint32 {
	for _, e := range p.ends {
		if e.seen {
			return e.last + e.step
		}
	}
	return 0
}

// round publishes the file once.
func (p *pusher) round(ctx context.Context, offset uint32) error {
	file, err := p.open()
	if err != nil {
		return fmt.Errorf("push: %w", err)
	}
	defer file.Close()
	r := flv.NewReader(bufio.NewReaderSize(file, 256<<10), 0)
	first, started := uint32(0), false
	for {
		t, err := r.Next()
		if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("push: read the file: %w", err)
		}
		if !started {
			first, started = t.Timestamp, true
		}
		t.Timestamp += offset - first
		if err := p.tag(ctx, t); err != nil {
			return err
		}
	}
}

// tag publishes one tag when it is due.
func (p *pusher) tag(ctx context.Context, t flv.Tag) error {
	p.leave(t)
	if err := p.connect(ctx); err != nil {
		return err
	}
	header := p.remember(t)
	if !header && p.skip {
		if p.skip = !flv.IsKeyframe(t); p.skip {
			return nil
		}
	}
	if p.paced {
		if err := p.to.Pace(ctx, t.Timestamp); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := p.to.WriteTag(t); err != nil {
		return p.lost(err)
	}
	p.sent += int64(len(t.Data))
	p.show(t.Timestamp)
	return nil
}

// remember keeps what a new connection must be told first, and where the
// tracks end. It tells whether t is of the former.
func (p *pusher) remember(t flv.Tag) bool {
	switch {
	case t.Type == flv.TagScript, flv.IsSequenceHeader(t):
		c := flv.Tag{Type: t.Type, Timestamp: t.Timestamp, Data: append([]byte(nil), t.Data...)}
		for i := range p.headers {
			if p.headers[i].Type == t.Type {
				p.headers[i] = c
				return true
			}
		}
		p.headers = append(p.headers, c)
		return true
	case t.Type == flv.TagVideo:
		if v, err := flv.ParseVideo(t.Data); err == nil && v.Packet == flv.CodedFrames {
			p.ends[0].take(t.Timestamp)
		}
	case t.Type == flv.TagAudio:
		p.ends[1].take(t.Timestamp)
	}
	return false
}

// leave ends a connection whose server has asked to connect anew, where t is a
// good place to.
func (p *pusher) leave(t flv.Tag) {
	if p.to == nil || !p.again || p.ends[0].seen && !flv.IsKeyframe(t) {
		return
	}
	select {
	case <-p.to.Reconnect():
		p.log.Info("connecting again, as the server asks", "closing", p.to.Abandon())
		p.to = nil
	default:
	}
}

// connect makes a connection where there is none.
func (p *pusher) connect(ctx context.Context) error {
	began, patience := time.Now(), cmp.Or(p.patience, pushPatience)
	tries := 0
	for wait := pushRetryFirst; p.to == nil; wait = min(2*wait, pushRetryLast) {
		limit := pushAccept
		if !p.stood {
			limit = max(patience-time.Since(began), time.Second)
		}
		err := p.dial(ctx, limit)
		if err == nil {
			if p.forget != nil {
				p.forget() // the connection before this one
			}
			p.forget = context.AfterFunc(ctx, p.to.Hurry)
			return nil
		}
		refused := (*rtmp.RefusedError)(nil)
		if !p.again || errors.Is(err, endpoint.ErrPublishURL) || errors.As(err, &refused) || ctx.Err() != nil {
			return err
		}
		tries++
		if took := time.Since(began); !p.stood && took+wait > patience {
			return fmt.Errorf("push: not connected in %d tries and %v: %w (does an RTMP server run there? see the host and the port, which is 1935 where the URL names none)",
				tries, took.Round(time.Second), err)
		}
		p.log.Warn("not connected, trying again", "err", err, "in", wait)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
	return nil
}

// dial connects, within limit, and tells the new connection what the ones before
// were told.
func (p *pusher) dial(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	to, err := endpoint.Dial(ctx, p.url)
	if err != nil {
		return err
	}
	for _, t := range p.headers {
		if err := to.WriteTag(t); err != nil {
			return errors.Join(err, to.Abandon())
		}
	}
	p.to, p.skip, p.stood = to, p.ends[0].seen, true
	return nil
}

// lost leaves a broken connection, and returns err where that was the last.
func (p *pusher) lost(err error) error {
	refused := (*rtmp.RefusedError)(nil)
	closed := p.to.Abandon()
	p.to = nil
	if !p.again || errors.As(err, &refused) {
		return err
	}
	p.log.Warn("connection lost, connecting again", "err", err, "closing", closed)
	return nil
}

// show draws the progress, once a second.
func (p *pusher) show(timestamp uint32) {
	now := time.Now()
	if p.progress == nil || now.Sub(p.shown) < time.Second {
		return
	}
	p.shown = now
	at := (time.Duration(timestamp) * time.Millisecond).Truncate(time.Second)
	rate := float64(p.sent*8) / 1e6 / max(now.Sub(p.began).Seconds(), 1)
	fmt.Fprintf(p.progress, "\r%v of media sent, %.1f MB, %.1f Mbit/s ", at, float64(p.sent)/1e6, rate)
}
