//go:build linux

package hostile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/internal/testmedia"
	"weir/internal/testweir"
)

// Attacks that make much of little, beside an encoder that must lose nothing:
// what each costs is bounded by figures of docs/limits.md.
func TestAttacks(t *testing.T) {
	costly(t, costs{show: 12, keys: 5_000, empty: 60, capacity: 20, runs: 6 * time.Second, contends: 7 * time.Second})
}

// costs is how much of each is tried.
type costs struct {
	show            int // seconds
	keys            int // key frames under large headers
	empty, capacity int // publishes without media, for so many places of shows
	runs, contends  time.Duration
}

func costly(t *testing.T, c costs) {
	s := showFor(t, c.show, "--ingest-memory", "64MB", "--capacity", fmt.Sprint(c.capacity))
	t.Run("headers and key frames", func(t *testing.T) { amplify(t, s.Server, c.keys) })
	t.Run("beside each other", func(t *testing.T) {
		for name, attack := range map[string]func(*testing.T){
			"empty publishes":        func(t *testing.T) { emptyPublishes(t, s.Server, c.empty) },
			"a clock that runs away": func(t *testing.T) { runAway(t, s.Server, c.runs) },
			"one key, two encoders":  func(t *testing.T) { contend(t, s.Server, c.contends) },
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				attack(t)
			})
		}
	})
	s.end(t, budget(64<<20, c.empty+100, 5))
}

// amplify sends headers of 60 kB and then the smallest key frames.
func amplify(t *testing.T, s *testweir.Server, frames int) {
	began, before := time.Now(), s.Metric(t, "weir_ingest_stored_bytes_total")
	nc := attackFrom(t, s, 1)
	said := hear(nc)
	p := append(helloAs("large"), timedMessage(9, 0, avcConfig)...)
	for track := range 14 {
		header := append([]byte{0x96, 0x00, 'h', 'v', 'c', '1', byte(track + 1)}, make([]byte, 4000)...)
		p = append(p, timedMessage(9, 0, header)...)
	}
	for i := range frames {
		p = append(p, timedMessage(9, uint32(i), []byte{0x17, 1, 0, 0, 0, 0xaa})...)
	}
	p = append(p, rawCommand(6, 1, "closeStream")...)
	_ = nc.SetWriteDeadline(time.Now().Add(time.Minute))
	sent, err := nc.Write(p)
	if err != nil {
		t.Logf("the server did not take all: %v", err)
	}
	testweir.Eventually(t, 20*time.Second, "the attacker's session ends", func() bool { return s.Metric(t, "weir_ingest_sessions") <= 1 })
	_ = nc.Close()
	<-said
	stored := s.Metric(t, "weir_ingest_stored_bytes_total") - before
	alice := 200e3 * (5 + time.Since(began).Seconds()) // what the encoder may have sent meanwhile
	t.Logf("%d bytes sent, %.0f stored, the encoder's included", sent, stored)
	if most := 5*float64(sent) + 512<<10 + alice; stored > most {
		t.Errorf("%d bytes made the log store %.0f, want at most %.0f", sent, stored, most)
	}
}

// emptyPublishes holds more publishes without media than there are places for
// shows, from six addresses. A new show is there all the same.
func emptyPublishes(t *testing.T, s *testweir.Server, n int) {
	var all sync.WaitGroup
	for i := range n {
		nc := attackFrom(t, s, byte(10+i%6))
		all.Go(func() { _, _ = nc.Write(helloAs(fmt.Sprintf("empty%d", i))) })
		go func() { _, _ = io.Copy(io.Discard, nc) }() // ends with the connection
	}
	all.Wait()
	testweir.Eventually(t, 20*time.Second, "they publish", func() bool { return s.Metric(t, "weir_ingest_sessions") > float64(n)*5/6 })
	if _, live := s.Stream(t, "empty0"); live {
		t.Error("a publish without media is listed")
	}
	began := time.Now()
	show := testweir.Publish(t, testmedia.MP4(t, testweir.Small(4)), s.URL("bob"))
	testweir.Eventually(t, 30*time.Second, "a new show can be watched", func() bool {
		code, _ := testweir.Get(s.Object("live/bob/index.m3u8"))
		return code == 200
	})
	t.Logf("a new show beside %d empty publishes could be watched after %v", n, time.Since(began).Round(10*time.Millisecond))
	show.Wait()
}

// runAway sends 25 key frames a second whose timestamps are 9 s apart, until it
// is ended for that or most has passed.
func runAway(t *testing.T, s *testweir.Server, most time.Duration) {
	nc := attackFrom(t, s, 30)
	said := hear(nc)
	if _, err := nc.Write(append(helloAs("fast"), timedMessage(9, 0, avcConfig)...)); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	err := error(nil)
	for i := uint32(0); err == nil && time.Since(began) < most; i++ {
		_ = nc.SetWriteDeadline(time.Now().Add(time.Minute))
		_, err = nc.Write(timedMessage(9, i*9000, keyFrame))
		time.Sleep(40 * time.Millisecond)
	}
	_ = nc.Close()
	text := <-said
	segments, globbed := filepath.Glob(s.Objects(s.Source(t, "fast") + "*.ts"))
	if globbed != nil {
		t.Fatal(globbed)
	}
	// Each frame begins a segment of 9 s: two minutes in advance, and eight
	// times the clock. Without a bound, 25 a second.
	took := time.Since(began)
	bound := int(2*60+8*took.Seconds())/9 + 20
	t.Logf("%d segments in %v", len(segments), took.Round(time.Second))
	if len(segments) > bound || len(segments) == 0 {
		t.Errorf("%d segments in %v, want some, and at most %d", len(segments), took, bound)
	}
	if long && !strings.Contains(text, "run ahead of the clock") {
		t.Errorf("after %v (%v) the encoder was not told that its clock runs away", took, err)
	}
}

// contend lets two encoders with one key take the stream from each other.
func contend(t *testing.T, s *testweir.Server, most time.Duration) {
	ctx, cancel := context.WithTimeout(t.Context(), most)
	defer cancel()
	encode := func(which byte) error { return smallEncoder(ctx, s, which) }
	if long {
		input := testmedia.FLV(t, testmedia.Spec{Seconds: 30, Video: true, Width: 320, Height: 180})
		encode = func(byte) error {
			return exec.CommandContext(ctx, "ffmpeg", "-v", "error", "-nostdin", "-re", "-i", input, "-c", "copy", "-f", "flv", s.URL("carol")).Run()
		}
	}
	var both sync.WaitGroup
	for which := range byte(2) {
		both.Go(func() {
			for ctx.Err() == nil {
				if err := encode(which); err != nil && errors.Is(err, exec.ErrNotFound) {
					t.Error(err)
					return
				}
				select {
				case <-ctx.Done():
				case <-time.After(600 * time.Millisecond): // an encoder's patience
				}
			}
		})
	}
	both.Wait()
	carol, _ := s.Stream(t, "carol")
	// Without a limit they take it from each other each time. With it: three
	// times freely, then after 10 s and 20 s.
	t.Logf("the stream had %d sessions in %v", carol.Epoch, most)
	if carol.Epoch > 6 || carol.Epoch < 3 {
		t.Errorf("the stream had %d sessions in %v, want 3 to 6", carol.Epoch, most)
	}
}

// smallEncoder publishes the smallest pictures until it is thrown out.
func smallEncoder(ctx context.Context, s *testweir.Server, host byte) error {
	nc, err := dialFrom(s, 2, 40+host)
	if err != nil {
		return err
	}
	defer nc.Close()
	defer context.AfterFunc(ctx, func() { _ = nc.Close() })()
	out := make(chan string, 1)
	go func() {
		b, _ := io.ReadAll(nc)
		out <- string(b)
		_ = nc.Close() // so that the next write fails
	}()
	_, err = nc.Write(append(helloAs("carol"), timedMessage(9, 0, avcConfig)...))
	for i := uint32(0); err == nil; i++ {
		_, err = nc.Write(timedMessage(9, i*40, keyFrame))
		time.Sleep(40 * time.Millisecond)
	}
	<-out
	return err
}
