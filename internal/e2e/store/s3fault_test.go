//go:build unix

package store

import (
	"crypto/sha256"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"weir/internal/faultproxy"
	"weir/internal/testmedia"
	"weir/internal/testweir"
	"weir/internal/versitygw"
)

// The faults of a store that a live show meets in TestS3Faults, by the name of
// the stream that meets it. Each lasts as long as the show.
func storeFaults() map[string]faultproxy.Fault {
	return map[string]faultproxy.Fault{
		"calm":      nil,
		"bursts":    bursts(2*time.Second, faultproxy.Refuse(503, "ServiceUnavailable")),
		"slowdown":  each(3, faultproxy.Refuse(503, "SlowDown")),
		"slow":      slow(50*time.Millisecond, 3*time.Second),
		"reset":     each(2, faultproxy.On("PUT", faultproxy.CutRequest(20_000))),
		"truncated": each(2, faultproxy.On("PUT", truncated)),
		"unheard":   each(2, faultproxy.LoseAnswer()),
	}
}

// each applies a fault to every nth request.
func each(n int64, f faultproxy.Fault) faultproxy.Fault {
	var i atomic.Int64
	return func(w http.ResponseWriter, r *http.Request, forward http.Handler) {
		if i.Add(1)%n != 0 {
			forward.ServeHTTP(w, r)
			return
		}
		f(w, r, forward)
	}
}

// bursts applies a fault for a time, then not for a time, and so on.
func bursts(d time.Duration, f faultproxy.Fault) faultproxy.Fault {
	begin := time.Now()
	return func(w http.ResponseWriter, r *http.Request, forward http.Handler) {
		if time.Since(begin)/d%2 == 1 {
			forward.ServeHTTP(w, r)
			return
		}
		f(w, r, forward)
	}
}

// slow is late by times between two bounds, the shorter ones more often.
func slow(least, most time.Duration) faultproxy.Fault {
	return func(w http.ResponseWriter, r *http.Request, forward http.Handler) {
		d := float64(least) * math.Pow(float64(most)/float64(least), rand.Float64())
		faultproxy.Delay(time.Duration(d))(w, r, forward)
	}
}

// truncated passes on the beginning of a body and breaks both connections: the
// store sees an upload that ends too early.
func truncated(w http.ResponseWriter, r *http.Request, forward http.Handler) {
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(r.Body, 20_000), r.Body}
	forward.ServeHTTP(w, r)
}

// skewed is a store whose clock is ahead of ours: it refuses what is signed by
// our time (S3 allows 15 minutes).
func skewed(t testing.TB, ahead time.Duration) faultproxy.Fault {
	return func(w http.ResponseWriter, r *http.Request, forward http.Handler) {
		now := time.Now().Add(ahead)
		w.Header().Set("Date", now.UTC().Format(http.TimeFormat))
		signed, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
		if err != nil || signed.Sub(now).Abs() > 15*time.Minute {
			faultproxy.Refuse(403, "RequestTimeTooSkewed")(w, r, forward)
			return
		}
		resign(t, r)
		forward.ServeHTTP(skewedAnswer{w, w.Header().Get("Date")}, r)
	}
}

// skewedAnswer keeps the date that the store behind would overwrite.
type skewedAnswer struct {
	http.ResponseWriter
	date string
}

func (a skewedAnswer) WriteHeader(status int) {
	a.Header().Set("Date", a.date)
	a.ResponseWriter.WriteHeader(status)
}

// resign signs a request with the right time.
func resign(t testing.TB, r *http.Request) {
	for _, name := range []string{"X-Amz-Date", "Authorization"} {
		r.Header.Del(name)
	}
	signed := r.Clone(r.Context())
	signed.URL.Host, signed.URL.Scheme = r.Host, "http"
	credentials := aws.Credentials{AccessKeyID: versitygw.AccessKey, SecretAccessKey: versitygw.SecretKey}
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	if err := signer.SignHTTP(r.Context(), credentials, signed, r.Header.Get("X-Amz-Content-Sha256"), "s3", "us-east-1", time.Now()); err != nil {
		t.Error(err)
	}
	r.Header = signed.Header
}

// byStream is each stream's own fault.
func byStream(faults map[string]faultproxy.Fault) faultproxy.Fault {
	return func(w http.ResponseWriter, r *http.Request, forward http.Handler) {
		for name, f := range faults {
			if f != nil && strings.Contains(r.URL.Path, "/live/"+name+"/") {
				f(w, r, forward)
				return
			}
		}
		forward.ServeHTTP(w, r)
	}
}

// outage is how long the store is gone in TestS3Outage.
const outage = 8 * time.Second

// Live shows meet the faults of a store. Viewers, who read the bucket itself,
// see no playlist that names what is not there, and none that goes back; in the
// end each object is there, byte for byte that of an undisturbed show, and no
// other.
func TestS3LiveFaults(t *testing.T) {
	b := testweir.NewBucket(t)
	input := testmedia.FLV(t, testweir.ShortShow(16))
	t.Run("each stream its own", func(t *testing.T) {
		t.Parallel()
		faults := storeFaults()
		shows := slices.Sorted(maps.Keys(faults))
		s, proxy := serveBehindProxy(t, b, "faults")
		proxy.Set(byStream(faults))
		broadcasts := liveShows(t, b, s, "faults", input, shows, nil)
		want := segments(t, b.Objects("faults", broadcasts["calm"]))
		for _, name := range shows {
			checkShow(t, b, "faults", name, broadcasts[name], input, want)
		}
		testweir.Conforms(t, b.Objects("faults", ""))
	})
	t.Run("outage", func(t *testing.T) {
		t.Parallel()
		s, proxy := serveBehindProxy(t, b, "outage")
		storeOutage(t, b, s, proxy, "outage", input, outage)
	})
	t.Run("clock skew", func(t *testing.T) {
		t.Parallel()
		s, proxy := serveBehindProxy(t, b, "skew")
		proxy.Set(skewed(t, 2*time.Hour))
		shows := liveShows(t, b, s, "skew", input, []string{"alice"}, nil)
		checkShow(t, b, "skew", "alice", shows["alice"], input, nil)
		testweir.Conforms(t, b.Objects("skew", ""))
	})
}

// serveBehindProxy serves into a bucket behind a fault proxy.
func serveBehindProxy(t testing.TB, b testweir.Bucket, prefix string) (*testweir.Server, *faultproxy.Proxy) {
	t.Helper()
	proxy := faultproxy.Start(t, b.URL)
	return testweir.ServeIn(t, versitygw.Environ(), "--store", "s3://"+versitygw.Bucket+"/"+prefix+"?endpoint="+proxy.URL, "--segment", "2s", "--window", "10s"), proxy
}

// storeOutage is a show in whose middle the store's host is gone.
func storeOutage(t testing.TB, b testweir.Bucket, s *testweir.Server, proxy *faultproxy.Proxy, prefix, input string, d time.Duration) {
	t.Helper()
	shows := liveShows(t, b, s, prefix, input, []string{"alice"}, func() {
		proxy.Down()
		time.Sleep(d)
		if err := proxy.Up(); err != nil {
			t.Error(err)
		}
	})
	checkShow(t, b, prefix, "alice", shows["alice"], input, nil)
	testweir.Conforms(t, b.Objects(prefix, ""))
}

// liveShows publishes shows in real time, watches them in the bucket and
// returns, by stream, the prefixes of their objects when all have ended.
// meanwhile, where not nil, is called when the viewers are there.
func liveShows(t testing.TB, b testweir.Bucket, s *testweir.Server, prefix, input string, names []string, meanwhile func()) map[string]string {
	t.Helper()
	for _, name := range names {
		testweir.Publish(t, input, s.URL(name))
	}
	broadcasts := make(map[string]string)
	var viewers []*testweir.Viewer
	for _, name := range names {
		testweir.Eventually(t, 20*time.Second, name+" is listed", func() bool { _, ok := s.Stream(t, name); return ok })
		broadcasts[name] = "live/" + name + "/" + s.Broadcast(t, name) + "/source/"
		viewers = append(viewers,
			testweir.WatchEvery(t, 150*time.Millisecond, b.Object(prefix, broadcasts[name]+"live.m3u8")),
			testweir.WatchEvery(t, 400*time.Millisecond, b.Object(prefix, broadcasts[name]+"vod.m3u8")))
	}
	if meanwhile != nil {
		meanwhile()
	}
	for _, name := range names {
		s.WaitForEnd(t, name, 2*time.Minute)
	}
	for _, v := range viewers {
		if v.Leave(); v.Grown < 3 {
			t.Errorf("the viewer of %s saw it grow %d times: this was no live show", v.URL, v.Grown)
		}
	}
	return broadcasts
}

// checkShow looks at a show that has ended object by object. want, where not
// nil, are the segments of the same show undisturbed.
func checkShow(t testing.TB, b testweir.Bucket, prefix, name, broadcast, input string, want map[string][32]byte) {
	t.Helper()
	vod := b.Object(prefix, broadcast+"vod.m3u8")
	if err := testmedia.SameFrames(testmedia.Probe(t, input), testmedia.Probe(t, vod)); err != nil {
		t.Errorf("%s: %v", name, err)
	}
	_, body := testweir.Get(vod)
	var listed []string
	for _, s := range testweir.ParseMediaPlaylist(body).Segments {
		if strings.Contains(s.Tags, "GAP") || strings.Contains(s.Tags, "DISCONTINUITY") {
			t.Errorf("%s: %s: the log had all of it, and yet it says %s", name, s.URI, s.Tags)
		}
		listed = append(listed, s.URI)
	}
	got := segments(t, b.Objects(prefix, broadcast))
	if there := slices.Sorted(maps.Keys(got)); !slices.Equal(there, listed) {
		t.Errorf("%s: the bucket holds %q, vod.m3u8 lists %q", name, there, listed)
	}
	if want != nil && !maps.Equal(got, want) {
		t.Errorf("%s: the segments differ from those of the undisturbed show", name)
	}
}

// segments returns the hashes of the segments in a directory.
func segments(t testing.TB, dir string) map[string][32]byte {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.ts"))
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string][32]byte)
	for _, name := range names {
		body, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all[filepath.Base(name)] = sha256.Sum256(body)
	}
	return all
}
