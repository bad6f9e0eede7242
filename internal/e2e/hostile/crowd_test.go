//go:build linux

package hostile

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"weir/internal/testmedia"
	"weir/internal/testweir"
)

// masses is a crowd: connections from twenty addresses of 127.0.0.0/8 that do
// half of what a connection does, and come again when they are sent away.
type masses struct {
	halfOpen, slow int
	limit          int // --max-connections
	show           int // seconds
	newcomers      int
}

const crowdAddresses = 20

// More connections than there may be, which say nothing or shake hands for
// ever, and as many before the tunnel's listener: newcomers get in all the
// same, encoders lose nothing, and when the crowd has gone nothing is left of
// it.
func TestCrowd(t *testing.T) {
	crowded(t, masses{halfOpen: 300, slow: 40, limit: 200, show: 10, newcomers: 5})
}

func crowded(t *testing.T, m masses) {
	tunnel := testweir.FreeAddress(t)
	s := showFor(t, m.show, "--rtmpt", tunnel, "--max-connections", fmt.Sprint(m.limit))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	plain, tunnels := m.gather(ctx, s.RTMP, slowHandshake), m.gather(ctx, tunnel, slowRequest)
	testweir.Eventually(t, 30*time.Second, "the crowd fills the limits", func() bool {
		return s.Metric(t, "weir_ingest_connections") >= float64(m.limit)*95/100 && s.level(t).files >= s.before.files+m.limit*18/10
	})
	m.comeIn(t, s)
	// In a tunnel ffmpeg forgets at its end what it has not sent: one packet at a
	// time loses nothing, and is slower than real time.
	input := testmedia.MP4(t, testweir.Small(4))
	bob := testweir.Spawn(t, nil, "ffmpeg", "-v", "error", "-nostdin", "-re", "-i", input, "-c", "copy",
		"-f", "flv", "-flvflags", "no_duration_filesize", "-rtmp_flush_interval", "1", "rtmpt://"+tunnel+"/live/bob")
	testweir.Eventually(t, 20*time.Second, "an encoder in a tunnel publishes", func() bool { _, live := s.Stream(t, "bob"); return live })
	t.Logf("with the crowd %+v", s.level(t))
	if code := bob.Wait(); code != 0 {
		t.Errorf("the encoder in the tunnel ended with %d", code)
	}
	s.encoder.Wait() // the crowd stays until then
	cancel()
	plain.Wait()
	tunnels.Wait()
	prefix := s.WaitForEnd(t, "bob", 20*time.Second)
	if err := testmedia.SameFrames(testweir.Increasing(testmedia.Probe(t, input)), testmedia.Probe(t, s.Object(prefix+"vod.m3u8"))); err != nil {
		t.Errorf("the encoder in a tunnel: %v", err)
	}
	s.end(t, budget(0, 2*m.limit, 2))
}

// comeIn publishes as newcomers, one after the other.
func (m masses) comeIn(t *testing.T, s *show) {
	t.Helper()
	watch := testweir.StartStopwatch()
	var waits []time.Duration
	for i := range m.newcomers {
		took, err := getIn(s.RTMP, fmt.Sprintf("newcomer%d", i))
		if err != nil {
			t.Errorf("newcomer %d was kept out: %v", i, err)
			continue
		}
		waits = append(waits, took)
		time.Sleep(100 * time.Millisecond)
	}
	if len(waits) == 0 {
		return
	}
	slices.Sort(waits)
	middle, last := waits[len(waits)/2], waits[len(waits)-1]
	t.Logf("%d newcomers waited for %v, %v at most", len(waits), middle.Round(time.Millisecond), last.Round(time.Millisecond))
	if long {
		watch.Judge(t, "the slowest newcomer", last, time.Second)
	}
}

// gather connects until ctx ends; what it returns waits until all have gone.
// slowly is what those do who say something.
func (m masses) gather(ctx context.Context, addr string, slowly func(net.Conn)) *sync.WaitGroup {
	var all sync.WaitGroup
	for i := range m.halfOpen + m.slow {
		from := &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(i%crowdAddresses))}
		all.Go(func() {
			for ctx.Err() == nil {
				nc, err := (&net.Dialer{LocalAddr: from, Timeout: time.Second}).DialContext(ctx, "tcp", addr)
				if err == nil {
					done := context.AfterFunc(ctx, func() { _ = nc.Close() })
					if i < m.slow {
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
	_ = nc.SetDeadline(began.Add(time.Minute))
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
