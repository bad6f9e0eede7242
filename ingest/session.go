package ingest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"weir/media"
	"weir/media/framelog"
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
)

// errKicked ends a session that an operator or another node's session ended.
var errKicked = errors.New("the session was kicked")

// session is what stands between the goroutine that reads a connection and the
// one that appends to the log: a Batcher, and the account of its memory.
type session struct {
	stream   media.Stream
	remote   string
	streamID uint32 // RTMP message stream of the publish
	since    time.Time
	log      Session
	metrics  *Metrics
	limits   limits

	ready chan struct{} // the appender should look
	room  chan struct{} // the reader should look
	done  chan struct{} // closed when the appender has ended
	// notify is called by the appender when failure has something to say.
	notify func()
	cancel context.CancelFunc // ends what the appender waits for

	mu       sync.Mutex
	batcher  *Batcher
	inFlight int // bytes of the batch that is being appended
	partial  int // bytes of messages that are not whole yet
	held     int // what of budget is ours
	closing  bool
	kicked   bool
	err      error // why the appender gave up
	rate     rate
	facts    facts
}

// limits are the bounds of a session's buffer, in bytes.
type limits struct {
	least, most int           // of payload; in between, bufferTime of the stream
	always      int           // below this a session goes on whatever others hold
	all         int64         // of all sessions' memory
	used        *atomic.Int64 // by all sessions
}

// newSession starts the appender, which finish waits for.
func newSession(ctx context.Context, s *session, cfg BatcherConfig) *session {
	s.ready, s.room, s.done = make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{})
	s.batcher = NewBatcher(cfg)
	ctx, s.cancel = context.WithCancel(ctx)
	go s.appendBatches(ctx)
	return s
}

// signal makes whoever waits on c look again.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// add takes a tag that has arrived, or may have.
func (s *session) add(arrived time.Time, t flv.Tag) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.batcher.Add(arrived, t); err != nil {
		return err
	}
	s.facts.note(t)
	s.account()
	return nil
}

// opensKey tells whether the session could end before t.
func (s *session) opensKey(t flv.Tag) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.batcher.OpensKey(t)
}

// received counts n bytes off the socket, after which partial are held of
// messages that are not whole, and wakes the appender if there is something for
// it to do.
func (s *session) received(now time.Time, n, partial int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rate.add(now, n)
	if partial != s.partial {
		s.partial = partial
		s.account()
	}
	if s.batcher.Ready(now) {
		signal(s.ready)
	}
}

// due returns when the open batch is due, or the zero time.
func (s *session) due() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.batcher.Due()
}

// bytesPerSecond is the session's bit rate in bytes, 0 in its first second.
func (s *session) bytesPerSecond() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rate.perSecond
}

// full tells whether the reader should stop.
func (s *session) full() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	waits := s.batcher.Queued() + s.inFlight
	bound := min(max(s.limits.least, s.rate.perSecond*int(bufferTime/time.Second)), s.limits.most)
	return waits >= bound || waits+s.partial >= s.limits.always && s.limits.used.Load() >= s.limits.all
}

// failure returns why the session cannot go on, if it cannot.
func (s *session) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil && s.kicked {
		return errKicked
	}
	return s.err
}

// account settles what the session holds with the budget of all. It needs mu.
func (s *session) account() {
	if held := s.batcher.Held() + s.partial; held != s.held {
		s.limits.used.Add(int64(held - s.held))
		s.metrics.buffered.Add(float64(held - s.held))
		s.held = held
	}
}

// appendBatches appends batch after batch until the session is closed and all
// is stored, or something fails.
func (s *session) appendBatches(ctx context.Context) {
	defer close(s.done)
	kicked := s.log.Kicked()
	for {
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
		case <-kicked:
			kicked = nil
			s.stop(errKicked)
		}
	}
}

// stop tells the reader that the session is to end.
func (s *session) stop(err error) {
	s.mu.Lock()
	if errors.Is(err, errKicked) {
		s.kicked = true
	} else {
		s.err = err
	}
	s.mu.Unlock()
	s.notify()
}

// next takes a batch from the Batcher; nil means that none is ready, and false
// that none will be.
func (s *session) next(now time.Time) (*framelog.Batch, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.batcher.Take(now)
	if b != nil {
		s.inFlight = len(b.Tags)
	}
	return b, b != nil || !s.closing
}

// append stores one batch and gives its memory back.
func (s *session) append(ctx context.Context, b *framelog.Batch) error {
	began := time.Now()
	err := s.log.Append(ctx, b)
	s.metrics.appended(len(b.Tags), time.Since(began), err)
	s.mu.Lock()
	if err == nil {
		s.facts.batches++
		s.inFlight = 0
	}
	s.batcher.Recycle(b)
	s.account()
	s.mu.Unlock()
	signal(s.room)
	if err != nil {
		return fmt.Errorf("append batch: %w", err)
	}
	return nil
}

// finish ends the session: what was received whole is appended, for at most
// flush, and the log is told. It returns the first failure, and the bytes that
// did not reach the log.
func (s *session) finish(ctx context.Context, clean bool, flush time.Duration) (lost int, err error) {
	s.mu.Lock()
	s.batcher.Flush()
	s.closing = true
	s.mu.Unlock()
	signal(s.ready)
	limit := time.AfterFunc(flush, s.cancel)
	<-s.done
	limit.Stop()
	s.cancel()

	s.mu.Lock()
	lost, err = s.batcher.Queued()+s.inFlight, s.err
	s.limits.used.Add(int64(-s.held))
	s.metrics.buffered.Sub(float64(s.held))
	s.held = 0
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, endTimeout)
	defer cancel()
	if e := s.log.End(ctx, clean); e != nil && err == nil {
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
