package bus

import (
	"errors"
	"slices"
	"testing"
	"time"

	"weir/media/framelog"
)

// TestRenditions: a session publishes more than its source. Each rendition is
// a log of its own, fenced, ended and claimed as the source is.
func TestRenditions(t *testing.T) {
	b := embedded(t)
	first := openSession(t, b)
	w, err := first.Writer(within(t, 5*time.Second), "audio-1")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := first.Writer(within(t, 5*time.Second), "audio-1"); again != w || err != nil {
		t.Errorf("asked again: %p, %v; want the same writer", again, err)
	}
	if _, err := first.Writer(within(t, 5*time.Second), "a.b"); err == nil {
		t.Error("a rendition whose name is two tokens of a subject is taken")
	}
	for n := 1; n <= 3; n++ {
		if err := w.Append(within(t, 5*time.Second), batch(n, 100)); err != nil {
			t.Fatal(err)
		}
	}
	appendBatches(t, first, 100, 1)

	second := openSession(t, b) // takes over: fences both logs
	if err := w.Append(within(t, 5*time.Second), batch(4, 100)); !errors.Is(err, ErrFenced) {
		t.Errorf("the rendition of a session that was taken over: %v, want it to be fenced", err)
	}
	w2, err := second.Writer(within(t, 5*time.Second), "audio-1")
	if err != nil {
		t.Fatal(err)
	}
	if err := w2.Append(within(t, 5*time.Second), batch(1, 100)); err != nil {
		t.Fatal(err)
	}
	if err := second.End(within(t, 5*time.Second), true); err != nil {
		t.Fatal(err)
	}
	for rendition, want := range map[string]string{Source: "bk f x", "audio-1": "bk - - f bk x"} {
		var got []*framelog.Batch
		err := b.Read(within(t, 10*time.Second), first.Broadcast(), rendition, framelog.Position{}, func(x *framelog.Batch, missed bool) error {
			if got = append(got, x); x.Flags.Has(framelog.Final) {
				return errEnough
			}
			return nil
		})
		if !errors.Is(err, errEnough) || flagsOf(got) != want {
			t.Errorf("%s: read %q, %v; want %q", rendition, flagsOf(got), err, want)
		}
	}
	all, err := b.Ownerships(within(t, 5*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, o := range all {
		names = append(names, o.Rendition)
	}
	if slices.Sort(names); !slices.Equal(names, []string{"audio-1", Source}) {
		t.Errorf("claimable are %q", names)
	}
}

// TestTail: whoever joins what is live begins at the newest key batch.
func TestTail(t *testing.T) {
	b := embedded(t)
	s := openSession(t, b)
	tail := func(n int) (flags string, missed bool) {
		t.Helper()
		var got []*framelog.Batch
		err := b.Tail(within(t, 10*time.Second), s.Broadcast(), Source, func(x *framelog.Batch, m bool) error {
			missed = missed || m
			if got = append(got, x); len(got) == n {
				return errEnough
			}
			return nil
		})
		if !errors.Is(err, errEnough) {
			t.Fatal(err)
		}
		return flagsOf(got), missed
	}
	appendBatches(t, s, 100, 1, 2, 3, 4)
	if got, missed := tail(4); got != "bk - - -" || missed {
		t.Errorf("behind the first key: %q, missed %v", got, missed)
	}
	appendBatches(t, s, 100, 5, 6)
	if got, missed := tail(2); got != "k -" || missed {
		t.Errorf("behind the second key: %q, missed %v", got, missed)
	}
	appendBatches(t, s, 100, 7, 8, 9)
	if got, missed := tail(1); got != "k" || missed {
		t.Errorf("the newest is a key: %q, missed %v", got, missed)
	}
	if err := s.End(within(t, 5*time.Second), true); err != nil {
		t.Fatal(err)
	}
	if got, missed := tail(2); got != "k x" || missed {
		t.Errorf("of what has ended: %q, missed %v", got, missed)
	}
}
