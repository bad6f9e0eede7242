//go:build linux

package hostile

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/internal/testmedia"
	"weir/internal/testweir"
)

// timedMessage is a message at a timestamp, in one chunk.
func timedMessage(typ byte, timestamp uint32, payload []byte) []byte {
	p := rawMessage(4, typ, 1, payload)
	if timestamp < 1<<24-1 {
		p[1], p[2], p[3] = byte(timestamp>>16), byte(timestamp>>8), byte(timestamp)
		return p
	}
	p[1], p[2], p[3] = 0xff, 0xff, 0xff // extended [RTMP 5.3.1.3]
	p = append(p[:12:12], binary.BigEndian.AppendUint32(nil, timestamp)...)
	return append(p, payload...)
}

// attackFrom connects from an address of 127.0.0.0/8.
func attackFrom(t *testing.T, s *testweir.Server, host byte) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 2, host)}, Timeout: 5 * time.Second}
	nc, err := d.Dial("tcp", s.RTMP)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	return nc
}

// hear reads what the server says until it hangs up.
func hear(nc net.Conn) <-chan string {
	said := make(chan string, 1)
	go func() {
		b, _ := io.ReadAll(nc) // a reset ends it as well
		said <- string(b)
	}()
	return said
}

// avcConfig is a configuration record that readers can use, and keyFrame the
// smallest key frame there is.
var (
	avcConfig = []byte("\x17\x00\x00\x00\x00\x01\x64\x00\x0c\xff\xe1\x00\x18\x67\x64\x00\x0c\xac\xb4\x0a\x0c\xfc\xf8\x08\x80\x00\x00\x03\x00\x80\x00\x00\x19\x47\x8a\x15\x50\x01\x00\x04\x68\xef\x3c\xb0\xfd\xf8\xf8\x00")
	keyFrame  = []byte{0x17, 1, 0, 0, 0, 0, 0, 0, 2, 0x65, 0x88}
)

// Each attack makes much of little, beside an encoder that must lose nothing:
// what it costs is bounded by figures of docs/limits.md.
func TestAttacks(t *testing.T) {
	s := testweir.NewServer(t)
	weir := testweir.Spawn(t, nil, testweir.Release(t), s.Args("serve", "--ingest-memory", "64MB", "--segment", "1s")...)
	s.WaitReady(t)
	input := testmedia.MP4(t, testmedia.Spec{Seconds: 45, Video: true, Audio: true, BFrames: 2})
	encoder := exec.CommandContext(t.Context(), "ffmpeg", "-v", "error", "-nostdin", "-re", "-i", input,
		"-c", "copy", "-f", "flv", "-flvflags", "no_duration_filesize", s.URL("alice"))
	if err := encoder.Start(); err != nil {
		t.Fatal(err)
	}
	testweir.Eventually(t, 20*time.Second, "the encoder publishes", func() bool { _, live := s.Stream(t, "alice"); return live })

	t.Run("headers and key frames", func(t *testing.T) { amplify(t, s) })
	t.Run("beside each other", func(t *testing.T) {
		for name, attack := range map[string]func(*testing.T, *testweir.Server){
			"empty publishes": emptyPublishes, "a clock that runs away": runAway, "one key, two encoders": contend,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				attack(t, s)
			})
		}
	})

	if err := encoder.Wait(); err != nil {
		t.Errorf("the encoder ended with %v", err)
	}
	prefix := s.WaitForEnd(t, "alice", 20*time.Second)
	if err := testmedia.SameFrames(testweir.Increasing(testmedia.Probe(t, input)), testmedia.Probe(t, s.Object(prefix+"vod.m3u8"))); err != nil {
		t.Errorf("the encoder beside the attacks: %v", err)
	}
	most, budget := weir.Memory(t, "VmHWM"), int64(160<<20+2*64<<20+700*(128<<10)+5*(16<<20))
	t.Logf("%d MB at most, of a budget of %d MB", most>>20, budget>>20)
	if most > budget {
		t.Errorf("the process took %d bytes of memory, want at most %d", most, budget)
	}
}

// amplify sends headers of 60 kB and then the smallest key frames.
func amplify(t *testing.T, s *testweir.Server) {
	before := s.Metric(t, "weir_ingest_stored_bytes_total")
	nc := attackFrom(t, s, 1)
	said := hear(nc)
	p := append(helloAs("large"), timedMessage(9, 0, avcConfig)...)
	for track := range 14 {
		header := append([]byte{0x96, 0x00, 'h', 'v', 'c', '1', byte(track + 1)}, make([]byte, 4000)...)
		p = append(p, timedMessage(9, 0, header)...)
	}
	sent := 0
	send := func(p []byte) bool {
		_ = nc.SetWriteDeadline(time.Now().Add(10 * time.Second))
		n, err := nc.Write(p)
		sent += n
		return err == nil
	}
	send(p)
	keys := make([]byte, 0, 1<<20)
	for i := range uint32(30_000) {
		keys = append(keys, timedMessage(9, i, []byte{0x17, 1, 0, 0, 0, 0xaa})...)
	}
	send(keys)
	if !send(rawCommand(6, 1, "closeStream")) {
		t.Log("the server did not take all")
	}
	time.Sleep(2 * time.Second)
	_ = nc.Close()
	<-said
	stored := s.Metric(t, "weir_ingest_stored_bytes_total") - before
	alice := 200e3 * 15.0 // what the encoder may have sent meanwhile
	t.Logf("%d bytes sent, %.0f stored", sent, stored)
	if most := 5*float64(sent) + 512<<10 + alice; stored > most {
		t.Errorf("%d bytes made the log store %.0f, want at most %.0f", sent, stored, most)
	}
}

// emptyPublishes holds six hundred publishes without media, from six addresses,
// more than there are places for shows. A new show is there at once.
func emptyPublishes(t *testing.T, s *testweir.Server) {
	var all sync.WaitGroup
	for i := range 600 {
		nc := attackFrom(t, s, byte(10+i%6))
		all.Go(func() { _, _ = nc.Write(helloAs(fmt.Sprintf("empty%d", i))) })
		go func() { _, _ = io.Copy(io.Discard, nc) }() // ends with the connection
	}
	all.Wait()
	testweir.Eventually(t, 20*time.Second, "they publish", func() bool { return s.Metric(t, "weir_ingest_sessions") > 500 })
	if _, live := s.Stream(t, "empty0"); live {
		t.Error("a publish without media is listed")
	}
	began := time.Now()
	show := testweir.Publish(t, testmedia.MP4(t, testweir.Small(4)), s.URL("bob"))
	testweir.Eventually(t, 30*time.Second, "a new show can be watched", func() bool {
		code, _ := testweir.Get(s.Object("live/bob/index.m3u8"))
		return code == 200
	})
	t.Logf("a new show beside 600 empty publishes could be watched after %v", time.Since(began).Round(10*time.Millisecond))
	show.Wait()
}

// runAway sends 25 key frames a second whose timestamps are 20 s apart.
func runAway(t *testing.T, s *testweir.Server) {
	nc := attackFrom(t, s, 30)
	said := hear(nc)
	if _, err := nc.Write(append(helloAs("fast"), timedMessage(9, 0, avcConfig)...)); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	err := error(nil)
	for i := uint32(0); err == nil && time.Since(began) < time.Minute; i++ {
		_ = nc.SetWriteDeadline(time.Now().Add(time.Minute))
		_, err = nc.Write(timedMessage(9, i*9000, keyFrame))
		time.Sleep(40 * time.Millisecond)
	}
	took := time.Since(began)
	_ = nc.Close()
	if text := <-said; !strings.Contains(text, "run ahead of the clock") {
		t.Errorf("after %v (%v) the encoder was not told that its clock runs away", took, err)
	}
	segments, err := filepath.Glob(s.Objects(s.Source(t, "fast") + "*.ts"))
	if err != nil {
		t.Fatal(err)
	}
	// Each frame begins a segment of 9 s: two minutes in advance, and eight
	// times the clock.
	most := int(2*60+8*took.Seconds())/9 + 20
	t.Logf("%d segments in %v", len(segments), took.Round(time.Second))
	if len(segments) > most {
		t.Errorf("%d segments in %v, want at most %d", len(segments), took, most)
	}
}

// contend lets two encoders with one key take the stream from each other.
func contend(t *testing.T, s *testweir.Server) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	input := testmedia.FLV(t, testmedia.Spec{Seconds: 30, Video: true, Width: 320, Height: 180})
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			for ctx.Err() == nil {
				err := exec.CommandContext(ctx, "ffmpeg", "-v", "error", "-nostdin", "-re", "-i", input, "-c", "copy", "-f", "flv", s.URL("carol")).Run()
				if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) && ctx.Err() == nil {
					t.Error(err)
					return
				}
				select {
				case <-ctx.Done():
				case <-time.After(500 * time.Millisecond): // an encoder's patience
				}
			}
		})
	}
	both.Wait()
	entry, err := os.ReadFile(s.Objects(s.Source(t, "carol") + "live.m3u8"))
	if err != nil {
		t.Fatal(err)
	}
	// Without a limit they take it from each other every second. With it: three
	// times freely, then after 10 s and 20 s.
	if n := strings.Count(string(entry), "#EXT-X-DISCONTINUITY\n"); n > 6 {
		t.Errorf("the stream changed hands %d times in 20 s", n)
	} else {
		t.Logf("the stream changed hands %d times in 20 s", n)
	}
}
