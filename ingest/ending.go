package ingest

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"syscall"

	"weir/media"
)

// ending is why a connection, or a session on it, ended.
type ending struct {
	// reason is the metrics' word for it.
	reason string
	// clean: the broadcast ends too.
	clean bool
	// code and text are the status that tells the peer; none without a code.
	code, text string
	// streamID is the publish that was refused before it was a session.
	streamID uint32
	stream   media.Stream
	level    slog.Level
	// rule is what the log line says of it.
	rule string
	err  error
}

// The codes that every encoder understands, see package rtmp.
const (
	badName = "NetStream.Publish.BadName"
	denied  = "NetStream.Publish.Denied"
)

// The endings that need no more detail.
var (
	unpublished = &ending{reason: "unpublished", clean: true}
	republished = &ending{reason: "republished"}
	idle        = &ending{reason: "idle", level: slog.LevelWarn, rule: "a publishing peer sends within the idle timeout"}
	noHandshake = &ending{reason: "handshake", rule: "the handshake is done within the connect timeout"}
	noConnect   = &ending{reason: "connect", rule: "connect comes within the connect timeout"}
	noPublish   = &ending{reason: "publish", rule: "a publish comes within the publish timeout"}
	drained     = &ending{reason: "drained"}
	kicked      = &ending{reason: "kicked", clean: true, code: denied, text: "The session was ended by the server."}
	fenced      = &ending{reason: "fenced", code: badName, text: "A newer session of this stream has taken over."}
	logTimeout  = &ending{reason: "log", code: denied, text: "The server could not store the stream in time.",
		level: slog.LevelError, err: errors.New("the frame log took no batch within the bus timeout")}
)

// lostConnection is the end of a connection by itself.
func lostConnection(publishing bool, err error) *ending {
	e := &ending{reason: "lost", err: err, level: slog.LevelDebug}
	if publishing {
		e.level = slog.LevelInfo
	}
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, net.ErrClosed) {
		e.err = nil
	}
	return e
}

// brokenRule is the end of a peer that broke one. err names it, and nothing
// that the peer named.
func brokenRule(err error) *ending {
	return &ending{reason: "protocol", level: slog.LevelWarn, err: err}
}

// failedSession is the end of a session by the log or an operator.
func failedSession(err error) *ending {
	switch {
	case errors.Is(err, errKicked):
		return kicked
	case errors.Is(err, ErrFenced):
		return fenced
	}
	e := *logTimeout
	e.err = err
	return &e
}

// refusedPublish is the end of a connection whose publish was not accepted.
// The stream is set if authorization did not fail.
func refusedPublish(streamID uint32, stream media.Stream, err error) *ending {
	e := &ending{reason: "refused", streamID: streamID, stream: stream, err: err, code: denied, level: slog.LevelInfo}
	switch {
	case errors.Is(err, media.ErrStreamName):
		e.reason, e.code, e.text = "name", badName, err.Error()
	case stream == media.Stream{}:
		e.reason, e.text = "auth", "Publishing is not allowed."
	case errors.Is(err, ErrBusy):
		e.reason, e.code, e.text = "busy", badName, "The stream is already being published."
	case errors.Is(err, ErrFenced):
		e.reason, e.code, e.text = "fenced", badName, fenced.text
	default:
		e.reason, e.text, e.level = "log", "The server cannot take the stream now.", slog.LevelError
	}
	return e
}

// report logs why a session of the stream, or a connection without one, ended,
// and counts what was refused.
func (c *conn) report(e *ending, stream media.Stream) {
	attrs := []slog.Attr{slog.String("reason", e.reason)}
	what := "connection ended"
	switch {
	case stream != media.Stream{}:
		what = "publish ended"
		attrs = append(attrs, slog.String("stream", stream.String()))
	case e.code != "":
		what = "publish refused"
		c.cfg.Metrics.refused.WithLabelValues(e.reason).Inc()
		if e.stream != (media.Stream{}) {
			attrs = append(attrs, slog.String("stream", e.stream.String()))
		}
	case e == drained || e.reason == "lost":
		e = &ending{reason: e.reason, level: slog.LevelDebug, err: e.err}
	default:
		c.cfg.Metrics.refused.WithLabelValues(e.reason).Inc()
	}
	if e.rule != "" {
		attrs = append(attrs, slog.String("rule", e.rule))
	}
	if e.err != nil {
		attrs = append(attrs, slog.Any("err", e.err))
	}
	c.log.LogAttrs(context.Background(), e.level, what, attrs...)
}
