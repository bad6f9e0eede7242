package ingest

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"weir/media"
)

// Refusal is why a session was not to be, or may not go on, and whose fault
// that is: the peer's, or an operator's will. What the log fails in is no
// Refusal.
type Refusal struct {
	reason     string
	code, text string // what the peer is told, if anything
	clean      bool   // the broadcast ends too
	level      slog.Level
	err        error
}

// Error returns what happened.
func (r *Refusal) Error() string { return r.err.Error() }

// Unwrap returns the cause.
func (r *Refusal) Unwrap() error { return r.err }

// Reason is one word for logs and metrics.
func (r *Refusal) Reason() string { return r.reason }

// Status is what the peer is told; nothing without a code.
func (r *Refusal) Status() (code, text string) { return r.code, r.text }

// The codes that every encoder understands, see package rtmp.
const (
	badName = "NetStream.Publish.BadName"
	denied  = "NetStream.Publish.Denied"
)

// The refusals that need no more detail.
var (
	kicked = &Refusal{reason: "kicked", clean: true, code: denied,
		text: "The session was ended: by an operator, or by another encoder with the same key.",
		err:  errors.New("an operator ended the session")}
	revoked = &Refusal{reason: "revoked", clean: true, code: denied,
		text: "The stream key was revoked.", err: errors.New("the grant to publish was taken back")}
	expired = &Refusal{reason: "expired", clean: true, code: denied,
		text: "The time that this stream key may publish for is over.", err: errors.New("the grant to publish has run out")}
	idle = &Refusal{reason: "idle", level: slog.LevelWarn,
		err: errors.New("a publishing peer sends media within the idle timeout")}
	cut = &Refusal{reason: "drained", err: errors.New("the server is going down")}
)

// fenced is the end of a session that a newer one has replaced.
func fenced(err error) *Refusal {
	return &Refusal{reason: "fenced", code: badName, level: slog.LevelWarn, text: "A newer session of this stream has taken over.", err: err}
}

// errTakenOver is what a kick turns out to be where the registry names another
// session already.
var errTakenOver = errors.New("another encoder with the same key, or this one by a new connection, has taken over the stream")

// brokenRule is the end of a peer that broke one. err names it, and nothing
// that the peer named.
func brokenRule(err error) *Refusal {
	return &Refusal{reason: "protocol", level: slog.LevelWarn, err: err}
}

// errLogTimeout ends a session whose buffer has been full for too long.
var errLogTimeout = errors.New("the frame log took no batch within the bus timeout")

// notOpened says what the peer did wrong where Log.Open has failed, if it did.
func notOpened(err error) error {
	switch {
	case errors.Is(err, ErrBusy):
		return &Refusal{reason: "busy", code: badName, text: "The stream is already being published.", err: err}
	case errors.Is(err, ErrTooMany):
		return &Refusal{reason: "sessions", code: denied, text: "As many streams as this key may have are live already.", err: err}
	case errors.Is(err, ErrFenced):
		return fenced(err)
	}
	return err
}

// End ends the session: what was received whole is appended, for at most
// Config.BusTimeout, the log is told, and one line says how it was. life bounds
// all of that.
func (s *Session) End(life context.Context, why Ending) {
	if r := (*Refusal)(nil); errors.As(why.Err, &r) {
		why.Reason, why.Clean, why.Level = r.reason, r.clean, int(r.level)
	}
	flush := s.cfg.BusTimeout
	if errors.Is(why.Err, errLogTimeout) {
		flush = 0 // it has waited already
	}
	lost, err := s.finish(life, why.Clean, flush)
	s.of.dismiss(s)
	if why.Reason == kicked.reason && errors.Is(err, ErrFenced) {
		why.Reason, why.Level, why.Err = "fenced", int(slog.LevelWarn), errTakenOver
	}
	m := s.cfg.Metrics
	m.sessions.Dec()
	m.ended.WithLabelValues(why.Reason).Inc()
	m.lost.Add(float64(lost))
	// That the stream is another's is no fault of the log's.
	if err != nil && !errors.Is(err, ErrFenced) && !errors.Is(err, ErrBusy) || lost > 0 && flush == 0 {
		s.logger.Error("the frame log did not take a session's end", "lost_bytes", lost, "err", err)
	}
	m.drop(media.DropStream, why.NoPublish)
	m.drop(media.DropUnread, why.NoScript)
	m.drop(media.DropFenced, s.fenced)
	s.report(life, why, lost)
}

// report writes the line about the session's end.
func (s *Session) report(ctx context.Context, why Ending, lost int) {
	attrs := []slog.Attr{slog.String("reason", why.Reason)}
	if why.Rule != "" {
		attrs = append(attrs, slog.String("rule", why.Rule))
	}
	if why.Err != nil && why.Reason != kicked.reason && why.Reason != cut.reason {
		attrs = append(attrs, slog.Any("err", why.Err))
	}
	took := time.Since(s.since)
	attrs = append(attrs, slog.Duration("duration", took.Round(time.Millisecond)),
		slog.Int64("bytes", s.rate.total), slog.Int64("kbit_s", int64(float64(s.rate.total)/125/took.Seconds())))
	for _, dropped := range []struct {
		key string
		n   int
	}{
		// Received, and the log did not take it in time.
		{"lost_bytes", lost},
		// Messages of no publish, or of one of several.
		{"dropped_stray", why.NoPublish},
		// Tags that came while another session took over.
		{"dropped_fenced", s.fenced},
		// Data that could not be read.
		{"dropped_unreadable", why.NoScript},
	} {
		if dropped.n > 0 {
			attrs = append(attrs, slog.Int(dropped.key, dropped.n))
		}
	}
	if s.out == nil {
		attrs = append(attrs, slog.Bool("no_media", true))
	}
	s.logger.LogAttrs(ctx, slog.Level(why.Level), "publish ended", append(attrs, s.facts.attrs()...)...)
}
