package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"
)

// done counts what was done with jobs.
type done struct {
	mu    sync.Mutex
	order []string
	times map[string]int
}

func (d *done) add(job string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.times == nil {
		d.times = make(map[string]int)
	}
	d.order = append(d.order, job)
	d.times[job]++
	return d.times[job]
}

func (d *done) len() int { d.mu.Lock(); defer d.mu.Unlock(); return len(d.times) }

func putJobs(t *testing.T, q *Queue, l Lane, n int) {
	t.Helper()
	for i := range n {
		for range 2 { // the second time it is known
			job := fmt.Sprint(l, i)
			if err := q.Put(within(t, 5*time.Second), l, job, []byte(job)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestJobs: each job is done once, by either of two processes, live ones
// before those of past shows; what fails is done again, what is dropped not.
func TestJobs(t *testing.T) {
	n := startNATS(t)
	a, b := open(t, Config{URL: n.ClientURL()}), open(t, Config{URL: n.ClientURL()})
	putJobs(t, a.Queue("transcode"), PastLane, 3)
	putJobs(t, a.Queue("transcode"), LiveLane, 3)
	if n, err := a.Queue("transcode").Waiting(within(t, 5*time.Second), PastLane); n != 3 || err != nil {
		t.Errorf("%d past jobs wait, %v; want 3", n, err)
	}
	var d done
	work := func(ctx context.Context, j Job) error {
		tries := d.add(string(j.Data))
		switch string(j.Data) {
		case "live1":
			return fmt.Errorf("too late: %w", ErrDrop)
		case "live2":
			if tries == 1 {
				return errors.New("cannot now")
			}
		}
		return nil
	}
	stop := running(t, func(ctx context.Context) error { return a.Queue("transcode").Run(ctx, 1, work) })
	eventually(t, 10*time.Second, "one worker does all", func() bool { return d.len() == 6 })
	d.mu.Lock()
	for i, job := range d.order[:3] {
		if job[:4] != "live" {
			t.Errorf("job %d was %s: a past show's, while live ones waited", i, job)
		}
	}
	d.mu.Unlock()
	stop()
	running(t, func(ctx context.Context) error { return b.Queue("transcode").Run(ctx, 2, work) })
	eventually(t, 20*time.Second, "none waits", func() bool {
		live, err := a.Queue("transcode").Waiting(within(t, 5*time.Second), LiveLane)
		past, err2 := a.Queue("transcode").Waiting(within(t, 5*time.Second), PastLane)
		return err == nil && err2 == nil && live+past == 0
	})
	d.mu.Lock()
	defer d.mu.Unlock()
	for job, times := range d.times {
		want := 1
		if job == "live2" {
			want = 2
		}
		if times != want {
			t.Errorf("%s was done %d times, want %d", job, times, want)
		}
	}
}

// TestLongJob: one that takes longer than the queue waits for a sign of life is
// done once, as its worker gives one; and hints reach who listens.
func TestLongJob(t *testing.T) {
	t.Parallel()
	b := embedded(t)
	q := b.Queue("transcode")
	heard := make(chan string, 1)
	stop, err := q.Listen("b1", func(data []byte) { heard <- string(data) })
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	putJobs(t, q, LiveLane, 1)
	var d done
	running(t, func(ctx context.Context) error {
		return q.Run(ctx, 2, func(ctx context.Context, j Job) error {
			d.add(string(j.Data))
			time.Sleep(2 * jobWait)
			return q.Tell("b1", j.Data)
		})
	})
	select {
	case got := <-heard:
		if got != "live0" {
			t.Errorf("heard %q", got)
		}
	case <-time.After(patience):
		t.Fatal("no hint")
	}
	time.Sleep(jobWait)
	if d.times["live0"] != 1 {
		t.Errorf("the long job was done %d times", d.times["live0"])
	}
}

// TestKilledJob: kill -9 of the process that does a job gives it to another.
func TestKilledJob(t *testing.T) {
	t.Parallel()
	n := startNATS(t)
	b := open(t, Config{URL: n.ClientURL()})
	putJobs(t, b.Queue("transcode"), LiveLane, 1)
	c := startChild(t, "job", n.ClientURL())
	eventually(t, 20*time.Second, "the child is at it", func() bool { return c.count("job") == 1 })
	c.kill(t)
	began := time.Now()
	var d done
	running(t, func(ctx context.Context) error {
		return b.Queue("transcode").Run(ctx, 1, func(_ context.Context, j Job) error {
			if j.Tries != 2 {
				t.Errorf("try %d, want 2", j.Tries)
			}
			d.add(string(j.Data))
			return nil
		})
	})
	eventually(t, 20*time.Second, "another does it", func() bool { return d.len() == 1 })
	t.Logf("a killed process's job was done %v later", time.Since(began).Round(10*time.Millisecond))
}

// childJob takes jobs and never ends one.
func childJob() {
	b, err := Open(context.Background(), childConfig())
	if err != nil {
		panic(err)
	}
	panic(b.Queue("transcode").Run(context.Background(), 1, func(ctx context.Context, j Job) error {
		fmt.Println("job", string(j.Data))
		<-ctx.Done()
		return nil
	}))
}
