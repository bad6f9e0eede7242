//go:build unix

package store

import (
	"bytes"
	"io"
	"net/http"
	"path"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"weir/internal/faultproxy"
	"weir/internal/testmedia"
	"weir/internal/testweir"
	"weir/internal/versitygw"
)

// A worker is frozen while a request of it is on its way: on the way to the
// store, or with the answer on the way back. Another takes over and goes on.
// Then the request arrives, and the worker wakes: it changes nothing that
// viewers see, and no frame is lost.
func TestS3Zombie(t *testing.T) {
	t.Parallel()
	b := testweir.NewBucket(t)
	proxy := faultproxy.Start(t, b.URL)
	c := testweir.NewCluster(t, 1)
	args := func(endpoint string) []string {
		return []string{"--store", "s3://" + versitygw.Bucket + "/z?endpoint=" + endpoint, "--segment", "1s", "--window", "10s"}
	}
	held := newHolder()
	cases := []struct {
		name, object string
		arrived      bool // before the worker froze
	}{
		{"segment-sent", "00000002.ts", false},
		{"segment-stored", "00000002.ts", true},
		{"playlist-sent", "live.m3u8", false},
		{"playlist-stored", "live.m3u8", true},
	}
	faults := make(map[string]faultproxy.Fault)
	for _, tt := range cases {
		faults[tt.name] = held.on(tt.object, tt.arrived)
	}
	proxy.Set(byStream(faults))

	zombie := c.Start(t, versitygw.Environ(), "segment", args(proxy.URL)...)
	in := c.Ingest(t)
	input := testmedia.FLV(t, testweir.ShortShow(16))
	var viewers []*testweir.Viewer
	broadcasts := make(map[string]string)
	for _, tt := range cases {
		testweir.Publish(t, input, in.URL(tt.name))
	}
	for _, tt := range cases {
		testweir.Eventually(t, 20*time.Second, tt.name+" is listed", func() bool { _, ok := c.Stream(t, tt.name); return ok })
		broadcasts[tt.name] = "live/" + tt.name + "/" + c.Broadcast(t, tt.name) + "/source/"
		viewers = append(viewers, testweir.WatchEvery(t, 100*time.Millisecond, b.Object("z", broadcasts[tt.name]+"live.m3u8")))
	}
	testweir.Eventually(t, 20*time.Second, "one worker has all", func() bool { return c.Owns(t, zombie, len(cases)) })
	heir := c.Start(t, versitygw.Environ(), "segment", args(b.URL)...)
	held.Wait(t, len(cases))
	zombie.Send(t, syscall.SIGSTOP)
	testweir.Eventually(t, 20*time.Second, "the other worker has all", func() bool { return c.Owns(t, heir, len(cases)) })
	for _, tt := range cases {
		testweir.Eventually(t, 20*time.Second, tt.name+" goes on", func() bool {
			_, body := testweir.Get(b.Object("z", broadcasts[tt.name]+"live.m3u8"))
			return bytes.Contains(body, []byte("\n00000004.ts"))
		})
	}
	woke := time.Now()
	held.let()
	zombie.Send(t, syscall.SIGCONT)
	for _, tt := range cases {
		prefix := broadcasts[tt.name]
		testweir.Eventually(t, 40*time.Second, tt.name+" ends", func() bool {
			_, body := testweir.Get(b.Object("z", prefix+"live.m3u8"))
			_, entry := testweir.Get(b.Object("z", "live/"+tt.name+"/index.m3u8"))
			return bytes.Contains(body, []byte("#EXT-X-ENDLIST")) && bytes.Contains(entry, []byte("vod.m3u8"))
		})
		checkShow(t, b, "z", tt.name, prefix, input, nil)
	}
	for _, v := range viewers {
		v.Leave()
	}
	testweir.Conforms(t, b.Objects("z", ""))
	for _, r := range proxy.Requests() {
		written := r.Method == http.MethodPut && r.Status == http.StatusOK && r.At.After(woke)
		if written && !strings.Contains(r.Path, "-stored/") {
			t.Errorf("the zombie has written %s", r.Path) // the ones that had arrived are answered only now
		}
	}
	if zombie.Over() {
		t.Error("the zombie died of it")
	}
}

// holder keeps one request of each stream.
type holder struct {
	mu      sync.Mutex
	taken   map[string]bool
	held    chan struct{}
	release chan struct{}
}

func newHolder() *holder {
	return &holder{taken: make(map[string]bool), held: make(chan struct{}, 16), release: make(chan struct{})}
}

// on holds the third put of an object name in each stream: as it comes, or,
// with arrived, its answer.
func (h *holder) on(name string, arrived bool) faultproxy.Fault {
	puts := 0
	return func(w http.ResponseWriter, r *http.Request, forward http.Handler) {
		h.mu.Lock()
		mine := r.Method == http.MethodPut && path.Base(r.URL.Path) == name
		if mine {
			puts++
		}
		take := mine && !h.taken[r.URL.Path] && (puts == 3 || strings.HasSuffix(name, ".ts"))
		if take {
			h.taken[r.URL.Path] = true
		}
		h.mu.Unlock()
		if !take {
			forward.ServeHTTP(w, r)
			return
		}
		if arrived {
			done := make(chan struct{})
			go func() { <-done; h.held <- struct{}{} }()
			faultproxy.Hold(done, h.release)(w, r, forward)
			return
		}
		body, _ := io.ReadAll(r.Body) // what is missing, the store will miss
		r.Body = io.NopCloser(bytes.NewReader(body))
		h.held <- struct{}{}
		<-h.release
		forward.ServeHTTP(w, r)
	}
}

// wait returns when n requests are held.
func (h *holder) Wait(t testing.TB, n int) {
	t.Helper()
	for range n {
		select {
		case <-h.held:
		case <-time.After(30 * time.Second):
			t.Fatal("not all requests came that were to be held")
		}
	}
}

// let lets them go, and gives them time to arrive.
func (h *holder) let() {
	close(h.release)
	time.Sleep(time.Second)
}
