package bus

import (
	"bytes"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"weir/internal/faultproxy"
)

// putKeys sets keys k0 to k<n-1> of the state bucket.
func putKeys(t *testing.T, b *Bus, n int) {
	t.Helper()
	for i := range n {
		if _, err := b.state.put(within(t, time.Second), fmt.Sprint("k", i), []byte("x"), 0, 0); err != nil {
			t.Fatal(err)
		}
	}
}

// TestListOverDeadConsumer: the consumer of a list does not deliver, because
// its server is frozen or cut off. What the list has by then is not all.
func TestListOverDeadConsumer(t *testing.T) {
	t.Parallel()
	n := startNATS(t)
	u, err := url.Parse(n.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	var armed atomic.Bool
	var p *faultproxy.TCP
	p = faultproxy.StartTCP(t, func(_ int, sent []byte) {
		if bytes.Contains(sent, []byte(".CONSUMER.MSG.NEXT.")) && armed.CompareAndSwap(true, false) {
			p.Freeze()
			time.AfterFunc(2500*time.Millisecond, p.Thaw)
		}
	}, u.Host)
	b := open(t, Config{URL: "nats://" + p.Addr})
	const keys = 30
	putKeys(t, b, keys)
	armed.Store(true)
	seen := make(map[string]bool)
	err = b.state.list(within(t, 20*time.Second), "", func(c change) error { seen[c.key] = true; return nil })
	if err != nil || len(seen) != keys {
		t.Errorf("%d keys of %d are listed: %v", len(seen), keys, err)
	}
	if armed.Load() {
		t.Error("the consumer was never asked for a message")
	}
}

// TestWatcherIsQuiet: a consumer lives, and does not deliver all that there
// is, as its server is behind the leader. The leader is asked for the rest.
func TestWatcherIsQuiet(t *testing.T) {
	t.Parallel()
	b := embedded(t)
	putKeys(t, b, 3)
	values := make(map[string]string)
	synced := 0
	w := watcher{
		bucket: b.state, filter: b.state.prefix + ">",
		known: map[string]bool{"k1": true, "gone": true, "expired": true},
		fn: func(c change) error {
			values[c.key] = string(c.value)
			return nil
		},
		synced: func() error { synced++; return nil },
	}
	ctx := within(t, 5*time.Second)
	if err := w.look(ctx); err != nil {
		t.Fatal(err)
	}
	w.coming["expired"] = true // its mark was there when the keys were looked at
	if err := w.message(record{subject: b.state.prefix + "k0", data: []byte("x")}); err != nil {
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
