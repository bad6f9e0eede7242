package bus

import (
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"weir/bus/internal/jet"
)

// Source is the rendition that an ingest publishes.
const Source = "source"

const (
	// maxConsumers is per stream; the server's own default of 1000 is too few
	// for one reader a broadcast.
	maxConsumers = 100_000
	// shardsKey is the stream metadata that fixes the number of shards.
	shardsKey = "weir-shards"
)

// lay makes sure that streams and buckets are there, with the configuration
// that the code relies on.
func (b *Bus) lay(ctx context.Context, cfg Config) error {
	shards, err := b.layShards(ctx, cfg)
	if err != nil {
		return err
	}
	b.shards = shards
	if b.retain = shards[0].CachedInfo().Config.MaxAge; cfg.Retain != 0 {
		b.retain = cfg.Retain
	}
	for _, x := range []struct {
		name string
		to   **jet.Bucket
	}{{"weir-streams", &b.streams}, {"weir-state", &b.state}, {"weir-work", &b.work}, {"weir-nodes", &b.nodes}} {
		s, err := b.conn.Ensure(ctx, bucketConfig(x.name, cfg), fresh(0))
		if err != nil {
			return err
		}
		*x.to = jet.NewBucket(s, x.name)
	}
	if b.jobs, err = b.conn.Ensure(ctx, jobsConfig(cfg), fresh(0)); err != nil {
		return err
	}
	if b.conn.Embedded() {
		return b.nodes.Clear(ctx) // whoever held a lease here died with its server
	}
	return nil
}

// fresh completes the configuration of a stream that is not there yet.
func fresh(maxBytes int64) func(*jetstream.StreamConfig) {
	return func(c *jetstream.StreamConfig) {
		if c.MaxAge == 0 && c.MaxMsgsPerSubject == 0 {
			c.MaxAge = DefaultRetain
		}
		if c.MaxBytes == 0 {
			c.MaxBytes = cmp.Or(maxBytes, -1)
		}
		if c.Replicas == 0 {
			c.Replicas = 1
		}
	}
}

func (b *Bus) layShards(ctx context.Context, cfg Config) ([]*jet.Stream, error) {
	first, err := b.conn.Ensure(ctx, shardConfig(0, cfg), fresh(cfg.NewMaxBytes))
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(first.CachedInfo().Config.Metadata[shardsKey])
	if err != nil || n < 1 {
		return nil, fmt.Errorf("stream %s was not made by weir: no %s in its metadata", shardConfig(0, cfg).Name, shardsKey)
	}
	if cfg.Shards != 0 && cfg.Shards != n {
		return nil, fmt.Errorf("the log has %d shards, not %d: their number is fixed when it is created", n, cfg.Shards)
	}
	shards := []*jet.Stream{first}
	for i := 1; i < n; i++ {
		s, err := b.conn.Ensure(ctx, shardConfig(i, cfg), fresh(cfg.NewMaxBytes))
		if err != nil {
			return nil, err
		}
		shards = append(shards, s)
	}
	return shards, nil
}

// shardConfig is one shard of the log. Direct reads are off: they are answered
// by any replica, and were seen to be stale.
func shardConfig(i int, cfg Config) jetstream.StreamConfig {
	c := jetstream.StreamConfig{
		Name:         fmt.Sprintf("WEIR_LOG_%d", i),
		Description:  "weir's frame log: batches of FLV tags",
		Subjects:     []string{fmt.Sprintf("weir.log.%d.*.*", i)},
		MaxAge:       cfg.Retain,
		MaxBytes:     cfg.MaxBytes,
		Replicas:     cfg.Replicas,
		Storage:      jetstream.FileStorage,
		Discard:      jetstream.DiscardOld,
		MaxConsumers: maxConsumers,
		Duplicates:   100 * time.Millisecond, // unused: the expected sequence does it
	}
	if i == 0 {
		c.Metadata = map[string]string{shardsKey: strconv.Itoa(max(cfg.Shards, 1))}
	}
	return c
}

// bucketConfig is a NATS key-value bucket, as its tools expect one, but with
// direct reads off.
func bucketConfig(name string, cfg Config) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:                   "KV_" + name,
		Subjects:               []string{"$KV." + name + ".>"},
		MaxMsgsPerSubject:      1,
		MaxBytes:               -1,
		Replicas:               cfg.Replicas,
		Storage:                jetstream.FileStorage,
		Discard:                jetstream.DiscardNew,
		MaxConsumers:           maxConsumers,
		Duplicates:             100 * time.Millisecond,
		AllowRollup:            true,
		DenyDelete:             true,
		AllowMsgTTL:            true,
		SubjectDeleteMarkerTTL: jet.MarkerTTL,
	}
}

// shard is where a broadcast's log lives.
func (b *Bus) shard(broadcast string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(broadcast)) // never fails, see hash.Hash
	return int(h.Sum32() % uint32(len(b.shards)))
}

// topic is the subject of one rendition's log, and the stream that keeps it.
func (b *Bus) topic(broadcast, rendition string) (subject string, stream *jet.Stream) {
	i := b.shard(broadcast)
	return "weir.log." + strconv.Itoa(i) + "." + broadcast + "." + rendition, b.shards[i]
}
