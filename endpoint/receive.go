package endpoint

import (
	"context"
	"time"

	"weir/media"
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
	events, broken := c.rtmp.Receive(now, p)
	for i := range events {
		if e := c.handle(life, arrived, &events[i]); e != nil {
			return e
		}
	}
	if broken != nil {
		return brokenRule(broken)
	}
	if c.session == nil && c.rtmp.Partial() > strangerPartial {
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
	case rtmp.EventTag:
		return c.tag(life, arrived, ev.StreamID, ev.Tag)
	case rtmp.EventUnpublish:
		if c.session != nil && c.streamID == ev.StreamID {
			c.endSession(life, unpublished)
			c.began = time.Now()
		}
	}
	return nil
}

// tag gives a tag to the session, and waits if that has had enough: a read may
// hold thousands. Tags of another publish, which a newer one on this connection
// has replaced, are passed over.
func (c *conn) tag(life context.Context, arrived time.Time, streamID uint32, t flv.Tag) *ending {
	if c.session == nil || c.streamID != streamID {
		return nil
	}
	full, err := c.session.Tag(arrived, t)
	if err != nil {
		return failed(err, "The server cannot take the stream.")
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

// publish begins a session. A publish on a connection that publishes already,
// as Wirecast does it, takes the place of the one before.
func (c *conn) publish(life context.Context, ev *rtmp.Event) *ending {
	ctx, cancel := context.WithTimeout(life, c.cfg.PublishTimeout)
	defer cancel()
	remote := c.nc.RemoteAddr().String()
	stream, err := c.cfg.Auth.Authorize(ctx, Request{
		App: ev.App, TCURL: ev.TCURL, Name: ev.Name, Query: ev.Query, Remote: remote,
	})
	if err != nil {
		e := unauthorized(err)
		e.streamID = ev.StreamID
		return e
	}
	if c.session != nil {
		e := republished
		if c.stream != stream {
			e = unpublished
		}
		c.endSession(life, e)
	}
	if c.drainBy.Load() != nil {
		return drained
	}
	session, err := c.cfg.Publisher.Publish(ctx, stream, remote, c.poke)
	if err != nil {
		e := failed(err, "The server cannot take the stream now.")
		e.streamID, e.stream = ev.StreamID, stream
		return e
	}
	c.session, c.stream, c.streamID = session, stream, ev.StreamID
	c.got, c.more = 0, false
	c.rtmp.Accept(ev.StreamID)
	return nil
}

// endSession ends the session.
func (c *conn) endSession(life context.Context, why *ending) {
	s := c.session
	c.session, c.stream = nil, media.Stream{}
	s.End(life, why.Ending)
}
