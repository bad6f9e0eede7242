package jet

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Ensure returns the stream, made if it is not there, updated if want asks for
// another MaxAge, MaxBytes or number of Replicas: zero there takes what is, and
// fresh fills it in of a stream that is made. It tries until ctx ends: servers
// that are starting, or electing a leader, answer with all kinds of errors.
func (c *Conn) Ensure(ctx context.Context, want jetstream.StreamConfig, fresh func(*jetstream.StreamConfig)) (*Stream, error) {
	for try := 0; ; try++ {
		s, err := c.ensureOnce(ctx, want, fresh)
		if err == nil {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.laid = append(c.laid, s.CachedInfo().Config)
			return &Stream{s, c}, nil
		}
		c.mu.Lock()
		c.trouble = err
		c.mu.Unlock()
		if refused := c.refusal(); refused != nil {
			return nil, refused
		}
		if hopeless(err) {
			return nil, fmt.Errorf("set up stream %s: %w", want.Name, err)
		}
		if Pause(ctx, try) != nil {
			return nil, fmt.Errorf("set up stream %s: %w (last: %w)", want.Name, context.Cause(ctx), err)
		}
	}
}

func (c *Conn) ensureOnce(ctx context.Context, want jetstream.StreamConfig, fresh func(*jetstream.StreamConfig)) (jetstream.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	s, err := c.js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		fresh(&want)
		return c.js.CreateStream(ctx, want)
	}
	if err != nil {
		return nil, err
	}
	have := s.CachedInfo().Config
	next := have
	next.AllowDirect = false
	if want.MaxAge != 0 {
		next.MaxAge = want.MaxAge
	}
	if want.MaxBytes != 0 {
		next.MaxBytes = want.MaxBytes
	}
	if want.Replicas != 0 {
		next.Replicas = want.Replicas
	}
	if next.MaxAge == have.MaxAge && next.MaxBytes == have.MaxBytes && next.Replicas == have.Replicas && next.AllowDirect == have.AllowDirect {
		return s, nil
	}
	c.log.Info("stream reconfigured", "stream", want.Name, "retain", next.MaxAge, "max_bytes", next.MaxBytes, "replicas", next.Replicas)
	return c.js.UpdateStream(ctx, next)
}

// hopeless tells whether trying again cannot help: the server understood, and
// said no. Peers that are missing may yet come, and two nodes that create the
// same stream differently will see it next time.
func hopeless(err error) bool {
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return false
	}
	const (
		noSuitablePeers     = 10005
		insufficientStorage = 10047
		invalidConfig       = 10052
		notClustered        = 10074 // one server keeps no copies
	)
	switch api.ErrorCode {
	case insufficientStorage, invalidConfig, notClustered:
		return true
	case noSuitablePeers, jetstream.JSErrCodeStreamNameInUse:
		return false
	}
	return api.Code == 400
}

// Born is when the stream was made that goes by this name now. It asks until ctx
// ends: a server that is busy, or has lost the stream, which is made anew then,
// says nothing of the one that there was.
func (s *Stream) Born(ctx context.Context) (time.Time, error) {
	for try := 0; ; try++ {
		attempt, cancel := context.WithTimeout(ctx, time.Second)
		now, err := s.conn.js.Stream(attempt, s.CachedInfo().Config.Name)
		cancel()
		switch {
		case err == nil:
			return now.CachedInfo().Created, nil
		case errors.Is(err, nats.ErrConnectionClosed):
			return time.Time{}, fmt.Errorf("look at stream: %w", err)
		}
		if Pause(ctx, try) != nil {
			return time.Time{}, fmt.Errorf("look at stream: %w (last: %w)", context.Cause(ctx), err)
		}
	}
}
