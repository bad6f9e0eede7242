//go:build linux

package hostile

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"

	"weir/internal/testmedia"
	"weir/internal/testweir"
)

// What the crowd is: connections from addresses of 127.0.0.0/8 that do half of
// what a connection does, and come again when they are sent away.
const (
	crowdAddresses = 20
	crowdHalfOpen  = 2000
	crowdSlow      = 200
)

// crowd connects until ctx ends, and returns when all have gone.
func crowd(ctx context.Context, addr string) *sync.WaitGroup {
	var all sync.WaitGroup
	for i := range crowdHalfOpen + crowdSlow {
		from := &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(i%crowdAddresses))}
		all.Go(func() {
			for ctx.Err() == nil {
				nc, err := (&net.Dialer{LocalAddr: from, Timeout: time.Second}).DialContext(ctx, "tcp", addr)
				if err == nil {
					done := context.AfterFunc(ctx, func() { _ = nc.Close() })
					if i < crowdSlow {
						slowHandshake(nc)
					} else {
						_, _ = nc.Read(make([]byte, 1)) // says nothing until it is sent away
					}
					done()
					_ = nc.Close()
				}
				select {
				case <-ctx.Done():
				case <-time.After(time.Second + time.Duration(i)*time.Millisecond/2):
				}
			}
		})
	}
	return &all
}

// slowHandshake says a byte of it ten times a second.
func slowHandshake(nc net.Conn) {
	for _, b := range shake() {
		if _, err := nc.Write([]byte{b}); err != nil {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// getIn publishes as a newcomer and tells how long it took to be accepted.
func getIn(addr, name string) (time.Duration, error) {
	began := time.Now()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		return 0, err
	}
	defer nc.Close()
	_ = nc.SetDeadline(began.Add(10 * time.Second))
	if _, err := nc.Write(helloAs(name)); err != nil {
		return 0, err
	}
	var said []byte
	for buf := make([]byte, 4096); !bytes.Contains(said, []byte("NetStream.Publish.Start")); {
		n, err := nc.Read(buf)
		if err != nil {
			return 0, fmt.Errorf("after %v and %d bytes: %w", time.Since(began), len(said), err)
		}
		said = append(said, buf[:n]...)
	}
	took := time.Since(began)
	_, err = nc.Write(rawCommand(6, 1, "closeStream"))
	return took, err
}

// Two thousand connections that say nothing and two hundred that shake hands
// for ever, at the default limits: a newcomer gets in all the same, an encoder
// that publishes loses nothing, and when they have gone nothing is left of them.
func TestCrowd(t *testing.T) {
	s := testweir.NewServer(t)
	weir := testweir.Spawn(t, nil, testweir.Release(t), "serve", "--data", s.Data, "--rtmp", s.RTMP, "--http", s.HTTP)
	s.WaitReady(t)
	spec := testmedia.Spec{Seconds: 20, Video: true, Audio: true, BFrames: 2}
	input := testmedia.MP4(t, spec)
	encoder := exec.CommandContext(t.Context(), "ffmpeg", "-v", "error", "-nostdin", "-re", "-i", input,
		"-c", "copy", "-f", "flv", "-flvflags", "no_duration_filesize", s.URL("alice"))
	if err := encoder.Start(); err != nil {
		t.Fatal(err)
	}
	testweir.Eventually(t, 20*time.Second, "the encoder publishes", func() bool { _, live := s.Stream(t, "alice"); return live })
	before := levels(t, s, weir)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	all := crowd(ctx, s.RTMP)
	testweir.Eventually(t, 30*time.Second, "the crowd fills the limit", func() bool {
		return s.Metric(t, "weir_ingest_connections") >= 990
	})
	var waits []time.Duration
	for i := range 20 {
		took, err := getIn(s.RTMP, fmt.Sprintf("newcomer%d", i))
		if err != nil {
			t.Errorf("newcomer %d was kept out: %v", i, err)
			continue
		}
		waits = append(waits, took)
		time.Sleep(200 * time.Millisecond)
	}
	most := levels(t, s, weir)
	cancel()
	all.Wait()
	if err := encoder.Wait(); err != nil {
		t.Errorf("the encoder ended with %v", err)
	}
	slices.Sort(waits)
	if n := len(waits); n > 0 {
		t.Logf("newcomers waited for %v, %v at most; with the crowd %+v, before %+v", waits[n/2], waits[n-1], most, before)
		// The worst is the machine's, the median is weir's.
		if waits[n/2] > time.Second || waits[n-1] > 5*time.Second {
			t.Errorf("newcomers waited for %v", waits)
		}
	}
	prefix := s.WaitForEnd(t, "alice", 10*time.Second)
	if err := testmedia.SameFrames(testweir.Increasing(testmedia.Probe(t, input)), testmedia.Probe(t, s.Object(prefix+"vod.m3u8"))); err != nil {
		t.Errorf("the encoder beside the crowd: %v", err)
	}
	if got, budget := weir.Memory(t, "VmHWM"), int64(160<<20+1000*(128<<10)+16<<20); got > budget {
		t.Errorf("%d bytes of memory, want at most %d", got, budget)
	}
	left := time.Now()
	var after level
	testweir.Eventually(t, time.Minute, "all is as before", func() bool {
		after = levels(t, s, weir)
		return after.files <= before.files+5 && after.goroutines <= before.goroutines+20
	})
	t.Logf("%v later %+v", time.Since(left).Round(time.Second), after)
}

// level is what a process holds.
type level struct{ files, goroutines, megabytes int }

func levels(t *testing.T, s *testweir.Server, p *testweir.Process) level {
	t.Helper()
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.PID()))
	if err != nil {
		t.Fatal(err)
	}
	return level{len(files), int(s.Metric(t, "go_goroutines")), int(p.Memory(t, "VmRSS") >> 20)}
}
