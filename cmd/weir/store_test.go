//go:build unix

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"weir/internal/testmedia"
	"weir/internal/versitygw"
	"weir/storage"
)

// said runs weir to its end and returns its exit code and what it said.
func said(t testing.TB, args ...string) (int, string) {
	t.Helper()
	c := start(t, args...)
	<-c.ended
	return c.code, c.output.String()
}

func TestStoreCheck(t *testing.T) {
	open, closed := newBucket(t), versitygw.Start(t)
	for _, tt := range []struct {
		name string
		args []string
		code int
		want string // "" for nothing but ok
	}{
		{"directory", []string{"file://" + t.TempDir()}, 0, ""},
		{"bucket of all", []string{open.StoreURL("p")}, 0, ""},
		{"closed bucket", []string{closed.StoreURL("p")}, 0, "limited  read as a viewer"},
		{"closed bucket behind an origin", []string{closed.StoreURL("p"), "--base", "none"}, 0, ""},
		{"no bucket", []string{"s3://nowhere?endpoint=" + open.URL}, exitFailed, "failed  put an object"},
		{"no URL", []string{"ftp://x"}, exitUsage, "store check: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, text := said(t, append([]string{"store", "check"}, tt.args...)...)
			bad := strings.Contains(text, "limited") || strings.Contains(text, "failed") || strings.Contains(text, "→")
			if code != tt.code || !strings.Contains(text, tt.want) || tt.want == "" && bad {
				t.Errorf("exit code %d, want %d and %q:\n%s", code, tt.code, tt.want, text)
			}
			if code == exitFailed && !strings.Contains(text, "→") {
				t.Errorf("no advice:\n%s", text)
			}
		})
	}
}

// A sweep tells; with --delete it deletes what it told, and nothing of a show
// that may go on.
func TestStoreSweep(t *testing.T) {
	dir := t.TempDir()
	old := time.Now().Add(-100 * time.Hour)
	write := func(key, body string) {
		t.Helper()
		name := filepath.Join(dir, key)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(body), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, old, old); err != nil {
			t.Fatal(err)
		}
	}
	const list = "#EXTM3U\n#EXTINF:4,\n00000000.ts\n"
	write("live/a/over/source/vod.m3u8", list+"#EXT-X-ENDLIST\n")
	write("live/a/over/source/00000000.ts", "listed")
	write("live/a/over/source/00000001.ts", "orphan")
	write("live/a/on/source/live.m3u8", list)
	write("live/a/on/source/00000000.ts", "listed")
	write("live/a/on/source/00000001.ts", "about to be listed")
	there := func() string {
		var names []string
		for _, pattern := range []string{"live/a/*/source/*"} {
			found, err := filepath.Glob(filepath.Join(dir, pattern))
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range found {
				names = append(names, strings.TrimPrefix(name, filepath.Join(dir, "live/a")+"/"))
			}
		}
		return strings.Join(names, " ")
	}
	all := there()
	live := "on/source/00000000.ts on/source/00000001.ts on/source/live.m3u8"
	for _, step := range []struct {
		args []string
		told string
		left string
	}{
		{nil, "orphan   live/a/over/source/00000001.ts", all},
		{[]string{"--delete", "--grace", "200h"}, "0 objects", all},
		{[]string{"--delete"}, "1 objects", live + " over/source/00000000.ts over/source/vod.m3u8"},
		{[]string{"--expire", "50h"}, "expired  live/a/over/source/vod.m3u8", live + " over/source/00000000.ts over/source/vod.m3u8"},
		{[]string{"--expire", "50h", "--delete"}, "2 objects", live},
	} {
		code, text := said(t, append([]string{"store", "sweep", "file://" + dir}, step.args...)...)
		if code != 0 || !strings.Contains(text, step.told) {
			t.Errorf("%v: exit code %d, want 0 and %q:\n%s", step.args, code, step.told, text)
		}
		if got := there(); got != step.left {
			t.Errorf("%v: there is %q, want %q", step.args, got, step.left)
		}
	}
}

// What was planned is what /metrics counts: puts by number, bytes by their
// order. The bit rate given is the file's own.
func TestPlanAgrees(t *testing.T) {
	s := serve(t, "--store", "memory:", "--segment", "1s", "--window", "5s")
	spec := shortShow(40)
	input := testmedia.MP4(t, spec)
	ffmpeg(t, 8, input, s.url("alice"))
	s.waitForEnd(t, "alice", 5*time.Second)
	s.closed(t, "alice")
	info, err := os.Stat(input)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := storage.MakePlan(storage.Workload{
		Streams: 1, Duration: 40 * time.Second, Segment: time.Second, Window: 5 * time.Second, Bitrate: info.Size() * 8 / 40,
	}, storage.ExamplePrices())
	if err != nil {
		t.Fatal(err)
	}
	puts, written := s.metric(t, `weir_store_requests_total{operation="put"}`), s.metric(t, `weir_store_bytes_total{operation="put"}`)
	t.Logf("puts: plan %d, measured %.0f; bytes: plan %d, measured %.0f", plan.Puts, puts, plan.Written, written)
	if puts != float64(plan.Puts) {
		t.Errorf("%.0f puts, planned were %d", puts, plan.Puts)
	}
	if written < 0.9*float64(plan.Written) || written > 1.1*float64(plan.Written) {
		t.Errorf("%.0f bytes written, planned were %d", written, plan.Written)
	}
}

// closed waits until the last checkpoint of live/name: everything is written.
func (s *server) closed(t testing.TB, name string) {
	t.Helper()
	eventually(t, 5*time.Second, name+" is closed", func() bool { return strings.Contains(s.output.String(), "broadcast closed") })
}

// metric returns a metric's value.
func (s *server) metric(t testing.TB, name string) (value float64) {
	t.Helper()
	_, body := get("http://" + s.http + "/metrics")
	for line := range strings.Lines(string(body)) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			if _, err := fmt.Sscan(rest, &value); err != nil {
				t.Fatal(err)
			}
			return value
		}
	}
	t.Fatalf("/metrics has no %s", name)
	return 0
}

func TestPlan(t *testing.T) {
	prices := filepath.Join(t.TempDir(), "prices.json")
	if err := os.WriteFile(prices, []byte(`{"name": "ours", "currency": "EUR", "put_per_1000": 1}`), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args string
		code int
		want string
	}{
		{"--streams 100 --hours 720 --segment 4s --bitrate 4M", 0, "130762600 puts"},
		{"--hours 1 --bitrate 800k --json", 0, `"Puts": 1848`},
		{"--hours 1 --prices " + prices, 0, "1.85 EUR"},
		{"--hours=-1", exitUsage, "plan"},
		{"--bitrate much", exitUsage, "800k"},
		{"--keep always", exitUsage, "window"},
	} {
		code, text := said(t, append([]string{"plan"}, strings.Fields(tt.args)...)...)
		if code != tt.code || !strings.Contains(text, tt.want) {
			t.Errorf("%s: exit code %d, want %d and %q:\n%s", tt.args, code, tt.code, tt.want, text)
		}
	}
}

// A worker tries its bucket when it starts, and says what it lacks.
func TestWorkerProbesItsBucket(t *testing.T) {
	b := newBucket(t)
	for _, tt := range []struct {
		store string
		warns bool
	}{
		{b.StoreURL("p"), false},
		{"s3://nowhere?endpoint=" + b.URL, true},
	} {
		s := serve(t, "--store", tt.store)
		const warning = "the store is not all it should be"
		if tt.warns {
			eventually(t, 10*time.Second, "a warning", func() bool { return strings.Contains(s.output.String(), warning) })
			continue
		}
		eventually(t, 10*time.Second, "the probe is over", func() bool { return s.metric(t, `weir_store_requests_total{operation="delete"}`) >= 6 })
		s.stop()
		if strings.Contains(s.output.String(), warning) {
			t.Errorf("serve said:\n%s", s.output.String())
		}
	}
}

// A show that is not to be kept: --keep holds from the command line to the
// State and to the tags of the objects.
func TestKeepNone(t *testing.T) {
	b := newBucket(t)
	s := serve(t, "--store", b.StoreURL("k"), "--keep", "none", "--segment", "1s", "--window", "5s")
	ffmpeg(t, 8, testmedia.MP4(t, shortShow(40)), s.url("alice"))
	prefix := s.waitForEnd(t, "alice", 5*time.Second)
	_, vod := get(b.object("k", prefix+"vod.m3u8"))
	if n := len(parseMediaPlaylist(vod).segments); n != 40 {
		t.Errorf("vod.m3u8 lists %d segments, want all 40: a short show loses nothing", n)
	}
	conforms(t, b.objects("k", ""))
	tags, err := b.client().GetObjectTagging(t.Context(), &s3.GetObjectTaggingInput{Bucket: aws.String(versitygw.Bucket), Key: aws.String("k/" + prefix + "00000000.ts")})
	if err != nil || len(tags.TagSet) != 1 || aws.ToString(tags.TagSet[0].Key) != "weir-keep" || aws.ToString(tags.TagSet[0].Value) != "none" {
		t.Errorf("a segment's tags are %+v, %v, want weir-keep none", tags, err)
	}
}
