package jet

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"
)

// TestMain: no goroutine may be left.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// within returns a context that ends with the test. What takes d on an idle
// machine has a minute.
func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), max(d, time.Minute))
	t.Cleanup(cancel)
	return ctx
}

// bucketForTest is a bucket of an embedded server.
func bucketForTest(t *testing.T) *Bucket {
	t.Helper()
	c, err := Connect(Config{Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	s, err := c.Ensure(within(t, 10*time.Second), jetstream.StreamConfig{
		Name: "KV_test", Subjects: []string{"$KV.test.>"}, MaxMsgsPerSubject: 1, Storage: jetstream.FileStorage, AllowMsgTTL: true, SubjectDeleteMarkerTTL: time.Second,
	}, func(*jetstream.StreamConfig) {})
	if err != nil {
		t.Fatal(err)
	}
	return NewBucket(s, "test")
}

// put writes a key.
func put(t *testing.T, k *Bucket, key string, rev uint64) uint64 {
	t.Helper()
	rev, err := k.Put(within(t, 5*time.Second), key, []byte("x"), rev, 0)
	if err != nil {
		t.Fatal(err)
	}
	return rev
}

// list returns the keys of a bucket.
func list(t *testing.T, k *Bucket, prefix string) (keys []string) {
	t.Helper()
	err := k.List(within(t, 5*time.Second), prefix, func(c Change) error { keys = append(keys, c.Key); return nil })
	if err != nil {
		t.Fatalf("list: %v", err)
	}
	slices.Sort(keys)
	return keys
}

// TestListEnds: a list ends by the last sequence there was, whatever became of
// that: a key, one of no interest, a mark, a mark that has expired.
func TestListEnds(t *testing.T) {
	t.Parallel()
	k := bucketForTest(t)
	if got := list(t, k, ""); len(got) != 0 {
		t.Errorf("an empty bucket lists %q", got)
	}
	put(t, k, "a.1", 0)
	put(t, k, "a.2", 0)
	b := put(t, k, "b.1", 0)
	if got := list(t, k, "a."); !slices.Equal(got, []string{"a.1", "a.2"}) {
		t.Errorf("behind another's key: %q", got)
	}
	if _, err := k.Write(within(t, 5*time.Second), Write{Subject: k.Subject("b.1"), Remove: true, After: b, TTL: time.Second}); err != nil {
		t.Fatal(err)
	}
	for range 8 { // while the mark expires
		if got := list(t, k, ""); !slices.Equal(got, []string{"a.1", "a.2"}) {
			t.Errorf("behind a mark: %q", got)
		}
		time.Sleep(300 * time.Millisecond)
	}
}

// TestListWhileMarksExpire: keys are written and marks expire all the time. No
// list hangs, none is short. Before lists ended by the last sequence, one in
// twelve did not end at all.
func TestListWhileMarksExpire(t *testing.T) {
	t.Parallel()
	k := bucketForTest(t)
	const keys = 50
	for i := range keys {
		put(t, k, fmt.Sprint("k", i), 0)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		rev := uint64(1)
		for i := 0; ctx.Err() == nil; i++ {
			key := fmt.Sprint("gone", i)
			r, err := k.Put(ctx, key, []byte("x"), 0, 0)
			if err == nil {
				_, _ = k.Write(ctx, Write{Subject: k.Subject(key), Remove: true, After: r, TTL: time.Second})
			}
			if i%2 == 0 {
				if r, err := k.Put(ctx, "k0", []byte("y"), rev, 0); err == nil {
					rev = r
				}
			}
			_ = Sleep(ctx, 100*time.Millisecond)
		}
	}()
	for end := time.Now().Add(6 * time.Second); time.Now().Before(end); {
		n := 0
		for _, key := range list(t, k, "") {
			if key[0] == 'k' {
				n++
			}
		}
		if n != keys {
			t.Errorf("%d keys of %d are listed", n, keys)
		}
	}
	cancel()
	<-done
}

// TestWatchIsInterrupted: what was deleted while nobody watched is told.
func TestWatchIsInterrupted(t *testing.T) {
	t.Parallel()
	k := bucketForTest(t)
	put(t, k, "a", 0)
	b := put(t, k, "b", 0)
	gone, synced := make(chan string, 10), make(chan bool, 10)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- k.Watch(ctx, Watcher{Headers: true, Change: func(c Change) error {
			if c.Gone {
				gone <- c.Key
			} else if c.Value != nil {
				t.Errorf("%s came with a value", c.Key)
			}
			return nil
		}, Synced: func() error { synced <- true; return nil }})
	}()
	<-synced
	if err := k.Purge(within(t, 5*time.Second), jetstream.WithPurgeSubject(k.Subject("b"))); err != nil {
		t.Fatal(err)
	}
	// Whoever is connected anew looks anew.
	k.conn.mu.Lock()
	close(k.conn.lost)
	k.conn.lost = make(chan struct{})
	k.conn.mu.Unlock()
	select {
	case key := <-gone:
		if key != "b" {
			t.Errorf("%s is gone, want b (revision %d)", key, b)
		}
	case <-time.After(time.Minute):
		t.Error("nobody was told that b is gone")
	}
	cancel()
	<-done
}
