package storage

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/internal/testlog"
	"weir/media/object"
)

// failingFor is a store that fails for a while.
type failingFor struct {
	Store
	until time.Time
	with  error         // nil: it hangs
	slow  time.Duration // what each put takes
	asked int
}

func (s *failingFor) Put(ctx context.Context, o object.Object, c object.Condition) (string, error) {
	s.asked++
	if time.Now().Before(s.until) {
		if s.with != nil {
			return "", s.with
		}
		<-ctx.Done()
		return "", ctx.Err()
	}
	select {
	case <-time.After(s.slow):
		return s.Store.Put(ctx, o, c)
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// TestPersist: whatever a store fails with, a put is done in the end, not much
// later than it could be, with few requests, and said once in a while.
func TestPersist(t *testing.T) {
	for _, tt := range []struct {
		name  string
		away  time.Duration
		with  error
		slow  time.Duration
		late  time.Duration // when it is stored, after that is possible
		asked int
	}{
		{"all is well", 0, nil, 0, 0, 1},
		{"it denies us", time.Minute, ErrDenied, 0, 3 * time.Second, 70},
		{"it is full", time.Minute, ErrFull, 0, 3 * time.Second, 70},
		{"it hangs", time.Minute, nil, 0, 42 * time.Second, 5},
		{"it is slower than the first attempts may be", 0, nil, time.Minute, 3 * time.Minute, 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				text, log := testlog.New()
				s := &failingFor{Store: NewMemory(), until: time.Now().Add(tt.away), with: tt.with, slow: tt.slow}
				began := time.Now()
				if _, err := Persist(s, log).Put(t.Context(), object.Object{Key: "a", Body: []byte("x")}, object.Condition{}); err != nil {
					t.Fatal(err)
				}
				if late := time.Since(began) - tt.away; late > tt.late {
					t.Errorf("it came %v late, want %v at most", late, tt.late)
				}
				if s.asked > tt.asked {
					t.Errorf("the store was asked %d times, want %d at most", s.asked, tt.asked)
				}
				told, ended := strings.Count(text.String(), "retrying"), strings.Count(text.String(), "succeeded at last")
				if failed := s.asked > 1; failed != (told > 0) || failed != (ended == 1) || told > 4 {
					t.Errorf("%d attempts, and it says\n%s", s.asked, text)
				}
			})
		})
	}
}

// TestPersistAnswers: what a store answers is no failure, and a context that ends
// is an end.
func TestPersistAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		quiet := slog.New(slog.DiscardHandler)
		p := Persist(NewMemory(), quiet)
		if _, _, err := p.Get(t.Context(), "none"); !errors.Is(err, object.ErrNotExist) {
			t.Errorf("get of nothing: %v", err)
		}
		if _, err := p.Put(t.Context(), object.Object{Key: "a"}, object.Condition{Match: `"x"`}); !errors.Is(err, object.ErrPrecondition) {
			t.Errorf("put over what is not there: %v", err)
		}
		if _, err := p.Put(t.Context(), object.Object{Key: "../a"}, object.Condition{}); !errors.Is(err, ErrKey) {
			t.Errorf("put outside: %v", err)
		}
		if err := p.Delete(t.Context(), "none"); err != nil {
			t.Errorf("delete of nothing: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		s := &failingFor{Store: NewMemory(), until: time.Now().Add(time.Hour), with: ErrUnavailable}
		began := time.Now()
		if _, err := Persist(s, quiet).Put(ctx, object.Object{Key: "a"}, object.Condition{}); !errors.Is(err, ErrUnavailable) || time.Since(began) > time.Minute {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	})
}

// TestPersistOverADisk: a segment waits for room, a playlist does not.
func TestPersistOverADisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := new(Disk)
		d.full.Store(true)
		p := Persist(diskStore{NewMemory(), d}, slog.New(slog.DiscardHandler))
		time.AfterFunc(time.Minute, func() { d.full.Store(false) })
		began := time.Now()
		for key, want := range map[string]time.Duration{"live/a/b/source/live.m3u8": 0, "live/a/b/source/00000001.ts": time.Minute + 3*time.Second} {
			if _, err := p.Put(t.Context(), object.Object{Key: key}, object.Condition{}); err != nil || time.Since(began) > want+time.Minute {
				t.Errorf("%s: %v after %v", key, err, time.Since(began))
			}
		}
	})
}
