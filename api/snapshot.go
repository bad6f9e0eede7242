package api

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"
)

// fresh is for how long what the registry said is said again. However many
// ask, the registry is asked that often, by one of them.
const fresh = 500 * time.Millisecond

// snapshot is what the registry said last.
type snapshot struct {
	ask func(context.Context) ([]Stream, error)

	mu     sync.Mutex
	latest *listing // nil: nothing yet
}

// listing is one answer of the registry, or a question under way.
type listing struct {
	ready   chan struct{} // closed when there is an answer
	at      time.Time     // when it was asked
	streams []Stream      // in the order of their names; nobody changes it
	err     error

	mu    sync.Mutex
	pages map[query][]byte // as they were written, see Handler.page
}

// get returns the streams as they were less than fresh ago. Who asks first
// asks for all, and to the end, even if its own client has left; the others
// wait for it.
func (s *snapshot) get(ctx context.Context) (*listing, error) {
	s.mu.Lock()
	l := s.latest
	first := l == nil || time.Since(l.at) >= fresh
	if first {
		l = &listing{ready: make(chan struct{}), at: time.Now(), pages: make(map[query][]byte)}
		s.latest = l
	}
	s.mu.Unlock()
	if first {
		l.ask(context.WithoutCancel(ctx), s.ask)
	}
	select {
	case <-l.ready:
		return l, l.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// ask asks the registry, for at most answerTimeout.
func (l *listing) ask(ctx context.Context, ask func(context.Context) ([]Stream, error)) {
	defer close(l.ready)
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	streams, err := ask(ctx)
	l.streams, l.err = slices.SortedFunc(slices.Values(streams), func(a, b Stream) int { return cmp.Compare(a.Name, b.Name) }), err
}

// find returns one stream.
func (l *listing) find(name string) (Stream, bool) {
	i, ok := slices.BinarySearchFunc(l.streams, name, func(s Stream, name string) int { return cmp.Compare(s.Name, name) })
	if !ok {
		return Stream{}, false
	}
	return l.streams[i], true
}

// The bounds of a page, and of the pages that are kept written.
const (
	defaultLimit = 100
	maxLimit     = 1000
	maxPages     = 16
)

// query is what a list is asked for.
type query struct {
	states string // comma-separated; empty: all
	after  string // the last name of the page before
	limit  int
	all    bool // what is not for viewers, too
}

// choose returns the streams of a page, the name that the next one begins
// after, empty where there is none, and how many all pages have.
func (l *listing) choose(q query, wanted func(state string) bool) (page []Stream, next string, total int) {
	page = []Stream{}
	for _, s := range l.streams {
		if !wanted(s.State) {
			continue
		}
		total++
		if s.Name <= q.after && q.after != "" {
			continue
		}
		if len(page) < q.limit {
			page = append(page, s)
		} else if next == "" {
			next = page[len(page)-1].Name
		}
	}
	return page, next, total
}
