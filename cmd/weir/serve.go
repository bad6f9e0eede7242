package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"

	"weir/api"
	"weir/bus"
	"weir/endpoint"
	"weir/storage"
)

// logShare is the part of --data-max that the frame log has at most.
const logShare = 4

func (c *serveCmd) Run(ctx context.Context, log *slog.Logger) error {
	return c.run(ctx, nil, log)
}

// run serves until ctx is done. own lets in who else need not be asked about;
// more are stages to end before all others.
func (c *serveFlags) run(ctx context.Context, own *ownKey, log *slog.Logger, more ...stage) error {
	if _, err := c.settings(); err != nil {
		return err
	}
	if err := c.natsFlags.check(c.Data); err != nil {
		return err
	}
	if err := c.rtmpFlags.checkAuth(c.Data, len(c.ProxyProtocol) > 0); err != nil {
		return err
	}
	way, watch, err := c.tlsFlags.open(log)
	if err != nil {
		return err
	}
	c.Store = c.Keep.Tag(c.Store)
	store, err := c.storeFlags.open(ctx, c.Data)
	if err != nil {
		return err
	}
	lock, err := c.lock()
	if err != nil {
		return err
	}
	defer lock.Close()
	room, err := c.room(log)
	if err != nil {
		return err
	}
	if c.Store == "" {
		store = room.Before(store)
	}
	metrics, nats, refused := newMetrics(), new(late), new(endpoint.Refusals)
	registerDisk(metrics, room)
	registerCertificates(metrics, way.certificates)
	registerStore(metrics, store)
	view := viewing{nats: nats, parts: parts(nats, store, false), store: store, segment: c.Segment,
		publish: c.rtmpFlags.publish(), data: c.Data, refused: refusals(refused)}
	web, err := c.httpFlags.stages(ctx, view, way, metrics, log)
	if err != nil {
		return err
	}
	work := c.natsFlags.work("serve", c.Data, nats, log, func(ctx context.Context, b *bus.Bus) ([]stage, error) {
		if c.NATS == "" && c.NATSFile == "" {
			b.HoldWhile(room.Full)
		}
		stages, err := c.rtmpFlags.stages(ctx, b, own, way, refused, metrics, log)
		if err != nil {
			return nil, err
		}
		worker, err := c.segmentFlags.stage(b, store, metrics, log, nil)
		if err != nil {
			return nil, err
		}
		log.Info("weir is ready", "publish", "rtmp://"+api.URLHost(c.RTMP, api.RTMPPort)+"/live/"+c.word(), "watch", c.page())
		return slices.Concat(more, stages, []stage{worker}), nil
	})
	return runStages(ctx, slices.Concat([]stage{work}, web, []stage{{"disk", room.Run}, watch}))
}

// publish is where encoders are told to go: by TLS, where that is.
func (f *rtmpFlags) publish() api.Publish {
	p := api.Publish{Port: port(f.RTMP), Open: f.anyone()}
	if f.RTMPS != "" {
		p.Port, p.Secure = port(f.RTMPS), true
	}
	return p
}

// lock keeps other processes off the data, if anything is kept here.
func (c *serveFlags) lock() (io.Closer, error) {
	if (c.NATS != "" || c.NATSFile != "") && c.Store != "" {
		return io.NopCloser(nil), nil
	}
	l, err := storage.LockData(c.Data, fmt.Sprintf("process %d, a weir with --http %s and --rtmp %s", os.Getpid(), c.HTTP, c.RTMP))
	if in := (*storage.InUseError)(nil); errors.As(err, &in) {
		return nil, fmt.Errorf("%w: end that one, or give this one a --data of its own", err)
	}
	return l, err
}

// room watches over the disk, if anything is kept there.
func (c *serveFlags) room(log *slog.Logger) (*storage.Disk, error) {
	if c.NATS != "" && c.Store != "" {
		return new(storage.Disk), nil
	}
	if c.DataMax > 0 {
		share := c.DataMax / logShare / byteSize(max(c.Shards, 1))
		if c.LogMax == 0 || c.LogMax > share {
			c.LogMax = share
		}
	}
	return storage.NewDisk(c.Data, int64(c.DataMax), log)
}

// page is the address of the page.
func (c *serveFlags) page() string {
	if c.BaseURL.url != nil {
		return strings.TrimSuffix(c.BaseURL.url.String(), "/") + "/"
	}
	return "http://" + api.URLHost(c.HTTP, 80) + "/"
}
