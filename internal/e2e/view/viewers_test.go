//go:build linux

package view

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/internal/testmedia"
	"weir/internal/testweir"
)

// Many viewers of one stream: none of them gets an error, or a playlist that
// stands still. What they cost is measured beside nginx, which serves the same
// files to as many, by turns: docs/performance.md has the figures of the long
// form.
func TestViewers(t *testing.T) { watchByMany(t, 5*time.Second, 100) }

func watchByMany(t *testing.T, each time.Duration, crowds ...int) {
	s := testweir.Serve(t, "--segment", "2s", "--window", "20s")
	encoder := testweir.Start(t, "push", "--loop", testmedia.FLV(t, testweir.Small(20)), s.URL("alice"))
	testweir.Eventually(t, 20*time.Second, "live/alice has a playlist", func() bool {
		code, _ := testweir.Get(s.Object(s.Source(t, "alice") + "live.m3u8"))
		return code == http.StatusOK
	})
	live := "/hls/" + s.Source(t, "alice") + "live.m3u8"
	nginx, pid := startNginx(t, filepath.Join(s.Data, "objects"))
	for _, n := range crowds {
		idle := cpuOf(t, s.PID())
		time.Sleep(each)
		idle = cpuOf(t, s.PID()) - idle // what ingest and packaging take, without viewers
		var weir, peer time.Duration
		for range 2 { // by turns, as the machine's load changes
			weir += crowd(t, "weir", s.HTTP, live, n, each, s.PID()) - idle
			peer += crowd(t, "nginx", nginx, live, n, each, pid)
		}
		seconds := 2 * each.Seconds() * float64(n)
		a, b := weir.Seconds()*1000/seconds, peer.Seconds()*1000/seconds
		t.Logf("%d viewers: weir %.3f CPU-ms per viewer-second, nginx %.3f: %.1f times", n, a, b, a/max(b, 1e-9))
	}
	if encoder.Over() {
		t.Fatal("the show ended before its viewers had")
	}
}

// startNginx serves a store's directory below /hls/, and returns its address
// and process.
func startNginx(t *testing.T, objects string) (address string, pid int) {
	t.Helper()
	dir, address := t.TempDir(), testweir.FreeAddress(t)
	config := fmt.Sprintf(`daemon off; pid %[1]s/pid; error_log %[1]s/error.log; worker_processes 2; user root;
events { worker_connections 8192; }
http {
	access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000;
	client_body_temp_path %[1]s; proxy_temp_path %[1]s; fastcgi_temp_path %[1]s; uwsgi_temp_path %[1]s; scgi_temp_path %[1]s;
	types { application/vnd.apple.mpegurl m3u8; video/mp2t ts; }
	server { listen %[2]s; location /hls/ { alias %[3]s/; } }
}`, dir, address, objects)
	if os.Getuid() != 0 {
		config = strings.Replace(config, " user root;", "", 1)
	}
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	p := testweir.Spawn(t, nil, "nginx", "-p", dir, "-c", file, "-e", filepath.Join(dir, "error.log"))
	testweir.Eventually(t, 10*time.Second, "nginx listens", func() bool {
		c, err := net.Dial("tcp", address)
		return err == nil && c.Close() == nil
	})
	return address, p.PID()
}

// cpuOf is what a process and its children have used, user and system.
func cpuOf(t *testing.T, pid int) (used time.Duration) {
	t.Helper()
	pids := []string{strconv.Itoa(pid)}
	children, err := exec.Command("pgrep", "-P", pids[0]).Output()
	if err == nil {
		pids = append(pids, strings.Fields(string(children))...)
	}
	for _, p := range pids {
		text, err := os.ReadFile("/proc/" + p + "/stat")
		if errors.Is(err, fs.ErrNotExist) && p != pids[0] {
			continue // a child that has gone
		}
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := bytes.Cut(text, []byte(") "))
		fields := strings.Fields(string(rest))
		for _, f := range fields[11:13] { // utime, stime: proc(5)
			ticks, err := strconv.ParseInt(f, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			used += time.Duration(ticks) * 10 * time.Millisecond
		}
	}
	return used
}

// crowd lets n viewers watch for a while, and returns what the server used.
func crowd(t *testing.T, name, address, live string, n int, long time.Duration, pid int) time.Duration {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var failed, requests atomic.Int64
	var said sync.Once
	var viewers sync.WaitGroup
	began := make(chan bool)
	for i := range n {
		viewers.Go(func() {
			<-began
			time.Sleep(time.Duration(i) * 2 * time.Second / time.Duration(n)) // they did not come at one moment
			v := &watcher{address: address, live: live, requests: &requests, seen: -1}
			defer v.hangUp()
			for ctx.Err() == nil {
				if err := v.look(); err != nil {
					failed.Add(1)
					said.Do(func() { t.Errorf("a viewer of %s: %v", name, err) })
					v.hangUp()
				}
				select {
				case <-ctx.Done():
				case <-time.After(time.Second): // half a target duration (RFC 8216, 6.3.4)
				}
			}
			if v.news == 0 && failed.Load() == 0 {
				failed.Add(1)
				said.Do(func() { t.Errorf("a viewer of %s saw no new segment in %v", name, long) })
			}
		})
	}
	before := cpuOf(t, pid)
	close(began)
	time.Sleep(long)
	used := cpuOf(t, pid) - before
	cancel()
	viewers.Wait()
	t.Logf("%d viewers of %s: %d requests, %d errors", n, name, requests.Load(), failed.Load())
	return used
}

// watcher is a player as far as the network sees it: one connection, the
// playlist, and each new segment once. It is as cheap as can be: what it costs
// is not the server's.
type watcher struct {
	address, live string
	requests      *atomic.Int64
	conn          net.Conn
	r             *bufio.Reader
	seen, news    int
	text          bytes.Buffer
}

func (v *watcher) hangUp() {
	if v.conn != nil {
		_ = v.conn.Close()
		v.conn = nil
	}
}

// get reads an object into w.
func (v *watcher) get(path string, w io.Writer) error {
	if v.conn == nil {
		c, err := net.Dial("tcp", v.address)
		if err != nil {
			return err
		}
		v.conn, v.r = c, bufio.NewReader(c)
	}
	v.requests.Add(1)
	_ = v.conn.SetDeadline(time.Now().Add(10 * time.Second)) // a real connection takes it
	if _, err := io.WriteString(v.conn, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		return err
	}
	resp, err := http.ReadResponse(v.r, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", path, resp.Status)
	}
	_, err = io.Copy(w, resp.Body)
	return err
}

func (v *watcher) look() error {
	v.text.Reset()
	if err := v.get(v.live, &v.text); err != nil {
		return err
	}
	p := testweir.ParseMediaPlaylist(v.text.Bytes())
	last := int(p.Sequence) + len(p.Segments) - 1
	first := max(v.seen+1, last) // at the live edge when it comes
	if v.seen >= 0 {
		first = v.seen + 1
	}
	for n := first; n <= last; n++ {
		i := n - int(p.Sequence)
		if i < 0 {
			return fmt.Errorf("segment %d had left the playlist before it was seen", n)
		}
		if err := v.get(v.live[:strings.LastIndex(v.live, "/")+1]+p.Segments[i].URI, io.Discard); err != nil {
			return err
		}
		if v.seen >= 0 {
			v.news++
		}
		v.seen = n
	}
	return nil
}
