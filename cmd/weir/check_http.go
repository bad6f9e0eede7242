package main

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"weir/check"
)

const (
	// checkTimeout bounds one request of a check, maxFetched its answer.
	checkTimeout = 30 * time.Second
	maxFetched   = 256 << 20
	// fetchAhead is how many segments are fetched at a time.
	fetchAhead = 4
)

var errFetched = errors.New("larger than 256 MiB")

// checkURL checks the presentation at a URL, and follows it for as long as
// watch says.
func checkURL(ctx context.Context, target string, watch time.Duration, show *progress) (check.Report, error) {
	if u, err := url.Parse(target); err != nil || u.Host == "" {
		return check.Report{}, usagef("check: this is no URL of a playlist")
	}
	ctx, cancel := context.WithCancel(ctx)
	f := newFetcher()
	defer f.close()
	defer cancel()
	checker := check.New(target, check.Config{Watch: watch > 0, Resolve: f.resolve})
	get := func(ctx context.Context, w check.Want) check.Object {
		for _, next := range checker.Ahead(fetchAhead) {
			f.start(ctx, next)
		}
		return f.take(ctx, w)
	}
	return follow(ctx, checker, watch, get, show), nil
}

// fetcher gets objects over HTTP, some of them ahead of time.
type fetcher struct {
	client *http.Client
	wg     sync.WaitGroup
	// started are the requests under way, by URI, kind and range.
	started map[fetchKey]chan check.Object

	mu sync.Mutex
	// final is where a redirect led: what a playlist lists is relative to
	// that (RFC 3986, 5.1.3).
	final map[string]string
}

type fetchKey struct {
	uri            string
	kind           check.Kind
	offset, length int64
}

func keyOf(w check.Want) fetchKey { return fetchKey{w.URI, w.Kind, w.Offset, w.Length} }

func newFetcher() *fetcher {
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DisableCompression:    true, // OBJ-GZIP wants to see it
		MaxIdleConnsPerHost:   2 * fetchAhead,
		IdleConnTimeout:       time.Minute,
		ResponseHeaderTimeout: checkTimeout,
		ForceAttemptHTTP2:     true,
	}
	return &fetcher{client: &http.Client{Transport: transport}, started: map[fetchKey]chan check.Object{}, final: map[string]string{}}
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
func (f *fetcher) start(ctx context.Context, w check.Want) {
	if f.started[keyOf(w)] != nil {
		return
	}
	done := make(chan check.Object, 1)
	f.started[keyOf(w)] = done
	f.wg.Go(func() { done <- f.fetch(ctx, w) })
}

// take returns an object, fetched ahead or now.
func (f *fetcher) take(ctx context.Context, w check.Want) check.Object {
	f.start(ctx, w)
	o := <-f.started[keyOf(w)]
	delete(f.started, keyOf(w))
	return o
}

// fetch gets one object.
func (f *fetcher) fetch(ctx context.Context, w check.Want) check.Object {
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
		return check.Object{Err: withoutURL(err)}
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusPartialContent {
		return check.Object{Err: fmt.Errorf("HTTP %d", resp.StatusCode)}
	}
	body, err := readBody(resp, w)
	if err != nil {
		return check.Object{Err: withoutURL(err)}
	}
	final := resp.Request.URL.String()
	if final != w.URI {
		f.mu.Lock()
		f.final[w.URI] = final
		f.mu.Unlock()
	}
	return check.Object{Body: body, HTTP: true, Header: resp.Header, Redirected: resp.Request.Response != nil}
}

// readBody reads a body of a bounded size, unpacks it, and cuts out the range
// where the server sent all.
func readBody(resp *http.Response, w check.Want) ([]byte, error) {
	var from io.Reader = resp.Body
	if strings.EqualFold(resp.Header.Get("Content-Encoding"), "gzip") {
		z, err := gzip.NewReader(resp.Body)
		if err != nil {
			return nil, fmt.Errorf("unpack answer: %w", err)
		}
		from = z
	}
	body, err := io.ReadAll(io.LimitReader(from, maxFetched+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read answer: %w", err)
	case len(body) > maxFetched:
		return nil, errFetched
	case w.Length > 0 && resp.StatusCode == http.StatusOK:
		if int64(len(body)) < w.Offset+w.Length {
			return nil, errors.New("shorter than its byte range")
		}
		return body[w.Offset : w.Offset+w.Length], nil
	}
	return body, nil
}

// withoutURL leaves the URL out of an error: it may hold a secret, and the
// finding has the rest of it.
func withoutURL(err error) error {
	if e := (*url.Error)(nil); errors.As(err, &e) {
		return e.Err
	}
	return err
}
