package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"weir/check"
	"weir/check/playlist"
)

const (
	// checkTimeout bounds one request of a check.
	checkTimeout = 30 * time.Second
	// fetchAhead is how many segments are fetched at a time.
	fetchAhead = 4
	// maxSegment bounds an object: six seconds of 89 Mbit/s. A playlist may be
	// as large as is read of it.
	maxSegment = 64 << 20
	// maxAhead is how many bytes may be held of what is fetched ahead.
	maxAhead = 32 << 20
	// maxHeader bounds a response's header.
	maxHeader = 64 << 10
	// maxSilent is how many requests in a row may come to nothing by time-out.
	maxSilent = 3
)

var (
	errSize  = fmt.Errorf("larger than %d MiB", maxSegment>>20)
	errRange = errors.New("shorter than its byte range")
)

// budget is what a check may cost, over all of it.
type budget struct {
	time    time.Duration // beside what it watches
	bytes   int64         // of bodies, unpacked
	private bool          // --allow-private
}

// checkURL checks the presentation at a URL, and follows it for as long as
// watch says.
func checkURL(ctx context.Context, target string, watch time.Duration, b budget, show *progress) (check.Report, error) {
	u, err := url.Parse(target)
	if err != nil || u.Hostname() == "" {
		return check.Report{}, usagef("check: this is no URL of a playlist")
	}
	ctx, cancel := context.WithTimeoutCause(ctx, watch+b.time, fmt.Errorf("%w %v of time: --max-time", errBudget, b.time))
	defer cancel()
	reach, err := newPolicy(ctx, u, b.private)
	if err != nil {
		return check.Report{}, err
	}
	ctx, stop := context.WithCancelCause(ctx)
	f := newFetcher(reach, b.bytes, stop)
	defer f.close()
	defer stop(nil)
	checker := check.New(target, check.Config{Watch: watch > 0, Resolve: f.resolve})
	got := false
	get := func(ctx context.Context, w check.Want) check.Object {
		for _, next := range checker.Ahead(fetchAhead) {
			f.start(ctx, next)
		}
		o := f.take(ctx, w)
		if !got && o.Err != nil {
			stop(noTarget(o.Err))
		}
		got = true
		return o
	}
	r := follow(ctx, checker, watch, get, show)
	if cause := context.Cause(ctx); errors.Is(cause, errBudget) || errors.Is(cause, errTarget) {
		return r, cause
	}
	return r, nil
}

// errTarget is why nothing could be checked at all.
var errTarget = errors.New("check: the playlist cannot be had")

// noTarget says what to do about it. The URL may hold a secret, and is on the
// command line.
func noTarget(err error) error {
	var status httpStatus
	if !errors.As(err, &status) {
		return fmt.Errorf("%w: %w (does the server run, and is this its address?)", errTarget, err)
	}
	try := "is that its address?"
	switch {
	case status == http.StatusNotFound || status == http.StatusGone:
		try = "see the path, capitals included; a show has no playlist before its first segment has ended, and weir's is at /hls/APP/NAME/index.m3u8"
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		try = "the server wants to know who asks: see what belongs into the URL's query, and whether that has expired"
	case status >= 500:
		try = "the server fails: see its log, or try again"
	}
	return fmt.Errorf("%w: %w (%s)", errTarget, err, try)
}

// httpStatus is an answer that is none.
type httpStatus int

func (s httpStatus) Error() string { return fmt.Sprintf("HTTP %d", int(s)) }

// errBudget is why a check ended before it had seen all.
var errBudget = errors.New("not all was looked at: it would take more than")

// fetcher gets objects over HTTP, some of them ahead of time. What they take is
// bounded for each, for those that are held at a time, and over all of them.
type fetcher struct {
	client *http.Client
	stop   context.CancelCauseFunc // ends the check, when a budget is used up
	most   int64                   // bytes of all bodies
	wg     sync.WaitGroup
	// started are the requests under way, by URI, kind and range.
	started map[fetchKey]*fetching
	// ahead holds a token for each MiB that is held of what is not asked for yet.
	ahead chan struct{}

	read   atomic.Int64 // bytes of all bodies so far
	silent atomic.Int32 // time-outs in a row

	mu sync.Mutex
	// final is where a redirect led: what a playlist lists is relative to
	// that (RFC 3986, 5.1.3).
	final map[string]string
}

// fetching is a request under way.
type fetching struct {
	done   chan check.Object
	wanted chan struct{} // closed when the check waits for it
	tokens int           // of ahead, once done
}

type fetchKey struct {
	uri            string
	kind           check.Kind
	offset, length int64
}

func keyOf(w check.Want) fetchKey { return fetchKey{w.URI, w.Kind, w.Offset, w.Length} }

func newFetcher(reach *policy, most int64, stop context.CancelCauseFunc) *fetcher {
	transport := &http.Transport{
		Proxy:                  reach.via,
		DialContext:            reach.dial,
		DisableCompression:     true, // OBJ-GZIP wants to see it
		MaxIdleConnsPerHost:    2 * fetchAhead,
		MaxIdleConns:           8 * fetchAhead,
		IdleConnTimeout:        time.Minute,
		ResponseHeaderTimeout:  checkTimeout,
		TLSHandshakeTimeout:    checkTimeout,
		MaxResponseHeaderBytes: maxHeader,
		ForceAttemptHTTP2:      true,
	}
	client := &http.Client{Transport: transport, CheckRedirect: func(r *http.Request, before []*http.Request) error {
		r.Header.Del("Referer") // its query may be a secret of the server before
		if len(before) >= 10 {
			return errors.New("more than 10 redirects")
		}
		return nil
	}}
	return &fetcher{client: client, stop: stop, most: most, started: map[fetchKey]*fetching{}, ahead: make(chan struct{}, maxAhead>>20), final: map[string]string{}}
}

// close waits for what is still under way; the context of it is done.
func (f *fetcher) close() {
	f.wg.Wait()
	f.client.CloseIdleConnections()
}

// resolve resolves a reference in a playlist.
func (f *fetcher) resolve(base, ref string) string {
	f.mu.Lock()
	if final, ok := f.final[base]; ok {
		base = final
	}
	f.mu.Unlock()
	b, err := url.Parse(base)
	if err != nil {
		return ref
	}
	r, err := b.Parse(ref)
	if err != nil {
		return ref
	}
	return r.String()
}

// start begins to fetch an object, unless it is under way.
func (f *fetcher) start(ctx context.Context, w check.Want) *fetching {
	if g := f.started[keyOf(w)]; g != nil {
		return g
	}
	g := &fetching{done: make(chan check.Object, 1), wanted: make(chan struct{})}
	f.started[keyOf(w)] = g
	f.wg.Go(func() { g.done <- f.fetch(ctx, w, g) })
	return g
}

// take returns an object, fetched ahead or now.
func (f *fetcher) take(ctx context.Context, w check.Want) check.Object {
	g := f.start(ctx, w)
	close(g.wanted)
	o := <-g.done
	delete(f.started, keyOf(w))
	for range g.tokens {
		<-f.ahead
	}
	return o
}

// fetch gets one object.
func (f *fetcher) fetch(ctx context.Context, w check.Want, g *fetching) check.Object {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, w.URI, nil)
	if err != nil || r.URL.Scheme != "http" && r.URL.Scheme != "https" {
		return check.Object{Err: errors.New("not an HTTP URL")}
	}
	r.Header.Set("User-Agent", "weir-check")
	r.Header.Set("Origin", "https://example.com") // as a page's player: OBJ-CORS
	if w.Kind == check.Playlist {
		r.Header.Set("Accept-Encoding", "gzip")
	}
	if w.Length > 0 {
		r.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", w.Offset, w.Offset+w.Length-1))
	}
	resp, err := f.client.Do(r)
	if err != nil {
		return f.failed(ctx, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusPartialContent {
		return check.Object{Err: httpStatus(resp.StatusCode)}
	}
	body, err := f.body(ctx, resp, w, g)
	if err != nil {
		return f.failed(ctx, err)
	}
	f.silent.Store(0)
	final := resp.Request.URL.String()
	if final != w.URI {
		f.mu.Lock()
		f.final[w.URI] = final
		f.mu.Unlock()
	}
	return check.Object{Body: body, HTTP: true, Header: resp.Header, Redirected: resp.Request.Response != nil}
}

// failed is the object that could not be had. A server that lets one request
// after the other time out ends the check.
func (f *fetcher) failed(ctx context.Context, err error) check.Object {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) && f.silent.Add(1) >= maxSilent {
		f.stop(fmt.Errorf("%w %v for each of %d requests in a row", errBudget, checkTimeout, maxSilent))
	}
	return check.Object{Err: withoutURL(err)}
}

// body reads a body, unpacks it, and cuts out the range where the server sent
// all.
func (f *fetcher) body(ctx context.Context, resp *http.Response, w check.Want, g *fetching) ([]byte, error) {
	var from io.Reader = resp.Body
	if strings.EqualFold(resp.Header.Get("Content-Encoding"), "gzip") {
		z, err := gzip.NewReader(resp.Body)
		if err != nil {
			return nil, fmt.Errorf("unpack answer: %w", err)
		}
		from = z
	}
	from = &counted{from, f}
	whole := w.Length > 0 && resp.StatusCode == http.StatusOK
	if whole { // it knows no ranges
		if n, err := io.CopyN(io.Discard, from, w.Offset); err != nil || n < w.Offset {
			return nil, errors.Join(errRange, err)
		}
	}
	limit := int64(maxSegment)
	switch {
	case w.Length > 0:
		limit = min(limit, w.Length)
	case w.Kind == check.Playlist:
		limit = playlist.MaxPlaylist
	}
	body, err := f.fill(ctx, from, limit, g)
	switch {
	case err != nil:
		return nil, fmt.Errorf("read answer: %w", err)
	case whole && int64(len(body)) > limit:
		return body[:limit], nil
	case int64(len(body)) > limit && w.Kind == check.Playlist:
		return nil, fmt.Errorf("larger than %d MiB", playlist.MaxPlaylist>>20)
	case int64(len(body)) > limit:
		return nil, errSize
	case whole && int64(len(body)) < w.Length:
		return nil, errRange
	}
	return body, nil
}

// fill reads up to a byte more than limit. For each MiB it needs a token, until
// the check waits for this very object.
func (f *fetcher) fill(ctx context.Context, from io.Reader, limit int64, g *fetching) ([]byte, error) {
	var b bytes.Buffer
	for {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-g.wanted:
		case f.ahead <- struct{}{}:
			g.tokens++
		}
		n, err := io.CopyN(&b, from, min(1<<20, limit+1-int64(b.Len())))
		switch {
		case errors.Is(err, io.EOF):
			return b.Bytes(), nil
		case err != nil:
			return nil, err
		case n == 0 || int64(b.Len()) > limit:
			return b.Bytes(), nil
		}
	}
}

// counted counts the bytes of all bodies, and ends the check when they are too
// many.
type counted struct {
	io.Reader
	f *fetcher
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	if c.f.read.Add(int64(n)) > c.f.most {
		err = fmt.Errorf("%w %d MB: --max-bytes", errBudget, c.f.most/1e6)
		c.f.stop(err)
	}
	return n, err
}

// withoutURL leaves the URL out of an error: it may hold a secret, and the
// finding has the rest of it.
func withoutURL(err error) error {
	if e := (*url.Error)(nil); errors.As(err, &e) {
		err = e.Err
	}
	if errors.Is(err, errPrivate) {
		return errPrivate
	}
	return err
}
