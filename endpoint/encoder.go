package endpoint

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"weir/remux/flv"
	"weir/rtmp"
)

// The back-off between connections, and the time for one to be accepted.
const (
	retryFirst = time.Second
	retryLast  = 10 * time.Second
	acceptMost = 30 * time.Second
)

// DefaultPatience is how long an Encoder tries to connect first: a server that
// was never there may be a wrong address.
const DefaultPatience = 20 * time.Second

// EncoderConfig says what an Encoder publishes, and how.
type EncoderConfig struct {
	// URL is where, see Dial.
	URL string
	// Open opens the FLV file that is published.
	Open func() (io.ReadCloser, error)
	// Loop has it begin again at the file's end, with timestamps that go on from
	// where the longer track ends.
	Loop bool
	// Fast has it send as fast as the server takes it, not in real time.
	Fast bool
	// Once has it give up when a connection is lost.
	Once bool
	// Patience is for the first connection. Default: DefaultPatience.
	Patience time.Duration
	Log      *slog.Logger
	// Sent, if set, is told what has been sent so far: up to which timestamp, in
	// milliseconds, and how many bytes.
	Sent func(timestamp uint32, bytes int64)
}

// Encoder publishes a file as an encoder would, over as many connections as it
// takes.
type Encoder struct {
	cfg  EncoderConfig
	dial func(context.Context, string) (*Push, error)

	to      *Push       // nil: not connected
	forget  func() bool // stops to from being hurried when the push is to end
	stood   bool        // some connection did
	headers []flv.Tag   // what a new connection must be told first
	skip    bool        // until the next key frame
	ends    [2]trackEnd // of video, of audio
	warned  bool        // of a damaged file
	sent    int64
}

// NewEncoder returns an Encoder that has sent nothing yet.
func NewEncoder(cfg EncoderConfig) *Encoder {
	cfg.Patience = cmp.Or(cfg.Patience, DefaultPatience)
	return &Encoder{cfg: cfg, dial: Dial}
}

// Run publishes until the file ends, or for ever with Loop.
func (e *Encoder) Run(ctx context.Context) (err error) {
	defer func() {
		if e.to != nil {
			err = errors.Join(err, e.to.Close())
		}
	}()
	for offset := uint32(0); ; offset = e.end() {
		err := e.round(offset, func(t flv.Tag) error { return e.tag(ctx, t) })
		if err != nil || !e.cfg.Loop {
			return err
		}
	}
}

// tag publishes one tag when it is due.
func (e *Encoder) tag(ctx context.Context, t flv.Tag) error {
	e.leave(t)
	if err := e.connect(ctx); err != nil {
		return err
	}
	header := e.remember(t)
	if !header && e.skip {
		if e.skip = !flv.IsKeyframe(t); e.skip {
			return nil
		}
	}
	if !e.cfg.Fast {
		if err := e.to.Pace(ctx, t.Timestamp); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := e.to.WriteTag(t); err != nil {
		return e.lost(err)
	}
	e.sent += int64(len(t.Data))
	if e.cfg.Sent != nil {
		e.cfg.Sent(t.Timestamp, e.sent)
	}
	return nil
}

// remember keeps what a new connection must be told first, and where the
// tracks end. It tells whether t is of the former.
func (e *Encoder) remember(t flv.Tag) bool {
	switch {
	case t.Type == flv.TagScript, flv.IsSequenceHeader(t):
		c := flv.Tag{Type: t.Type, Timestamp: t.Timestamp, Data: append([]byte(nil), t.Data...)}
		for i := range e.headers {
			if e.headers[i].Type == t.Type {
				e.headers[i] = c
				return true
			}
		}
		e.headers = append(e.headers, c)
		return true
	}
	if of := trackOf(t); of >= 0 && e.ends[of].take(t.Timestamp) {
		e.ends[1-of] = trackEnd{} // it begins anew, too
	}
	return false
}

// leave ends a connection whose server has asked to connect anew, where t is a
// good place to.
func (e *Encoder) leave(t flv.Tag) {
	if e.to == nil || e.cfg.Once || e.ends[0].seen && !flv.IsKeyframe(t) {
		return
	}
	select {
	case <-e.to.Reconnect():
		e.cfg.Log.Info("connecting again, as the server asks", "closing", e.to.Abandon())
		e.to = nil
	default:
	}
}

// connect makes a connection where there is none.
func (e *Encoder) connect(ctx context.Context) error {
	began, patience := time.Now(), e.cfg.Patience
	tries := 0
	for wait := retryFirst; e.to == nil; wait = min(2*wait, retryLast) {
		limit := acceptMost
		if !e.stood {
			limit = max(patience-time.Since(began), time.Second)
		}
		err := e.reach(ctx, limit)
		if err == nil {
			if e.forget != nil {
				e.forget() // the connection before this one
			}
			e.forget = context.AfterFunc(ctx, e.to.Hurry)
			return nil
		}
		refused := (*rtmp.RefusedError)(nil)
		if e.cfg.Once || errors.Is(err, ErrPublishURL) || errors.As(err, &refused) || ctx.Err() != nil {
			return err
		}
		tries++
		if took := time.Since(began); !e.stood && took+wait > patience {
			return fmt.Errorf("push: not connected in %d tries and %v: %w (does an RTMP server run there? see the host and the port, which is 1935 where the URL names none)",
				tries, took.Round(time.Second), err)
		}
		e.cfg.Log.Warn("not connected, trying again", "err", err, "in", wait)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
	return nil
}

// reach connects, within limit, and tells the new connection what the ones before
// were told.
func (e *Encoder) reach(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	to, err := e.dial(ctx, e.cfg.URL)
	if err != nil {
		return err
	}
	for _, t := range e.headers {
		if err := to.WriteTag(t); err != nil {
			return errors.Join(err, to.Abandon())
		}
	}
	e.to, e.skip, e.stood = to, e.ends[0].seen, true
	return nil
}

// lost leaves a broken connection, and returns err where that was the last.
func (e *Encoder) lost(err error) error {
	refused := (*rtmp.RefusedError)(nil)
	closed := e.to.Abandon()
	e.to = nil
	if e.cfg.Once || errors.As(err, &refused) {
		return err
	}
	e.cfg.Log.Warn("connection lost, connecting again", "err", err, "closing", closed)
	return nil
}
