package main

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"weir/bus"
	"weir/hls"
	"weir/storage"
)

// natsFlags say where the frame log is.
type natsFlags struct {
	NATS      string        `name:"nats" help:"NATS servers, as in nats://host:4222. Absent: an embedded server under --data." placeholder:"URL"`
	NATSCreds string        `name:"nats-creds" help:"NATS credentials file." placeholder:"FILE"`
	NATSCA    string        `name:"nats-ca" help:"PEM file with the authority of the NATS servers' certificates." placeholder:"FILE"`
	Node      string        `help:"What this process is called in the registry. Absent: the host's name." placeholder:"NAME"`
	Retain    time.Duration `help:"How long the frame log keeps frames. Absent: as it does, or 10m where it is created." placeholder:"DURATION"`
	Replicas  int           `help:"Copies of the log and the registry that NATS keeps. Absent: as it does, or 1 where they are created." placeholder:"N"`
	Shards    int           `help:"JetStream streams that share the log, fixed when it is created. Absent: as many as there are, or 1." placeholder:"N"`
	LogMax    byteSize      `name:"log-max" help:"Most bytes of frame log on disk, per shard; the oldest goes first. Absent: as it is, or 8GB where it is created." placeholder:"SIZE"`
}

// newLogMax bounds a shard that is created without --log-max.
const newLogMax = 8 << 30

func (f *natsFlags) open(ctx context.Context, data string, log *slog.Logger) (*bus.Bus, error) {
	if f.NATS == "" && data == "" {
		return nil, usagef("--nats is missing: this stage shares a NATS server with the others (weir serve embeds one)")
	}
	b, err := bus.Open(ctx, bus.Config{
		URL: f.NATS, Dir: filepath.Join(data, "nats"), Creds: f.NATSCreds, CA: f.NATSCA,
		Node: f.Node, Retain: f.Retain, Replicas: f.Replicas, Shards: f.Shards, MaxBytes: int64(f.LogMax), NewMaxBytes: newLogMax, Log: log,
	})
	if err != nil {
		return nil, fmt.Errorf("open the frame log: %w", err)
	}
	return b, nil
}

// storeFlags say where objects go.
type storeFlags struct {
	Store string `help:"Where objects go: file:///path or s3://bucket/prefix?endpoint=…&region=…&path-style=true. Absent: under --data." placeholder:"URL"`
}

func (f *storeFlags) open(ctx context.Context, data string) (storage.Store, error) {
	raw := f.Store
	if raw == "" {
		if data == "" {
			return nil, usagef("--store is missing: file:///path or s3://bucket")
		}
		abs, err := filepath.Abs(filepath.Join(data, "objects"))
		if err != nil {
			return nil, fmt.Errorf("find the store: %w", err)
		}
		raw = "file://" + filepath.ToSlash(abs)
	}
	s, err := storage.Open(ctx, raw)
	if err != nil {
		return nil, usagef("--store: %v", err)
	}
	return s, nil
}

// segmentFlags say how broadcasts that begin now are cut.
type segmentFlags struct {
	Segment  time.Duration `help:"Wished duration of a segment; the encoder's key frames decide." default:"4s"`
	Window   time.Duration `help:"How much of the show a live playlist lists." default:"60s"`
	Keep     keep          `help:"How long objects stay: forever; a duration as in 720h, by the tag weir-keep and a lifecycle rule, or weir store sweep; window: while live, only what players may ask for; none: that, and a tag to remove the rest." default:"forever"`
	Capacity int           `help:"Most broadcasts that this process packages at once." default:"500"`
	// What runs ahead where a store takes longer for a request than a segment lasts.
	UploadAhead    byteSize `help:"Memory for segments that are uploaded while an older one of their broadcast still is, over all broadcasts; 0: one after the other." default:"64MB"`
	UploadRequests int      `help:"Most such uploads at once." default:"64"`
}

func (f *segmentFlags) settings() (hls.Settings, error) {
	s := hls.Settings{Segment: f.Segment, Window: f.Window, Forget: f.Keep.window}
	if err := s.Check(); err != nil {
		return s, usagef("--segment, --window: %v", err)
	}
	return s, nil
}

// byteSize is a number of bytes with an optional unit, 1024-based.
type byteSize int64

// UnmarshalText reads 512, 64KB, 8MB, 1.5GB.
func (b *byteSize) UnmarshalText(text []byte) error {
	s := strings.ToUpper(strings.TrimSpace(string(text)))
	factor := 1.0
	for i, unit := range []string{"KB", "MB", "GB", "TB"} {
		if n, ok := strings.CutSuffix(s, unit); ok {
			s, factor = n, float64(int64(1)<<(10*(i+1)))
		}
	}
	var n float64
	if _, err := fmt.Sscanf(s+"\n", "%g\n", &n); err != nil || n < 0 {
		return fmt.Errorf("want a size as in 512MB or 8GB")
	}
	*b = byteSize(n * factor)
	return nil
}
