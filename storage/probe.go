package storage

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"weir/media/object"
)

// Finding is what a Probe found out about one capability of a store.
type Finding struct {
	// Check says what was tried.
	Check string
	Level Level
	// Detail says what happened, where that was not what is wanted.
	Detail string
	// Advice says what to do about it.
	Advice string
	// Hopeless: no waiting makes it better. The store does not know the
	// credentials, or has no such bucket.
	Hopeless bool
}

// Level says what a Finding means for weir.
type Level string

// The levels.
const (
	Passed  Level = "ok"
	Limited Level = "limited" // weir works, with what Advice says
	Failed  Level = "failed"  // weir does not work with this store
)

// ProbeConfig says how viewers reach a store's objects. Nothing of it is
// checked where Base is empty: an origin will stand between.
type ProbeConfig struct {
	// Base is the URL below which viewers find the objects' keys: of the
	// bucket, or of the CDN before it.
	Base string
	// Origin is that of the page a player runs in; https://example.com
	// stands for any.
	Origin string
}

// probeTimeout bounds each group of checks.
const probeTimeout = 15 * time.Second

// Probe tries what weir asks of a store, with objects of its own below the key
// weir-probe/, which it deletes. It takes some thirty requests.
func Probe(ctx context.Context, s Store, c ProbeConfig) []Finding {
	p := &probe{store: s, prefix: "weir-probe/" + strings.ToLower(rand.Text())}
	defer p.clean(context.WithoutCancel(ctx))
	if !p.basics(ctx) {
		return p.findings
	}
	if p.conditions(ctx) {
		p.races(ctx)
	}
	p.upkeep(ctx)
	if c.Base != "" {
		p.viewers(ctx, c)
	}
	return p.findings
}

// probe is a Probe under way.
type probe struct {
	store    Store
	prefix   string
	findings []Finding
	late     bool // a check ran out of time
}

// found notes the outcome of a check: nil for what is wanted. It tells whether
// that was so. Of checks that ran out of time it notes the first: they say
// nothing of what the store can do.
func (p *probe) found(check string, err error, otherwise Level, advice string) bool {
	f := Finding{Check: check, Level: Passed}
	var advised *advisedError
	switch {
	case err == nil:
	case errors.Is(err, context.DeadlineExceeded) && len(p.findings) > 0:
		if p.late {
			return false
		}
		p.late = true
		f = Finding{check, Limited, err.Error(), adviceSlow, false}
	case errors.As(err, &advised): // the answer knows better than the question
		f = Finding{check, otherwise, strings.TrimSuffix(err.Error(), ": "+advised.try), advised.try, !errors.Is(err, ErrUnavailable)}
	default:
		f = Finding{check, otherwise, err.Error(), advice, false}
	}
	p.findings = append(p.findings, f)
	return err == nil
}

const (
	advicePut  = "allow s3:PutObject (and s3:PutObjectTagging where tags are set) on the prefix, check bucket, region, endpoint and credentials (AWS_…)"
	adviceGet  = "allow s3:GetObject on the prefix"
	adviceList = "allow s3:ListBucket on the bucket: without it S3 answers 403 for a missing object, and a worker cannot tell a playlist that is not there from one it may not read"
	adviceIf   = "the store does not support conditional writes: add conditional=false to its URL, and weir checks before it writes; two workers can then be at one playlist for the length of a write, until the lease decides"
	adviceRace = "the store checks conditions, but not together with the write: of two workers at one playlist both may believe to have written it, until the lease decides"
	adviceSlow = "the store is slow, and the rest of these checks was not tried: viewers will be behind by some of its answers"
	adviceLate = "the store is not strongly consistent: a player may see a playlist before its segment; put an origin before it (weir origin), or choose another store"
)

func (p *probe) key(name string) string { return p.prefix + "/" + name }

func (p *probe) object(name, body string) object.Object {
	return object.Object{Key: p.key(name), Body: []byte(body), ContentType: object.ContentType(name), CacheControl: probeCache}
}

// probeCache is the Cache-Control of a probed object.
const probeCache = "public, max-age=60"

// basics tells whether objects can be put and read at all.
func (p *probe) basics(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	etag, err := p.store.Put(ctx, p.object("a.ts", "first"), object.Condition{})
	if !p.found("put an object", err, Failed, advicePut) {
		return false
	}
	err = p.expect(ctx, "a.ts", "first", etag)
	if !p.found("read it back", err, Failed, adviceGet) {
		return false
	}
	for i := range 5 {
		body := fmt.Sprint("version ", i)
		if etag, err = p.store.Put(ctx, p.object("a.ts", body), object.Condition{}); err == nil {
			err = p.expect(ctx, "a.ts", body, etag)
		}
		if err != nil {
			break
		}
	}
	p.found("read after overwriting, five times", err, Limited, adviceLate)

	_, err = p.store.Stat(ctx, p.key("missing.ts"))
	p.found("a missing object is missing", wanted(err, object.ErrNotExist), Failed, adviceList)

	err = p.ranges(ctx)
	p.found("read a range", err, Limited, "players may seek slowly")
	return true
}

// expect reads an object and compares it.
func (p *probe) expect(ctx context.Context, name, want, etag string) error {
	body, info, err := p.store.Get(ctx, p.key(name))
	switch {
	case err != nil:
		return err
	case string(body) != want:
		return fmt.Errorf("read %.40q after writing %.40q", body, want)
	case info.ETag != etag:
		return fmt.Errorf("read ETag %s after writing %s", info.ETag, etag)
	}
	return nil
}

func (p *probe) ranges(ctx context.Context) error {
	r, _, err := p.store.Open(ctx, p.key("a.ts"))
	if err != nil {
		return err
	}
	defer r.Close()
	if _, err := r.Seek(2, io.SeekStart); err != nil {
		return err
	}
	got, err := io.ReadAll(r)
	if err == nil && string(got) != "rsion 4" {
		err = fmt.Errorf("read %.40q from byte 2 on, want %q", got, "rsion 4")
	}
	return err
}

// wanted turns an expected error into success.
func wanted(err, want error) error {
	switch {
	case errors.Is(err, want):
		return nil
	case err == nil:
		return fmt.Errorf("succeeded, want %w", want)
	}
	return err
}

// conditions tells whether writes can be conditional, at all. Where the store
// refuses even to try, all of weir's writes would fail.
func (p *probe) conditions(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	_, err := p.store.Put(ctx, p.object("b.ts", "first"), object.Condition{Absent: true})
	if errors.Is(err, errors.ErrUnsupported) {
		p.findings = append(p.findings, Finding{"create with If-None-Match", Failed, err.Error(), adviceIf, false})
		return false
	}
	p.found("create with If-None-Match", err, Limited, adviceIf)
	_, err = p.store.Put(ctx, p.object("a.ts", "second"), object.Condition{Absent: true})
	p.found("If-None-Match refuses to overwrite", wanted(err, object.ErrPrecondition), Limited, adviceIf)

	stale, err := p.store.Put(ctx, p.object("c.ts", "first"), object.Condition{})
	if err == nil {
		_, err = p.store.Put(ctx, p.object("c.ts", "second"), object.Condition{Match: stale})
	}
	p.found("overwrite with If-Match", err, Limited, adviceIf)
	_, _ = p.store.Put(ctx, p.object("c.ts", "third"), object.Condition{}) // a second failure would say no more
	_, err = p.store.Put(ctx, p.object("c.ts", "fourth"), object.Condition{Match: stale})
	p.found("If-Match refuses a stale ETag", wanted(err, object.ErrPrecondition), Limited, adviceIf)
	_, err = p.store.Put(ctx, p.object("none.ts", "fifth"), object.Condition{Match: stale})
	p.found("If-Match refuses to create", wanted(err, object.ErrPrecondition), Limited, adviceIf)
	return true
}

// races tells whether conditions hold where they matter.
func (p *probe) races(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	err := p.race(ctx, "race.ts", object.Condition{Absent: true})
	p.found("one of eight wins a race to create", err, Limited, adviceRace)
	etag, err := p.store.Put(ctx, p.object("race.ts", "before"), object.Condition{})
	if err == nil {
		err = p.race(ctx, "race.ts", object.Condition{Match: etag})
	}
	p.found("one of eight wins a race to overwrite", err, Limited, adviceRace)
}

func (p *probe) race(ctx context.Context, name string, c object.Condition) error {
	var winners atomic.Int32
	var racers sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		racers.Go(func() {
			_, err := p.store.Put(ctx, p.object(name, fmt.Sprint("racer ", i)), c)
			if err == nil {
				winners.Add(1)
			} else {
				errs[i] = wanted(err, object.ErrPrecondition)
			}
		})
	}
	racers.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if n := winners.Load(); n != 1 {
		return fmt.Errorf("%d of 8 won", n)
	}
	return nil
}

// upkeep tells whether objects can be found and removed, which sweepers need.
func (p *probe) upkeep(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	var listed []string
	var err error
	for info, listErr := range p.store.List(ctx, p.prefix+"/") {
		if err = listErr; err != nil {
			break
		}
		listed = append(listed, strings.TrimPrefix(info.Key, p.prefix+"/"))
	}
	if err == nil && (len(listed) < 2 || listed[0] != "a.ts" || !slices.Contains(listed, "c.ts")) {
		err = fmt.Errorf("listed %q after writing a.ts and c.ts", listed)
	}
	p.found("list objects", err, Limited, adviceList+"; weir store sweep and weir ls need it, too")

	if err = p.store.Delete(ctx, p.key("c.ts")); err == nil {
		_, err = p.store.Stat(ctx, p.key("c.ts"))
		err = wanted(err, object.ErrNotExist)
	}
	p.found("delete an object", err, Limited, "allow s3:DeleteObject to whoever runs weir store sweep or weir rm; workers need it only with --keep none and window")
}

// clean removes what the probe has written.
func (p *probe) clean(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for _, name := range []string{"a.ts", "b.ts", "c.ts", "none.ts", "race.ts"} {
		_ = p.store.Delete(ctx, p.key(name)) // or it says so in its finding
	}
}

// viewers tells whether players can read the objects by themselves.
func (p *probe) viewers(ctx context.Context, c ProbeConfig) {
	const (
		adviceAnonymous = "allow anonymous s3:GetObject on the prefix by a bucket policy, or put a CDN with origin access before the bucket, or serve by weir origin"
		adviceHeaders   = "let the CDN pass on Content-Type and Cache-Control as they are stored"
		adviceCORS      = "configure CORS on the bucket or the CDN: allowed origins *, methods GET and HEAD, headers Range, exposed headers Content-Length, Content-Range and ETag"
	)
	origin := c.Origin
	if origin == "" {
		origin = "https://example.com"
	}
	url := strings.TrimSuffix(c.Base, "/") + "/" + p.key("a.ts")
	get, body, err := p.ask(ctx, http.MethodGet, url, http.Header{"Origin": {origin}})
	if err == nil && body != "version 4" {
		err = fmt.Errorf("read %.40q", body)
	}
	if !p.found("read as a viewer", err, Limited, adviceAnonymous) {
		return
	}
	err = nil
	want := object.ContentType("a.ts")
	if t, cc := get.Get("Content-Type"), get.Get("Cache-Control"); t != want || cc != probeCache {
		err = fmt.Errorf("the answer's Content-Type is %q, want %q; its Cache-Control %q, want %q", t, want, cc, probeCache)
	}
	p.found("viewers see the headers", err, Limited, adviceHeaders)
	p.found("CORS: read from a page", allows(get, origin), Limited, adviceCORS)

	// Players ask so before a request for a range (Fetch, 4.8 "CORS-preflight fetch").
	preflight, _, err := p.ask(ctx, http.MethodOptions, url, http.Header{
		"Origin": {origin}, "Access-Control-Request-Method": {http.MethodGet}, "Access-Control-Request-Headers": {"range"},
	})
	if err == nil {
		err = allows(preflight, origin)
	}
	p.found("CORS: preflight for a range", err, Limited, adviceCORS)
}

// ask sends a request as anybody may.
func (p *probe) ask(ctx context.Context, method, url string, header http.Header) (http.Header, string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return nil, "", err
	}
	r.Header = header
	transport := http.DefaultTransport.(*http.Transport).Clone()
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport}).Do(r)
	if err != nil {
		return nil, "", err
	}
	defer response.Body.Close()
	var body bytes.Buffer
	_, err = body.ReadFrom(io.LimitReader(response.Body, 1<<10))
	if err == nil && response.StatusCode/100 != 2 {
		err = fmt.Errorf("%s %s: %s", method, url, response.Status)
	}
	return response.Header, body.String(), err
}

// allows tells whether an answer lets a page of the origin read it.
func allows(h http.Header, origin string) error {
	if got := h.Get("Access-Control-Allow-Origin"); got != "*" && got != origin {
		return fmt.Errorf("Access-Control-Allow-Origin is %q, want * or %s", got, origin)
	}
	return nil
}
