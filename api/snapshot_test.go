package api

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// counted is a registry that counts how often it is asked, and takes its time.
type counted struct {
	known
	took  time.Duration
	asked atomic.Int64
}

func (c *counted) Streams(ctx context.Context) ([]Stream, error) {
	c.asked.Add(1)
	select {
	case <-time.After(c.took):
		return c.list, c.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// However many pages are open, the registry is asked twice a second: it answers
// by reading through all of itself.
func TestRegistryIsAskedForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &counted{known: known{list: []Stream{{Name: "live/alice", State: Live}}}, took: 100 * time.Millisecond}
		h := New(Config{Registry: r, Log: quiet()})
		var viewers sync.WaitGroup
		for range 500 {
			viewers.Go(func() {
				for range 6 { // a page asks each two seconds
					if res := ask(h, "GET", "/api/v1/streams"); res.StatusCode != 200 || !strings.Contains(body(t, res), "live/alice") {
						t.Errorf("got %d", res.StatusCode)
					}
					time.Sleep(2 * time.Second)
				}
			})
		}
		viewers.Wait()
		if n := r.asked.Load(); n > 24 {
			t.Errorf("500 pages in 12 s asked the registry %d times, want at most twice a second", n)
		}
	})
}

// A registry that hangs holds nobody for longer than a client waits, and who
// asks after that is answered anew.
func TestRegistryHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &counted{took: time.Hour}
		h := New(Config{Registry: r, Log: quiet()})
		began := time.Now()
		if res := ask(h, "GET", "/api/v1/streams"); res.StatusCode != 503 || time.Since(began) > askTimeout/2 {
			t.Errorf("got %d after %v", res.StatusCode, time.Since(began))
		}
		r.took = 0
		if res := ask(h, "GET", "/api/v1/streams"); res.StatusCode != 200 {
			t.Errorf("when it answers again: got %d", res.StatusCode)
		}
	})
}

// Pages show each stream once, in order, whatever comes and goes between.
func TestPages(t *testing.T) {
	r := &known{}
	for i := range 2500 {
		r.list = append(r.list, Stream{Name: fmt.Sprintf("live/s%04d", (i*7)%2500), State: []string{Live, Waiting, Ended}[i%3]})
	}
	h := New(Config{Registry: r, Log: quiet()})
	for _, tt := range []struct {
		query      string
		page, most int
	}{{"", defaultLimit, 2500}, {"limit=1000", 1000, 2500}, {"state=live,waiting&limit=7", 7, 1667}, {"state=ended", defaultLimit, 833}} {
		var names []string
		for after, pages := "", 0; pages < 500; pages++ {
			var page Streams
			if err := json.Unmarshal([]byte(body(t, ask(h, "GET", "/api/v1/streams?"+tt.query+"&after="+after))), &page); err != nil {
				t.Fatal(err)
			}
			if len(page.Streams) > tt.page || page.Total != tt.most {
				t.Fatalf("%s: a page of %d, %d in all; want at most %d, and %d", tt.query, len(page.Streams), page.Total, tt.page, tt.most)
			}
			for _, s := range page.Streams {
				names = append(names, s.Name)
			}
			if after = page.Next; after == "" {
				break
			}
		}
		if len(names) != tt.most || !slices.IsSorted(names) || len(slices.Compact(names)) != tt.most {
			t.Errorf("%s: %d names, want %d, each once and in order", tt.query, len(names), tt.most)
		}
	}
	for _, query := range []string{"limit=0", "limit=-1", "limit=1001", "limit=x", "state=alive", "state=live,"} {
		if res := ask(h, "GET", "/api/v1/streams?"+query); res.StatusCode != 400 || !strings.Contains(body(t, res), "want") {
			t.Errorf("%s: got %d", query, res.StatusCode)
		}
	}
	if res := ask(h, "GET", "/api/v1/streams?after=zzz"); body(t, res) != `{"streams":[],"total":2500}`+"\n" {
		t.Error("behind the last there is nothing")
	}
}

// What 7,134 names cost: one listing, and a page of it for each who asks.
func BenchmarkStreams(b *testing.B) {
	r := &known{}
	for i := range 7134 {
		r.list = append(r.list, Stream{Name: fmt.Sprintf("live/s%04d", i), State: Live, Broadcast: "b", Since: time.Now()})
	}
	h := New(Config{Registry: r, Log: quiet()})
	for b.Loop() {
		if res := ask(h, "GET", "/api/v1/streams?state=live,waiting&limit=200"); res.StatusCode != 200 {
			b.Fatal(res.StatusCode)
		}
	}
}

func TestAdvice(t *testing.T) {
	for _, tt := range []struct {
		wished, mean time.Duration
		want         string
	}{
		{4 * time.Second, 4 * time.Second, ""},
		{4 * time.Second, 4004 * time.Millisecond, ""}, // 29.97 fps
		{4 * time.Second, 2 * time.Second, ""},         // a show that has just begun
		{4 * time.Second, 0, ""},
		{4 * time.Second, 25 * time.Second / 3, "each 8.3 s"}, // OBS as it is installed: 250 pictures at 30 fps
		{time.Second, 2 * time.Second, "3 s later"},
	} {
		got := AdviseKeyframes(tt.wished, tt.mean)
		if (tt.want == "") != (len(got) == 0) || len(got) > 0 && !strings.Contains(got[0].Text, tt.want) {
			t.Errorf("%v wished, %v had: %v, want %q", tt.wished, tt.mean, got, tt.want)
		}
	}
}
