package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"weir/media/framelog"
	"weir/media/health"
	"weir/media/publishing"
	"weir/remux/flv"
)

const (
	// bufferTime is how much of its stream a session's buffer holds at least:
	// the election of a JetStream leader stalls publishing for 4–6 s.
	bufferTime = 10 * time.Second
	// rateWindow is over how long a session's bit rate is averaged.
	rateWindow = time.Second
	// endTimeout bounds the registry's part of a session's end.
	endTimeout = 5 * time.Second
	// always is what a session may hold whatever others do, in bytes.
	always = 2 * batchSize
	// maxHeld is how long a session is held to the pace of the clock.
	maxHeld = 30 * time.Second
	// maxPreface is what a session may send before its first media, in bytes.
	maxPreface = 256 << 10
)

// errPreface ends a session of headers and data only.
var errPreface = fmt.Errorf("media comes within %d bytes", maxPreface)

// Session is one publish: what stands between the goroutine that reads its
// connection and the one that appends to the log. It is a Batcher, and the
// account of its memory.
type Session struct {
	of    *Publisher
	cfg   *Config
	used  *atomic.Int64 // memory of all sessions' batches
	grant publishing.Grant
	peer  Peer
	since time.Time

	// The appender's, until it has ended.
	out    Writer // nil: no media has come
	fenced int    // tags that the log did not take, as another session has taken over
	logger *slog.Logger

	ready  chan struct{} // the appender should look
	done   chan struct{} // closed when the appender has ended
	wake   func()        // the connection should ask for a Plan
	cancel context.CancelFunc

	mu        sync.Mutex
	batcher   *Batcher
	inFlight  int // bytes of the batch that is being appended
	partial   int // bytes of messages that are not whole yet
	held      int // what of the memory of all sessions is ours
	closing   bool
	kicked    bool
	err       error     // why the appender gave up
	heard     time.Time // when media came last
	fullSince time.Time // zero: the connection may read
	behind    bool      // it may not because the log does not keep up
	pace      pace
	limits    limited
	cutting   bool // the session ends where another one can begin
	rate      rate
	facts     facts
	health    *health.Monitor
}

// newSession starts the appender, which finish waits for.
func newSession(ctx context.Context, p *Publisher, g publishing.Grant, peer Peer, now time.Time, wake func()) *Session {
	s := &Session{
		of: p, cfg: &p.cfg, used: &p.used, grant: g, peer: peer, since: now, heard: now, wake: wake,
		logger: p.cfg.Logger.With("remote", peer.Remote, "stream", g.Stream.String()),
		ready:  make(chan struct{}, 1), done: make(chan struct{}),
		pace:    pace{speed: p.cfg.MaxSpeed},
		limits:  limited{Limits: g.Limits},
		health:  health.New(now),
		batcher: NewBatcher(BatcherConfig{Interval: p.cfg.Batch, MaxTag: p.cfg.MaxMessage}),
	}
	ctx, s.cancel = context.WithCancel(ctx)
	go s.appendBatches(ctx)
	return s
}

// Plan takes the account of a turn, wakes the appender if there is something
// for it to do, and says what the connection is to do next.
func (s *Session) Plan(t Turn) Plan {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rate.add(t.Now, t.Read)
	if err := s.limits.received(t.Now, t.Read); err != nil && s.err == nil {
		s.err = err
	}
	s.cutting = t.Cut
	if t.Partial != s.partial {
		s.partial = t.Partial
		s.account()
	}
	if s.batcher.Ready(t.Now) {
		signal(s.ready)
	}
	p := Plan{Full: s.full(t.Now), Rate: s.rate.perSecond}
	p.Err = s.listen(t, p.Full)
	p.Rest, p.Next = t.Now.Add(s.cfg.Batch), s.heard.Add(s.cfg.IdleTimeout)
	if !s.grant.Until.IsZero() {
		p.Next = earlier(p.Next, s.grant.Until)
	}
	if most := s.limits.Duration(); most > 0 {
		p.Next = earlier(p.Next, s.since.Add(most))
	}
	switch due := s.batcher.Due(); {
	case due.IsZero():
	case due.After(t.Now):
		p.Rest, p.Next = due, earlier(p.Next, due)
	default: // it already waits for the one in flight
		p.Next = earlier(p.Next, p.Rest)
	}
	return p
}

// resume counts how long the session was full. It needs mu.
func (s *Session) resume(now time.Time) {
	s.cfg.Metrics.stalled.Add(now.Sub(s.fullSince).Seconds())
	s.fullSince, s.heard = time.Time{}, now
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// listen returns why the session cannot go on, if it cannot. While it is full,
// the silence is ours. It needs mu.
func (s *Session) listen(t Turn, full bool) error {
	if full {
		s.heard = t.Now
	}
	switch {
	case full && s.fullSince.IsZero():
		s.fullSince = t.Now
	case !full && !s.fullSince.IsZero():
		s.resume(t.Now)
	}
	switch {
	case s.err != nil:
		return s.err
	case s.kicked:
		return kicked
	case isClosed(s.grant.Revoked):
		return revoked
	case !s.grant.Until.IsZero() && !t.Now.Before(s.grant.Until):
		return expired
	}
	if err := s.limits.lasts(s.since, t.Now); err != nil {
		return err
	}
	switch {
	case s.behind && t.Now.Sub(s.fullSince) >= s.cfg.BusTimeout:
		return errLogTimeout
	case !s.pace.since.IsZero() && t.Now.Sub(s.pace.since) >= maxHeld:
		return runaway(s.pace.speed, s.batcher.Progress(), t.Now.Sub(s.since))
	case t.Now.Sub(s.heard) >= s.cfg.IdleTimeout:
		return idle
	}
	return nil
}

// isClosed tells whether c is; a nil one never is.
func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// signal makes whoever waits on c look again.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Tag takes a tag that arrived at the time given. full asks for a Plan before
// the next one.
func (s *Session) Tag(arrived time.Time, t flv.Tag) (full bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cutting && s.batcher.OpensKey(t) {
		return false, cut
	}
	empty := s.batcher.MediaAt().IsZero()
	if err := s.batcher.Add(arrived, t); err != nil {
		return false, brokenRule(err)
	}
	switch at := s.batcher.MediaAt(); {
	case !at.IsZero():
		s.heard = later(s.heard, at)
		if empty {
			signal(s.ready) // to open the log
		}
	case s.batcher.Queued() > maxPreface:
		return false, brokenRule(errPreface)
	}
	s.examine(arrived, t)
	s.account()
	if err := s.limits.allows(&s.facts); err != nil {
		return false, err
	}
	return s.full(arrived), nil
}

// full tells whether the connection is to stop reading. It needs mu.
func (s *Session) full(now time.Time) bool {
	waits := s.batcher.Queued() + s.inFlight
	least, seconds := 2*s.cfg.MaxMessage, int(bufferTime/time.Second)
	bound := min(max(least, s.rate.perSecond*seconds), s.cfg.SessionBuffer)
	s.behind = waits >= bound || waits+s.partial >= always && s.used.Load() >= s.cfg.Buffer
	return s.pace.holds(now, s.batcher.Progress()) || s.behind
}

// account settles what the session holds with the budget of all. It needs mu.
func (s *Session) account() {
	if held := s.batcher.Held() + s.partial; held != s.held {
		s.used.Add(int64(held - s.held))
		s.cfg.Metrics.buffered.Add(float64(held - s.held))
		s.held = held
	}
}

// appendBatches appends batch after batch until the session is closed and all
// is stored, or something fails. It opens the log when the first media has come.
func (s *Session) appendBatches(ctx context.Context) {
	defer close(s.done)
	var kick <-chan struct{}
	taken := s.grant.Revoked
	for {
		if s.out == nil && s.hasMedia() {
			if err := s.open(ctx); err != nil {
				s.stop(err)
				return
			}
			kick = s.out.Kicked()
		}
		b, more := s.next(time.Now())
		if !more {
			return
		}
		if b != nil {
			if err := s.append(ctx, b); err != nil {
				s.stop(err)
				return
			}
			continue
		}
		select {
		case <-s.ready:
		case <-kick:
			kick = nil
			s.stop(kicked)
		case <-taken:
			taken = nil
			s.wake() // listen sees it
		}
	}
}

// open takes the session's place on the log, and with it the stream.
func (s *Session) open(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.BusTimeout)
	defer cancel()
	w, err := s.cfg.Log.Open(ctx, s.grant, time.Now())
	if err != nil {
		return notOpened(err)
	}
	s.out, s.logger = w, s.logger.With("broadcast", w.Broadcast())
	s.of.enroll(s)
	facts := []any{"transport", s.peer.Transport}
	if s.grant.Owner != "" {
		facts = append(facts, "owner", s.grant.Owner)
	}
	if s.peer.Encoder != "" {
		facts = append(facts, "encoder", s.peer.Encoder)
	}
	s.logger.Info("publish began", facts...)
	return nil
}

func (s *Session) hasMedia() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.batcher.MediaAt().IsZero()
}

// stop tells the connection that the session is to end.
func (s *Session) stop(err error) {
	s.mu.Lock()
	if errors.Is(err, kicked) {
		s.kicked = true
	} else {
		s.err = err
	}
	s.mu.Unlock()
	s.wake()
}

// next takes a batch from the Batcher; nil means that none is ready, and false
// that none will be.
func (s *Session) next(now time.Time) (*framelog.Batch, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.out == nil {
		return nil, !s.closing || !s.batcher.MediaAt().IsZero()
	}
	b := s.batcher.Take(now)
	if b != nil {
		s.inFlight = len(b.Tags)
	}
	return b, b != nil || !s.closing
}

// append stores one batch and gives its memory back.
func (s *Session) append(ctx context.Context, b *framelog.Batch) error {
	began := time.Now()
	err := s.out.Append(ctx, b)
	tags := 0
	if errors.Is(err, ErrFenced) {
		tags = mediaTags(b)
	}
	s.cfg.Metrics.appended(len(b.Tags), time.Since(began), err)
	s.mu.Lock()
	if err == nil {
		s.inFlight = 0
	}
	s.batcher.Recycle(b)
	s.account()
	waits, waiting := !s.fullSince.IsZero(), 0
	if tags > 0 {
		waiting = s.batcher.waiting()
	}
	s.mu.Unlock()
	switch {
	case errors.Is(err, ErrFenced):
		s.fenced = tags + waiting
		return fenced(err)
	case err != nil:
		return fmt.Errorf("append batch: %w", err)
	case waits:
		s.wake()
	}
	return nil
}

// finish appends what was received whole, for at most flush, and tells the log.
// It returns the first failure, and the bytes that did not reach the log.
func (s *Session) finish(life context.Context, clean bool, flush time.Duration) (lost int, err error) {
	s.mu.Lock()
	s.batcher.Flush()
	s.closing = true
	if !s.fullSince.IsZero() {
		s.resume(time.Now())
	}
	s.mu.Unlock()
	signal(s.ready)
	limit := time.AfterFunc(flush, s.cancel)
	unbind := context.AfterFunc(life, s.cancel)
	<-s.done
	limit.Stop()
	unbind()
	s.cancel()

	s.mu.Lock()
	if err = s.err; !s.batcher.MediaAt().IsZero() {
		lost = s.batcher.Queued() + s.inFlight
	}
	s.used.Add(int64(-s.held))
	s.cfg.Metrics.buffered.Sub(float64(s.held))
	s.held = 0
	s.mu.Unlock()
	if s.out == nil {
		return lost, err
	}
	ctx, cancel := context.WithTimeout(life, endTimeout)
	defer cancel()
	if e := s.out.End(ctx, clean); e != nil && err == nil {
		err = fmt.Errorf("end session: %w", e)
	}
	return lost, err
}

// rate is how many bytes came in the last full window.
type rate struct {
	since     time.Time
	bytes     int
	perSecond int
	total     int64
}

func (r *rate) add(now time.Time, n int) {
	r.total += int64(n)
	if r.since.IsZero() {
		r.since = now
	}
	r.bytes += n
	if passed := now.Sub(r.since); passed >= rateWindow {
		r.perSecond = int(float64(r.bytes) / passed.Seconds())
		r.since, r.bytes = now, 0
	}
}

// mediaTags counts the audio and video in a batch that no prelude repeats.
func mediaTags(b *framelog.Batch) (n int) {
	for t, err := range flv.Tags(b.Tags[b.Prelude:]) {
		if err == nil && t.Type != flv.TagScript && !flv.IsSequenceHeader(t) {
			n++
		}
	}
	return n
}

// waiting counts the audio and video that wait to be taken.
func (b *Batcher) waiting() (n int) {
	for _, batch := range b.sealed {
		n += mediaTags(batch)
	}
	if b.open != nil {
		n += mediaTags(b.open)
	}
	return n
}
