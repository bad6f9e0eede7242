package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"

	"weir/origin"
)

// serveCmd runs everything in one process.
type serveCmd struct {
	serveFlags
}

// serveFlags are those of serve and demo.
type serveFlags struct {
	Data    string   `help:"Directory of the embedded NATS server and of the objects." default:"./weir-data" placeholder:"DIR"`
	DataMax byteSize `help:"Most bytes under --data: at most a quarter for the frame log, the rest for objects. Absent: what the disk has." placeholder:"SIZE"`
	rtmpFlags
	httpFlags
	segmentFlags
	natsFlags
	storeFlags
}

// logShare is the part of --data-max that the frame log has at most.
const logShare = 4

func (c *serveCmd) Run(ctx context.Context, log *slog.Logger) error {
	return c.run(ctx, log)
}

// run serves until ctx is done. more are stages to end before all others.
func (c *serveFlags) run(ctx context.Context, log *slog.Logger, more ...stage) error {
	if _, err := c.settings(); err != nil {
		return err
	}
	room, err := c.room(log)
	if err != nil {
		return err
	}
	c.Store = c.Keep.tag(c.Store)
	store, err := c.storeFlags.open(ctx, c.Data)
	if err != nil {
		return err
	}
	if c.Store == "" {
		store = diskStore{store, room}
	}
	b, err := c.natsFlags.open(ctx, c.Data, log)
	if err != nil {
		return err
	}
	defer closeBus(b, log)
	if c.NATS == "" {
		b.HoldWhile(room.full.Load)
	}
	registry := newRegistry()
	room.register(registry)
	registerStore(registry, store)
	stages, err := c.rtmpFlags.stages(ctx, b, registry, log)
	if err != nil {
		return err
	}
	worker, err := c.segmentFlags.stage(b, store, registry, log, nil)
	if err != nil {
		return err
	}
	view := viewing{bus: b, store: store, segment: c.Segment, publish: origin.Publish{Port: port(c.RTMP), Open: true}}
	web, err := c.httpFlags.stage(ctx, view, registry, log)
	if err != nil {
		return err
	}
	log.Info("weir is ready", "publish", "rtmp://"+visible(c.RTMP, 1935)+"/live/NAME", "watch", c.page())
	return runStages(ctx, append(append(more, stages...), worker, web, stage{"disk", room.run}))
}

// room watches over the disk, if anything is kept there.
func (c *serveFlags) room(log *slog.Logger) (*disk, error) {
	if c.NATS != "" && c.Store != "" {
		return new(disk), nil
	}
	if c.DataMax > 0 {
		share := c.DataMax / logShare / byteSize(max(c.Shards, 1))
		if c.LogMax == 0 || c.LogMax > share {
			c.LogMax = share
		}
	}
	return newDisk(c.Data, int64(c.DataMax), log)
}

// page is the address of the page.
func (c *serveFlags) page() string {
	if c.BaseURL != nil {
		return strings.TrimSuffix(c.BaseURL.String(), "/") + "/"
	}
	return "http://" + visible(c.HTTP, 80) + "/"
}

// visible is a listener's address as one writes it in a URL on this machine.
func visible(address string, standard int) string {
	host, p, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	if host == "" || net.ParseIP(host) != nil && net.ParseIP(host).IsUnspecified() {
		host = "localhost"
	}
	if p == fmt.Sprint(standard) {
		if ip := net.ParseIP(host); ip != nil && ip.To4() == nil {
			return "[" + host + "]"
		}
		return host
	}
	return net.JoinHostPort(host, p)
}
