package api

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
)

// Problem is an error as the API tells it (RFC 9457). Its type is about:blank:
// the title is that of the status, and Code says what it is about.
type Problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	// Detail is for people, and says what to try.
	Detail string `json:"detail,omitempty"`
	// Code is for programs: not_found, not_live, bad_stream, bad_query,
	// unauthorized, forbidden, method_not_allowed, unavailable. Others may come.
	Code string `json:"code,omitempty"`
}

// ErrNotLive says that nobody publishes the stream. A Problem of that code is one.
var ErrNotLive = errors.New("the stream is not live")

const problemType = "application/problem+json"

func (p *Problem) Error() string {
	if p.Detail == "" {
		return fmt.Sprintf("%d %s", p.Status, p.Title)
	}
	return fmt.Sprintf("%s (%d %s)", p.Detail, p.Status, p.Title)
}

// Is makes errors.Is(p, ErrNotLive) true for the one that says so.
func (p *Problem) Is(target error) bool { return target == ErrNotLive && p.Code == "not_live" }

func writeProblem(w http.ResponseWriter, status int, code, detail string) {
	w.Header().Set("Content-Type", problemType)
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	w.WriteHeader(status)
	_, _ = w.Write(appendJSON(Problem{Title: http.StatusText(status), Status: status, Detail: detail, Code: code}))
}

// text answers with one short line: probes are read by people, too.
func text(w http.ResponseWriter, status int, line string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	fmt.Fprintln(w, line)
}

// change logs when something begins to fail and when it works again, not each
// time that somebody asks: why it fails is not for whoever can reach the port.
type change struct {
	log       *slog.Logger
	bad, good string
	failed    atomic.Bool
}

func (c *change) report(err error) {
	switch failed := err != nil; {
	case c.failed.Swap(failed) == failed:
	case failed:
		c.log.Warn(c.bad, "err", err)
	default:
		c.log.Info(c.good)
	}
}
