package bus

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"weir/bus/internal/jet"
	"weir/media"
)

// stateHead is the first line of a state entry, in JSON; the State follows as
// its worker wrote it.
type stateHead struct {
	// Owner is the node that may write the entry, empty while nobody does.
	Owner  string `json:"owner"`
	Stream string `json:"stream"`
	// Format of the State, 0 while there is none.
	Format int `json:"format,omitempty"`
	// Closed: the broadcast is done, and needs no owner ever again.
	Closed bool `json:"closed,omitempty"`
	// Takeovers is how often it was claimed from an owner that had not let it
	// go.
	Takeovers int `json:"takeovers,omitempty"`
	// Claim numbers the owner's claims. An older one of its must not write.
	Claim uint64 `json:"claim,omitempty"`
	// Aside is where the log ended when the entry was set aside, 0 where it was
	// not: as long as it ends there, others come first.
	Aside uint64 `json:"aside,omitempty"`
}

// Kind is a kind of work that broadcasts are claimed for.
type Kind string

// The kinds of work.
const (
	// Segment: the log becomes HLS. Every broadcast is announced for it, and
	// needs its end.
	Segment Kind = "segment"
	// Record: the log becomes files.
	Record Kind = "record"
	// Events: what happens is told to others.
	Events Kind = "events"
	// Transcode: source segments become renditions.
	Transcode Kind = "transcode"
)

// bucket is where the claims of the kind are. Those of segmenters are apart:
// releases before this one know no other, and would claim them.
func (k Kind) bucket(b *Bus) *jet.Bucket {
	if k == Segment {
		return b.state
	}
	return b.work
}

// prefix is what all keys of the kind begin with.
func (k Kind) prefix() string {
	if k == Segment {
		return ""
	}
	return string(k) + "."
}

func (k Kind) key(broadcast, rendition string) string {
	return k.prefix() + broadcast + "." + rendition
}

func (k Kind) parse(key string) (broadcast, rendition string) {
	broadcast, rendition, _ = strings.Cut(strings.TrimPrefix(key, k.prefix()), ".")
	return broadcast, rendition
}

// stateKey is the key of a broadcast's source rendition, which announces it and
// whose owner ends it.
func stateKey(broadcast string) string { return Segment.key(broadcast, Source) }

// claimHeader carries a state entry's head beside it, for those who watch
// entries and not their States.
const claimHeader = "Weir-Claim"

// putState writes a state entry at a revision.
func putState(ctx context.Context, k *jet.Bucket, key string, h stateHead, state []byte, rev uint64, ttl time.Duration) (uint64, error) {
	value, err := appendState(h, state)
	if err != nil {
		return 0, err
	}
	line, _, _ := bytes.Cut(value, []byte{'\n'})
	return k.Write(ctx, jet.Write{Subject: k.Subject(key), Header: jet.Header{Name: claimHeader, Value: string(line)}, Data: value, After: rev, TTL: ttl})
}

// headOf is the head of an entry of which only headers came. Releases before
// this one wrote none.
func headOf(ctx context.Context, k *jet.Bucket, c jet.Change) (h stateHead, err error) {
	if line := c.Header.Get(claimHeader); line != "" {
		h, _, err = parseState([]byte(line))
		return h, err
	}
	it, err := k.Get(ctx, c.Key)
	if err == nil {
		h, _, err = parseState(it.Value)
	}
	return h, err
}

func appendState(h stateHead, state []byte) ([]byte, error) {
	line, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("write state: %w", err)
	}
	return append(append(line, '\n'), state...), nil
}

// parseState returns the two parts of an entry. The State is nil if there is
// none; it aliases value.
func parseState(value []byte) (stateHead, []byte, error) {
	line, state, _ := bytes.Cut(value, []byte{'\n'})
	var h stateHead
	if err := json.Unmarshal(line, &h); err != nil {
		return stateHead{}, nil, fmt.Errorf("read state: %w", err)
	}
	if len(state) == 0 {
		state = nil
	}
	return h, state, nil
}

// Announce makes a rendition of a broadcast claimable by workers of a kind, if
// it is not known to them yet.
func (b *Bus) Announce(ctx context.Context, k Kind, s media.Stream, broadcast, rendition string) error {
	if _, err := putState(ctx, k.bucket(b), k.key(broadcast, rendition), stateHead{Stream: s.String()}, nil, 0, 0); jet.IgnoreConflict(err) != nil {
		return fmt.Errorf("announce broadcast: %w", err)
	}
	return nil
}

// Ownership says who packages a rendition of a broadcast.
type Ownership struct {
	Broadcast, Rendition string
	Stream               media.Stream
	Owner                string // empty: nobody
	Closed               bool
	Takeovers            int       // from owners that had died, or were stuck
	Saved                time.Time // the last commit, by the server's clock
	State                []byte    // as last saved; nil before the first time
}

// Ownerships lists who packages what. Those without an owner, and not closed,
// are work that waits for a worker.
func (b *Bus) Ownerships(ctx context.Context) ([]Ownership, error) {
	all, err := listed(ctx, b.seen, b.seen.states)
	if err != nil {
		return nil, fmt.Errorf("list ownerships: %w", err)
	}
	return all, nil
}

func ownershipOf(c jet.Change) (Ownership, error) {
	h, state, err := parseState(c.Value)
	if err != nil {
		return Ownership{}, err
	}
	o := Ownership{Owner: h.Owner, Closed: h.Closed, Takeovers: h.Takeovers, Saved: c.Stored, State: state}
	o.Broadcast, o.Rendition, _ = strings.Cut(c.Key, ".")
	o.Stream, err = parseStream(h.Stream)
	return o, err
}

func parseStream(s string) (media.Stream, error) {
	app, name, ok := strings.Cut(s, "/")
	if !ok {
		return media.Stream{}, errors.New("a stream without a slash")
	}
	return media.ParseStream(app, name)
}

// WorkerLoad is what a worker says of itself.
type WorkerLoad struct {
	Node string
	Load
}

// Workers lists the workers of a kind that hold a lease.
func (b *Bus) Workers(ctx context.Context, k Kind) ([]WorkerLoad, error) {
	all, err := listed(ctx, b.seen, b.seen.leases)
	if err != nil {
		return nil, fmt.Errorf("list workers: %w", err)
	}
	return slices.DeleteFunc(all, func(w WorkerLoad) bool { return cmp.Or(w.Kind, Segment) != k }), nil
}

func workerLoadOf(c jet.Change) (WorkerLoad, error) {
	w := WorkerLoad{Node: strings.TrimPrefix(c.Key, workerPrefix)}
	if err := json.Unmarshal(c.Value, &w.Load); err != nil {
		return WorkerLoad{}, fmt.Errorf("read lease: %w", err)
	}
	return w, nil
}
