// Package bus keeps what must survive a process on NATS JetStream: the frame
// log, the registry of streams, and who owns which broadcast and how far it
// is. It is the only importer of nats.go and nats-server.
//
// Seven kinds of things live there, all of them NATS' own primitives used
// plainly (a message, a key-value entry, a lease by message TTL, a request):
//
//	stream WEIR_LOG_<shard>   weir.log.<shard>.<broadcast>.<rendition>   batches and markers
//	bucket weir-streams       <app>/<name>                               who publishes what
//	bucket weir-state         <broadcast>.<rendition>                    who segments it, and its State
//	bucket weir-work          <kind>.<broadcast>.<rendition>             the same of other kinds of work
//	bucket weir-nodes         node.<id>, worker.<id>                     leases
//	bucket weir-keys          <hash of a stream key>                     what it lets its holder do, where nodes share that
//	stream WEIR_JOBS          weir.job.<queue>.<lane>                    jobs that anybody may do
//
// Everything that decides something is a compare-and-set: a message that names
// the sequence it expects to follow. An unanswered one is never guessed about;
// the stream's leader is asked (see jet.Stream.Write).
package bus

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"weir/bus/internal/jet"
)

// The defaults of what is created without being told, and of who uses the bus.
const (
	// DefaultRetain: see Config.Retain.
	DefaultRetain = 10 * time.Minute
	// DefaultNewMaxBytes is what Config.NewMaxBytes should be.
	DefaultNewMaxBytes = 8 << 30
	// DefaultReconnectWindow is how long Supervise should wait for an encoder.
	DefaultReconnectWindow = time.Minute
	// DefaultCapacity: see WorkConfig.Capacity.
	DefaultCapacity = 500
)

// Config says where the bus is and what it keeps. Shards, Replicas, Retain and
// MaxBytes describe what all nodes share: left zero, the node takes what is
// there, and creates with the default what is not.
type Config struct {
	// URL of the NATS servers, separated by commas. Empty: a server of our own
	// inside this process, which listens nowhere and stores under Dir.
	URL string
	// Dir is the embedded server's directory. Only with an empty URL.
	Dir string
	// Creds is a NATS credentials file, CA a file of PEM certificates; both
	// optional, both only with a URL.
	Creds, CA string

	// Shards is how many JetStream streams carry the log (default 1). It is
	// fixed by whoever creates the first.
	Shards int
	// Replicas of every stream and bucket (default 1).
	Replicas int
	// Retain is how long the log keeps a message (default DefaultRetain): longer
	// than the idle timeout and the reconnect window together. Closed
	// broadcasts stay in the state bucket as long.
	Retain time.Duration
	// MaxBytes bounds each shard on disk, the oldest goes first (default: no
	// bound). JetStream reserves it.
	MaxBytes int64
	// NewMaxBytes is MaxBytes of shards that are created, where that is zero.
	NewMaxBytes int64

	// Node is what people call this process (default: the host's name). The
	// bus makes it unique, see Bus.Node.
	Node string
	// NodeLease is how long an ingest node may be unreachable before others
	// declare its sessions lost (default 10 s, at least 1 s).
	NodeLease time.Duration

	Log *slog.Logger // default: slog.Default
}

// Errors that callers branch on.
var (
	// ErrBusy: the stream is live and the newcomer was told not to take over.
	ErrBusy = errors.New("the stream is already being published")
	// ErrFenced: a newer session, or the end of this one, is decided.
	ErrFenced = errors.New("the session is fenced")
	// ErrNotOwner: another worker owns the broadcast. Touch nothing.
	ErrNotOwner = errors.New("another worker owns the broadcast")
	// ErrRestored: NATS had lost the claim, which was written anew. Another worker
	// may have had it meanwhile.
	ErrRestored = errors.New("the claim was lost, and written anew")
	// ErrNotLive: nobody publishes the stream.
	ErrNotLive = errors.New("the stream is not live")
)

// Bus is a node's connection to the bus. Its methods may be called by many
// goroutines.
type Bus struct {
	log       *slog.Logger
	node      string
	nodeLease time.Duration
	retain    time.Duration
	replicas  int

	conn    *jet.Conn
	shards  []*jet.Stream
	streams *jet.Bucket // the registry
	state   *jet.Bucket // claims to segment
	work    *jet.Bucket // claims of all other kinds
	nodes   *jet.Bucket // leases
	jobs    *jet.Stream

	roster *roster
	seen   *snapshot

	life    context.CancelFunc // ends the goroutines of the bus itself
	alive   func() context.Context
	running sync.WaitGroup

	mu       sync.Mutex
	sessions map[string]*Session
	workers  int           // made so far
	holding  chan struct{} // nil until the node's lease was asked for, closed when held
	closed   bool
}

// Open connects to NATS, or starts it, and makes sure that streams and buckets
// exist. It waits for servers that are not there yet, until ctx ends. Any
// number of nodes may do this at once.
func Open(ctx context.Context, cfg Config) (*Bus, error) {
	b := &Bus{
		log:       cfg.Log,
		node:      nodeID(cfg.Node),
		nodeLease: max(cfg.NodeLease, time.Second),
		retain:    cfg.Retain,
		replicas:  cfg.Replicas,
		sessions:  make(map[string]*Session),
	}
	b.roster, b.seen = newRoster(b), newSnapshot(b)
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	b.life, b.alive = end, func() context.Context { return life }
	if cfg.NodeLease == 0 {
		b.nodeLease = 10 * time.Second
	}
	if b.log == nil {
		b.log = slog.Default()
	}
	var err error
	b.conn, err = jet.Connect(jet.Config{URL: cfg.URL, Dir: cfg.Dir, Creds: cfg.Creds, CA: cfg.CA, Name: "weir " + b.node, Log: b.log})
	if err != nil {
		return nil, fmt.Errorf("open bus: %w", err)
	}
	stop := b.conn.TellWaiting()
	err = b.lay(ctx, cfg)
	stop()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open bus: %w", err), b.Close())
	}
	if err := b.answer(); err != nil {
		return nil, errors.Join(fmt.Errorf("open bus: %w", err), b.Close())
	}
	return b, nil
}

// Close gives the node's lease back, closes the connection and stops the
// embedded server. Sessions and workers must have ended.
func (b *Bus) Close() error {
	b.mu.Lock()
	again := b.closed
	b.closed = true
	b.mu.Unlock()
	if again {
		return nil
	}
	b.life()
	b.running.Wait()
	b.conn.Close()
	return nil
}

// errandMost bounds whatever is done beside for one key, however long its
// stream is away: the others do not wait, and it is tried again.
const errandMost = 10 * time.Second

// background runs f in a goroutine that Close ends and waits for.
func (b *Bus) background(f func(context.Context)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.running.Go(func() { f(b.alive()) })
	}
}

// Node is the name of this process in leases, entries and claims: what the
// configuration calls it and a random part, so that no two processes, not even
// two lives of one, have the same.
func (b *Bus) Node() string { return b.node }

// Connected tells whether the connection to NATS stands.
func (b *Bus) Connected() bool { return b.conn.Connected() }

// Ready asks JetStream for an answer.
func (b *Bus) Ready(ctx context.Context) error {
	return b.conn.Ready(ctx)
}

// HoldWhile makes sessions wait for as long as full is true: there is no room
// for frames on the disk. It is called before the first session opens.
func (b *Bus) HoldWhile(full func() bool) { b.conn.HoldWhile(full) }

// nodeID makes a name unique, and fit for a subject and a key.
func nodeID(name string) string {
	if name == "" {
		name, _ = os.Hostname()
	}
	fit := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return '-'
	}, name)
	return fit + "-" + randomID(4)
}

var idEncoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// randomID returns 8/5 characters of [0-9a-z] for each of n random bytes.
func randomID(n int) string {
	p := make([]byte, n)
	_, _ = rand.Read(p) // never fails, see crypto/rand
	return idEncoding.EncodeToString(p)
}
