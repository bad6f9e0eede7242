package jet

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"
)

// TestMain: no goroutine may be left.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// within returns a context that ends with the test, and after d at the latest.
func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
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

// TestWatcherIsQuiet: a consumer lives, and does not deliver all that there
// is, as its server is behind the leader. The leader is asked for the rest.
func TestWatcherIsQuiet(t *testing.T) {
	t.Parallel()
	k := bucketForTest(t)
	for i := range 3 {
		if _, err := k.Put(within(t, time.Second), fmt.Sprint("k", i), []byte("x"), 0, 0); err != nil {
			t.Fatal(err)
		}
	}
	values := make(map[string]string)
	synced := 0
	w := watcher{
		bucket: k, filter: k.Subject(">"),
		known: map[string]bool{"k1": true, "gone": true, "expired": true},
		fn: func(c Change) error {
			values[c.Key] = string(c.Value)
			return nil
		},
		synced: func() error { synced++; return nil },
	}
	ctx := within(t, 5*time.Second)
	if err := w.look(ctx); err != nil {
		t.Fatal(err)
	}
	w.coming["expired"] = true // its mark was there when the keys were looked at
	if err := w.message(Message{Subject: k.Subject("k0"), Data: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	if synced != 0 {
		t.Error("in sync with one key of three")
	}
	for range 2 { // the second time there is nothing to do
		if err := w.quiet(ctx); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]string{"k0": "x", "k1": "x", "k2": "x", "gone": "", "expired": ""}
	if !maps.Equal(values, want) || synced != 1 {
		t.Errorf("in sync %d times with %q, want once with %q", synced, values, want)
	}
	if keys := slices.Sorted(maps.Keys(w.known)); !slices.Equal(keys, []string{"k0", "k1", "k2"}) {
		t.Errorf("known are %q", keys)
	}
}
