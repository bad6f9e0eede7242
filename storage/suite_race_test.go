package storage_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"weir/media/object"
	"weir/storage"
)

// race runs n writers at once and returns the bodies of those who won.
func race(t *testing.T, s storage.Store, n int, key string, c object.Condition) (winners []string) {
	t.Helper()
	start := make(chan struct{})
	var mu sync.Mutex
	var writers sync.WaitGroup
	for i := range n {
		writers.Go(func() {
			body := fmt.Sprintf("%s by writer %d", key, i)
			<-start
			_, err := s.Put(t.Context(), object.Object{Key: key, Body: []byte(body)}, c)
			switch {
			case err == nil:
				mu.Lock()
				winners = append(winners, body)
				mu.Unlock()
			case !errors.Is(err, object.ErrPrecondition):
				t.Errorf("a loser's error is %v, want %v", err, object.ErrPrecondition)
			}
		})
	}
	close(start)
	writers.Wait()
	return winners
}

const racers = 16

func testRaceToCreate(t *testing.T, s storage.Store) {
	for round := range 20 {
		key := fmt.Sprintf("round/%d", round)
		winners := race(t, s, racers, key, absent)
		if len(winners) != 1 {
			t.Fatalf("%d winners, want exactly one: %q", len(winners), winners)
		}
		wantBody(t, s, key, winners[0])
	}
}

func testRaceToReplace(t *testing.T, s storage.Store) {
	etag := put(t, s, "k", "0", always)
	for range 20 {
		winners := race(t, s, racers, "k", matches(etag))
		if len(winners) != 1 {
			t.Fatalf("%d winners, want exactly one: %q", len(winners), winners)
		}
		wantBody(t, s, "k", winners[0])
		etag = put(t, s, "k", "between rounds", always)
	}
}

// testCounter counts with several writers by compare-and-set: an update that
// was lost or done twice would show in the sum.
func testCounter(t *testing.T, s storage.Store) {
	const writers, each = 4, 10
	put(t, s, "counter", "", always)
	var all sync.WaitGroup
	for range writers {
		all.Go(func() {
			if err := count(t.Context(), s, "counter", each); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	wantBody(t, s, "counter", strings.Repeat("x", writers*each))
}

// count adds n to a counter, which is as long as its value.
func count(ctx context.Context, s storage.Store, key string, n int) error {
	for n > 0 {
		body, info, err := s.Get(ctx, key)
		if err != nil {
			return err
		}
		_, err = s.Put(ctx, object.Object{Key: key, Body: append(body, 'x')}, matches(info.ETag))
		switch {
		case err == nil:
			n--
		case !errors.Is(err, object.ErrPrecondition):
			return err
		}
	}
	return nil
}

// testReadsAreWhole reads an object that is being replaced all the time.
func testReadsAreWhole(t *testing.T, s storage.Store) {
	if err := writeSealed(t.Context(), s, "k"); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				if err := writeSealed(t.Context(), s, "k"); err != nil {
					t.Error(err)
					return
				}
			}
		}
	})
	for range 50 {
		body, info, err := s.Get(t.Context(), "k")
		if err != nil {
			t.Error(err)
			break
		}
		if !sealed(body) || info.Size != int64(len(body)) {
			t.Errorf("read %d bytes of no single write, size %d", len(body), info.Size)
			break
		}
	}
	close(done)
	writer.Wait()
}

// writeSealed writes a body of any length that ends with its own hash.
func writeSealed(ctx context.Context, s storage.Store, key string) error {
	body := noise(rand.IntN(300_000))
	sum := sha256.Sum256(body)
	_, err := s.Put(ctx, object.Object{Key: key, Body: append(body, sum[:]...)}, always)
	return err
}

func sealed(body []byte) bool {
	if len(body) < sha256.Size {
		return false
	}
	sum := sha256.Sum256(body[:len(body)-sha256.Size])
	return bytes.Equal(sum[:], body[len(body)-sha256.Size:])
}
