package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"weir/api"
	"weir/auth"
	"weir/bus"
	"weir/endpoint"
	"weir/hls"
	"weir/ingest"
	"weir/media"
	"weir/media/framelog"
	"weir/media/health"
	"weir/media/publishing"
	"weir/segmenter"
)

// The adapters between rooms that may not know each other: each is a room's
// interface in front of another room's type.

// publisher is ingest as the endpoint sees it.
type publisher struct{ to *ingest.Publisher }

var (
	_ endpoint.Publisher = publisher{}
	_ endpoint.Refusal   = (*ingest.Refusal)(nil)
)

func (p publisher) Publish(ctx context.Context, g publishing.Grant, peer endpoint.Peer, wake func()) (endpoint.Session, error) {
	session, err := p.to.Publish(ctx, g, peer, wake)
	if err != nil {
		return nil, err
	}
	return session, nil
}

// authority is auth as the endpoint sees it.
type authority struct{ of authorizer }

// authorizer is what every way to authorize has.
type authorizer interface {
	Authorize(ctx context.Context, r auth.Request) (publishing.Grant, error)
	Release(g publishing.Grant)
}

var (
	_ endpoint.Auth    = authority{}
	_ endpoint.Refusal = (*auth.Refusal)(nil)
	_ authorizer       = (*auth.Keys)(nil)
	_ authorizer       = (*auth.Webhook)(nil)
	_ authorizer       = (*auth.Form)(nil)
	_ authorizer       = (*auth.Tokens)(nil)
)

func (a authority) Authorize(ctx context.Context, r endpoint.Request) (publishing.Grant, error) {
	return a.of.Authorize(ctx, auth.Request(r))
}

func (a authority) Release(g publishing.Grant) { a.of.Release(g) }

// refusals are endpoint's as the API tells them.
func refusals(of *endpoint.Refusals) func() []api.Refusal {
	return func() (list []api.Refusal) {
		for _, x := range of.Last() {
			list = append(list, api.Refusal{
				Time: x.At.UTC(), Times: x.Times, Reason: x.Reason, Text: x.Text, Remote: x.Remote, Transport: x.Transport, Encoder: x.Encoder,
			})
		}
		return list
	}
}

// ingestLog is the bus as ingest sees it. ifLive is for grants that say nothing.
type ingestLog struct {
	bus    *bus.Bus
	ifLive bus.IfLive
}

// conflict is what the bus is to do about a grant's stream that is live.
func (l ingestLog) conflict(g publishing.Grant) bus.IfLive {
	switch g.Conflict {
	case publishing.ConflictReject:
		return bus.Reject
	case publishing.ConflictTakeover:
		return bus.Contend
	}
	return l.ifLive
}

var _ ingest.Log = ingestLog{}

func (l ingestLog) Check(ctx context.Context, g publishing.Grant) error {
	if err := l.spare(ctx, g); err != nil {
		return err
	}
	return ingestError(l.bus.CheckSession(ctx, g.Stream, l.conflict(g)))
}

func (l ingestLog) Open(ctx context.Context, g publishing.Grant, now time.Time) (ingest.Writer, error) {
	if err := l.spare(ctx, g); err != nil {
		return nil, err
	}
	session, err := l.bus.OpenSession(ctx, g.Owner, g.Stream, now, l.conflict(g))
	if err != nil {
		return nil, ingestError(err)
	}
	return ingestWriter{session}, nil
}

// spare tells whether the owner of a grant may have one more stream live. The
// list is a moment old: two that begin at once may both be let in.
func (l ingestLog) spare(ctx context.Context, g publishing.Grant) error {
	if g.Limits.Sessions == 0 {
		return nil
	}
	all, err := l.bus.Streams(ctx)
	if err != nil {
		return err
	}
	live := 0
	for _, e := range all {
		if e.State == bus.Live && e.Owner == g.Owner && e.Stream != g.Stream {
			live++
		}
	}
	if live >= g.Limits.Sessions {
		return ingest.ErrTooMany
	}
	return nil
}

type ingestWriter struct{ *bus.Session }

func (w ingestWriter) Append(ctx context.Context, b *framelog.Batch) error {
	return ingestError(w.Session.Append(ctx, b))
}

func (w ingestWriter) End(ctx context.Context, clean bool) error {
	return ingestError(w.Session.End(ctx, clean))
}

// ingestError puts the bus' errors into ingest's words.
func ingestError(err error) error {
	switch {
	case errors.Is(err, bus.ErrBusy):
		return errors.Join(ingest.ErrBusy, err)
	case errors.Is(err, bus.ErrFenced):
		return errors.Join(ingest.ErrFenced, err)
	}
	return err
}

// checkpoint is a claim as the segmenter sees it.
type checkpoint struct{ *bus.Claim }

var _ segmenter.Checkpoint = checkpoint{}

func (c checkpoint) Save(ctx context.Context, state []byte) error {
	return segmenterError(c.Claim.Save(ctx, state))
}

func (c checkpoint) Close(ctx context.Context, state []byte) error {
	return segmenterError(c.Claim.Close(ctx, state))
}

func segmenterError(err error) error {
	switch {
	case errors.Is(err, bus.ErrNotOwner):
		return errors.Join(segmenter.ErrNotOwner, err)
	case errors.Is(err, bus.ErrRestored):
		return errors.Join(segmenter.ErrRestored, err)
	}
	return err
}

// late is a bus that may not be there yet: HTTP answers before NATS does.
type late struct{ bus atomic.Pointer[bus.Bus] }

var errNoBus = errors.New("NATS has not answered yet")

// get returns the bus, if it is there.
func (l *late) get() (*bus.Bus, error) {
	if b := l.bus.Load(); b != nil {
		return b, nil
	}
	return nil, errNoBus
}

// check tells whether NATS answers.
func (l *late) check(ctx context.Context) error {
	b, err := l.get()
	if err != nil {
		return err
	}
	return b.Ready(ctx)
}

// registry is the bus as the API sees it.
type registry struct{ late *late }

var _ api.Registry = registry{}

func (r registry) Streams(ctx context.Context) ([]api.Stream, error) {
	b, err := r.late.get()
	if err != nil {
		return nil, err
	}
	entries, err := b.Streams(ctx)
	if err != nil {
		return nil, err
	}
	owners, err := b.Ownerships(ctx)
	if err != nil {
		return nil, err
	}
	source := make(map[string]bus.Ownership, len(owners))
	for _, o := range owners {
		if o.Rendition == bus.Source {
			source[o.Broadcast] = o
		}
	}
	list := make([]api.Stream, len(entries))
	var group errgroup.Group
	group.SetLimit(lookAtOnce)
	for i, e := range entries {
		o := source[e.Broadcast]
		sum := hls.Summarize(o.State)
		list[i] = describe(e, o, sum)
		if e.State == bus.Live && !sum.Until.IsZero() {
			group.Go(func() error {
				encoder, worker := owed(ctx, b, e.Broadcast, sum)
				list[i].EncoderLagSeconds, list[i].WorkerLagSeconds = &encoder, &worker
				return nil
			})
		}
	}
	unwell := healthOf(ctx, b, entries)
	_ = group.Wait() // nothing fails
	for i := range list {
		if r, ok := unwell[list[i].Name]; ok && list[i].State == api.Live {
			list[i].Told(r)
		}
	}
	return list, nil
}

// healthOf asks the nodes of live sessions how well those are, each for all of
// its own. Who does not answer in time says nothing.
func healthOf(ctx context.Context, b *bus.Bus, entries []bus.Registration) map[string]health.Report {
	nodes := map[string]bool{}
	for _, e := range entries {
		if e.State == bus.Live {
			nodes[e.Node] = true
		}
	}
	var mu sync.Mutex
	all := map[string]health.Report{}
	var group errgroup.Group
	group.SetLimit(lookAtOnce)
	for node := range nodes {
		group.Go(func() error {
			answer, err := b.AskHealth(ctx, node, nil)
			var of map[string]health.Report
			if err == nil && json.Unmarshal(answer, &of) == nil {
				mu.Lock()
				defer mu.Unlock()
				maps.Copy(all, of)
			}
			return nil
		})
	}
	_ = group.Wait() // nothing fails
	return all
}

// Health asks the node of a stream's session how well that is.
func (r registry) Health(ctx context.Context, s media.Stream) (health.Report, error) {
	b, err := r.late.get()
	if err != nil {
		return health.Report{}, err
	}
	e, err := b.Registration(ctx, s)
	if err != nil {
		return health.Report{}, err
	}
	if e.State != bus.Live {
		return health.Report{}, api.ErrNotLive
	}
	answer, err := b.AskHealth(ctx, e.Node, []byte(s.String()))
	if err != nil {
		return health.Report{}, err
	}
	var of map[string]health.Report
	if err := json.Unmarshal(answer, &of); err != nil {
		return health.Report{}, fmt.Errorf("read the health of %s: %w", s, err)
	}
	report, ok := of[s.String()]
	if !ok {
		return health.Report{}, api.ErrNotLive
	}
	return report, nil
}

// describe says what the registry and the checkpoint know of a stream.
func describe(e bus.Registration, o bus.Ownership, sum hls.Summary) api.Stream {
	s := api.Stream{
		Name: e.Stream.String(), State: string(e.State), Broadcast: e.Broadcast,
		Ingest: e.Node, Worker: o.Owner, Epoch: e.Epoch, Bitrate: sum.Bitrate, Segments: sum.Segments,
	}
	s.Since, _ = media.BroadcastBegan(e.Broadcast) // unknown where the id is of another form
	if e.State == bus.Ended {
		s.Until = e.Since
	}
	if o.Broadcast != "" { // not yet forgotten
		s.Restarts = &o.Takeovers
	}
	if sum.VideoCodec != "" {
		s.Video = &api.Video{Codec: sum.VideoCodec, Width: sum.Width, Height: sum.Height, FrameRate: sum.FrameRate}
	}
	if sum.AudioCodec != "" {
		s.Audio = &api.Audio{Codec: sum.AudioCodec, SampleRate: sum.SampleRate, Channels: sum.Channels}
	}
	if e.State == bus.Live && sum.VideoCodec != "" {
		s.Advice = api.AdviseKeyframes(sum.Wished, sum.Mean)
	}
	if e.State == bus.Live {
		s.Advice = append(s.Advice, api.TellDrops(sum.Drops)...)
	}
	return s
}

// lookAtOnce bounds how many logs are looked at at a time, lookPatience how
// long. A log is looked at where its broadcast is behind by lookAfter target
// durations: the open segment, and one on its way, are a worker's to have.
const (
	lookAtOnce   = 16
	lookPatience = time.Second
	lookAfter    = 2
)

// owed parts how far a live broadcast is behind, in seconds, into what the
// encoder owes, from which nothing comes, and what the worker does.
func owed(ctx context.Context, b *bus.Bus, broadcast string, sum hls.Summary) (encoder, worker float64) {
	now := time.Now()
	behind := max(0, now.Sub(sum.Until).Seconds())
	if behind < lookAfter*max(sum.Target, time.Second).Seconds() {
		return 0, behind
	}
	ctx, cancel := context.WithTimeout(ctx, lookPatience)
	defer cancel()
	written, err := b.Written(ctx, broadcast, bus.Source)
	if err != nil || written.IsZero() {
		return 0, behind
	}
	encoder = min(behind, max(0, now.Sub(written).Seconds()))
	return encoder, behind - encoder
}

func (r registry) Scale(ctx context.Context) (s api.Scale, err error) {
	b, err := r.late.get()
	if err != nil {
		return s, err
	}
	workers, err := b.Workers(ctx, bus.Segment)
	if err != nil {
		return s, err
	}
	for _, w := range workers {
		s.AddWorker(w.Capacity)
	}
	entries, err := b.Streams(ctx)
	if err != nil {
		return s, err
	}
	states := make(map[string]bus.StreamState)
	for _, e := range entries {
		states[e.Broadcast] = e.State
	}
	owners, err := b.Ownerships(ctx)
	if err != nil {
		return s, err
	}
	now := time.Now()
	for _, o := range owners {
		if !o.Closed {
			s.AddWork(o.Owner != "", behind(ctx, b, o, states[o.Broadcast], now))
		}
	}
	return s, nil
}

// behind is how long a broadcast waits for its worker: since the end of what
// is listed, or its begin where nothing is, without the time in which its
// encoder has sent nothing.
func behind(ctx context.Context, b *bus.Bus, o bus.Ownership, state bus.StreamState, now time.Time) time.Duration {
	sum := hls.Summarize(o.State)
	switch {
	case state == bus.Waiting:
		return 0
	case sum.Until.IsZero():
		return now.Sub(o.Saved)
	case state == bus.Live:
		_, worker := owed(ctx, b, o.Broadcast, sum)
		return time.Duration(worker * float64(time.Second))
	}
	return now.Sub(sum.Until)
}

func (r registry) Kick(ctx context.Context, s media.Stream) error {
	b, err := r.late.get()
	if err == nil {
		err = b.Kick(ctx, s)
	}
	if errors.Is(err, bus.ErrNotLive) {
		return errors.Join(api.ErrNotLive, err)
	}
	return err
}
