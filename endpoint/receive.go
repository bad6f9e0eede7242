package endpoint

import (
	"context"
	"crypto/tls"
	"log/slog"
	"slices"
	"time"

	"weir/media"
	"weir/media/publishing"
	"weir/remux/flv"
	"weir/rtmp"
)

// maxEvents is how many events the protocol makes at once, about. They take up
// to sixty times the bytes that they are made of, and a session that is full
// makes them wait.
const maxEvents = 1024

// receive gives bytes to the protocol, and does what comes out of it.
func (c *conn) receive(life context.Context, p []byte) *ending {
	c.cfg.Metrics.received.Add(float64(len(p)))
	for {
		if e := c.events(life, p); e != nil {
			return e
		}
		if !c.rtmp.More() {
			return c.flush()
		}
		p = nil
	}
}

// events does what comes out of p, or of what the last Receive has left.
func (c *conn) events(life context.Context, p []byte) *ending {
	now := time.Now()
	arrived := now
	if !c.napped.IsZero() {
		arrived = c.napped // how long a frame has waited includes the nap
	}
	switch len(c.sessions) {
	case 0:
		if c.talk -= len(p); c.talk < 0 {
			return brokenRule(errTalk)
		}
	case 1:
		c.sessions[0].read += len(p)
	}
	events, broken := c.rtmp.Receive(now, p)
	for i := range events {
		if e := c.handle(life, arrived, &events[i]); e != nil {
			return e
		}
	}
	c.tellPassedOver()
	if broken != nil {
		return brokenRule(broken)
	}
	if len(c.sessions) == 0 && c.rtmp.Partial() > strangerPartial {
		return brokenRule(errLargeMessage)
	}
	return nil
}

func (c *conn) handle(life context.Context, arrived time.Time, ev *rtmp.Event) *ending {
	switch ev.Type {
	case rtmp.EventConnect:
		c.told, c.began = true, arrived
	case rtmp.EventPublish:
		return c.publish(life, ev)
	case rtmp.EventReject:
		return rejected(ev.Failed)
	case rtmp.EventTag:
		return c.tag(life, arrived, ev.StreamID, ev.Tag)
	case rtmp.EventUnpublish:
		if i := c.find(ev.StreamID); i >= 0 {
			c.endSession(life, i, unpublished)
		}
	}
	return nil
}

// published is a session and the RTMP message stream of its publish.
type published struct {
	Session
	id    uint32
	grant publishing.Grant
	// read is how many bytes came since the last Plan. Where several sessions
	// share the connection, only those of tags are known to be one's own.
	read int
}

// find returns the index of the session on a message stream, or -1.
func (c *conn) find(id uint32) int {
	for i := range c.sessions {
		if c.sessions[i].id == id {
			return i
		}
	}
	return -1
}

// tag gives a tag to its session, and waits if that has had enough: a read may
// hold thousands. Tags of a publish that a newer one of the same stream has
// replaced, on this connection, are passed over.
func (c *conn) tag(life context.Context, arrived time.Time, streamID uint32, t flv.Tag) *ending {
	i := c.find(streamID)
	if i < 0 {
		c.stray++
		return nil
	}
	if !c.known && t.Type != flv.TagScript {
		c.settle(true)
	}
	if len(c.sessions) > 1 {
		c.sessions[i].read += len(t.Data)
	}
	full, err := c.sessions[i].Tag(arrived, t)
	if err != nil {
		return c.failed(life, i, err, "The server cannot take the stream.")
	}
	if !full {
		return nil
	}
	if e := c.flush(); e != nil {
		return e
	}
	_, e := c.plan(life, time.Now())
	return e
}

// settle tells that the peer has shown what it came for, or has ended that. A
// tunnel has HTTP connections to tell.
func (c *conn) settle(known bool) {
	c.known = known
	if known {
		c.place.Settle()
	} else {
		c.place.Unsettle()
	}
	if t, ok := c.nc.(interface{ settle(known bool) }); ok {
		t.settle(known)
	}
}

// publish begins a session. A publish of a stream that this connection
// publishes already, as Wirecast does it, takes the place of the one before.
func (c *conn) publish(life context.Context, ev *rtmp.Event) *ending {
	ctx, cancel := context.WithTimeout(life, c.cfg.PublishTimeout)
	defer cancel()
	remote := c.nc.RemoteAddr().String()
	peer := Peer{Remote: remote, Encoder: ev.Encoder, Transport: c.transport()}
	if !c.server.publishes.take(time.Now(), c.nc.RemoteAddr()) {
		return c.refusePublish(ev.StreamID, peer, tooOften)
	}
	grant, err := c.authorize(ctx, Request{
		App: ev.App, TCURL: ev.TCURL, Name: ev.Name, Query: ev.Query, User: ev.User,
		Remote: remote, Encoder: peer.Encoder, Transport: peer.Transport,
	})
	if err != nil {
		return c.refusePublish(ev.StreamID, peer, unauthorized(err))
	}
	for i := range c.sessions {
		if c.sessions[i].grant.Stream == grant.Stream {
			c.endSession(life, i, republished)
			break
		}
	}
	if c.drainBy.Load() != nil {
		c.cfg.Auth.Release(grant)
		return drained
	}
	session, err := c.cfg.Publisher.Publish(ctx, grant, peer, c.poke)
	if err != nil {
		c.cfg.Auth.Release(grant)
		e := failed(err, "The server cannot take the stream now.")
		e.stream = grant.Stream
		return c.refusePublish(ev.StreamID, peer, e)
	}
	c.talk = strangerTail
	c.sessions = append(c.sessions, published{Session: session, id: ev.StreamID, grant: grant})
	c.more = false
	c.rtmp.Accept(ev.StreamID)
	return nil
}

// transport is how the peer came.
func (c *conn) transport() string {
	name := "rtmp"
	switch t := c.nc.(type) {
	case interface{ Transport() string }:
		name = t.Transport()
	case *tls.Conn:
		name = "rtmps"
	}
	if c.rtmp.Encrypted() {
		name += "e"
	}
	return name
}

// authorize asks Auth, after what is wrong in any case.
func (c *conn) authorize(ctx context.Context, r Request) (publishing.Grant, error) {
	if err := checkNames(r.App, r.Name); err != nil {
		return publishing.Grant{}, err
	}
	return c.cfg.Auth.Authorize(ctx, r)
}

// refusePublish is the end of a connection whose publish is refused, unless it
// publishes something else: that goes on.
func (c *conn) refusePublish(id uint32, peer Peer, e *ending) *ending {
	c.cfg.Refusals.add(Refused{
		At: time.Now(), Reason: e.Reason, Text: e.text, Remote: peer.Remote, Transport: peer.Transport, Encoder: peer.Encoder,
	})
	if len(c.sessions) == 0 {
		refused := *e
		refused.streamID = id
		return &refused
	}
	c.rtmp.Refuse(id, e.code, e.text)
	c.report(e)
	return nil
}

// failed is the end of the session at index i by an error of its own, and of
// the connection if there is no other.
func (c *conn) failed(life context.Context, i int, err error, text string) *ending {
	e := failed(err, text)
	if len(c.sessions) == 1 {
		return e
	}
	if e.code != "" {
		c.rtmp.Refuse(c.sessions[i].id, e.code, e.text)
	}
	c.endSession(life, i, e)
	return nil
}

// endSession ends the session at index i.
func (c *conn) endSession(life context.Context, i int, why *ending) {
	s := c.sessions[i]
	c.sessions = slices.Delete(c.sessions, i, i+1)
	c.began = time.Now()
	if len(c.sessions) == 0 && c.known {
		c.settle(false)
	}
	end, passed := why.Ending, c.passedOver()
	end.NoPublish, end.NoScript = passed.NoPublish-c.passed.NoPublish, passed.NoScript-c.passed.NoScript
	c.passed = passed
	s.End(life, end)
	c.cfg.Auth.Release(s.grant)
	c.began = time.Now() // the end may have waited for the log
}

// passedOver is what of the connection reaches no session, since it began.
func (c *conn) passedOver() rtmp.Dropped {
	d := c.rtmp.Dropped()
	d.NoPublish += c.stray
	return d
}

// tellPassedOver says once that media reaches no session: an encoder that is
// accepted and shows nothing is looked for everywhere else.
func (c *conn) tellPassedOver() {
	if c.toldPassed || len(c.sessions) == 0 || c.passedOver().NoPublish == c.passed.NoPublish {
		return
	}
	c.toldPassed = true
	c.server.lines.write(slog.LevelWarn, "left out of what viewers see", media.DropStream.String(),
		slog.String("what", media.DropStream.Sentence()), slog.String("remote", c.nc.RemoteAddr().String()), slog.String("stream", c.sessions[0].grant.Stream.String()))
}
