package endpoint

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"syscall"

	"weir/media"
)

// ending is why a connection, or a session on it, ended.
type ending struct {
	Ending
	// code and text are the status that tells the peer; none without a code.
	code, text string
	// streamID is the publish that was refused before it was a session, and
	// stream its name if authorization did not fail.
	streamID uint32
	stream   media.Stream
	// linger: the peer was told already, and gets time to read it.
	linger bool
}

// denied is the code of what is refused here. OBS writes down what it is told
// with it, and not with NetStream.Publish.BadName, which GStreamer takes for a
// stream that somebody publishes already.
const denied = "NetStream.Publish.Denied"

// The endings that need no more detail.
var (
	unpublished = &ending{Ending: Ending{Reason: "unpublished", Clean: true}}
	republished = &ending{Ending: Ending{Reason: "republished"}}
	drained     = &ending{Ending: Ending{Reason: "drained"}}
	noHandshake = &ending{Ending: Ending{Reason: "handshake", Rule: "the handshake is done within the connect timeout"}}
	noConnect   = &ending{Ending: Ending{Reason: "connect", Rule: "connect comes within the connect timeout"}}
	tooOften    = &ending{
		Ending: Ending{Reason: "rate", Rule: "an address begins a limited number of publishes in a minute"},
		code:   denied, text: "Too many publishes from this address: wait a minute.",
	}
	noPublish = &ending{Ending: Ending{Reason: "publish", Rule: "a publish comes within the publish timeout"}}
)

// lostConnection is the end of a connection by itself.
func lostConnection(publishing bool, err error) *ending {
	e := &ending{Ending: Ending{Reason: "lost", Err: err, Level: int(slog.LevelDebug)}}
	if publishing {
		e.Level = int(slog.LevelInfo)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, errTunnelClosed) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, net.ErrClosed) {
		e.Err = nil
	}
	return e
}

// brokenRule is the end of a peer that broke one. err names it, and nothing
// that the peer named.
func brokenRule(err error) *ending {
	return &ending{Ending: Ending{Reason: "protocol", Level: int(slog.LevelWarn), Err: err}}
}

// failed is the end by an error of the Publisher's or the session's: a refusal
// says what it is, anything else is a fault of ours, which text tells the peer.
func failed(err error, text string) *ending {
	e := &ending{Ending: Ending{Reason: "log", Level: int(slog.LevelError), Err: err}, code: denied, text: text}
	if r := Refusal(nil); errors.As(err, &r) {
		e.Reason, e.Level = r.Reason(), int(slog.LevelInfo)
		e.code, e.text = r.Status()
	}
	return e
}

// unauthorized is the end of a connection that may not publish.
func unauthorized(err error) *ending {
	e := &ending{Ending: Ending{Reason: "auth", Err: err}, code: denied, text: "Publishing is not allowed."}
	r := Refusal(nil)
	switch {
	case errors.Is(err, media.ErrStreamName):
		e.Reason, e.text = "name", err.Error()
	case errors.As(err, &r):
		e.Reason = r.Reason()
		e.code, e.text = r.Status()
	}
	return e
}

// rejected is the end of a connection by Config.Login. The first two of a login
// are its dialogue, and no failure.
func rejected(failed bool) *ending {
	e := &ending{Ending: Ending{Reason: "login", Level: int(slog.LevelDebug)}}
	if failed {
		e.Level, e.Rule = int(slog.LevelInfo), "a peer logs in with a known user and its password"
	}
	e.linger = true
	return e
}

// report logs why a connection without a session ended, and counts what was
// refused. The end of a session is its Publisher's to log.
func (c *conn) report(e *ending) {
	what, level := "connection ended", slog.Level(e.Level)
	switch {
	case e.code != "":
		what = "publish refused"
		c.cfg.Metrics.refused.WithLabelValues(e.Reason).Inc()
	case e == drained || e.Reason == "lost" || e.linger && e.Rule == "": // the last is a login that goes on
		level = slog.LevelDebug
	default:
		c.cfg.Metrics.refused.WithLabelValues(e.Reason).Inc()
	}
	attrs := []slog.Attr{slog.String("remote", c.nc.RemoteAddr().String())}
	if e.stream != (media.Stream{}) {
		attrs = append(attrs, slog.String("stream", e.stream.String()))
	}
	if e.Rule != "" {
		attrs = append(attrs, slog.String("rule", e.Rule))
	}
	if e.Err != nil {
		attrs = append(attrs, slog.Any("err", e.Err))
	}
	c.server.lines.write(level, what, e.Reason, attrs...)
}
