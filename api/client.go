package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"weir/media"
)

// Client asks a running weir.
type Client struct {
	base  string
	token string
	http  *http.Client
}

// Where stages answer over HTTP, where nobody says otherwise.
const (
	DefaultHTTP        = "localhost:8080" // of viewers, and of operators beside them
	DefaultIngestHTTP  = "localhost:8081"
	DefaultSegmentHTTP = "localhost:8082"
)

// askTimeout bounds one request, maxAnswer the bytes of its answer, maxProblem
// those of one that is an error.
const (
	askTimeout = 10 * time.Second
	maxAnswer  = 64 << 20
	maxProblem = 64 << 10
)

// ErrAddress says that what is to be asked is no address.
var ErrAddress = errors.New("want an address as in localhost:8080 or https://weir.example.net")

// NewClient asks the weir at address: a URL, or what that weir was given as
// its listener's address, as in localhost:8080, :8080 or unix:PATH. token is what changes
// need, or empty.
func NewClient(address, token string) (*Client, error) {
	c := &Client{token: token, http: &http.Client{Timeout: askTimeout}}
	if path, ok := strings.CutPrefix(address, socketScheme); ok {
		c.base = "http://weir" // a Host must be said, and means nothing here
		c.http.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		}}
		return c, nil
	}
	if !strings.Contains(address, "://") {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, fmt.Errorf("%w, not %q", ErrAddress, address)
		}
		address = "http://" + net.JoinHostPort(Reach(host), port)
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%w, not %q", ErrAddress, address)
	}
	c.base = strings.TrimSuffix(address, "/")
	return c, nil
}

// Reach is the host by which this machine reaches a listener: one on all
// addresses is on localhost.
func Reach(host string) string {
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		return "localhost"
	}
	return host
}

// RTMPPort is what an RTMP URL means that names none: IANA has it as
// macromedia-fcs.
const RTMPPort = 1935

// URLHost writes a listener's address as the host of a URL on this machine,
// without the port where it is the scheme's own.
func URLHost(address string, standard int) string {
	host, p, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	host = Reach(host)
	if p != strconv.Itoa(standard) {
		return net.JoinHostPort(host, p)
	}
	if strings.Contains(host, ":") { // an IPv6 address (RFC 3986, 3.2.2)
		return "[" + host + "]"
	}
	return host
}

// Streams lists the streams of these states, of all where none is given, over
// all pages.
func (c *Client) Streams(ctx context.Context, states ...string) ([]Stream, error) {
	all := []Stream{}
	v := url.Values{"limit": {strconv.Itoa(maxLimit)}}
	if len(states) > 0 {
		v.Set("state", strings.Join(states, ","))
	}
	for {
		var page Streams
		if err := c.ask(ctx, http.MethodGet, "/api/v1/streams?"+v.Encode(), &page); err != nil {
			return nil, err
		}
		all = append(all, page.Streams...)
		if page.Next == "" || page.Next <= v.Get("after") { // which never ends
			return all, nil
		}
		v.Set("after", page.Next)
	}
}

// Stream returns one stream.
func (c *Client) Stream(ctx context.Context, s media.Stream) (stream Stream, err error) {
	return stream, c.ask(ctx, http.MethodGet, "/api/v1/streams/"+s.String(), &stream)
}

// Kick ends the session that publishes a stream, and its broadcast.
func (c *Client) Kick(ctx context.Context, s media.Stream) error {
	return c.ask(ctx, http.MethodPost, "/api/v1/streams/"+s.String()+"/kick", nil)
}

// Ready returns nil if the process takes work.
func (c *Client) Ready(ctx context.Context) error {
	return c.ask(ctx, http.MethodGet, "/readyz", nil)
}

// Get reads what stands at a path of the server's: a playlist, say.
func (c *Client) Get(ctx context.Context, path string) ([]byte, error) {
	return c.do(ctx, http.MethodGet, path)
}

// ask makes one request, and reads its answer into v.
func (c *Client) ask(ctx context.Context, method, path string, v any) error {
	body, err := c.do(ctx, method, path)
	if err != nil || v == nil {
		return err
	}
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("ask weir: read the answer: %w", err)
	}
	return nil
}

// do makes one request, and returns the answer's body. An error that the API
// tells is a *Problem.
func (c *Client) do(ctx context.Context, method, path string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, c.base+path, nil)
	if err != nil {
		return nil, fmt.Errorf("ask weir: %w", err)
	}
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return nil, fmt.Errorf("ask weir: %w (is it running? --url says where)", err)
	}
	defer resp.Body.Close()
	failed, most := resp.StatusCode >= 300, int64(maxAnswer)
	if failed {
		most = maxProblem
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, most))
	if err != nil {
		return nil, fmt.Errorf("ask weir: read the answer: %w", err)
	}
	if failed {
		return nil, fmt.Errorf("ask weir: %w", problemOf(resp, body))
	}
	return body, nil
}

// maxDetail is how much is shown of an answer that is no problem of ours: a
// proxy's page, say.
const maxDetail = 200

// problemOf reads the error that an answer tells.
func problemOf(resp *http.Response, body []byte) *Problem {
	p := &Problem{Title: http.StatusText(resp.StatusCode), Status: resp.StatusCode}
	if kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err == nil && kind == problemType {
		var told Problem
		if json.Unmarshal(body, &told) == nil {
			p.Detail, p.Code = told.Detail, told.Code
			return p
		}
	}
	p.Detail = strings.TrimSpace(string(body[:min(len(body), maxDetail)]))
	return p
}
