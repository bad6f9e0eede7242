//go:build linux

package hostile

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"weir/internal/testweir"
)

// hostileServer is what a hostile server answers, and what it may cost.
type hostileServer struct {
	name  string
	args  []string
	serve http.HandlerFunc
	// mib is the most memory, VmHWM, and seconds the most CPU time that the check
	// may take.
	mib, seconds int
	want         string // in what it prints
	long         bool   // of the long tests: it takes more than a second of CPU time
}

// hostileServers are those of issue reports, and their kin.
func hostileServers(t *testing.T) []hostileServer {
	bomb, lines := gzipped(t, 600), gzipped(t, 15)
	media := func(segments string) string {
		return "#EXTM3U\n#EXT-X-VERSION:8\n#EXT-X-TARGETDURATION:2\n" + segments + "#EXT-X-ENDLIST\n"
	}
	var many strings.Builder
	for i := range 12 {
		fmt.Fprintf(&many, "#EXTINF:2.000,\n%d.ts\n", i)
	}
	variants := func(n int) string {
		var b strings.Builder
		b.WriteString("#EXTM3U\n")
		for i := range n {
			fmt.Fprintf(&b, "#EXT-X-STREAM-INF:BANDWIDTH=1\n%d.m3u8\n", i)
		}
		return b.String()
	}
	variable := "#EXT-X-DEFINE:NAME=\"a\",VALUE=\"" + strings.Repeat("x", 60<<10) + "\"\n"
	expanding := media(variable + strings.Repeat("#EXTINF:2.000,\n{$a}\n", 90_000))
	attributes := media("#EXTINF:2.000,\n0.ts\n" + strings.Repeat("#EXT-X-DATERANGE:"+strings.Repeat("A=1,", 250)+"B=1\n", 12_000))
	index := func(text string) func(w http.ResponseWriter, r *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if strings.HasSuffix(r.URL.Path, "index.m3u8") {
				fmt.Fprint(w, text)
				return true
			}
			return false
		}
	}
	served := func(entry string, rest http.HandlerFunc) http.HandlerFunc {
		first := index(entry)
		return func(w http.ResponseWriter, r *http.Request) {
			if !first(w, r) {
				rest(w, r)
			}
		}
	}
	asGzip := func(b []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(b) // the check hangs up when it has enough
		}
	}
	endless := func(w http.ResponseWriter, r *http.Request) {
		block := bytes.Repeat([]byte{'G'}, 1<<20)
		for r.Context().Err() == nil {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	}
	drip := func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write([]byte{'G'}); err != nil {
				return
			}
			_ = http.NewResponseController(w).Flush() // a closed connection shows in the next write
			select {
			case <-r.Context().Done():
			case <-time.After(time.Second):
			}
		}
	}
	return []hostileServer{
		{name: "a playlist that is a gzip bomb", serve: asGzip(bomb), mib: 200, seconds: 10, want: "larger than 16 MiB"},
		{name: "segments that are gzip bombs", long: true, serve: served(media(many.String()), asGzip(bomb)), mib: 600, seconds: 40, want: "OBJ-MISSING"},
		{name: "1000 playlists that are gzip bombs of the size that may be", long: true, serve: served(variants(1000), asGzip(lines)), mib: 500, seconds: 60, want: "M3U-LIMIT"},
		{name: "variables that expand", serve: served(expanding, endless), args: []string{"--max-bytes", "20MB"}, mib: 500, seconds: 20, want: "M3U-LIMIT"},
		{name: "variables that expand in 200 playlists", long: true, serve: served(variants(200), func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, expanding) }), args: []string{"--max-bytes", "1GB"}, mib: 500, seconds: 60, want: "M3U-LIMIT"},
		{name: "attributes that grow in memory", long: true, serve: served(variants(30), func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, attributes) }), args: []string{"--max-bytes", "1GB"}, mib: 600, seconds: 60, want: "M3U-LIMIT"},
		{name: "segments without an end", long: true, serve: served(media(many.String()), endless), mib: 600, seconds: 60, want: "larger than"},
		{name: "a byte a second", serve: served(media(many.String()), drip), args: []string{"--max-time", "3s"}, mib: 150, seconds: 5, want: "--max-time"},
		{name: "a playlist of a byte a second", serve: drip, args: []string{"--max-time", "2s"}, mib: 150, seconds: 5, want: "--max-time"},
		{name: "headers without an end", serve: func(w http.ResponseWriter, _ *http.Request) {
			for i := range 2000 {
				w.Header().Set(fmt.Sprintf("X-%d", i), strings.Repeat("x", 1000))
			}
			fmt.Fprint(w, "#EXTM3U\n")
		}, mib: 150, seconds: 5, want: "headers exceeded"},
		{name: "redirects without an end", serve: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.Path+"x", http.StatusFound)
		}, mib: 150, seconds: 5, want: "redirects"},
	}
}

// gzipped packs n MiB that are all alike: a member of a MiB, again and again
// (RFC 1952, 2.2).
func gzipped(t *testing.T, n int) []byte {
	t.Helper()
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := z.Write(bytes.Repeat([]byte("#\n"), 1<<19)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return bytes.Repeat(b.Bytes(), n)
}

// TestCheckHostile: what a stranger's server can cost a check is bounded,
// whatever it answers: memory, and of the long tests CPU time. The check is a process of
// its own, measured by the kernel.
func TestCheckHostile(t *testing.T) {
	weir := testweir.Release(t)
	for _, a := range hostileServers(t) {
		if a.long && !long {
			continue
		}
		t.Run(a.name, func(t *testing.T) {
			server := httptest.NewServer(a.serve)
			defer server.Close()
			defer server.CloseClientConnections()
			began := time.Now()
			p := testweir.Spawn(t, nil, weir, append([]string{"check", server.URL + "/index.m3u8"}, a.args...)...)
			mib := watchMemory(p)
			took, cpu := time.Since(began), p.CPU()
			t.Logf("%d MiB at most, %v of CPU time in %v, exit code %d", mib, cpu.Round(10*time.Millisecond), took.Round(100*time.Millisecond), p.Wait())
			if mib > a.mib {
				t.Errorf("it took %d MiB, more than %d", mib, a.mib)
			}
			if limit := time.Duration(a.seconds) * time.Second; long && cpu > limit {
				t.Errorf("it took %v of CPU time, more than %v", cpu, limit)
			}
			if code := p.Wait(); code != testweir.ExitFailed || !strings.Contains(p.Output.String(), a.want) {
				t.Errorf("exit code %d, want 1 and %q; it printed:\n%s", code, a.want, testweir.Tail(p.Output.String(), 30))
			}
		})
	}
}

// watchMemory waits for the end of a process, and returns its VmHWM in MiB: what
// the kernel tells in the end counts what the test itself had before exec.
func watchMemory(p *testweir.Process) (mib int) {
	for {
		if status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID())); err == nil {
			if _, rest, ok := strings.Cut(string(status), "VmHWM:"); ok {
				var kib int
				if _, err := fmt.Sscan(rest, &kib); err == nil {
					mib = max(mib, kib>>10)
				}
			}
		}
		select {
		case <-p.Ended:
			return mib
		case <-time.After(5 * time.Millisecond):
		}
	}
}
