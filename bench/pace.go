package bench

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// pacer sends for all publishers, from one goroutine: each tag when it is due.
type pacer struct {
	clip  *Clip
	cuts  cuts
	queue dueQueue
	// late is the longest that a tag had to wait for its turn: where it is
	// more than a few milliseconds, this machine had no time for us.
	late time.Duration
	// full counts the tags that a socket did not take whole.
	full int
}

// tick is how often the pacer wakes up: what comes due in between is sent
// together.
const tick = 2 * time.Millisecond

// retry is when a socket that was full is tried again.
const retry = 5 * time.Millisecond

// dueQueue has the publisher first whose tag is due first.
type dueQueue []*publisher

func (q dueQueue) Len() int           { return len(q) }
func (q dueQueue) Less(i, j int) bool { return q[i].due.Before(q[j].due) }
func (q dueQueue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *dueQueue) Push(p any)        { *q = append(*q, p.(*publisher)) }
func (q *dueQueue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}

// begin plans the publishers: spread over spread, so that not all key pictures
// come at once.
func (p *pacer) begin(now time.Time, all []*publisher, spread time.Duration) error {
	for i, pub := range all {
		for _, h := range p.cuts.headers {
			if err := pub.send(h.At(0, pub.stream)); err != nil {
				return err
			}
		}
		pub.began = now.Add(spread * time.Duration(i) / time.Duration(len(all)))
		pub.due = pub.began
	}
	p.queue = slices.Clone(all)
	heap.Init(&p.queue)
	return nil
}

// run sends until ctx is done. The first connection that fails ends it.
func (p *pacer) run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		next, err := p.burst(time.Now())
		if err != nil {
			return err
		}
		timer.Reset(max(tick, time.Until(next)))
	}
}

// burst sends what is due at now, and returns when the next tag is.
func (p *pacer) burst(now time.Time) (time.Time, error) {
	for len(p.queue) > 0 && !p.queue[0].due.After(now) {
		pub := p.queue[0]
		if len(pub.rest) == 0 { // one that waits for its socket is not late by our fault
			p.late = max(p.late, now.Sub(pub.due))
		}
		select {
		case err := <-pub.gone:
			return now, fmt.Errorf("the server ended %s: %w", pub.name, err)
		default:
		}
		if err := pub.turn(p.clip, p.cuts, time.Now()); err != nil {
			return now, err
		}
		if len(pub.rest) > 0 {
			p.full++
			pub.due = now.Add(retry)
		}
		heap.Fix(&p.queue, 0)
	}
	if len(p.queue) == 0 {
		return now, errors.New("no publisher is left")
	}
	return p.queue[0].due, nil
}

// fast sends each publisher's first media seconds as fast as the server takes
// them, all at once.
func (p *pacer) fast(ctx context.Context, all []*publisher, media time.Duration) error {
	var wg sync.WaitGroup
	failed := make([]error, len(all))
	for i, pub := range all {
		wg.Go(func() { failed[i] = p.flood(ctx, pub, media) })
	}
	wg.Wait()
	return errors.Join(failed...)
}

// flood sends one publisher's media. The cuts are its own: it is not alone.
func (p *pacer) flood(ctx context.Context, pub *publisher, media time.Duration) error {
	own, err := newCuts(p.clip)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = pub.nc.SetDeadline(time.Unix(1, 0)) }) // it fails on closed connections only
	defer stop()
	end := uint32(media / time.Millisecond)
	for pub.base+p.clip.Loop[pub.next].Timestamp < end {
		t := &p.clip.Loop[pub.next]
		b := append(pub.takeReply(), own.loop[pub.next].At(pub.base+t.Timestamp, pub.stream)...)
		if _, err := pub.nc.Write(b); err != nil {
			select {
			case said := <-pub.gone:
				err = said
			case <-time.After(time.Second):
			}
			return fmt.Errorf("send to %s: %w", pub.name, err)
		}
		pub.state.Bytes += int64(len(b))
		pub.count(t, time.Now())
		if pub.next++; pub.next == len(p.clip.Loop) {
			pub.next, pub.base = 0, pub.base+p.clip.Length
		}
	}
	return nil
}
