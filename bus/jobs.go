package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"weir/bus/internal/jet"
)

// Lane is which of a queue's two lines a job stands in.
type Lane string

// The lanes. A worker asks for a past show's job only while no live one waits.
const (
	LiveLane Lane = "live"
	PastLane Lane = "past"
)

const (
	// jobWait is how long a job may be without a sign of life before it is given
	// to another worker; each third of it its worker gives one. Measured: with
	// 30 s a killed worker's job came 96 s late, with 1 s jobs were done twice.
	jobWait = 2 * time.Second
	// jobTries is how often a job is given out.
	jobTries = 5
	// jobAge is how long a job waits at most.
	jobAge = time.Hour
	// jobDoubles is how long the id of a job is remembered.
	jobDoubles = 2 * time.Minute
)

// jobsConfig is the stream of all jobs. A job goes when it is done.
func jobsConfig(cfg Config) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:         "WEIR_JOBS",
		Description:  "weir's jobs: work that any worker may do, and do again",
		Subjects:     []string{"weir.job.*.*"},
		Retention:    jetstream.WorkQueuePolicy,
		MaxAge:       jobAge,
		MaxBytes:     -1,
		Replicas:     cfg.Replicas,
		Storage:      jetstream.FileStorage,
		Discard:      jetstream.DiscardOld,
		MaxConsumers: maxConsumers,
		Duplicates:   jobDoubles,
	}
}

// Queue hands jobs to workers that keep nothing: each to one, and to another
// where that one dies over it. So a job may be done twice; what it makes must
// be the same then.
type Queue struct {
	bus  *Bus
	name string
}

// Job is a job as a worker gets it.
type Job struct {
	Data []byte
	Lane Lane
	// Queued is when it was put, by the server's clock; Tries how often it was
	// given out, this time included.
	Queued time.Time
	Tries  int
}

// ErrDrop is returned, wrapped, by whoever does a job that nobody is to do: it
// came too late, or can never be done.
var ErrDrop = errors.New("nobody is to do the job")

// Queue returns the queue of the given name, [a-z]+. It is there as soon as
// somebody puts or takes a job.
func (b *Bus) Queue(name string) *Queue { return &Queue{b, name} }

func (q *Queue) subject(l Lane) string { return "weir.job." + q.name + "." + string(l) }

// Put queues a job. Another with the same id is dropped while the first is
// remembered, 2 minutes. It tries until ctx ends.
func (q *Queue) Put(ctx context.Context, l Lane, id string, data []byte) error {
	if err := q.bus.conn.Queue(ctx, q.subject(l), id, data); err != nil {
		return fmt.Errorf("put job: %w", err)
	}
	return nil
}

// Waiting is how many jobs of a lane wait or are under way.
func (q *Queue) Waiting(ctx context.Context, l Lane) (int, error) {
	info, err := q.bus.jobs.Info(ctx, jetstream.WithSubjectFilter(q.subject(l)))
	if err != nil {
		return 0, fmt.Errorf("count jobs: %w", err)
	}
	return int(info.State.Subjects[q.subject(l)]), nil
}

// Run does jobs, slots at a time, until ctx ends; then it waits for those under
// way, whose contexts end, too. What do returns says what becomes of the job:
// nil, it is done; ErrDrop, nobody does it; any other error, it is given out
// again after a while.
func (q *Queue) Run(ctx context.Context, slots int, do func(context.Context, Job) error) error {
	lanes := []*lane{{queue: q, name: LiveLane}, {queue: q, name: PastLane}}
	var all sync.WaitGroup
	for range slots {
		all.Go(func() {
			for try := 0; ctx.Err() == nil; try++ {
				m, l := take(ctx, lanes)
				if m == nil {
					_ = jet.Pause(ctx, try) // ends with ctx, as the loop does
					continue
				}
				try = 0
				q.do(ctx, m, l, do)
			}
		})
	}
	all.Wait()
	return nil
}

// take waits for a job, for a while: a live one if there is one.
func take(ctx context.Context, lanes []*lane) (jetstream.Msg, Lane) {
	for i, l := range lanes {
		wait := time.Duration(0)
		if i == len(lanes)-1 {
			wait = 250 * time.Millisecond // then look for live ones again
		}
		if m := l.fetch(ctx, wait); m != nil {
			return m, l.name
		}
	}
	return nil, ""
}

// lane is one subject's consumer. The workers of all processes share it.
type lane struct {
	queue *Queue
	name  Lane

	mu       sync.Mutex
	consumer jetstream.Consumer
}

// fetch returns a job, nil if none comes in time. One at a time: what is
// fetched ahead would wait behind a slow job while others are idle.
func (l *lane) fetch(ctx context.Context, wait time.Duration) jetstream.Msg {
	c, err := l.open(ctx)
	if err != nil {
		l.queue.bus.log.Debug("no consumer of jobs", "queue", l.queue.name, "err", err)
		return nil
	}
	var batch jetstream.MessageBatch
	if wait == 0 {
		batch, err = c.FetchNoWait(1)
	} else {
		batch, err = c.Fetch(1, jetstream.FetchMaxWait(wait))
	}
	if err == nil {
		for m := range batch.Messages() {
			return m
		}
		err = batch.Error()
	}
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		l.mu.Lock()
		l.consumer = nil // the server, or its disk, may be another one now
		l.mu.Unlock()
	}
	return nil
}

// open returns the lane's consumer, made if it is not there.
func (l *lane) open(ctx context.Context) (jetstream.Consumer, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.consumer != nil {
		return l.consumer, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	c, err := l.queue.bus.jobs.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{
		Durable:       l.queue.name + "-" + string(l.name),
		FilterSubject: l.queue.subject(l.name),
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       jobWait,
		MaxDeliver:    jobTries,
		MaxAckPending: maxConsumers, // above all slots there are
		MaxWaiting:    maxConsumers,
	})
	if err != nil {
		return nil, fmt.Errorf("open queue: %w", err)
	}
	l.consumer = c
	return c, nil
}

// do does one job, and says meanwhile that it is under way.
func (q *Queue) do(ctx context.Context, m jetstream.Msg, l Lane, do func(context.Context, Job) error) {
	meta, err := m.Metadata()
	if err != nil {
		return // not a job: it goes by its age
	}
	alive, done := context.WithCancel(ctx)
	var signs sync.WaitGroup
	signs.Go(func() {
		for jet.Sleep(alive, jobWait/3) == nil {
			_ = m.InProgress() // if it is lost, so may be the job: it is done again
		}
	})
	err = do(ctx, Job{Data: m.Data(), Lane: l, Queued: meta.Timestamp, Tries: int(meta.NumDelivered)})
	done()
	signs.Wait()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	switch {
	case err == nil:
		err = m.DoubleAck(last)
	case errors.Is(err, ErrDrop):
		q.bus.log.Warn("job dropped", "queue", q.name, "err", err)
		err = m.TermWithReason(err.Error())
	case ctx.Err() != nil:
		err = m.Nak() // others may have it at once
	default:
		q.bus.log.Warn("job failed", "queue", q.name, "try", meta.NumDelivered, "of", jobTries, "err", err)
		err = m.NakWithDelay(time.Second << min(meta.NumDelivered, 5))
	}
	if err != nil {
		q.bus.log.Debug("the job's end was not heard", "queue", q.name, "err", err)
	}
}

// Tell sends what is known of a broadcast's jobs to whoever listens. It is a
// hint: it may be lost.
func (q *Queue) Tell(broadcast string, data []byte) error {
	return q.bus.conn.Publish(q.hints(broadcast), data)
}

// Listen calls fn with the hints of a broadcast until stop is called.
func (q *Queue) Listen(broadcast string, fn func(data []byte)) (stop func(), err error) {
	return q.bus.conn.Answer(q.hints(broadcast), func(data []byte) []byte { fn(data); return nil })
}

func (q *Queue) hints(broadcast string) string { return "weir.hint." + q.name + "." + broadcast }
