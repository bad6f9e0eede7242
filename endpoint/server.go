package endpoint

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"weir/rtmp"
)

// The defaults of Config.
const (
	DefaultMaxConnections = 1000
	DefaultMaxPublishes   = 120
	DefaultDrain          = 30 * time.Second
)

// Config configures a Server. Publisher must be set; zero fields otherwise mean
// the defaults.
type Config struct {
	Publisher Publisher
	// Auth decides who may publish. Default OpenAuth.
	Auth Auth
	// Login asks every peer for a user and a password before it may publish.
	// Nil: none is asked for.
	Login *rtmp.Login
	// Logger gets a line for each peer that is refused or breaks a rule before
	// it publishes. Default slog.Default.
	Logger *slog.Logger
	// Refusals keeps the publishes that are refused. Default: one that nobody reads.
	Refusals *Refusals
	// Metrics are counted by this server only. Default: unregistered ones.
	Metrics *Metrics

	// MaxMessage is the largest message of a publish, in bytes. Default: that of
	// package rtmp, 8 MiB.
	MaxMessage int
	// MaxConnections bounds the open connections, and MaxPerAddress those of one
	// address, or one IPv6 /64 network: see Admission. Defaults
	// DefaultMaxConnections, and a quarter of MaxConnections but not less than 16.
	MaxConnections, MaxPerAddress int
	// MaxPublishes bounds the publishes that one address begins in a minute,
	// granted or not. Default DefaultMaxPublishes.
	MaxPublishes int
	// ConnectTimeout bounds the time from a connection to its connect command,
	// PublishTimeout the time from there, or from a clean end, to a publish.
	// Default 10 s each.
	ConnectTimeout, PublishTimeout time.Duration
	// Elsewhere answers the HTTP requests of tunnels that this Server does not
	// hold: a load balancer may spread a tunnel's over several nodes. Default:
	// 404, upon which the client opens another.
	Elsewhere http.Handler
	// Drain bounds the end of Serve. Default DefaultDrain.
	Drain time.Duration
}

func (c Config) withDefaults() Config {
	if c.Auth == nil {
		c.Auth = OpenAuth{}
	}
	if c.Elsewhere == nil {
		c.Elsewhere = http.NotFoundHandler()
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Refusals == nil {
		c.Refusals = new(Refusals)
	}
	if c.Metrics == nil {
		c.Metrics = NewMetrics(nil)
	}
	orDefault(&c.MaxConnections, DefaultMaxConnections)
	orDefault(&c.MaxPublishes, DefaultMaxPublishes)
	orDefault(&c.MaxPerAddress, max(c.MaxConnections/4, 16))
	orDefault(&c.ConnectTimeout, 10*time.Second)
	orDefault(&c.PublishTimeout, 10*time.Second)
	orDefault(&c.Drain, DefaultDrain)
	return c
}

func orDefault[T int | time.Duration](v *T, otherwise T) {
	if *v <= 0 {
		*v = otherwise
	}
}

// Server serves RTMP connections.
type Server struct {
	cfg       Config
	admission *Admission
	// tunnelling admits the HTTP connections that tunnels come by.
	tunnelling *Admission
	lines      *lines
	publishes  *rate

	mu    sync.Mutex
	conns map[*conn]net.Listener
}

// NewServer returns a Server that listens nowhere yet.
func NewServer(cfg Config) *Server {
	s := &Server{cfg: cfg.withDefaults(), conns: make(map[*conn]net.Listener)}
	s.lines = newLines(s.cfg.Logger)
	s.publishes = newRate(s.cfg.MaxPublishes)
	s.admission = NewAdmission(s.cfg.MaxConnections, s.cfg.MaxPerAddress)
	s.tunnelling = NewAdmission(s.cfg.MaxConnections, s.cfg.MaxPerAddress)
	return s
}

// Serve accepts connections from ln, which it closes, until ctx is done. Then
// it drains: no new connection is taken, encoders that understand it are asked
// to reconnect, others are cut at their next key frame, and each session ends as
// one whose encoder will come back, here or on another node. It returns when all
// of that is done, at the latest Config.Drain after ctx, and a second in which
// peers may read how it ended. The error is nil unless accepting failed.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	// Sessions outlive ctx by the time of the drain.
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var conns, others sync.WaitGroup
	accepting, stop := context.WithCancel(ctx)
	others.Go(func() {
		<-accepting.Done()
		_ = ln.Close() // Accept tells whether it failed before
	})
	others.Go(func() { s.lines.run(life) })
	err := s.accept(accepting, life, ln, &conns)
	stop()
	s.drain(ln, time.Now().Add(s.cfg.Drain/4*3))
	limit := time.AfterFunc(s.cfg.Drain, cancel)
	last := time.AfterFunc(s.cfg.Drain+lingerTimeout, func() { s.sever(ln) })
	conns.Wait()
	limit.Stop()
	last.Stop()
	cancel()
	others.Wait()
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
		if c.place = s.admission.Enter(nc.RemoteAddr(), c.dismiss); c.place == nil {
			sever(nc)
			s.crowded()
			continue
		}
		s.enter(c, ln)
		conns.Go(func() {
			defer s.leave(c)
			c.serve(life)
		})
	}
}

// crowded tells that a connection has gone in favour of another.
func (s *Server) crowded() {
	s.cfg.Metrics.refused.WithLabelValues("connections").Inc()
	s.lines.write(slog.LevelWarn, "a connection gives way: there are as many as may be", "connections",
		slog.Int("limit", s.cfg.MaxConnections), slog.Int("address_limit", s.cfg.MaxPerAddress))
}

func (s *Server) enter(c *conn, ln net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[c] = ln
	s.cfg.Metrics.connections.Inc()
}

func (s *Server) leave(c *conn) {
	c.place.Leave()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	s.cfg.Metrics.connections.Dec()
}

// sever ends the connections of a listener that do not end by themselves.
func (s *Server) sever(ln net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c, from := range s.conns {
		if from == ln {
			sever(c.nc)
		}
	}
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
