//go:build unix

package store

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"weir/internal/testmedia"
	"weir/internal/testweir"
	"weir/internal/versitygw"
	"weir/storage"
)

func TestStoreCheck(t *testing.T) {
	open, closed := testweir.NewBucket(t), versitygw.StartApart(t)
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
		{"no bucket", []string{"s3://nowhere?endpoint=" + open.URL}, testweir.ExitFailed, "failed  put an object"},
		{"no URL", []string{"ftp://x"}, testweir.ExitUsage, "store check: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, text := testweir.RunIn(t, versitygw.Environ(), append([]string{"store", "check"}, tt.args...)...)
			bad := strings.Contains(text, "limited") || strings.Contains(text, "failed") || strings.Contains(text, "→")
			if code != tt.code || !strings.Contains(text, tt.want) || tt.want == "" && bad {
				t.Errorf("exit code %d, want %d and %q:\n%s", code, tt.code, tt.want, text)
			}
			if code == testweir.ExitFailed && !strings.Contains(text, "→") {
				t.Errorf("no advice:\n%s", text)
			}
		})
	}
}

// What was planned is what /metrics counts: puts by number, bytes by their
// order. The bit rate given is the file's own.
func TestPlanAgrees(t *testing.T) {
	s := testweir.Serve(t, "--store", "memory:", "--segment", "1s", "--window", "5s")
	spec := testweir.ShortShow(40)
	input := testmedia.MP4(t, spec)
	testweir.FFmpeg(t, 8, input, s.URL("alice"))
	s.WaitForEnd(t, "alice", 5*time.Second)
	s.Closed(t, "alice")
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
	puts, written := s.Metric(t, `weir_store_requests_total{operation="put"}`), s.Metric(t, `weir_store_bytes_total{operation="put"}`)
	t.Logf("puts: plan %d, measured %.0f; bytes: plan %d, measured %.0f", plan.Puts, puts, plan.Written, written)
	if puts != float64(plan.Puts) {
		t.Errorf("%.0f puts, planned were %d", puts, plan.Puts)
	}
	if written < 0.9*float64(plan.Written) || written > 1.1*float64(plan.Written) {
		t.Errorf("%.0f bytes written, planned were %d", written, plan.Written)
	}
}

// A worker tries its bucket when it starts, and has nothing to say of a good one.
// What it says of others: TestStoreAtTheStart.
func TestWorkerProbesItsBucket(t *testing.T) {
	b := testweir.NewBucket(t)
	s := testweir.ServeIn(t, versitygw.Environ(), "--store", b.StoreURL("p"))
	testweir.Eventually(t, 10*time.Second, "the probe is over", func() bool { return s.Metric(t, `weir_store_requests_total{operation="delete"}`) >= 6 })
	s.Stop(t)
	if strings.Contains(s.Output.String(), "the store is not all it should be") {
		t.Errorf("serve said:\n%s", s.Output.String())
	}
}

// A show that is not to be kept: --keep holds from the command line to the
// State and to the tags of the objects.
func TestKeepNone(t *testing.T) {
	b := testweir.NewBucket(t)
	s := testweir.ServeIn(t, versitygw.Environ(), "--store", b.StoreURL("k"), "--keep", "none", "--segment", "1s", "--window", "5s")
	testweir.FFmpeg(t, 8, testmedia.MP4(t, testweir.ShortShow(40)), s.URL("alice"))
	prefix := s.WaitForEnd(t, "alice", 5*time.Second)
	_, vod := testweir.Get(b.Object("k", prefix+"vod.m3u8"))
	if n := len(testweir.ParseMediaPlaylist(vod).Segments); n != 40 {
		t.Errorf("vod.m3u8 lists %d segments, want all 40: a short show loses nothing", n)
	}
	testweir.Conforms(t, b.Objects("k", ""))
	tags, err := b.Client().GetObjectTagging(t.Context(), &s3.GetObjectTaggingInput{Bucket: aws.String(versitygw.Bucket), Key: aws.String("k/" + prefix + "00000000.ts")})
	if err != nil || len(tags.TagSet) != 1 || aws.ToString(tags.TagSet[0].Key) != "weir-keep" || aws.ToString(tags.TagSet[0].Value) != "none" {
		t.Errorf("a segment's tags are %+v, %v, want weir-keep none", tags, err)
	}
}
