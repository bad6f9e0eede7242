package storage_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/internal/faultproxy"
	"weir/internal/versitygw"
	"weir/media/object"
	"weir/storage"
)

// bad returns the findings that are not Passed, as "level: check".
func bad(t *testing.T, findings []storage.Finding) []string {
	t.Helper()
	got := []string{}
	for _, f := range findings {
		if f.Level == storage.Passed {
			if f.Detail != "" || f.Advice != "" {
				t.Errorf("%s passed, and yet: %s %s", f.Check, f.Detail, f.Advice)
			}
			continue
		}
		if f.Detail == "" || f.Advice == "" {
			t.Errorf("%s: no detail or no advice: %+v", f.Check, f)
		}
		got = append(got, fmt.Sprintf("%s: %s", f.Level, f.Check))
	}
	return got
}

func wantFindings(t *testing.T, findings []storage.Finding, want ...string) {
	t.Helper()
	if got := bad(t, findings); !slices.Equal(got, want) && len(got)+len(want) > 0 {
		t.Errorf("found\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		for _, f := range findings {
			t.Logf("%s %s %s", f.Level, f.Check, f.Detail)
		}
	}
}

// Our own stores can do all there is, and keep nothing of the probe.
func TestProbe(t *testing.T) {
	for name, s := range map[string]storage.Store{
		"memory":    storage.NewMemory(),
		"directory": newDirectory(t, t.TempDir()),
	} {
		t.Run(name, func(t *testing.T) {
			findings := storage.Probe(t.Context(), s, storage.ProbeConfig{})
			wantFindings(t, findings)
			if len(findings) < 10 {
				t.Errorf("only %d checks", len(findings))
			}
			if got := keys(t, s, ""); len(got) != 0 {
				t.Errorf("the probe left %q", got)
			}
		})
	}
}

// A new bucket is closed to viewers; opened, it is all right.
func TestProbeS3(t *testing.T) {
	gateway := versitygw.Start(t)
	c, err := storage.ParseS3(gateway.StoreURL("shows"))
	if err != nil {
		t.Fatal(err)
	}
	s := openS3(t, gateway.StoreURL("shows"))
	wantFindings(t, storage.Probe(t.Context(), s, storage.ProbeConfig{}))
	wantFindings(t, storage.Probe(t.Context(), s, storage.ProbeConfig{Base: c.Base()}), "limited: read as a viewer")
	if err := storage.OpenToAll(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	wantFindings(t, storage.Probe(t.Context(), s, storage.ProbeConfig{Base: c.Base()}))
	if got := keys(t, openS3(t, gateway.StoreURL("")), ""); len(got) != 0 {
		t.Errorf("the probe left %q", got)
	}
}

// What is wrong with stores that are not as they should be.
func TestProbeFinds(t *testing.T) {
	proxy, s, _ := behindProxy(t, "&attempt-timeout=1s")
	for _, c := range []struct {
		name  string
		fault faultproxy.Fault
		want  []string
	}{
		{"no permission", faultproxy.Refuse(403, "AccessDenied"), []string{"failed: put an object"}},
		{"write-only", faultproxy.On("GET", faultproxy.Refuse(403, "AccessDenied")), []string{"failed: read it back"}},
		{"no right to list", faultproxy.On("HEAD", faultproxy.Refuse(403, "")), []string{
			"failed: a missing object is missing", "limited: delete an object",
		}},
		{"no right to delete", faultproxy.On("DELETE", faultproxy.Refuse(403, "AccessDenied")), []string{"limited: delete an object"}},
		{"conditions not implemented", unconditional(t, true), []string{"failed: create with If-None-Match", "limited: list objects"}},
		{"conditions ignored", unconditional(t, false), []string{
			"limited: If-None-Match refuses to overwrite", "limited: If-Match refuses a stale ETag", "limited: If-Match refuses to create",
			"limited: one of eight wins a race to create", "limited: one of eight wins a race to overwrite",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			proxy.Set(c.fault)
			wantFindings(t, storage.Probe(t.Context(), s, storage.ProbeConfig{}), c.want...)
		})
	}
}

// A store that is too slow to be tried is called that, once, and nothing else.
func TestProbeSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wantFindings(t, storage.Probe(t.Context(), tardy{storage.NewMemory()}, storage.ProbeConfig{}), "limited: read after overwriting, five times")
	})
}

// tardy is a store that is late with each write.
type tardy struct{ storage.Store }

func (s tardy) Put(ctx context.Context, o object.Object, c object.Condition) (string, error) {
	select {
	case <-time.After(4 * time.Second):
		return s.Store.Put(ctx, o, c)
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// An answer that tells what is wrong is met with advice of its own, which
// stands in the error, too: a worker logs it.
func TestS3Advice(t *testing.T) {
	proxy, s, _ := behindProxy(t, "&attempt-timeout=1s")
	for _, c := range []struct {
		status     int
		code, want string
	}{
		{404, "NoSuchBucket", "create the bucket"},
		{400, "InvalidBucketName", "correct its name"},
		{403, "InvalidAccessKeyId", "does not know this access key"},
		{403, "SignatureDoesNotMatch", "secret key"},
		{301, "PermanentRedirect", "set region"},
		{400, "AuthorizationHeaderMalformed", "set region"},
		{501, "NotImplemented", "checksum=false"},
	} {
		t.Run(c.code, func(t *testing.T) {
			proxy.Set(faultproxy.Refuse(c.status, c.code))
			_, err := s.Put(t.Context(), object.Object{Key: "k"}, always)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("put: %v, want advice with %q", err, c.want)
			}
			found := storage.Probe(t.Context(), s, storage.ProbeConfig{})[0]
			if found.Level != storage.Failed || !strings.Contains(found.Advice, c.want) || strings.Contains(found.Detail, c.want) {
				t.Errorf("probe: %+v, want advice with %q", found, c.want)
			}
		})
	}
}

// Where nobody answers, the endpoint may be wrong.
func TestS3AdvicesWhereNobodyAnswers(t *testing.T) {
	proxy, s, _ := behindProxy(t, "")
	proxy.Down()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := s.Put(ctx, object.Object{Key: "k"}, always)
	wantError(t, "put", err, storage.ErrUnavailable)
	if !strings.Contains(err.Error(), "is the endpoint right") {
		t.Errorf("put: %v, want advice", err)
	}
}

// Told of it, weir does without: it checks before it writes.
func TestS3WithoutConditionalWrites(t *testing.T) {
	proxy, s, _ := behindProxy(t, "&conditional=false")
	proxy.Set(unconditional(t, true))
	testRoundTrip(t, s)
	testMatch(t, s)
	put(t, s, "new", "first", absent)
	_, err := s.Put(t.Context(), object.Object{Key: "new", Body: []byte("second")}, absent)
	wantError(t, "put over an object", err, object.ErrPrecondition)
}

// Without being told it says what is missing, at once.
func TestS3NotImplemented(t *testing.T) {
	proxy, s, _ := behindProxy(t, "")
	proxy.Set(unconditional(t, true))
	_, err := s.Put(t.Context(), object.Object{Key: "k"}, absent)
	wantError(t, "put", err, errors.ErrUnsupported)
	if n := len(proxy.Requests()); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
}

// unconditional is a store without conditional writes: it says so, or it does
// as if there were no condition.
func unconditional(t *testing.T, honest bool) faultproxy.Fault {
	return faultproxy.On("PUT", func(w http.ResponseWriter, r *http.Request, forward http.Handler) {
		conditional := r.Header.Get("If-Match") != "" || r.Header.Get("If-None-Match") != ""
		if conditional && honest {
			_, _ = io.Copy(io.Discard, r.Body)
			faultproxy.Refuse(501, "NotImplemented")(w, r, forward)
			return
		}
		r.Header.Del("If-Match")
		r.Header.Del("If-None-Match")
		resign(t, r)
		forward.ServeHTTP(w, r)
	})
}
