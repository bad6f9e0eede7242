// Package jet is JetStream as the bus uses it: one connection that heals
// itself, streams on which every write is a compare-and-set, key-value buckets
// of which every read is the leader's, and readers that begin anew at the
// first sign of trouble. It knows nothing of what is kept there.
package jet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Config says where NATS is.
type Config struct {
	// URL of the servers, separated by commas. Empty: a server of our own
	// inside this process, which listens nowhere and stores under Dir.
	URL string
	Dir string
	// Creds is a NATS credentials file, CA a file of PEM certificates; both
	// optional, both only with a URL.
	Creds, CA string
	Name      string // of the connection, for whoever looks at the server
	Log       *slog.Logger
}

// ErrClosed says that the connection was closed by Close.
var ErrClosed = nats.ErrConnectionClosed

// ErrNoResponders says that nobody has subscribed to the subject of a request.
var ErrNoResponders = nats.ErrNoResponders

// Conn is a connection to NATS, and the server itself where that is embedded.
// Its methods may be called by many goroutines.
type Conn struct {
	log  *slog.Logger
	full func() bool // see HoldWhile

	server *server.Server // nil when NATS is elsewhere
	nc     *nats.Conn
	js     jetstream.JetStream

	restoring sync.Mutex // see restore

	mu        sync.Mutex
	laid      []jetstream.StreamConfig // as they were when they were ensured
	revived   time.Time                // when the embedded JetStream was last started anew
	connected time.Time                // when the connection was last made; zero while there is none
	lost      chan struct{}            // closed when the connection is lost
	away      time.Time                // since when there is none that was there before
	told      time.Time                // when we last said why
	answered  time.Time                // when JetStream last answered a write, or we last changed servers
	trouble   error                    // why the streams are not there yet
	stood     bool                     // there was a connection
	denied    time.Time                // since when servers do nothing but refuse our credentials
	closing   bool
}

// Connect makes the connection, which then heals itself until Close. It does
// not wait for a server that is not there yet. Nothing is buffered while it is
// away: what is in flight must be resolved, not sent later.
func Connect(cfg Config) (*Conn, error) {
	c := &Conn{log: cfg.Log, full: func() bool { return false }, lost: make(chan struct{})}
	opts := []nats.Option{
		nats.Name(cfg.Name),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(100 * time.Millisecond),
		nats.ReconnectJitter(20*time.Millisecond, 20*time.Millisecond),
		nats.ReconnectBufSize(-1),
		nats.RetryOnFailedConnect(true),
		nats.Timeout(2 * time.Second),
		nats.IgnoreAuthErrorAbort(), // a server that is being reconfigured refuses everybody for a moment
		nats.PingInterval(2 * time.Second),
		nats.MaxPingsOutstanding(2),
		nats.ConnectHandler(func(*nats.Conn) { c.gained() }),
		nats.ReconnectHandler(func(*nats.Conn) { c.gained() }),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { c.refused(err) }),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { c.dropped(err) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { c.log.Warn("nats", "err", err) }),
	}
	if cfg.URL == "" {
		s, err := startServer(cfg.Dir)
		if err != nil {
			return nil, err
		}
		c.server = s
		opts = append(opts, nats.InProcessServer(s))
	}
	if cfg.Creds != "" {
		opts = append(opts, nats.UserCredentials(cfg.Creds))
	}
	if cfg.CA != "" {
		opts = append(opts, nats.RootCAs(cfg.CA))
	}
	var err error
	if c.nc, err = nats.Connect(cfg.URL, opts...); err != nil {
		c.Close()
		return nil, fmt.Errorf("connect to nats: %w", err)
	}
	if c.js, err = jetstream.New(c.nc); err != nil {
		c.Close()
		return nil, fmt.Errorf("connect to jetstream: %w", err)
	}
	return c, nil
}

func (c *Conn) gained() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.connected, c.stood, c.denied = time.Now(), true, time.Time{}
	if !c.away.IsZero() {
		c.log.Info("nats is connected again", "server", c.nc.ConnectedServerName(), "after", time.Since(c.away).Round(time.Millisecond).String())
	}
	c.away, c.told = time.Time{}, time.Time{}
}

// complainEvery is how often a connection that cannot be made says why.
const complainEvery = 10 * time.Second

// refused says why no connection can be made, which is tried again all the
// same.
func (c *Conn) refused(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !refusesUs(err) {
		c.denied = time.Time{}
	} else if c.denied.IsZero() {
		c.denied = time.Now()
	}
	if c.closing || time.Since(c.told) < complainEvery {
		return
	}
	c.told = time.Now()
	c.log.Warn("nats cannot be reached, and is tried again", "err", err)
}

// silentMost is how long JetStream may leave writes unanswered before another
// server is asked: the one we are connected to may be cut off from the rest. It
// is longer than most elections.
const silentMost = 6 * time.Second

// heard takes note of an answer.
func (c *Conn) heard() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answered = time.Now()
}

// leaveSilent connects to another server where JetStream has not answered a
// write that was first tried at began, nor any other for a while.
func (c *Conn) leaveSilent(began time.Time) {
	c.mu.Lock()
	latest := began
	if c.answered.After(latest) {
		latest = c.answered
	}
	silent := c.server == nil && !c.connected.IsZero() && time.Since(latest) > silentMost
	if silent {
		c.answered = time.Now()
	}
	c.mu.Unlock()
	if !silent || len(c.nc.Servers()) < 2 {
		return
	}
	c.log.Warn("jetstream does not answer: another server is asked", "server", c.nc.ConnectedServerName())
	if err := c.nc.ForceReconnect(); err != nil {
		c.log.Debug("not reconnected", "err", err)
	}
}

func (c *Conn) dropped(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.connected = time.Time{}
	if c.away.IsZero() {
		c.away = time.Now()
	}
	close(c.lost)
	c.lost = make(chan struct{})
	if err != nil && !c.closing {
		c.log.Warn("nats connection lost", "err", err)
	}
}

// Close closes the connection and stops the embedded server.
func (c *Conn) Close() {
	c.mu.Lock()
	c.closing = true
	c.mu.Unlock()
	if c.nc != nil {
		c.nc.Close()
	}
	if c.server != nil {
		c.server.Shutdown()
		c.server.WaitForShutdown()
	}
}

// The first time that a wait is told of, and the time between two.
const (
	waitTold  = 1500 * time.Millisecond
	waitAgain = 10 * time.Second
)

// TellWaiting logs what is waited for until stop is called.
func (c *Conn) TellWaiting() (stop func()) {
	began := time.Now()
	ctx, cancel := context.WithCancel(context.Background())
	told := make(chan struct{})
	go func() {
		defer close(told)
		for wait := waitTold; Sleep(ctx, wait) == nil; wait = waitAgain {
			c.mu.Lock()
			err := c.trouble
			c.mu.Unlock()
			if !c.nc.IsConnected() {
				err = errors.Join(errors.New("not connected"), c.nc.LastError())
			}
			c.log.Warn("waiting for NATS, trying again", "servers", servers(c.nc.Servers()), "err", err, "for", time.Since(began).Round(time.Second))
		}
	}()
	return func() { cancel(); <-told }
}

// servers are addresses without what may be a secret in them.
func servers(urls []string) (hosts []string) {
	for _, text := range urls {
		if u, err := url.Parse(text); err == nil {
			hosts = append(hosts, u.Host)
		}
	}
	return hosts
}

// deniedMost is for how long servers may refuse our credentials before that is
// for good, where no connection has stood yet: a server that is being
// reconfigured refuses everybody for a moment.
const deniedMost = 4 * time.Second

// refusesUs tells whether a server does not take our credentials.
func refusesUs(err error) bool {
	for _, e := range []error{nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked, nats.ErrAccountAuthExpired} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// refusal is why a connection will not be made, or not again: the server does
// not take our credentials. Nil: it may.
func (c *Conn) refusal() error {
	c.mu.Lock()
	closing, denied := c.closing, !c.stood && !c.denied.IsZero() && time.Since(c.denied) > deniedMost
	c.mu.Unlock()
	if closing || !denied && !c.nc.IsClosed() {
		return nil
	}
	return fmt.Errorf("nats refuses us: %w (see the credentials)", cmp.Or(c.nc.LastError(), nats.ErrConnectionClosed))
}

// Embedded tells whether the server is in this process.
func (c *Conn) Embedded() bool { return c.server != nil }

// Connected tells whether the connection to NATS stands.
func (c *Conn) Connected() bool { return c.nc.IsConnected() }

// Ready asks JetStream for an answer.
func (c *Conn) Ready(ctx context.Context) error {
	if _, err := c.js.AccountInfo(ctx); err != nil {
		return fmt.Errorf("ask jetstream: %w", err)
	}
	return nil
}

// Settled tells whether we have been connected for so long that others had the
// time to connect as well: only then is silence a sign. Nobody else is
// connected to an embedded server.
func (c *Conn) Settled() bool {
	if c.server != nil {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.connected.IsZero() && time.Since(c.connected) > time.Second
}

// lostSignal is closed when the connection that stands now is lost.
func (c *Conn) lostSignal() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lost
}

// MaxPayload is the largest message that the server takes, with its header.
func (c *Conn) MaxPayload() int { return int(c.nc.MaxPayload()) }

// Publish sends a message that nothing keeps.
func (c *Conn) Publish(subject string, data []byte) error { return c.nc.Publish(subject, data) }

// Request sends a message and returns its answer. ErrNoResponders: nobody
// listens, or is not connected at this moment.
func (c *Conn) Request(ctx context.Context, subject string, data []byte) ([]byte, error) {
	m, err := c.nc.RequestWithContext(ctx, subject, data)
	if err != nil {
		return nil, err
	}
	return m.Data, nil
}

// Answer calls fn with each message of a subject, and sends what it returns to
// whoever asked. stop ends that.
func (c *Conn) Answer(subject string, fn func(data []byte) []byte) (stop func(), err error) {
	s, err := c.nc.Subscribe(subject, func(m *nats.Msg) {
		answer := fn(m.Data)
		if m.Reply != "" {
			_ = m.Respond(answer) // who asked and left does not matter
		}
	})
	if err != nil {
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	return func() {
		if err := s.Unsubscribe(); err != nil && !errors.Is(err, ErrClosed) {
			c.log.Debug("subscription left", "subject", subject, "err", err)
		}
	}, nil
}

// Flush returns when the server has seen all that was sent.
func (c *Conn) Flush() error { return c.nc.Flush() }

// JetStream is for what the rest of this package does not do.
func (c *Conn) JetStream() jetstream.JetStream { return c.js }
