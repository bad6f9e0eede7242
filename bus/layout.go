package bus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Source is the rendition that an ingest publishes.
const Source = "source"

const (
	// maxConsumers is per stream; the server's own default of 1000 is too few
	// for one reader a broadcast.
	maxConsumers = 100_000
	// markerTTL is how long the marker of an expired key remains, for watchers
	// to see.
	markerTTL = time.Minute
	// shardsKey is the stream metadata that fixes the number of shards.
	shardsKey = "weir-shards"
	// defaultRetain: see Config.Retain.
	defaultRetain = 10 * time.Minute
)

// lay makes sure that streams and buckets are there, with the configuration
// that the code relies on.
func (b *Bus) lay(ctx context.Context, cfg Config) error {
	shards, err := b.layShards(ctx, cfg)
	if err != nil {
		return err
	}
	b.shards = shards
	for _, s := range shards {
		b.laid = append(b.laid, s.CachedInfo().Config)
	}
	if b.retain = shards[0].CachedInfo().Config.MaxAge; cfg.Retain != 0 {
		b.retain = cfg.Retain
	}
	for _, x := range []struct {
		name string
		to   **bucket
	}{{"weir-streams", &b.streams}, {"weir-state", &b.state}, {"weir-nodes", &b.nodes}} {
		s, err := b.ensure(ctx, bucketConfig(x.name, cfg), 0)
		if err != nil {
			return err
		}
		b.laid = append(b.laid, s.CachedInfo().Config)
		*x.to = &bucket{bus: b, stream: s, prefix: "$KV." + x.name + "."}
	}
	if b.server != nil {
		return b.nodes.clear(ctx) // whoever held a lease here died with its server
	}
	return nil
}

func (b *Bus) layShards(ctx context.Context, cfg Config) ([]jetstream.Stream, error) {
	first, err := b.ensure(ctx, shardConfig(0, cfg), cfg.NewMaxBytes)
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
	shards := []jetstream.Stream{first}
	for i := 1; i < n; i++ {
		s, err := b.ensure(ctx, shardConfig(i, cfg), cfg.NewMaxBytes)
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
		SubjectDeleteMarkerTTL: markerTTL,
	}
}

// ensure returns the stream, made if it is not there, updated if the
// configuration asks for something else. It tries until ctx ends: servers that
// are starting, or electing a leader, answer with all kinds of errors.
func (b *Bus) ensure(ctx context.Context, want jetstream.StreamConfig, newMaxBytes int64) (jetstream.Stream, error) {
	for try := 0; ; try++ {
		s, err := b.ensureOnce(ctx, want, newMaxBytes)
		if err == nil {
			return s, nil
		}
		if hopeless(err) {
			return nil, fmt.Errorf("set up stream %s: %w", want.Name, err)
		}
		if pause(ctx, try) != nil {
			return nil, fmt.Errorf("set up stream %s: %w (last: %w)", want.Name, context.Cause(ctx), err)
		}
	}
}

func (b *Bus) ensureOnce(ctx context.Context, want jetstream.StreamConfig, newMaxBytes int64) (jetstream.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	s, err := b.js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if want.MaxAge == 0 && want.MaxMsgsPerSubject == 0 {
			want.MaxAge = defaultRetain
		}
		if want.MaxBytes == 0 {
			want.MaxBytes = cmp.Or(newMaxBytes, -1)
		}
		if want.Replicas == 0 {
			want.Replicas = 1
		}
		return b.js.CreateStream(ctx, want)
	}
	if err != nil {
		return nil, err
	}
	have := s.CachedInfo().Config
	next := have
	next.AllowDirect = false
	if want.MaxAge != 0 {
		next.MaxAge = want.MaxAge
	}
	if want.MaxBytes != 0 {
		next.MaxBytes = want.MaxBytes
	}
	if want.Replicas != 0 {
		next.Replicas = want.Replicas
	}
	if next.MaxAge == have.MaxAge && next.MaxBytes == have.MaxBytes && next.Replicas == have.Replicas && next.AllowDirect == have.AllowDirect {
		return s, nil
	}
	b.log.Info("stream reconfigured", "stream", want.Name, "retain", next.MaxAge, "max_bytes", next.MaxBytes, "replicas", next.Replicas)
	return b.js.UpdateStream(ctx, next)
}

// hopeless tells whether trying again cannot help: the server understood, and
// said no. Peers that are missing may yet come, and two nodes that create the
// same stream differently will see it next time.
func hopeless(err error) bool {
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return false
	}
	const (
		noSuitablePeers     = 10005
		insufficientStorage = 10047
		invalidConfig       = 10052
	)
	switch api.ErrorCode {
	case insufficientStorage, invalidConfig:
		return true
	case noSuitablePeers, jetstream.JSErrCodeStreamNameInUse:
		return false
	}
	return api.Code == 400
}

// shard is where a broadcast's log lives.
func (b *Bus) shard(broadcast string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(broadcast)) // never fails, see hash.Hash
	return int(h.Sum32() % uint32(len(b.shards)))
}

// topic is the subject of one rendition's log, and the stream that keeps it.
func (b *Bus) topic(broadcast, rendition string) (subject string, stream jetstream.Stream) {
	i := b.shard(broadcast)
	return "weir.log." + strconv.Itoa(i) + "." + broadcast + "." + rendition, b.shards[i]
}
