//go:build unix

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"weir/internal/chromium"
	"weir/internal/testmedia"
	"weir/internal/versitygw"
)

// bucket is a real S3 server's, which anybody may read, from any page: what
// stands for a CDN in these tests.
type bucket struct{ *versitygw.Gateway }

func newBucket(t testing.TB) bucket {
	t.Helper()
	versitygw.Environment(t)
	return bucketApart(t)
}

// bucketApart is newBucket for a test that runs beside others: the credentials
// are for processes of its own, versitygw.Environ.
func bucketApart(t testing.TB, flags ...string) bucket {
	t.Helper()
	b := bucket{versitygw.StartApart(t, flags...)}
	b.allow(t, statement{"*", []string{"s3:GetObject"}, "/*"})
	_, err := b.client().PutBucketCors(t.Context(), &s3.PutBucketCorsInput{
		Bucket: aws.String(versitygw.Bucket),
		CORSConfiguration: &types.CORSConfiguration{CORSRules: []types.CORSRule{{
			AllowedOrigins: []string{"*"}, AllowedMethods: []string{"GET", "HEAD"}, AllowedHeaders: []string{"*"},
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// statement is one of a bucket policy: who may do what, below the bucket.
type statement struct {
	principal string
	actions   []string
	resource  string
}

// allow gives the bucket a policy.
func (b bucket) allow(t testing.TB, statements ...statement) {
	t.Helper()
	type document map[string]any
	var all []document
	for _, s := range statements {
		all = append(all, document{
			"Effect": "Allow", "Principal": s.principal, "Action": s.actions, "Resource": "arn:aws:s3:::" + versitygw.Bucket + s.resource,
		})
	}
	policy, err := json.Marshal(document{"Version": "2012-10-17", "Statement": all})
	if err != nil {
		t.Fatal(err)
	}
	input := &s3.PutBucketPolicyInput{Bucket: aws.String(versitygw.Bucket), Policy: aws.String(string(policy))}
	if _, err := b.client().PutBucketPolicy(t.Context(), input); err != nil {
		t.Fatal(err)
	}
}

// client is the owner's.
func (b bucket) client() *s3.Client {
	return s3.New(s3.Options{
		Region: "us-east-1", BaseEndpoint: &b.URL, UsePathStyle: true,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: versitygw.AccessKey, SecretAccessKey: versitygw.SecretKey}, nil
		}),
	})
}

// object is where viewers find a key.
func (b bucket) object(prefix, key string) string {
	return b.Gateway.URL + "/" + versitygw.Bucket + "/" + prefix + "/" + key
}

// objects is the directory of a prefix on the server's disk.
func (b bucket) objects(prefix, key string) string {
	return filepath.Join(b.Data, versitygw.Bucket, prefix, key)
}

// shortShow is cheap to send many times: its pictures are small.
func shortShow(seconds int) testmedia.Spec {
	return testmedia.Spec{Seconds: seconds, Video: true, Audio: true, BFrames: 2, Width: 640, Height: 360, GOP: 30}
}

// From the encoder to the bucket, and from the bucket to the viewer: what is
// read from S3, with no origin in between, is every frame that was sent.
func TestS3Frames(t *testing.T) {
	t.Parallel()
	b := bucketApart(t)
	s, _ := serveApart(t, versitygw.Environ(), "--store", b.StoreURL("shows"), "--segment", "2s")
	spec := shortShow(20)
	input := testmedia.MP4(t, spec)
	ffmpeg(t, 2, input, s.url("alice"))
	prefix := s.waitForEnd(t, "alice", 5*time.Second)
	if err := testmedia.SameFrames(testmedia.Probe(t, input), testmedia.Probe(t, b.object("shows", prefix+"vod.m3u8"))); err != nil {
		t.Error(err)
	}
	checkSegments(t, b.objects("shows", prefix), spec)
	conforms(t, b.objects("shows", ""))
	for key, want := range map[string][2]string{
		prefix + "00000000.ts":   {"video/mp2t", "public, max-age=31536000, immutable"},
		prefix + "vod.m3u8":      {"application/vnd.apple.mpegurl", "public, max-age=86400"},
		"live/alice/index.m3u8":  {"application/vnd.apple.mpegurl", "public, max-age=86400"},
		prefix + "live.m3u8":     {"application/vnd.apple.mpegurl", "public, max-age=86400"},
		prefix + "../index.m3u8": {"application/vnd.apple.mpegurl", "public, max-age=86400"},
	} {
		response, err := http.Head(b.object("shows", filepath.Clean(key)))
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close() // HEAD has none
		if got := [2]string{response.Header.Get("Content-Type"), response.Header.Get("Cache-Control")}; got != want {
			t.Errorf("%s: Content-Type and Cache-Control are %q, want %q", key, got, want)
		}
	}
}

// A page of anybody's plays a live stream in Chromium, by hls.js, straight from
// the bucket.
func TestS3Chromium(t *testing.T) {
	t.Parallel()
	b := bucketApart(t)
	s, _ := serveApart(t, versitygw.Environ(), "--store", b.StoreURL("shows"), "--segment", "1s", "--window", "10s")
	show := publish(t, testmedia.MP4(t, shortShow(40)), s.url("alice"))
	entry := b.object("shows", "live/alice/index.m3u8")
	eventually(t, 20*time.Second, "the entry point is in the bucket", func() bool {
		code, _ := get(entry)
		return code == http.StatusOK
	})
	page := playerPage(t, entry)
	tab := chromium.Open(t)
	tab.Load(page, 800, 600)
	type playback struct {
		Time, Width, Frames float64
		Errors, Loaded      []string
	}
	look := func() (p playback) {
		text := tab.Eval(`({
			Time: video.currentTime, Width: video.videoWidth, Frames: video.getVideoPlaybackQuality().totalVideoFrames,
			Errors: errors, Loaded: performance.getEntriesByType("resource").map((e) => e.name)})`)
		if err := json.Unmarshal([]byte(text), &p); err != nil {
			t.Fatal(err)
		}
		return p
	}
	var began playback
	eventually(t, 20*time.Second, "Chromium plays", func() bool {
		began = look()
		return began.Time > 0 && began.Frames > 10
	})
	eventually(t, 20*time.Second, "the picture moves on for 5 s", func() bool { return look().Time > began.Time+5 })
	p := look()
	if p.Width != 640 || len(p.Errors) > 0 {
		t.Errorf("the picture is %v wide, want 640; errors: %q", p.Width, p.Errors)
	}
	segments := 0
	for _, url := range p.Loaded {
		if strings.HasSuffix(url, ".ts") {
			segments++
		}
		if !strings.HasPrefix(url, b.URL) && !strings.HasPrefix(url, page) {
			t.Errorf("the page loaded %s", url)
		}
	}
	if segments < 5 {
		t.Errorf("%d segments from the bucket: %q", segments, p.Loaded)
	}
	if show.over() {
		t.Error("the show ended before: this was no live stream")
	}
}

// playerPage serves a page with a player of url and nothing else, on an
// address of its own, and returns its URL.
func playerPage(t testing.TB, url string) string {
	t.Helper()
	script, err := os.ReadFile(filepath.Join("..", "..", "origin", "page", "vendor", "hls.js", "hls.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /hls.js", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/javascript")
		_, _ = w.Write(script)
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `<!doctype html><link rel="icon" href="data:,"><video id="video" muted autoplay></video><script src="hls.js"></script><script>
			const video = document.getElementById("video"), errors = [], hls = new Hls();
			hls.on(Hls.Events.ERROR, (_, e) => errors.push(e.type + " " + e.details + (e.fatal ? " fatal" : "")));
			hls.loadSource(%q); hls.attachMedia(video);</script>`, url)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL + "/"
}
