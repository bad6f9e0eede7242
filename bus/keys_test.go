package bus

import (
	"context"
	"testing"
	"time"
)

// TestStreamKeys lets one node write what another watches.
func TestStreamKeys(t *testing.T) {
	b := open(t, Config{Dir: t.TempDir()})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	keys, err := b.StreamKeys(ctx)
	if err != nil {
		t.Fatal(err)
	}
	const hash, other = "00ff", "11ee"
	if err := keys.Put(ctx, hash, []byte("before")); err != nil {
		t.Fatal(err)
	}
	type change struct{ hash, rule string }
	seen := make(chan change, 10)
	go func() {
		_ = keys.Watch(ctx, func(hash string, rule []byte) { seen <- change{hash, string(rule)} }, func() { seen <- change{"synced", ""} })
	}()
	steps := []struct {
		do   func() error
		want change
	}{
		{func() error { return nil }, change{hash, "before"}},
		{func() error { return nil }, change{"synced", ""}},
		{func() error { return keys.Put(ctx, hash, []byte("after")) }, change{hash, "after"}},
		{func() error { return keys.Put(ctx, other, []byte("x")) }, change{other, "x"}},
		{func() error { return keys.Remove(ctx, hash) }, change{hash, ""}},
		{func() error { return keys.Put(ctx, hash, []byte("again")) }, change{hash, "again"}},
		{func() error { return keys.Remove(ctx, hash) }, change{hash, ""}},
	}
	for i, s := range steps {
		if err := s.do(); err != nil {
			t.Fatal(err)
		}
		select {
		case got := <-seen:
			if got != s.want {
				t.Errorf("step %d: %v, want %v", i, got, s.want)
			}
		case <-ctx.Done():
			t.Fatalf("step %d: nothing was seen", i)
		}
	}
	all, err := keys.All(ctx)
	if err != nil || len(all) != 1 || string(all[other]) != "x" {
		t.Errorf("%q, %v", all, err)
	}
}
