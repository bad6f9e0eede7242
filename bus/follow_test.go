package bus

import (
	"bytes"
	"fmt"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"weir/bus/internal/jet"
	"weir/internal/faultproxy"
)

// putKeys sets keys k0 to k<n-1> of the state bucket.
func putKeys(t *testing.T, b *Bus, n int) {
	t.Helper()
	for i := range n {
		if _, err := b.state.Put(within(t, time.Second), fmt.Sprint("k", i), []byte("x"), 0, 0); err != nil {
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
	err = b.state.List(within(t, 20*time.Second), "", func(c jet.Change) error { seen[c.Key] = true; return nil })
	if err != nil || len(seen) != keys {
		t.Errorf("%d keys of %d are listed: %v", len(seen), keys, err)
	}
	if armed.Load() {
		t.Error("the consumer was never asked for a message")
	}
}
