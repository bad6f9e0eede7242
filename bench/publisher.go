package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"weir/remux/flv"
	"weir/rtmp"
)

// chunkSize is what ffmpeg and OBS set, or near it.
const chunkSize = 4096

// cuts are a clip cut into chunks. All publishers share them: one at a time
// may use them.
type cuts struct {
	headers, loop []*rtmp.Cut
}

func newCuts(c *Clip) (cuts, error) {
	cut := func(tags []flv.Tag) (all []*rtmp.Cut, err error) {
		for _, t := range tags {
			k, err := rtmp.NewCut(t, chunkSize)
			if err != nil {
				return nil, fmt.Errorf("cut clip: %w", err)
			}
			all = append(all, k)
		}
		return all, nil
	}
	headers, err := cut(c.Headers)
	if err != nil {
		return cuts{}, err
	}
	loop, err := cut(c.Loop)
	return cuts{headers, loop}, err
}

// target is a publish URL taken apart, for streams NAME-0, NAME-1 ….
type target struct{ address, app, tcURL, name, query string }

// parseTarget takes apart rtmp://host[:port]/app/name[?query]. No error
// repeats the URL: its name may be a key.
func parseTarget(raw string) (target, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "rtmp" || u.Hostname() == "" {
		return target{}, errors.New("want rtmp://host[:port]/app/name")
	}
	path := strings.Trim(u.EscapedPath(), "/")
	cut := strings.LastIndexByte(path, '/')
	if cut < 1 {
		return target{}, errors.New("want rtmp://host[:port]/app/name")
	}
	t := target{address: u.Host, app: path[:cut], name: path[cut+1:], tcURL: "rtmp://" + u.Host + "/" + path[:cut]}
	if u.Port() == "" {
		t.address = net.JoinHostPort(u.Hostname(), "1935")
	}
	if u.RawQuery != "" {
		t.query = "?" + u.RawQuery
	}
	return t, nil
}

// publisher is one connection that publishes. The pacer alone calls its
// methods but hear, which runs beside them.
type publisher struct {
	name   string
	nc     net.Conn
	raw    syscall.RawConn
	stream uint32
	gone   chan error // why the server's end of the connection ended, once

	mu      sync.Mutex // client and reply
	client  *rtmp.Client
	reply   []byte      // what to answer the server
	replies atomic.Bool // reply is not empty

	due    time.Time // of the next tag
	began  time.Time // when the tag with timestamp 0 was due
	next   int       // in the loop
	base   uint32    // timestamp of the round's first tag
	rest   []byte    // of a tag that the socket did not take
	state  progress
	events chan cutEvent // nil: nobody watches
}

// progress is what a publisher has sent.
type progress struct {
	Video, Audio int64
	Bytes        int64
	// first is when the first frame was sent, last when the last picture was.
	first, last time.Time
}

// cutEvent is a key picture, where a server may cut.
type cutEvent struct {
	at    time.Duration // media time
	last  time.Time     // when the picture before it was sent
	key   time.Time     // when it was sent
	first bool          // of all
}

// dial connects and publishes.
func dial(ctx context.Context, t target, name string) (*publisher, error) {
	nc, err := new(net.Dialer).DialContext(ctx, "tcp", t.address)
	if err != nil {
		return nil, fmt.Errorf("publish: %w", err)
	}
	p := &publisher{name: name, nc: nc, gone: make(chan error, 1),
		client: rtmp.NewClient(rtmp.ClientConfig{App: t.app, TCURL: t.tcURL, Name: name + t.query, ChunkSize: chunkSize})}
	if p.raw, err = nc.(syscall.Conn).SyscallConn(); err == nil {
		err = p.shake(ctx)
	}
	if err != nil {
		_ = nc.Close() // it failed already
		return nil, fmt.Errorf("publish: %w", err)
	}
	p.stream = p.client.Stream()
	return p, nil
}

// shake does the dialogue until the server has accepted the publish.
func (p *publisher) shake(ctx context.Context) error {
	if deadline, ok := ctx.Deadline(); ok {
		if err := p.nc.SetDeadline(deadline); err != nil {
			return err
		}
	}
	stop := context.AfterFunc(ctx, func() { _ = p.nc.SetDeadline(time.Unix(1, 0)) }) // it fails on closed connections only
	defer stop()
	buf := make([]byte, 4<<10)
	for !p.client.Publishing() {
		if _, err := p.nc.Write(p.client.Output()); err != nil {
			return err
		}
		n, err := p.nc.Read(buf)
		if err != nil {
			return err
		}
		if _, err := p.client.Receive(time.Now(), buf[:n]); err != nil {
			return err
		}
	}
	return p.nc.SetDeadline(time.Time{})
}

// hear reads what the server says until the connection ends. What is to be
// answered, a ping say, waits in reply: only between two tags may it be sent.
func (p *publisher) hear() {
	buf := make([]byte, 4<<10)
	for {
		n, err := p.nc.Read(buf)
		if err == nil {
			p.mu.Lock()
			_, err = p.client.Receive(time.Now(), buf[:n])
			if out := p.client.Output(); len(out) > 0 {
				p.reply = append(p.reply, out...)
				p.replies.Store(true)
			}
			p.mu.Unlock()
		}
		if err != nil {
			p.gone <- err
			return
		}
	}
}

// takeReply returns what is to be answered, if anything is.
func (p *publisher) takeReply() []byte {
	if !p.replies.Load() {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.reply
	p.reply = nil
	p.replies.Store(false)
	return b
}

// send writes b, or keeps in rest what the socket does not take now.
func (p *publisher) send(b []byte) error {
	n, err := writeSome(p.raw, b)
	p.state.Bytes += int64(n)
	if err != nil {
		return fmt.Errorf("send to %s: %w", p.name, err)
	}
	if n < len(b) {
		p.rest = append(p.rest[:0], b[n:]...)
	}
	return nil
}

// turn sends the next tag, which is due, or what must go out before it.
func (p *publisher) turn(c *Clip, k cuts, now time.Time) error {
	if len(p.rest) > 0 {
		b := p.rest
		p.rest = p.rest[:0]
		return p.send(b)
	}
	if b := p.takeReply(); len(b) > 0 {
		return p.send(b)
	}
	t := &c.Loop[p.next]
	if err := p.send(k.loop[p.next].At(p.base+t.Timestamp, p.stream)); err != nil {
		return err
	}
	p.count(t, now)
	if p.next++; p.next == len(c.Loop) {
		p.next, p.base = 0, p.base+c.Length
	}
	p.due = p.began.Add(time.Duration(p.base+c.Loop[p.next].Timestamp) * time.Millisecond)
	return nil
}

// count notes what was sent, and tells who watches.
func (p *publisher) count(t *flv.Tag, now time.Time) {
	if t.Type == flv.TagAudio {
		p.state.Audio++
		return
	}
	p.state.Video++
	if p.state.first.IsZero() {
		p.state.first = now
	}
	if p.events != nil && flv.IsKeyframe(*t) {
		at := time.Duration(p.base+t.Timestamp) * time.Millisecond
		select {
		case p.events <- cutEvent{at, p.state.last, now, at == 0}:
		default: // the watcher hangs: it will say so
		}
	}
	p.state.last = now
}

// end ends the publish cleanly, as far as the server lets us within patience.
func (p *publisher) end(patience time.Duration) {
	_ = p.nc.SetDeadline(time.Now().Add(patience)) // what fails from here on, fails at the server
	if len(p.rest) > 0 {
		_, _ = p.nc.Write(p.rest)
	}
	p.mu.Lock()
	p.client.Unpublish()
	out := bytes.Clone(p.client.Output())
	p.mu.Unlock()
	_, _ = p.nc.Write(out)
	if w, ok := p.nc.(interface{ CloseWrite() error }); ok {
		_ = w.CloseWrite()
	}
}
