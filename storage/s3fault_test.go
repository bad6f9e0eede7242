package storage_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/internal/faultproxy"
	"weir/internal/testlog"
	"weir/internal/versitygw"
	"weir/media/object"
	"weir/storage"
)

// behindProxy returns a store behind a proxy, and the same without it, by which
// a test sees what is true.
func behindProxy(t *testing.T, parameters string) (*faultproxy.Proxy, *storage.S3, *storage.S3) {
	t.Helper()
	gateway := versitygw.Start(t)
	proxy := faultproxy.Start(t, gateway.URL)
	url := "s3://" + versitygw.Bucket + "/p?endpoint="
	return proxy, openS3(t, url+proxy.URL+parameters), openS3(t, url+gateway.URL)
}

// every applies a fault to every nth request of those it is on.
func every(n int, f faultproxy.Fault) faultproxy.Fault {
	var mu sync.Mutex
	i := 0
	return func(w http.ResponseWriter, r *http.Request, forward http.Handler) {
		mu.Lock()
		i++
		apply := i%n == 0
		mu.Unlock()
		if !apply {
			forward.ServeHTTP(w, r)
			return
		}
		f(w, r, forward)
	}
}

// A show goes on through every fault that passes: each object is there, once,
// whole, and nobody was told otherwise.
func TestS3Faults(t *testing.T) {
	proxy, s, direct := behindProxy(t, "&attempt-timeout=1s")
	for _, c := range []struct {
		name  string
		fault faultproxy.Fault
	}{
		{"no fault", nil},
		{"burst of 503", faultproxy.First(12, faultproxy.Refuse(503, "ServiceUnavailable"))},
		{"SlowDown", every(3, faultproxy.Refuse(503, "SlowDown"))},
		{"429", every(3, faultproxy.Refuse(429, "TooManyRequests"))},
		{"500", every(2, faultproxy.Refuse(500, "InternalError"))},
		{"502 of a load balancer", every(2, faultproxy.Refuse(502, ""))},
		{"409 of a write beside ours", every(2, faultproxy.On("PUT", faultproxy.Refuse(409, "ConditionalRequestConflict")))},
		{"400 RequestTimeout", every(3, faultproxy.Refuse(400, "RequestTimeout"))},
		{"reset in mid-request", every(2, faultproxy.On("PUT", faultproxy.CutRequest(20_000)))},
		{"reset in mid-answer", every(2, faultproxy.On("GET", faultproxy.CutAnswer(3_000)))},
		{"each second answer lost", every(2, faultproxy.LoseAnswer())},
		{"each answer lost once", faultproxy.First(14, faultproxy.LoseAnswer())},
		{"login page", every(2, faultproxy.On("PUT", loginPage))},
		{"50 ms late", faultproxy.Delay(50 * time.Millisecond)},
		{"first too late", faultproxy.First(6, faultproxy.Delay(3*time.Second))},
	} {
		t.Run(c.name, func(t *testing.T) {
			proxy.Set(c.fault)
			show(t, s, direct, c.name)
		})
	}
}

// truncated passes on the beginning of a body and breaks both connections: the
// store sees an upload that ends too early, and may keep what it has seen.
func truncated(w http.ResponseWriter, r *http.Request, forward http.Handler) {
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(r.Body, 20_000), r.Body}
	forward.ServeHTTP(w, r)
}

// loginPage is what a hotel's network answers, with all the signs of success.
func loginPage(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
	w.Header().Set("Content-Type", "text/html")
	_, _ = w.Write([]byte("<html>Welcome! Please sign in."))
}

// A body whose connection breaks leaves nothing behind where something covers
// it; where nothing does, the store may keep its beginning, which is then
// written over, and not taken for the whole.
func TestS3UploadBrokenOff(t *testing.T) {
	for _, parameters := range []string{"", "&checksum=false&sign-payload=true", "&checksum=false"} {
		proxy, s, direct := behindProxy(t, parameters)
		proxy.Set(faultproxy.On("PUT", truncated))
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		_, err := s.Put(ctx, object.Object{Key: "k", Body: noise(50_000)}, always)
		cancel()
		wantError(t, "put", err, storage.ErrUnavailable)
		if _, _, err := direct.Get(t.Context(), "k"); parameters != "&checksum=false" {
			wantError(t, "get what broke off", err, object.ErrNotExist)
		}
		proxy.Set(every(2, faultproxy.On("PUT", truncated)))
		show(t, s, direct, "broken off")
	}
}

// The store's host is gone for some time, and comes back.
func TestS3Outage(t *testing.T) {
	proxy, s, direct := behindProxy(t, "")
	proxy.Down()
	back := time.AfterFunc(1500*time.Millisecond, func() {
		if err := proxy.Up(); err != nil {
			t.Error(err)
		}
	})
	defer back.Stop()
	show(t, s, direct, "outage")
}

// A store that is always slower than a first attempt may be is served, and
// asked only once when that is known.
func TestS3SlowStore(t *testing.T) {
	proxy, s, direct := behindProxy(t, "&attempt-timeout=200ms")
	proxy.Set(faultproxy.Delay(300 * time.Millisecond))
	for i := range 5 {
		key, before := fmt.Sprint(i), len(proxy.Requests())
		put(t, s, key, key, absent)
		wantBody(t, direct, key, key)
		if n := len(proxy.Requests()) - before; i > 0 && n != 1 {
			t.Errorf("put %d took %d requests, want 1", i, n)
		}
	}
}

// show does to s what a segmenter and an origin do, and looks at the outcome by
// direct: segments created concurrently, a playlist replaced by compare and
// set, all of it read back, the oldest deleted.
func show(t *testing.T, s, direct *storage.S3, name string) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	const segments = 6
	bodies := make([][]byte, segments)
	key := func(i int) string { return fmt.Sprintf("%s/%08d.ts", name, i) }
	var uploads sync.WaitGroup
	for i := range segments {
		bodies[i] = noise(50_000 + i*100_000)
		uploads.Go(func() {
			etag, err := s.Put(ctx, object.Object{Key: key(i), Body: bodies[i]}, absent)
			if err != nil {
				t.Error(err)
				return
			}
			got, info, err := direct.Get(t.Context(), key(i))
			if err != nil || !bytes.Equal(got, bodies[i]) || info.ETag != etag {
				t.Errorf("%s is not what was put: %d bytes, ETag %s of %s, %v", key(i), len(got), info.ETag, etag, err)
			}
		})
	}
	uploads.Wait()

	playlist := name + "/live.m3u8"
	condition := absent
	for i := range 4 {
		body := fmt.Appendf(nil, "#EXTM3U %d", i)
		etag, err := s.Put(ctx, object.Object{Key: playlist, Body: body}, condition)
		if err != nil {
			t.Fatal(err)
		}
		got, info, err := s.Get(ctx, playlist)
		if err != nil || !bytes.Equal(got, body) || info.ETag != etag {
			t.Fatalf("the playlist is %q, ETag %s, %v, want %q, %s", got, info.ETag, err, body, etag)
		}
		condition = matches(etag)
	}
	for i := range segments {
		got, _, err := s.Get(ctx, key(i))
		if err != nil || !bytes.Equal(got, bodies[i]) {
			t.Errorf("read %d bytes of %s, want %d, %v", len(got), key(i), len(bodies[i]), err)
		}
	}
	if err := s.Delete(ctx, key(0)); err != nil {
		t.Error(err)
	}
	want := []string{playlist}
	for i := 1; i < segments; i++ {
		want = append(want, key(i))
	}
	slices.Sort(want)
	if got := keys(t, direct, name+"/"); !slices.Equal(got, want) {
		t.Errorf("the store holds %q\nwant %q", got, want)
	}
}

// A write that was carried out although its answer was lost is a success, and
// no second object is made of it.
func TestS3LostAnswer(t *testing.T) {
	proxy, s, direct := behindProxy(t, "")
	for _, n := range []int{1, 2, 4} {
		for _, replace := range []bool{false, true} {
			key, condition := fmt.Sprintf("%d-%t", n, replace), absent
			if replace {
				condition = matches(put(t, direct, key, "before", always))
			}
			proxy.Set(faultproxy.First(n, faultproxy.On("PUT", faultproxy.LoseAnswer())))
			etag := put(t, s, key, "mine", condition)
			if info, err := direct.Stat(t.Context(), key); err != nil || info.ETag != etag {
				t.Errorf("%s: answered ETag %s, stored %s, %v", key, etag, info.ETag, err)
			}
			wantBody(t, direct, key, "mine")
		}
	}
}

// A write that never arrived, while another's did, is refused: the same bytes
// do not make it ours.
func TestS3LostRace(t *testing.T) {
	proxy, s, direct := behindProxy(t, "")
	proxy.Set(faultproxy.First(1, func(w http.ResponseWriter, r *http.Request, forward http.Handler) {
		put(t, direct, "k", "the same", absent)
		faultproxy.CutRequest(1)(w, r, forward)
	}))
	_, err := s.Put(t.Context(), object.Object{Key: "k", Body: []byte("the same")}, absent)
	wantError(t, "put after another's", err, object.ErrPrecondition)
}

// Where it cannot be told whose object it is, the answer is not "refused".
func TestS3LostAnswerAndNoMore(t *testing.T) {
	proxy, s, _ := behindProxy(t, "")
	lose := faultproxy.First(1, faultproxy.LoseAnswer())
	proxy.Set(func(w http.ResponseWriter, r *http.Request, forward http.Handler) {
		if r.Method == http.MethodHead {
			faultproxy.Refuse(503, "")(w, r, forward)
			return
		}
		lose(w, r, forward)
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := s.Put(ctx, object.Object{Key: "k", Body: []byte("mine")}, absent)
	wantError(t, "put with an unknown outcome", err, storage.ErrUnavailable)
	if errors.Is(err, object.ErrPrecondition) {
		t.Errorf("an unknown outcome is reported as a refusal: %v", err)
	}
}

// A zombie whose playlist was written, and who sleeps before the answer, finds
// on waking that another has gone on, and leaves that alone.
func TestS3Zombie(t *testing.T) {
	proxy, s, other := behindProxy(t, "&attempt-timeout=20s")
	first := put(t, other, "live.m3u8", "1", always)
	held, release := make(chan struct{}), make(chan struct{})
	proxy.Set(faultproxy.First(1, faultproxy.Hold(held, release)))

	asleep := make(chan error, 1)
	var etag string
	go func() {
		var err error
		etag, err = s.Put(t.Context(), object.Object{Key: "live.m3u8", Body: []byte("2 by the zombie")}, matches(first))
		asleep <- err
	}()
	<-held
	_, info, err := other.Get(t.Context(), "live.m3u8")
	if err != nil {
		t.Fatal(err)
	}
	put(t, other, "live.m3u8", "3 by its successor", matches(info.ETag))
	close(release)
	if err := <-asleep; err != nil {
		t.Fatal(err) // its write did happen, before the successor's
	}
	_, err = s.Put(t.Context(), object.Object{Key: "live.m3u8", Body: []byte("3 by the zombie")}, matches(etag))
	wantError(t, "the zombie's next write", err, object.ErrPrecondition)
	wantBody(t, other, "live.m3u8", "3 by its successor")
}

// The same, with the answer lost besides: the zombie asks again, and must not
// take its successor's object for its own.
func TestS3ZombieWithLostAnswer(t *testing.T) {
	proxy, s, other := behindProxy(t, "")
	first := put(t, other, "live.m3u8", "1", always)
	proxy.Set(faultproxy.First(1, func(w http.ResponseWriter, r *http.Request, forward http.Handler) {
		faultproxy.LoseAnswer()(w, r, forward)
		_, info, err := other.Get(t.Context(), "live.m3u8")
		if err != nil {
			t.Error(err)
		}
		put(t, other, "live.m3u8", "3 by its successor", matches(info.ETag))
	}))
	_, err := s.Put(t.Context(), object.Object{Key: "live.m3u8", Body: []byte("2 by the zombie")}, matches(first))
	wantError(t, "put that another has overtaken", err, object.ErrPrecondition)
	wantBody(t, other, "live.m3u8", "3 by its successor")
}

// The caller's deadline ends a call, and the error says why it got nowhere.
func TestS3Deadline(t *testing.T) {
	proxy, s, _ := behindProxy(t, "")
	for name, fault := range map[string]faultproxy.Fault{
		"refused": faultproxy.Refuse(503, "SlowDown"),
		"silent":  faultproxy.Delay(time.Minute),
		"broken":  faultproxy.CutRequest(0),
	} {
		t.Run(name, func(t *testing.T) {
			proxy.Set(fault)
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			_, err := s.Put(ctx, object.Object{Key: "k", Body: noise(1000)}, absent)
			wantError(t, "put", err, storage.ErrUnavailable)
			wantError(t, "put", err, context.DeadlineExceeded)
		})
	}
}

// What will not pass is told at once, by one request.
func TestS3FailsAtOnce(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		code   string
		want   error
	}{
		{"denied", 403, "AccessDenied", storage.ErrDenied},
		{"wrong secret", 403, "SignatureDoesNotMatch", storage.ErrDenied},
		{"missing", 404, "NoSuchKey", object.ErrNotExist},
		{"full", 507, "XMinioStorageFull", storage.ErrFull},
		{"over quota", 400, "QuotaExceeded", storage.ErrFull},
		{"refused", 412, "PreconditionFailed", object.ErrPrecondition},
	} {
		t.Run(c.name, func(t *testing.T) {
			proxy, s, _ := behindProxy(t, "")
			proxy.Set(faultproxy.Refuse(c.status, c.code))
			_, err := s.Put(t.Context(), object.Object{Key: "k"}, always)
			wantError(t, "put", err, c.want)
			if n := len(proxy.Requests()); n != 1 {
				t.Errorf("%d requests, want 1", n)
			}
		})
	}
	t.Run("no such bucket", func(t *testing.T) {
		gateway := versitygw.Start(t)
		s := openS3(t, "s3://nowhere?endpoint="+gateway.URL)
		for name, err := range map[string]error{
			"put":   func() error { _, err := s.Put(t.Context(), object.Object{Key: "k"}, always); return err }(),
			"match": func() error { _, err := s.Put(t.Context(), object.Object{Key: "k"}, matches(`"x"`)); return err }(),
			"get":   func() error { _, _, err := s.Get(t.Context(), "k"); return err }(),
		} {
			if err == nil || errors.Is(err, object.ErrNotExist) || errors.Is(err, object.ErrPrecondition) {
				t.Errorf("%s: %v, want an error that nobody takes for a missing object", name, err)
			}
		}
	})
}

// Below Persist nothing is for good but an answer: a store that refuses is asked
// until it does not, by one retry and at its pace.
func TestS3Persists(t *testing.T) {
	proxy, s, direct := behindProxy(t, "")
	const refusals = 4
	proxy.Set(faultproxy.First(refusals, faultproxy.Refuse(403, "AccessDenied")))
	text, log := testlog.New()
	if _, err := storage.Persist(s, log).Put(t.Context(), object.Object{Key: "k", Body: []byte("x")}, always); err != nil {
		t.Fatal(err)
	}
	if body, _, err := direct.Get(t.Context(), "k"); err != nil || string(body) != "x" {
		t.Errorf("it holds %q, %v", body, err)
	}
	if n := len(proxy.Requests()); n != refusals+1 {
		t.Errorf("%d requests, want %d", n, refusals+1)
	}
	if told := strings.Count(text.String(), "retrying"); told != 1 || !strings.Contains(text.String(), "succeeded at last") {
		t.Errorf("it says\n%s", text)
	}
	proxy.Set(faultproxy.Refuse(412, "PreconditionFailed"))
	_, err := storage.Persist(s, log).Put(t.Context(), object.Object{Key: "k"}, matches(`"x"`))
	wantError(t, "put", err, object.ErrPrecondition)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	proxy.Set(faultproxy.Refuse(403, "AccessDenied"))
	_, err = storage.Persist(s, log).Put(ctx, object.Object{Key: "k"}, always)
	wantError(t, "put", err, storage.ErrDenied)
}

// Segments go over connections that are there already.
func TestS3ReusesConnections(t *testing.T) {
	proxy, s, _ := behindProxy(t, "")
	for i := range 20 {
		key := fmt.Sprint(i)
		put(t, s, key, string(noise(50_000)), absent)
		if _, err := s.Put(t.Context(), object.Object{Key: key, Body: noise(50_000)}, absent); err == nil {
			t.Error("no refusal")
		}
		if _, _, err := s.Get(t.Context(), key); err != nil {
			t.Error(err)
		}
		r, _, err := s.Open(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Close(); err != nil { // little is left, so it is read
			t.Error(err)
		}
	}
	if n := proxy.Connections(); n > 3 {
		t.Errorf("%d connections for one call at a time", n)
	}
}
