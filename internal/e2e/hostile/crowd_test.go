//go:build linux

package hostile

import (
	"bytes"
	"context"
	"fmt"
	"io"
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

// crowd connects until ctx ends, and returns when all have gone. slowly is what
// those do who say something.
func crowd(ctx context.Context, addr string, slowly func(net.Conn)) *sync.WaitGroup {
	var all sync.WaitGroup
	for i := range crowdHalfOpen + crowdSlow {
		from := &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(i%crowdAddresses))}
		all.Go(func() {
			for ctx.Err() == nil {
				nc, err := (&net.Dialer{LocalAddr: from, Timeout: time.Second}).DialContext(ctx, "tcp", addr)
				if err == nil {
					done := context.AfterFunc(ctx, func() { _ = nc.Close() })
					if i < crowdSlow {
						slowly(nc)
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

// slowHandshake says a byte of it ten times a second, and slowRequest a byte of
// a request of RTMPT.
func slowHandshake(nc net.Conn) { trickle(nc, shake()) }

func slowRequest(nc net.Conn) {
	trickle(nc, []byte("POST /open/1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n"))
	// It has opened a tunnel, and never says more.
	_, _ = io.Copy(io.Discard, nc)
}

func trickle(nc net.Conn, p []byte) {
	for _, b := range p {
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
	all := crowd(ctx, s.RTMP, slowHandshake)
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

// The same before a tunnel's listener, where some open a tunnel in the end and
// use it never: the encoder in a tunnel loses nothing, and one that comes later
// gets in.
func TestCrowdBeforeTunnel(t *testing.T) {
	s := testweir.NewServer(t)
	tunnel := testweir.FreeAddress(t)
	weir := testweir.Spawn(t, nil, testweir.Release(t), s.Args("serve", "--rtmpt", tunnel)...)
	s.WaitReady(t)
	input := testmedia.MP4(t, testweir.Small(8))
	// In a tunnel ffmpeg forgets at its end what it has not sent: one packet at a
	// time loses nothing, and is slower than real time.
	publish := func(name string) *testweir.Process {
		return testweir.Spawn(t, nil, "ffmpeg", "-v", "error", "-nostdin", "-re", "-i", input, "-c", "copy",
			"-f", "flv", "-flvflags", "no_duration_filesize", "-rtmp_flush_interval", "1", "rtmpt://"+tunnel+"/live/"+name)
	}
	first := publish("alice")
	testweir.Eventually(t, 20*time.Second, "the encoder publishes", func() bool { _, live := s.Stream(t, "alice"); return live })
	before := levels(t, s, weir)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	all := crowd(ctx, tunnel, slowRequest)
	testweir.Eventually(t, 30*time.Second, "the crowd fills the limit", func() bool {
		return levels(t, s, weir).files >= before.files+980
	})
	began := time.Now()
	second := publish("bob")
	testweir.Eventually(t, 20*time.Second, "a newcomer publishes", func() bool { _, live := s.Stream(t, "bob"); return live })
	waited := time.Since(began)
	most := levels(t, s, weir)
	if code := first.Wait(); code != 0 {
		t.Errorf("the encoder ended with %d", code)
	}
	cancel()
	all.Wait()
	second.Kill(t)
	prefix := s.WaitForEnd(t, "alice", 10*time.Second)
	if err := testmedia.SameFrames(testweir.Increasing(testmedia.Probe(t, input)), testmedia.Probe(t, s.Object(prefix+"vod.m3u8"))); err != nil {
		t.Errorf("the encoder beside the crowd: %v", err)
	}
	high := weir.Memory(t, "VmHWM")
	if budget := int64(160<<20 + 2*1000*(128<<10) + 2*16<<20); high > budget {
		t.Errorf("%d bytes of memory, want at most %d", high, budget)
	}
	t.Logf("the newcomer was live after %v; with the crowd %+v, before %+v; %d MiB at most", waited, most, before, high>>20)
	left := time.Now()
	testweir.Eventually(t, time.Minute, "all is as before", func() bool {
		after := levels(t, s, weir)
		return after.files <= before.files+5 && after.goroutines <= before.goroutines+20
	})
	t.Logf("the encoder took %v, and all was as before %v later", left.Sub(began).Round(time.Second), time.Since(left).Round(time.Second))
}
