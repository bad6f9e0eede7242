package segmenter

import (
	"context"
	"errors"
	"fmt"
	"time"

	"weir/hls"
	"weir/media/object"
)

// leaving is the run of segments that is being deleted.
type leaving struct {
	// entries are those of the run that Forgotten is in; nil for none.
	entries []hls.Entry
	// due tells that the next run may go, seen how many have left the
	// State.
	due  bool
	seen uint64
}

// forgetAtOnce spreads deleting over the segments that come, twice as fast as
// they do. What fails is tried again at the next one.
const forgetAtOnce = 2

// forgetMost is how long that may take.
const forgetMost = 10 * time.Second

// forget deletes a few segments that no player can know of any more.
func (p *packager) forget(ctx context.Context, s *hls.State) error {
	if n := s.First / hls.RunLength; n != p.leaving.seen {
		p.leaving.seen, p.leaving.due = n, true
	}
	if p.leaving.entries == nil && !p.leaving.due {
		return nil
	}
	s = s.Clone() // others read it
	p.decided.applyTo(s)
	ctx, cancel := context.WithTimeout(ctx, forgetMost)
	defer cancel()
	err := p.forgetSome(ctx, s)
	p.decided.forget(s.Forgotten)
	if err != nil {
		p.log.Warn("deleting what has left the live window", "err", err)
	}
	return nil
}

func (p *packager) forgetSome(ctx context.Context, s *hls.State) error {
	for range forgetAtOnce {
		number := s.Forgotten / hls.RunLength
		if p.leaving.entries == nil {
			entries, err := p.expiredRun(ctx, s, number)
			if entries == nil || err != nil {
				p.leaving.due = err != nil
				return err
			}
			p.leaving.entries = entries
		}
		e := &p.leaving.entries[s.Forgotten%hls.RunLength]
		if err := p.worker.Store.Delete(ctx, p.key(s.EntryName(s.Forgotten, e))); err != nil {
			return err
		}
		if s.Forgotten%hls.RunLength == hls.RunLength-1 {
			if err := p.worker.Store.Delete(ctx, p.key(object.RunName(number))); err != nil {
				return err
			}
			p.leaving.entries = nil
		}
		s.Forgotten++
	}
	return nil
}

// expiredRun returns the entries of a run, or nil while a player may ask for one of
// its segments. RFC 8216, 6.2.2: a segment "MUST remain available to clients
// for a period of time equal to the duration of the segment plus the duration
// of the longest Playlist file distributed by the server containing that
// segment", from its removal from the playlist on. When the run behind this
// one was put, a playlist without this one had been; when the last one was
// put, twice that time must have gone since. Both times are by the store's
// clock.
func (p *packager) expiredRun(ctx context.Context, s *hls.State, number uint64) ([]hls.Entry, error) {
	last := s.First/hls.RunLength - 1
	if s.First < hls.RunLength || number+1 >= last {
		return nil, nil
	}
	body, _, err := p.worker.Store.Get(ctx, p.key(object.RunName(number)))
	if errors.Is(err, object.ErrNotExist) {
		s.Forgotten = (number + 1) * hls.RunLength // by an owner that died before its checkpoint
		return p.expiredRun(ctx, s, number+1)
	}
	if err != nil {
		return nil, err
	}
	removed, err := p.runPut(ctx, number+1)
	if err != nil {
		return nil, err
	}
	now, err := p.runPut(ctx, last)
	if err != nil {
		return nil, err
	}
	listed := max(time.Duration(s.WindowMS)*time.Millisecond, time.Duration(3*s.Target)*time.Second) + time.Duration(2*s.Target)*time.Second
	if now.Sub(removed) < 2*listed {
		return nil, nil
	}
	return hls.ParseRun(number, body)
}

// runPut returns when an index object was put.
func (p *packager) runPut(ctx context.Context, number uint64) (time.Time, error) {
	_, info, err := p.worker.Store.Get(ctx, p.key(object.RunName(number)))
	if err != nil {
		return time.Time{}, fmt.Errorf("get index object %d: %w", number, err)
	}
	return info.Modified, nil
}
