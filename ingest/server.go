package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"weir/media"
)

// Config configures a Server. Log must be set; zero fields otherwise mean the
// defaults.
type Config struct {
	Log Log
	// Auth decides who may publish. Default OpenAuth.
	Auth Auth
	// Logger gets one line for each session's begin and end, and for each peer
	// that is refused or breaks a rule. Default slog.Default.
	Logger *slog.Logger
	// Metrics are counted by this server only. Default: unregistered ones.
	Metrics *Metrics

	// Batch is how long tags wait to be sent in one batch. Default 250 ms.
	Batch time.Duration
	// MaxMessage is the largest tag, in bytes. Default 8 MiB.
	MaxMessage int
	// MaxConnections bounds the open connections. Default 1000.
	MaxConnections int
	// SessionBuffer is the most bytes of one session that wait for the log;
	// at least twice MaxMessage. In that bound a session holds ten seconds of
	// its stream, and twice MaxMessage in any case. Default 64 MiB.
	SessionBuffer int
	// Buffer is the most memory of all sessions' batches and partial messages.
	// Default 512 MiB.
	Buffer int64

	// ConnectTimeout bounds the time from a connection to its connect command,
	// PublishTimeout the time from there, or from a clean end, to a publish.
	// Default 10 s each.
	ConnectTimeout, PublishTimeout time.Duration
	// IdleTimeout is how long a publishing peer may be silent. Default 30 s.
	IdleTimeout time.Duration
	// BusTimeout is how long a session with a full buffer waits for the log,
	// and how long the last batches of a lost one do. Default 30 s.
	BusTimeout time.Duration
	// Drain bounds the end of Serve. Default 30 s.
	Drain time.Duration
}

func (c Config) withDefaults() Config {
	if c.Auth == nil {
		c.Auth = OpenAuth{}
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Metrics == nil {
		c.Metrics = NewMetrics(nil)
	}
	orDefault(&c.MaxMessage, 8<<20)
	orDefault(&c.MaxConnections, 1000)
	orDefault(&c.SessionBuffer, 64<<20)
	orDefault(&c.Buffer, 512<<20)
	orDefault(&c.Batch, 250*time.Millisecond)
	for _, d := range []*time.Duration{&c.ConnectTimeout, &c.PublishTimeout} {
		orDefault(d, 10*time.Second)
	}
	for _, d := range []*time.Duration{&c.IdleTimeout, &c.BusTimeout, &c.Drain} {
		orDefault(d, 30*time.Second)
	}
	c.SessionBuffer = max(c.SessionBuffer, 2*c.MaxMessage)
	return c
}

func orDefault[T int | int64 | time.Duration](v *T, otherwise T) {
	if *v <= 0 {
		*v = otherwise
	}
}

// Server takes publishes of encoders to the frame log.
type Server struct {
	cfg  Config
	used atomic.Int64 // memory of all sessions' batches

	mu    sync.Mutex
	conns map[*conn]net.Listener
	full  bool // the last connection was one too many
}

// NewServer returns a Server that listens nowhere yet.
func NewServer(cfg Config) *Server {
	return &Server{cfg: cfg.withDefaults(), conns: make(map[*conn]net.Listener)}
}

// Serve accepts connections from ln, which it closes, until ctx is done. Then
// it drains: no new connection is taken, encoders that understand it are asked
// to reconnect, others are cut at their next key frame; what was received is
// flushed to the log, and each session is left waiting for its encoder to come
// back, here or on another node. It returns when all of that is done, at the
// latest Config.Drain after ctx. The error is nil unless accepting failed.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	// Sessions outlive ctx by the time of the drain.
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var conns, closer sync.WaitGroup
	accepting, stop := context.WithCancel(ctx)
	closer.Go(func() {
		<-accepting.Done()
		_ = ln.Close() // Accept tells whether it failed before
	})
	err := s.accept(accepting, life, ln, &conns)
	stop()
	closer.Wait()
	s.drain(ln, time.Now().Add(s.cfg.Drain/4*3))
	limit := time.AfterFunc(s.cfg.Drain, cancel)
	conns.Wait()
	limit.Stop()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// accept starts a goroutine for each connection until ctx is done or the
// listener fails for good.
func (s *Server) accept(ctx, life context.Context, ln net.Listener, conns *sync.WaitGroup) error {
	const longestPause = time.Second
	for pause := time.Duration(0); ; {
		nc, err := ln.Accept()
		switch {
		case err == nil:
			pause = 0
		case ctx.Err() != nil || errors.Is(err, net.ErrClosed):
			return fmt.Errorf("accept connection: %w", err)
		default: // out of file descriptors, or the peer has left already
			pause = min(max(2*pause, 5*time.Millisecond), longestPause)
			s.cfg.Logger.Error("cannot accept a connection", "err", err, "pause", pause)
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
			continue
		}
		c := newConn(s, nc)
		if !s.enter(c, ln) {
			_ = nc.Close() // the peer learns all it can from that
			continue
		}
		conns.Go(func() {
			defer s.leave(c)
			c.serve(life)
		})
	}
}

// enter counts a connection in, unless there are too many.
func (s *Server) enter(c *conn, ln net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.conns) >= s.cfg.MaxConnections {
		s.cfg.Metrics.refused.WithLabelValues("connections").Inc()
		if !s.full {
			s.cfg.Logger.Warn("connections are refused: the limit is reached", "limit", s.cfg.MaxConnections)
		}
		s.full = true
		return false
	}
	s.full = false
	s.conns[c] = ln
	s.cfg.Metrics.connections.Inc()
	return true
}

func (s *Server) leave(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	s.cfg.Metrics.connections.Dec()
}

// drain asks the connections of a listener to end, at the latest at by.
func (s *Server) drain(ln net.Listener, by time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c, from := range s.conns {
		if from == ln {
			c.drain(by)
		}
	}
}

// Kick ends the session of a stream, and with it the broadcast. It tells
// whether there was one.
func (s *Server) Kick(stream media.Stream) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := false
	for c := range s.conns {
		if x := c.current(); x != nil && x.stream == stream {
			x.stop(errKicked)
			found = true
		}
	}
	return found
}

// Sessions returns the running sessions, in no order.
func (s *Server) Sessions() []SessionInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []SessionInfo
	for c := range s.conns {
		if x := c.current(); x != nil {
			all = append(all, x.info())
		}
	}
	return all
}
