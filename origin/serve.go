package origin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// DefaultConnections is how many connections a Serve should keep at once: each
// takes about 20 kB, and a viewer has one or two.
const DefaultConnections = 5000

// Serve answers requests on l until ctx is done, then accepts no more, lets
// the responses under way end for at most drain, and closes what is left. It
// returns nil when it was told to stop. It closes l.
//
// Its limits bound what a client costs that sends or reads slowly: 10 s and
// 16 KiB for a request's head, a minute between two requests of a connection.
// Handler bounds its responses by their size. Of more connections than there may
// be one goes of the address that has the most: the one that has waited longest
// for a request, or to send one; a newcomer is told to come again if all are
// being answered.
func Serve(ctx context.Context, l net.Listener, h http.Handler, limits Limits, drain time.Duration, log *slog.Logger) error {
	conns := newConnections(limits)
	s := &http.Server{
		Handler:           conns.count(h),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       15 * time.Second, // no route takes a body
		WriteTimeout:      30 * time.Second, // until a handler knows better
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug), // what clients do wrong
		ConnContext:       conns.context,
		ConnState:         conns.state,
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve HTTP: %w", err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	defer context.AfterFunc(stop, conns.severAll)()
	var err error
	if s.Shutdown(stop) != nil {
		log.Info("responses were cut off, their clients read slowly", "after", drain)
		err = s.Close()
	}
	if end := <-served; !errors.Is(end, http.ErrServerClosed) {
		err = errors.Join(err, fmt.Errorf("serve HTTP: %w", end))
	}
	return err
}
